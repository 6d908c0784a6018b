"""One sequence, token by token: what a network would answer at every place, beside exact Bayes."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.comparison.tally import BITS
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.walkthrough_pages import write_html, write_text
from bayescmp.inspection.walkthrough_tables import Table, attention_table, predictive_table
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.results.tree import make_dataset

MOST_ENTRIES = 64
"""A latent site with more values than this is left out: nobody could look at them."""


@dataclass(frozen=True)
class Walkthrough:
    """One sequence as a network goes through it; print it, or end a notebook's cell with it.

    Questions that do not count are NaN in whatever is exact and whatever is answered.
    """

    title: str
    """Name of the generative model."""
    which: str
    """Which sequence it is, in words."""
    reads: tuple[str, ...]
    """What stands at each input position."""
    asked_at: Int[np.ndarray, " position"]
    """Input position at which each question is answered."""
    outcomes: Int[np.ndarray, " position"] | None
    """Outcome of each question; None where sequences are listed without any."""
    log_p: Float[np.ndarray, "position outcome"]
    """Log exact predictive, in nats."""
    belief: dict[str, Float[np.ndarray, "position value"]]
    """Of latent sites with few values ``p(z | s_t)``, what is known when question t is asked."""
    stream_names: tuple[str, ...]
    """Names of the places in the residual stream."""
    log_lens: Float[np.ndarray, "stream position outcome"]
    """Log probabilities by the logit lens at every place, in nats; the last is the answer."""
    attention: Float[np.ndarray, "block head input_position source_position"] | None
    """Attention weights; None where nothing attends."""

    @property
    def kl(self) -> Float[np.ndarray, "stream position"]:
        """KL from the exact predictive to the lens at every place, in nats."""
        with jax.enable_x64(True):
            law = jnp.broadcast_to(jnp.asarray(self.log_p), self.log_lens.shape)
            return np.asarray(measures.kl(law, jnp.asarray(self.log_lens)))

    def __str__(self) -> str:
        """Return tables for people."""
        return write_text(f"{self.title}: {self.which}", self._tables())

    def _repr_html_(self) -> str:
        """Return the same tables with bars and shades, as Jupyter asks for them."""
        return write_html(f"{self.title}: {self.which}", self._tables())

    def _tables(self) -> list[Table]:
        laws = {"exact": np.exp(self.log_p), **self.belief, "network": np.exp(self.log_lens[-1])}
        lens, kl = np.exp(self.log_lens), self.kl * BITS
        return [
            predictive_table(self.reads, self.asked_at, laws, lens, kl, self.stream_names),
            attention_table(self.reads, self.attention),
        ]


def walk_through(
    recording: Recording, *, key: Key | None = None, sequence: int | None = None
) -> Walkthrough:
    """Go through one sequence token by token.

    Args:
        recording: A network on held-out sequences.
        key: Not used, since nothing is drawn; every instrument takes one.
        sequence: Which of the sequences. By default the first one where they were drawn; where
            every one is listed, that at the median of probability, which is a typical one.

    Returns:
        The record; print it for tables.

    Raises:
        ValueError: If there is no such sequence.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.Mess3(length=3))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> walk_through(seen).reads
        ('start', 'token 0', 'token 0')
    """
    num = recording.streams.shape[1]
    chosen = _typical(recording) if sequence is None else sequence
    if not 0 <= chosen < num:
        raise ValueError(f"sequence: expected 0 to {num - 1}, got {chosen}")
    one = recording.cut(slice(chosen, chosen + 1))
    evaluation, counts = one.evaluation, one.counts[0]
    outcomes = evaluation.outcomes
    return Walkthrough(
        title=evaluation.model.title(),
        which=_describe(recording, chosen),
        reads=_reads(one),
        asked_at=np.asarray(evaluation.model.asked_positions),
        outcomes=None if outcomes is None else np.asarray(outcomes)[0],
        log_p=_masked(evaluation.log_p[0], counts),
        belief={
            site: _masked(values[0], counts)
            for site, values in one.belief.items()
            if _are_laws(values[0][counts])
        },
        stream_names=one.stream_names,
        log_lens=_masked(_lens(one), counts),
        attention=_attention(one),
    )


def walkthrough_group(results: Sequence[Walkthrough]) -> xr.Dataset:
    """Lay walkthroughs of one sequence out as a group of the results.

    Args:
        results: One for each seed, in their order.

    Returns:
        The group ``/walkthrough``.

    Raises:
        ValueError: If there is none, or they are about different sequences.
    """
    if not results:
        raise ValueError("results: expected at least one walkthrough, got none")
    first = results[0]
    for other in results[1:]:
        if (other.reads, other.which) != (first.reads, first.which):
            raise ValueError(
                f"results: expected walkthroughs of one sequence, got {first.which!r} and "
                f"{other.which!r}; give every seed the same recorded sequences"
            )
    arrays: dict[str, object] = {
        "reads": np.array(first.reads),
        "asked_at": first.asked_at,
        "exact_predictive": np.exp(first.log_p),
        "lens_predictive": np.exp([result.log_lens for result in results]),
        "lens_kl": np.array([result.kl for result in results]) * BITS,
    }
    coords: dict[str, object] = {"stream": list(first.stream_names)}
    if first.outcomes is not None:
        arrays["outcome_value"] = first.outcomes
    if first.belief:
        arrays["exact_belief"] = np.concatenate(list(first.belief.values()), axis=1)
        coords["belief_entry"] = [
            f"{site} {value}" for site, law in first.belief.items() for value in range(law.shape[1])
        ]
    attention = [result.attention for result in results if result.attention is not None]
    if len(attention) == len(results):
        arrays["attention"] = np.array(attention)
    return make_dataset("/walkthrough", arrays, coords, {"which": first.which})


def _typical(recording: Recording) -> int:
    """Return the first of drawn sequences, or the listed one at the median of probability."""
    if not recording.is_exhaustive:
        return 0
    # Rounded, so that sequences of one probability stand in the order of the list.
    weights = recording.sequence_weights
    order = np.argsort(np.log(weights).round(9), kind="stable")
    return int(order[np.searchsorted(np.cumsum(weights[order]), 0.5 - 1e-9)])


def _describe(recording: Recording, sequence: int) -> str:
    num = recording.streams.shape[1]
    if recording.is_exhaustive:
        weight = float(recording.sequence_weights[sequence])
        return f"sequence {sequence} of all {num:,}, of probability {weight:.2g}"
    return f"sequence {sequence} of {num:,} that were drawn"


def _reads(one: Recording) -> tuple[str, ...]:
    """Name what stands at each input position of the one sequence."""
    model = one.evaluation.model
    sites = model.engine_sites(one.evaluation.batch)
    return tuple(model.layout.describe({name: np.asarray(v[0]) for name, v in sites.items()}))


def _are_laws(rows: Float[np.ndarray, "row value"]) -> bool:
    """Tell probabilities of a few values from parameters of a conjugate law."""
    few = 1 < rows.shape[1] <= MOST_ENTRIES
    return few and bool((rows >= 0.0).all() and np.allclose(rows.sum(axis=1), 1.0, atol=1e-6))


def _masked(
    values: Float[np.ndarray, "*place position value"], counts: Bool[np.ndarray, " position"]
) -> Float[np.ndarray, "*place position value"]:
    """Let NaN stand for questions that do not count."""
    return np.where(counts[:, None], values, np.nan)


def _lens(one: Recording) -> Float[np.ndarray, "stream position outcome"]:
    """Read every stream of the one sequence out, and normalise in 64 bits."""
    logits = _read_out(one.network, jnp.asarray(one.streams[:, 0]))
    return scipy.special.log_softmax(np.asarray(logits, np.float64), axis=-1)


def _attention(one: Recording) -> Float[np.ndarray, "block head place source"] | None:
    pattern = _pattern(one.network, one.evaluation.batch.inputs[0])
    return None if pattern is None else np.asarray(pattern, np.float64)


@eqx.filter_jit
def _read_out(network: AbstractTracedNetwork, streams: Array) -> Array:
    return network.read_out(streams)


@eqx.filter_jit
def _pattern(network: AbstractTracedNetwork, sequence: Array) -> Array | None:
    return network.trace_layers(sequence).attn_pattern
