"""Oracles: exact answers for a model's questions, with a certificate."""

import abc
import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from bayescmp._types import Supervised
from bayescmp.engine import AbstractEngine
from bayescmp.exact.forward.forward_engine import ForwardEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.records import Batch, Reference

MAX_BYTES = 2**28
"""Rough size of the arrays that enumeration may fill at once."""


@dataclass(frozen=True)
class Certificate:
    """How an oracle's answers came about, and how exact they are."""

    engine: str
    """Name of the engine."""
    exact: bool
    """Whether the only error is rounding."""
    reason: str
    """Why the answers are exact, in one sentence, or what limits them."""
    sites: tuple[tuple[str, str], ...]
    """How each site was dealt with."""
    error: float
    """Largest error of a log predictive where not exact, in nats; 0 where exact."""
    jittable: bool = True
    """Whether the oracle can run inside a compiled training step."""

    def to_json(self) -> dict[str, object]:
        """Return a dictionary for a JSON attribute."""
        return {**asdict(self), "sites": dict(self.sites)}

    def __str__(self) -> str:
        """Return one line for people."""
        how = "; ".join(f"{name}: {what}" for name, what in self.sites)
        state = "exact" if self.exact else f"within {self.error:.1e} nats"
        return f"{self.engine}, {state}, since {self.reason} ({how})"


class AbstractOracle(eqx.Module):
    """Answers to a model's questions, exact or with a stated error.

    A sequence ends with its last question that counts, and its answers stay from there on
    what they were: the log evidence at the last position is that of the whole sequence.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> oracle.certificate.exact, oracle.certificate.jittable
        (True, True)
    """

    model: eqx.AbstractVar[AbstractGenerativeModel]
    certificate: eqx.AbstractVar[Certificate]

    @abc.abstractmethod
    def __call__(self, batch: Batch) -> Reference:
        """Answer every question of every sequence."""

    @abc.abstractmethod
    def windowed(self, batch: Batch, window: int) -> Float[Array, "*sequence position outcome"]:
        """Answer every question as if only the last steps had been shown."""


class Oracle(AbstractOracle):
    """The exact answers to a model's questions, for drawn or supplied sequences.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([1, 1, 0, 1])})
        >>> np.exp(bc.derive_oracle(model)(batch).log_predictive[:, 1]).round(3)
        array([0.5  , 0.667, 0.75 , 0.6  ], dtype=float32)
    """

    model: AbstractGenerativeModel
    engine: AbstractEngine
    certificate: Certificate = eqx.field(static=True)

    def __call__(self, batch: Batch) -> Reference:
        """Answer every question of every sequence.

        Args:
            batch: Sequences of the oracle's model, any number of batch axes.

        Returns:
            The reference, with the batch's axes in front.

        Raises:
            ValueError: If the batch is one of another model, or a sequence is impossible
                under this one. Inside a compiled function, where values are unknown, the
                log evidence of such a sequence is minus infinity.
        """
        reference = _answer(self.engine, self._sites(batch), self._counted(batch))
        if not isinstance(reference.log_evidence, Tracer):
            reject_impossible(reference)
        return reference

    def windowed(self, batch: Batch, window: int) -> Float[Array, "*sequence position outcome"]:
        """Answer every question as if only the last steps had been shown.

        Args:
            batch: Sequences of the oracle's model.
            window: Number of last steps that are remembered, at least one.

        Returns:
            Log probabilities in nats.

        Raises:
            ValueError: If ``window`` is less than one, or the batch is one of another model.
        """
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        return _answer(self.engine, self._sites(batch), self._counted(batch), window=window)

    def _counted(self, batch: Batch) -> Supervised:
        """Return which questions count: all of them where none ends its sequence."""
        if self.model.layout.shows_all_first:
            return jnp.ones_like(batch.supervised)
        return batch.supervised

    def _sites(self, batch: Batch) -> dict[str, Array]:
        """Return what the engine reads, after a look at whether the batch is the model's."""
        layout = self.model.layout
        shown = {site.name for site in layout.kept_sites}
        if batch.outcomes.shape[-1:] != (layout.length,) or set(batch.shown) != shown:
            raise ValueError(
                f"batch: expected {layout.length} positions that show {sorted(shown)}, as "
                f"{self.model.title()} does, got {batch.outcomes.shape[-1]} that show "
                f"{sorted(batch.shown)}"
            )
        return self.model.engine_sites(batch)


