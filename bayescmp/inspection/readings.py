"""What one network computes at the questions that count, as its geometry needs it."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.inspection.recording import Recording
from bayescmp.layers.head_writes import output_matrices
from bayescmp.layers.key_frame import key_columns
from bayescmp.layers.keys import project_keys
from bayescmp.layers.lens import attention_entropy
from bayescmp.layers.streams import all_streams
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.records import LayerTrace

MOST_ENTRIES = 2**30
"""Attention weights of 64 heads, all blocks together, that are held at once."""

LARGEST_ERROR = 1e-3
"""How far attention weights may be from probabilities: far above rounding in half precision,
and far below what the rows of other kernels lack."""


@dataclass(frozen=True)
class Reading:
    """What one network computes; rows are those of ``Recording.rows``."""

    streams: Float[np.ndarray, "stream row feature"]
    """Residual stream at every place."""
    written: Float[np.ndarray, "block head row written_feature"]
    """What each head adds to the stream; the mixer as one head where nothing attends."""
    values: Float[np.ndarray, "block row value_feature"] | None
    """Values of the asked positions, heads side by side; None where nothing attends."""
    token_keys: Float[np.ndarray, "block head token head_feature"] | None
    """Mean key of each token that is read; None also where inputs are no tokens."""
    columns: Float[np.ndarray, "block head column stream_feature"] | None
    """Columns of the key matrices; None also where they are not known."""
    embeddings: Float[np.ndarray, "token stream_feature"] | None
    """Rows of the embedding; None where inputs are no tokens."""
    entropy: Float[np.ndarray, "block head"] | None
    """Mean entropy of attention in nats; None where its weights are no probabilities."""
    mass: Float[np.ndarray, "mark block head"] | None
    """Mean attention on marked positions; None where its weights are no probabilities."""


def read_network(
    network: AbstractTracedNetwork,
    recording: Recording,
    marks: Float[np.ndarray, "mark position source_position"],
) -> Reading:
    """Let a network read the sequences of a recording.

    Args:
        network: Network of the recording or one of the same shape.
        recording: Sequences.
        marks: For each kind of source position, one where its attention is added up, else zero.

    Returns:
        The reading.
    """
    layout, inputs = recording.oracle.model.layout, recording.evaluation.batch.inputs
    asked, weights = jnp.asarray(layout.asked_positions), _input_weights(recording)
    num = max(1, MOST_ENTRIES // (64 * inputs.shape[1] ** 2))
    parts, sums = [], []
    for start in range(0, inputs.shape[0], num):
        cut = slice(start, start + num)
        fixed = (jnp.asarray(marks), asked, layout.input_size)
        part, key_sums = jax.device_get(_compute(network, inputs[cut], weights[cut], *fixed))
        parts.append(part)
        sums.append(key_sums)
    reading = _assemble(network, recording, parts)
    if sums[0] is None:
        return reading
    return _with_tokens(reading, network, np.sum(sums, axis=0, dtype=np.float64))


def _input_weights(recording: Recording) -> Float[Array, "sequence input_position"]:
    """Give each input that a question follows the weight of its sequence."""
    asked = recording.oracle.model.layout.asked_positions
    last = np.where(recording.counts, asked, -1).max(axis=1)
    is_read = np.arange(recording.evaluation.batch.inputs.shape[1]) <= last[:, None]
    return jnp.asarray(is_read * recording.sequence_weights[:, None], jnp.float32)


class _Part(eqx.Module):
    """What is computed of some sequences, position by position."""

    streams: Float[Array, "*sequence position stream feature"]
    written: Float[Array, "*sequence position block head written_feature"]
    values: Float[Array, "*sequence position block source_head head_feature"] | None
    entropy: Float[Array, "*sequence position block head"] | None
    mass: Float[Array, "*sequence position block head mark"] | None
    error: Float[Array, "*sequence"] | None
    """How far attention weights are from probabilities."""


KeySums = Float[Array, "*sequence token block source_head size_and_one"]
"""Weighted sum of each token's keys, and of the weights."""


@eqx.filter_jit
def _compute(
    network: AbstractTracedNetwork,
    inputs: Array,
    weights: Float[Array, "sequence input_position"],
    marks: Array,
    asked: Array,
    num_tokens: int,
) -> tuple[_Part, KeySums | None]:
    """Trace sequences one by one, all at once."""

    def one(sequence: Array, weight: Array) -> tuple[_Part, KeySums | None]:
        trace = network.trace_layers(sequence)
        part = _look(network, trace, marks, asked)
        if trace.keys is None or not jnp.issubdtype(sequence.dtype, jnp.integer):
            return part, None
        return part, _sum_by_token(_keys(network, trace), sequence, weight, num_tokens)

    part, sums = jax.vmap(one)(inputs, weights)
    return part, None if sums is None else sums.sum(axis=0)


