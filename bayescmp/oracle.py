"""Oracles: exact answers for a model's questions, with a certificate."""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugate import find_beta_bernoulli
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.records import Batch, Reference

EngineName = Literal["auto", "closed form", "conjugate", "enumeration"]

MAX_BYTES = 2**28
"""Rough size of the arrays that enumeration may fill at once."""

QUADRATURE_TRIALS = 64
"""Sequences on which two quadrature resolutions are compared."""


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


class Oracle(eqx.Module):
    """The exact answers to a model's questions, for drawn or supplied sequences."""

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
        reference = _answer(self.engine, self._sites(batch), batch.outcomes.ndim - 1)
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
        return _answer(self.engine, self._sites(batch), batch.outcomes.ndim - 1, window=window)

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


def derive_oracle(model: AbstractGenerativeModel, *, engine: EngineName = "auto") -> Oracle:
    """Find an exact way to answer a model's questions.

    Tried in this order: the model's hand-written closed form, conjugate updating found
    on the trace, enumeration of all joint settings.

    Args:
        model: Generative model.
        engine: Name of an engine to force, or "auto".

    Returns:
        The oracle, whose certificate says what was done with each site.

    Raises:
        ValueError: If no engine (or not the forced one) applies; the message says why.

    Example:
        >>> from bayescmp.models import Bijection
        >>> derive_oracle(Bijection(size=20)).certificate.exact
        True
    """
    if engine not in get_args(EngineName):
        raise ValueError(f"engine: expected one of {get_args(EngineName)}, got {engine!r}")
    if engine in ("auto", "closed form"):
        found = model.closed_form()
        if found is not None:
            return _certified(model, found, "closed form")
        if engine == "closed form":
            raise ValueError(f"engine: {model.title()} has no closed form; use engine='auto'")
    if engine in ("auto", "conjugate"):
        found = find_beta_bernoulli(model.program, model.layout)
        if found is not None:
            return _certified(model, found, "conjugate")
        if engine == "conjugate":
            raise ValueError(
                f"engine: found no conjugate structure in {model.title()}; expected one Beta "
                "site that is the probability of every Bernoulli outcome"
            )
    enumeration = EnumerationEngine(model.program, model.layout)
    if engine == "auto" and not enumeration.is_exact:
        raise ValueError(
            f"model: no exact engine for {model.title()}: it has a continuous latent without "
            "known conjugacy; engine='enumeration' replaces it by quadrature nodes and "
            "states the error"
        )
    return _certified(model, enumeration, "enumeration")


@eqx.filter_jit
def _answer(
    engine: AbstractEngine, sites: dict[str, Array], num_axes: int, *, window: int | None = None
) -> Any:
    """Answer all sequences at once, or in parts where they would not fit into memory."""
    answer = engine if window is None else partial(engine.windowed, window=window)
    axes = next(iter(sites.values())).shape[:num_axes]
    at_once = sequences_at_once(engine)
    if at_once is None or math.prod(axes) <= at_once:
        for _ in axes:
            answer = jax.vmap(answer)
        return answer(sites)
    flat = {name: x.reshape(-1, *x.shape[num_axes:]) for name, x in sites.items()}
    answers = jax.lax.map(answer, flat, batch_size=at_once)
    return jax.tree.map(lambda x: x.reshape(*axes, *x.shape[1:]), answers)


def sequences_at_once(engine: AbstractEngine) -> int | None:
    """Return how many sequences fit into memory together.

    Args:
        engine: Engine that answers for one sequence at a time.

    Returns:
        At least one; None where an engine takes next to no memory.
    """
    if not isinstance(engine, EnumerationEngine):
        return None
    return max(1, MAX_BYTES // engine.bytes_per_sequence)


def _certified(model: AbstractGenerativeModel, engine: AbstractEngine, name: str) -> Oracle:
    exact = not isinstance(engine, EnumerationEngine) or engine.is_exact
    certificate = Certificate(
        engine=name,
        exact=exact,
        reason=engine.reason(),
        sites=tuple(engine.treatment().items()),
        error=0.0 if exact else _quadrature_error(model),
    )
    return Oracle(model=model, engine=engine, certificate=certificate)


def _quadrature_error(model: AbstractGenerativeModel) -> float:
    """Compare the answers of two resolutions on sequences drawn from the model."""
    with jax.enable_x64(True):
        batch = model.sample(QUADRATURE_TRIALS, key=jax.random.key(0))
        sites = model.engine_sites(batch)
        fine, coarse = (
            jax.jit(jax.vmap(EnumerationEngine(model.program, model.layout, num_nodes=nodes)))(
                sites
            ).log_predictive
            for nodes in (64, 32)
        )
        return float(jnp.max(jnp.where(fine == coarse, 0.0, jnp.abs(fine - coarse))))


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
