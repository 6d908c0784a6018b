"""What a network computes on held-out sequences, beside the exact answers: kept for instruments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float

from bayescmp._types import Key
from bayescmp.all_sequences import is_little_work, list_sequences
from bayescmp.comparison.evaluation import Evaluation, answer_exactly, draw_evaluation
from bayescmp.comparison.tally import LogLaws
from bayescmp.inspection.beliefs import ask_beliefs
from bayescmp.layers.head_writes import Written, head_names, head_writes
from bayescmp.layers.streams import all_streams, stream_names
from bayescmp.networks.network import AbstractTracedNetwork, NetworkLike
from bayescmp.oracle import AbstractOracle

NUM_RECORDED = 2_048
"""Sequences that are drawn where they are not all recorded."""

MOST_ENTRIES = 2**29
"""Numbers of the residual streams that are held at most: 2 GiB in 32 bits."""

CHUNK = 256
"""Sequences that are traced in one call."""

Rows = Float[np.ndarray, "row *rest"]
"""One row for each question that counts, sequence by sequence."""


@dataclass(frozen=True)
class Recording:
    """A network on held-out sequences, at the input positions where questions are answered.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> seen.streams.shape[:3], float(seen.row_weights.sum().round(6))  # all 16 sequences
        ((7, 16, 4), 1.0)
    """

    network: AbstractTracedNetwork
    evaluation: Evaluation
    """Sequences, exact predictives in nats, and weights where every sequence is listed."""
    belief: dict[str, Float[np.ndarray, "sequence position value"]]
    """Per latent site, what the oracle believes of it, flattened; in 64 bits."""
    log_q: LogLaws
    """The network's log probabilities, in nats, in 64 bits."""
    streams: Float[np.ndarray, "stream sequence position feature"]
    """Residual stream at every place, in the network's own precision."""
    writes: Float[np.ndarray, "layer head sequence position component"] | None = None
    """What each head adds to the stream, in a basis of its own; None where nothing attends."""

    @property
    def oracle(self) -> AbstractOracle:
        """Oracle of the sequences."""
        return self.evaluation.oracle

    @property
    def is_exhaustive(self) -> bool:
        """Whether every sequence is listed with its exact probability."""
        return self.evaluation.weights is not None

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the places in the residual stream."""
        return stream_names(self.streams.shape[0] // 2)

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the attention heads, block by block; none where nothing attends."""
        return () if self.writes is None else head_names(*self.writes.shape[:2])

    @property
    def heads(self) -> Sequence[Float[np.ndarray, "sequence position component"]]:
        """What each head adds to the stream, in the order of ``head_names``."""
        return () if self.writes is None else tuple(head for block in self.writes for head in block)

    @cached_property
    def sequence_weights(self) -> Float[np.ndarray, " sequence"]:
        """Probability of each sequence, or the same for each; their sum is one."""
        weights, num = self.evaluation.weights, self.streams.shape[1]
        return np.full(num, 1.0 / num) if weights is None else weights / weights.sum()

    @property
    def counts(self) -> Bool[np.ndarray, "sequence position"]:
        """Which questions count."""
        return self.evaluation.supervised

    @cached_property
    def row_weights(self) -> Float[np.ndarray, " row"]:
        """Weight of each question that counts; their sum is one."""
        weights = np.broadcast_to(self.sequence_weights[:, None], self.counts.shape)[self.counts]
        return weights / weights.sum()

    def rows(self, values: Float[np.ndarray, "sequence position *rest"]) -> Rows:
        """Keep what belongs to questions that count, as one row for each.

        Args:
            values: Something for each sequence and position.

        Returns:
            Rows in the order of ``row_weights``.
        """
        return values[self.counts]

    def stream_rows(self, stream: int) -> Float[np.ndarray, "row feature"]:
        """Return the residual stream of each question that counts, in 64 bits.

        Args:
            stream: Place in the residual stream, from zero.

        Returns:
            Rows in the order of ``row_weights``.
        """
        return self.rows(self.streams[stream].astype(np.float64))

    def split(self) -> tuple["Recording", "Recording"]:
        """Return sequences to fit on and sequences to judge on.

        Returns:
            Two halves of drawn sequences; twice the whole where every sequence is listed, for
            then a mean is exact and nothing is left to generalise to.
        """
        if self.is_exhaustive:
            return self, self
        num = self.streams.shape[1]
        return self.cut(slice(0, num // 2)), self.cut(slice(num // 2, num))

    def cut(self, part: slice) -> "Recording":
        """Return some of the sequences.

        Args:
            part: Which of them.

        Returns:
            Their recording.
        """
        evaluation, weights = self.evaluation, self.evaluation.weights
        some = replace(
            evaluation,
            batch=jax.tree.map(lambda leaf: leaf[part], evaluation.batch),
            log_p=evaluation.log_p[part],
            weights=None if weights is None else weights[part],
        )
        belief = {site: values[part] for site, values in self.belief.items()}
        return replace(
            self,
            evaluation=some,
            belief=belief,
            log_q=self.log_q[part],
            streams=self.streams[:, part],
            writes=None if self.writes is None else self.writes[:, :, part],
        )


def record(
    network: NetworkLike,
    oracle: AbstractOracle,
    *,
    key: Key,
    num_sequences: int | None = None,
) -> Recording:
    """Record a network on held-out sequences of an oracle's model.

    Args:
        network: Network that can be traced.
        oracle: Oracle of the model.
        key: Typed key of the sequences that are drawn.
        num_sequences: How many are drawn, at least four. By default every sequence is taken,
            where that is little work, and 2,048 are drawn elsewhere.

    Returns:
        The recording.

    Raises:
        TypeError: If the network cannot be traced.
        ValueError: If fewer than four sequences are asked for, or the network's numbers are
            not finite.
    """
    if not isinstance(network, AbstractTracedNetwork):
        raise TypeError(
            "network: expected one that can be traced, since this looks inside, got "
            f"{type(network).__name__}; compare() measures any callable from outside"
        )
    if num_sequences is not None and num_sequences < 4:
        raise ValueError(f"num_sequences: expected at least 4, got {num_sequences}")
    if num_sequences is None and is_little_work(oracle):
        every = list_sequences(oracle)
        evaluation = answer_exactly(oracle, every.batch(slice(None)))
        exhaustive = replace(evaluation, weights=every.weights)
        if _num_entries(network, exhaustive) <= MOST_ENTRIES:
            return record_on(network, exhaustive)
    num = NUM_RECORDED if num_sequences is None else num_sequences
    return record_on(network, draw_evaluation(oracle, num, key=key))


def record_on(
    network: AbstractTracedNetwork,
    evaluation: Evaluation,
    belief: dict[str, Float[np.ndarray, "sequence position value"]] | None = None,
) -> Recording:
    """Record a network on given sequences.

    Args:
        network: Network that can be traced.
        evaluation: Sequences and exact answers.
        belief: The oracle's belief on them, where it is known already.

    Returns:
        The recording.

    Raises:
        ValueError: If the network's numbers are not finite where a question counts.
    """
    positions = jnp.asarray(evaluation.model.asked_positions)
    inputs = evaluation.batch.inputs
    cuts = [slice(start, start + CHUNK) for start in range(0, inputs.shape[0], CHUNK)]
    parts = [jax.device_get(_trace(network, inputs[cut], positions)) for cut in cuts]
    streams = np.concatenate([stream for stream, _, _ in parts], axis=1)
    writes = [write for _, write, _ in parts if write is not None]
    logits = np.concatenate([logits for *_, logits in parts]).astype(np.float64)
    _check_finite(streams, logits, evaluation.supervised)
    log_q = scipy.special.log_softmax(logits, axis=-1)
    known = ask_beliefs(evaluation) if belief is None else belief
    heads = np.concatenate(writes, axis=2) if writes else None
    return Recording(network, evaluation, known, log_q, streams, heads)


@eqx.filter_jit
@jax.default_matmul_precision("highest")
def _trace(
    network: AbstractTracedNetwork, inputs: Array, positions: Array
) -> tuple[Float[Array, "stream sequence position feature"], Written | None, Array]:
    trace = network.trace_layers(inputs)
    writes = head_writes(network, trace, positions)
    return all_streams(trace)[..., positions, :], writes, trace.logits[:, positions]


def _check_finite(streams: np.ndarray, logits: np.ndarray, counts: np.ndarray) -> None:
    """Refuse to go on with numbers that are no numbers."""
    for place, values in enumerate([*streams, logits]):
        if np.isfinite(values[counts]).all():
            continue
        names = (*stream_names(streams.shape[0] // 2), "the logits")
        raise ValueError(
            f"network: expected finite numbers, got others at {names[place]!r}; its weights "
            "hold NaN or infinity, or it overflows on these sequences"
        )


def _num_entries(network: AbstractTracedNetwork, evaluation: Evaluation) -> int:
    """Return how many numbers residual streams and heads of all sequences hold."""
    positions = jnp.asarray(evaluation.model.asked_positions)
    inputs = evaluation.batch.inputs
    shapes = eqx.filter_eval_shape(_trace, network, inputs, positions)[:2]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