def _look(network: AbstractTracedNetwork, trace: LayerTrace, marks: Array, asked: Array) -> _Part:
    """Take what is wanted from the trace of one sequence."""
    streams = jnp.moveaxis(all_streams(trace)[:, asked], 1, 0)
    if trace.attn_pattern is None or trace.values is None:
        mixed = jnp.moveaxis(trace.mixer_out[:, asked], 1, 0)[:, :, None]
        return _Part(streams, mixed, None, None, None, None)
    pattern = trace.attn_pattern[:, :, asked]
    return _Part(
        streams=streams,
        written=jnp.moveaxis(_written(network, pattern, trace.values), 2, 0),
        values=jnp.moveaxis(trace.values[:, :, asked], 2, 0),
        entropy=jnp.moveaxis(attention_entropy(jnp.maximum(pattern, 0.0)), 2, 0),
        mass=jnp.einsum("lhqs,mqs->qlhm", pattern, marks.astype(pattern.dtype)),
        error=jnp.maximum(jnp.abs(pattern.sum(axis=-1) - 1.0).max(), -pattern.min()),
    )


def _written(
    network: AbstractTracedNetwork, pattern: Array, values: Array
) -> Float[Array, "block head position written_feature"]:
    """Return what each head adds; before the output matrix where that is not known."""
    times = pattern.shape[1] // values.shape[1]
    mixed = pattern @ jnp.repeat(values, times, axis=1)
    out = output_matrices(network)
    if out is None:
        return mixed
    loops = mixed.shape[0] // out.shape[0]
    return jnp.einsum("lhpf,lhfm->lhpm", mixed, jnp.tile(out, (loops, 1, 1, 1)))


def _attention(network: AbstractTracedNetwork) -> Attention | None:
    """Return the attention of a network whose blocks are known, layers first."""
    if not isinstance(network, AbstractResidualNetwork):
        return None
    mixer = network.blocks.mixer
    return mixer if isinstance(mixer, Attention) else None


def _keys(
    network: AbstractTracedNetwork, trace: LayerTrace
) -> Float[Array, "block source_head input_position head_feature"]:
    """Return keys before any rotation where blocks are known, and as traced elsewhere."""
    if _attention(network) is None or not isinstance(network, AbstractResidualNetwork):
        return jnp.asarray(trace.keys)
    num = network.config.num_layers
    streams = enumerate(trace.resid_pre)
    return jnp.stack([project_keys(network, layer % num, stream) for layer, stream in streams])


def _sum_by_token(keys: Array, tokens: Array, weight: Array, num_tokens: int) -> Array:
    """Add keys up over the places of each token; a last feature adds the weights up."""
    rows = jnp.moveaxis(keys, 2, 0)
    rows = jnp.concatenate([rows, jnp.ones_like(rows[..., :1])], axis=-1)
    return jax.ops.segment_sum(rows * weight[:, None, None, None], tokens, num_tokens)


def _assemble(network: AbstractTracedNetwork, recording: Recording, parts: list[_Part]) -> Reading:
    """Join the parts, keep questions that count, and average over them."""
    whole: _Part = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    streams, written = (recording.rows(np.asarray(x)) for x in (whole.streams, whole.written))
    reading = Reading(
        streams=np.moveaxis(streams, 0, 1),
        written=np.moveaxis(written, 0, 2),
        values=None if whole.values is None else _join_heads(np.asarray(whole.values), recording),
        token_keys=None,
        columns=_columns(network, streams.shape[1] // 2),
        embeddings=None,
        entropy=None,
        mass=None,
    )
    if whole.error is None or whole.error.max() >= LARGEST_ERROR:
        return reading
    entropy, mass = (_mean(np.asarray(x), recording) for x in (whole.entropy, whole.mass))
    return replace(reading, entropy=entropy, mass=np.moveaxis(mass, -1, 0))


def _join_heads(
    values: np.ndarray, recording: Recording
) -> Float[np.ndarray, "block row value_feature"]:
    """Lay the values of all heads side by side."""
    rows = recording.rows(values)
    return np.moveaxis(rows.reshape(*rows.shape[:2], -1), 0, 1)


def _mean(values: np.ndarray, recording: Recording) -> np.ndarray:
    """Average over the questions that count."""
    return np.tensordot(recording.row_weights, recording.rows(values), axes=1)


def _columns(
    network: AbstractTracedNetwork, depth: int
) -> Float[np.ndarray, "block head column stream_feature"] | None:
    """Return the columns of every block's key matrices; a loop repeats them."""
    mixer = _attention(network)
    if mixer is None:
        return None
    matrices = np.asarray(mixer.key, np.float64)
    columns = np.stack([key_columns(matrix, mixer.num_source_heads) for matrix in matrices])
    columns = np.repeat(columns, mixer.num_heads // mixer.num_source_heads, axis=1)
    return np.tile(columns, (depth // columns.shape[0], 1, 1, 1))


def _with_tokens(
    reading: Reading, network: AbstractTracedNetwork, sums: Float[np.ndarray, "token *rest"]
) -> Reading:
    """Add the mean key and the embedding of each token that is read."""
    is_read = sums[:, 0, 0, -1] > 0.0
    keys = np.moveaxis(sums[is_read, ..., :-1] / sums[is_read, ..., -1:], 0, 2)
    embeddings = None
    if isinstance(network, AbstractResidualNetwork):
        embeddings = np.asarray(network.embedding, np.float64)[is_read]
        if _attention(network) is not None and network.entry is None:
            keys[0] = np.asarray(project_keys(network, 0, network.embedding), np.float64)[
                :, is_read
            ]
    times = reading.written.shape[1] // keys.shape[1]
    return replace(reading, token_keys=np.repeat(keys, times, axis=1), embeddings=embeddings)
