"""Generative models: NumPyro programs with the questions that are asked of them."""

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from bayescmp._types import Key
from bayescmp.engine import AbstractEngine
from bayescmp.layout import Layout, Questions, arrange
from bayescmp.program import Program, Site, draw_sites, inspect_program, reject_outside
from bayescmp.records import Batch


class AbstractGenerativeModel(eqx.Module):
    """A NumPyro program, the sites that are shown, and the site that is asked.

    The program is the only description of the process: data is drawn from it and
    oracles are derived from it. Two equal models describe the same process.
    """

    @abc.abstractmethod
    def program(self) -> None:
        """Run the NumPyro program."""

    @abc.abstractmethod
    def questions(self) -> Questions:
        """Say which sites are shown and which one is asked."""

    @abc.abstractmethod
    def closed_form(self) -> AbstractEngine | None:
        """Return a hand-written exact engine, if there is one."""

    @abc.abstractmethod
    def title(self) -> str:
        """Return a name fit for a table in a paper."""

    def __check_init__(self) -> None:
        """Reject programs whose sites do not fit the questions."""
        _ = self.layout

    @property
    def sites(self) -> dict[str, Site]:
        """The program's sample sites, by name."""
        return dict(_inspect(self))

    @property
    def layout(self) -> Layout:
        """How sites are arranged into inputs and questions."""
        return _arrange(self)

    @property
    def length(self) -> int:
        """Number of questions in a sequence."""
        return self.layout.length

    @property
    def num_outcomes(self) -> int:
        """Number of values that the asked site can take."""
        return self.layout.num_outcomes

    @property
    def asked_positions(self) -> Int[np.ndarray, " position"]:
        """Input position at which each question is answered."""
        return self.layout.asked_positions

    def batch_from_sites(self, sites: Mapping[str, Array]) -> Batch:
        """Turn values of sites into a batch, one example or any number of them.

        Args:
            sites: Value of every shown and asked site, by name, with the same batch
                axes in front. Further sites of the program are kept as latents.

        Returns:
            The batch.

        Raises:
            ValueError: If a site is missing or unknown, has the wrong shape, or holds
                values that it cannot take. Inside a compiled function, where values are
                unknown, those are not checked.
        """
        arrays = {name: jnp.asarray(value) for name, value in sites.items()}
        batch_shape = _batch_shape(self, arrays)
        for name, values in arrays.items():
            if not isinstance(values, Tracer):
                reject_outside(self.sites[name], np.asarray(values))
        build = self._example
        for _ in batch_shape:
            build = jax.vmap(build)
        return build(arrays)

    def sample(self, num_sequences: int, *, key: Key) -> Batch:
        """Draw independent sequences from the program.

        Args:
            num_sequences: Number of sequences, at least one.
            key: Typed key.

        Returns:
            A batch with one leading axis.

        Raises:
            ValueError: If ``num_sequences`` is less than one.
        """
        if num_sequences < 1:
            raise ValueError(f"num_sequences: expected at least 1, got {num_sequences}")
        return jax.vmap(lambda k: self.draw(key=k))(jax.random.split(key, num_sequences))

    def draw(self, *, key: Key) -> Batch:
        """Draw one sequence from the program.

        Args:
            key: Typed key.

        Returns:
            One example, without a batch axis.
        """
        return self._example(draw_sites(self.program, key=key))

    def engine_sites(self, batch: Batch) -> dict[str, Array]:
        """Return the sites that an engine reads: all that are shown, and the asked one.

        Args:
            batch: Sequences of this model.

        Returns:
            Values by name, with the batch's axes in front.
        """
        outcome = self.layout.outcome
        return {outcome.name: batch.outcomes + outcome.lowest, **batch.shown}

    def _example(self, sites: dict[str, Array]) -> Batch:
        layout = self.layout
        asked = layout.outcome.name
        shown = {site.name for site in layout.kept_sites}
        return Batch(
            inputs=layout.encode(sites),
            outcomes=layout.outcome_indices(sites),
            supervised=jnp.ones(layout.length, bool),
            shown={name: sites[name] for name in sites if name in shown},
            latents={name: sites[name] for name in sites if name not in shown | {asked}},
        )


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


@lru_cache(maxsize=256)
def _inspect(model: AbstractGenerativeModel) -> dict[str, Site]:
    program: Program = model.program
    return inspect_program(program)


@lru_cache(maxsize=256)
def _arrange(model: AbstractGenerativeModel) -> Layout:
    return arrange(_inspect(model), model.questions())


def _reject_unhashable(argument: str, value: object) -> None:
    """Check that a model with this argument can be told from others."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"arguments: expected hashable values, got {type(value).__name__} for "
            f"{argument!r}; use a tuple and convert it inside the function"
        ) from error


def _batch_shape(model: AbstractGenerativeModel, sites: dict[str, Array]) -> tuple[int, ...]:
    """Check which sites there are, and return the batch axes that all have in common."""
    layout, shapes = model.layout, {}
    for site in (*layout.given, *layout.query, layout.outcome):
        if site.name not in sites:
            raise ValueError(f"sites: expected a value for {site.name!r}, got {sorted(sites)}")
    for name, value in sites.items():
        if name not in model.sites:
            raise ValueError(f"sites: expected names among {sorted(model.sites)}, got {name!r}")
        expected = model.sites[name].shape
        cut = len(value.shape) - len(expected)
        if cut < 0 or value.shape[cut:] != expected:
            raise ValueError(
                f"sites: expected {name!r} to end in shape {expected}, got {value.shape}"
            )
        shapes[name] = value.shape[:cut]
    if len(set(shapes.values())) > 1:
        raise ValueError(f"sites: expected the same batch axes everywhere, got {shapes}")
    return next(iter(shapes.values()))