@eqx.filter_jit
@jax.default_matmul_precision("highest")  # accelerators shorten the factors of products otherwise
def _answer(
    engine: AbstractEngine,
    sites: dict[str, Array],
    supervised: Supervised,
    *,
    window: int | None = None,
) -> Any:
    """Answer all sequences at once, or in parts where they would not fit into memory."""
    answer: Any = engine if window is None else partial(engine.windowed, window=window)
    axes = supervised.shape[:-1]
    at_once = sequences_at_once(engine, windowed=window is not None)
    if at_once is None or math.prod(axes) <= at_once:
        for _ in axes:
            answer = jax.vmap(answer)
        return hold_after_end(answer(sites), supervised)
    flat = {name: x.reshape(-1, *x.shape[len(axes) :]) for name, x in sites.items()}
    answers = jax.lax.map(answer, flat, batch_size=at_once)
    whole = jax.tree.map(lambda x: x.reshape(*axes, *x.shape[1:]), answers)
    return hold_after_end(whole, supervised)


def hold_after_end[Answers: (Reference, Array)](
    answers: Answers, supervised: Supervised
) -> Answers:
    """Let the answers of ended sequences stay what they were.

    What stands after the last question that counts is padding, whatever its probability. The
    log evidence of a sequence without any question that counts is 0, that of nothing.

    Args:
        answers: A reference, or an array, with the axis of positions after the batch axes.
        supervised: True where a question counts.

    Returns:
        The same answers up to the last question that counts, and the last again after it.
    """
    positions, axis = jnp.arange(supervised.shape[-1]), supervised.ndim - 1
    last = jnp.max(jnp.where(supervised, positions, -1), axis=-1, keepdims=True)

    def hold(values: Array) -> Array:
        index, there = (
            x.reshape(*x.shape, *(1,) * (values.ndim - supervised.ndim))
            for x in (jnp.maximum(last, 0), positions <= last)
        )
        return jnp.where(there, values, jnp.take_along_axis(values, index, axis=axis))

    held = jax.tree.map(hold, answers)
    if not isinstance(held, Reference):
        return held
    log_evidence = jnp.where(last < 0, 0.0, held.log_evidence)
    return eqx.tree_at(lambda reference: reference.log_evidence, held, log_evidence)


def sequences_at_once(engine: AbstractEngine, *, windowed: bool = False) -> int | None:
    """Return how many sequences fit into memory together.

    Args:
        engine: Engine that answers for one sequence at a time.
        windowed: Whether it answers from windows, which may take more.

    Returns:
        At least one; None where an engine takes next to no memory.
    """
    if windowed and isinstance(engine, ForwardEngine):
        return max(1, MAX_BYTES // engine.bytes_per_window)
    size = getattr(engine, "bytes_per_sequence", None)
    return None if size is None else max(1, MAX_BYTES // size)


def reject_impossible(reference: Reference) -> None:
    """Check that no sequence has probability zero under the model.

    Args:
        reference: Answers outside of compiled functions, where values are known.

    Raises:
        ValueError: If one has, naming the first sequence and position.
    """
    log_evidence = np.atleast_2d(np.asarray(reference.log_evidence))
    impossible = np.argwhere(~(log_evidence > -np.inf))
    if impossible.size:
        *sequence, position = impossible[0].tolist()
        raise ValueError(
            f"batch: expected sequences that are possible under the model, got probability "
            f"zero at sequence {sequence[-1] if len(sequence) == 1 else sequence}, "
            f"position {position}"
        )
