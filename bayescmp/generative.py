"""Generative models from plain NumPyro functions."""

import inspect
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx

from bayescmp.engine import AbstractEngine
from bayescmp.layout import Questions
from bayescmp.model import AbstractGenerativeModel as AbstractGenerativeModel


class GenerativeModel(AbstractGenerativeModel):
    """A plain NumPyro function with its questions, without subclassing anything.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def coin(length):
        ...     bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
        ...     with numpyro.plate("position", length):
        ...         numpyro.sample("token", dist.Bernoulli(bias))
        >>> GenerativeModel(coin, outcome="token", length=32).num_outcomes
        2
    """

    function: Callable[..., None] = eqx.field(static=True)
    """NumPyro function; called with ``arguments``, and with ``length`` if that is set."""
    outcome: str = eqx.field(static=True)
    """Site that is asked, one element at each step."""
    length_: int | None = eqx.field(static=True)
    given: tuple[str, ...] = eqx.field(static=True)
    query: tuple[str, ...] = eqx.field(static=True)
    reveal: bool = eqx.field(static=True)
    edges: tuple[float, ...] = eqx.field(static=True)
    arguments: tuple[tuple[str, object], ...] = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[..., None],
        outcome: str,
        *,
        length: int | None = None,
        given: tuple[str, ...] = (),
        query: tuple[str, ...] = (),
        reveal: bool = True,
        edges: Sequence[float] = (),
        arguments: Mapping[str, object] | None = None,
        name: str | None = None,
    ) -> None:
        """Wrap a NumPyro function.

        Args:
            function: NumPyro function that samples every site by itself.
            outcome: Name of the site that is asked, one element at each step.
            length: Number of steps, handed to the function as ``length``; leave it out
                if the function has no such argument.
            given: Sites shown whole in the prompt.
            query: Sites shown at each step before the question.
            reveal: Whether the answer is shown before the next step.
            edges: Inner edges of the bins of a continuous outcome, which is asked by its
                bin and shown as a number.
            arguments: Further arguments of the function, hashable.
            name: Name for tables; the function's own name by default.

        Raises:
            TypeError: If the arguments do not fit the function or are not hashable, or
                names of sites come as one string.
            ValueError: If a site is missing or unsuitable, or ``length`` is not positive
                or stands among the arguments too.
        """
        if length is not None and length < 1:
            raise ValueError(f"length: expected at least 1, got {length}")
        if length is not None and "length" in (arguments or {}):
            raise ValueError("arguments: expected no 'length' beside length=, got both")
        for role, names in (("given", given), ("query", query)):
            if isinstance(names, str):
                raise TypeError(f"{role}: expected a tuple of site names, got {names!r}")
        for argument, value in (arguments or {}).items():
            _reject_unhashable(argument, value)
        self.function = function
        self.outcome = outcome
        self.length_ = length
        self.given = tuple(given)
        self.query = tuple(query)
        self.reveal = reveal
        self.edges = tuple(float(edge) for edge in edges)
        self.arguments = tuple(sorted((arguments or {}).items()))
        self.name = name or getattr(function, "__name__", "program").replace("_", " ")
        inspect.signature(function).bind(**self._keywords())

    def program(self) -> None:
        """Run the NumPyro function with its arguments."""
        self.function(**self._keywords())

    def questions(self) -> Questions:
        """Say which sites are shown and which one is asked."""
        return Questions(self.outcome, self.given, self.query, self.reveal, self.edges)

    def closed_form(self) -> AbstractEngine | None:
        """Return nothing: a plain function comes without a hand-written answer."""
        return None

    def title(self) -> str:
        """Return the model's name."""
        return self.name

    def _keywords(self) -> dict[str, object]:
        length = {} if self.length_ is None else {"length": self.length_}
        return dict(self.arguments) | length


def _reject_unhashable(argument: str, value: object) -> None:
    """Check that a model with this argument can be told from others."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"arguments: expected hashable values, got {type(value).__name__} for "
            f"{argument!r}; use a tuple and convert it inside the function"
        ) from error
