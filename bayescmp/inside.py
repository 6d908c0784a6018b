"""Look inside traced networks: the logit lens at every layer, and attention."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp.evaluation import BITS, Evaluation, LogLaws, position_mean
from bayescmp.layers.lens import attention_entropy, logit_lens
from bayescmp.networks.network import AbstractTracedNetwork

CHUNK = 256
"""Sequences that are traced in one call."""


@dataclass(frozen=True)
class InsideView:
    """Means over sequences of what a traced network does inside; information in bits."""

    kl: Float[np.ndarray, "stream position"]
    """KL from the exact predictive to the logit lens."""
    kl_to_output: Float[np.ndarray, "stream position"]
    """KL from the network's own answer to the logit lens."""
    rung_kl: Float[np.ndarray, "rung stream"]
    """KL from each rung to the logit lens, mean over positions too."""
    attention_entropy: Float[np.ndarray, "layer head input_position"]
    attention_pattern: Float[np.ndarray, "layer head input_position source_position"]
    """Of the first sequence."""


def look_inside(
    network: AbstractTracedNetwork,
    evaluation: Evaluation,
    rung_laws: dict[str, LogLaws],
    *,
    num_sequences: int = 1_024,
) -> InsideView:
    """Hold the logit lens at every layer against the exact answer and the ladder.

    Args:
        network: Network that can be traced.
        evaluation: Sequences and exact answers.
        rung_laws: Log probabilities of each rung on the same sequences.
        num_sequences: How many of the sequences are looked at.

    Returns:
        Means over those sequences.
    """
    total = min(num_sequences, evaluation.log_p.shape[0])
    positions = jnp.asarray(evaluation.model.asked_positions)
    views, weights = [], []
    for start in range(0, total, CHUNK):
        cut = slice(start, min(start + CHUNK, total))
        lens, entropy, pattern = _summarise(network, evaluation.batch.inputs[cut], positions)
        kl, kl_to_output, rung_kl = _lens_divergences(lens, evaluation, rung_laws, cut)
        views.append((kl, kl_to_output, rung_kl, np.asarray(entropy, np.float64)))
        weights.append(cut.stop - cut.start)
        first = np.asarray(pattern, np.float64) if start == 0 else first
    kl, kl_to_output, rung_kl, entropy = (
        np.average(parts, axis=0, weights=weights) for parts in zip(*views, strict=True)
    )
    return InsideView(
        kl=kl * BITS,
        kl_to_output=kl_to_output * BITS,
        rung_kl=rung_kl * BITS,
        attention_entropy=entropy * BITS,
        attention_pattern=first,
    )


@eqx.filter_jit
def _summarise(
    network: AbstractTracedNetwork, inputs: Array, positions: Array
) -> tuple[Array, Array, Array]:
    """Return lens answers, mean attention entropy and the first sequence's pattern."""

    def one(sequence: Array) -> tuple[Array, Array, Array]:
        trace = network.trace_layers(sequence)
        lens = logit_lens(network, trace, positions)
        return lens, attention_entropy(trace.attn_pattern), trace.attn_pattern

    lens, entropy, pattern = jax.vmap(one)(inputs)
    return jnp.moveaxis(lens, 1, 0), jnp.mean(entropy, axis=0), pattern[0]


def _lens_divergences(
    lens: Array, evaluation: Evaluation, rung_laws: dict[str, LogLaws], cut: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean KL to the lens from the exact law, from the output and from each rung."""
    counts = evaluation.supervised[cut]
    with jax.enable_x64(True):
        log_lens = _normalise(jnp.asarray(lens, jnp.float64))

        def kl_from(law: np.ndarray | Array) -> np.ndarray:
            return np.where(counts, np.asarray(_kl_to_each(jnp.asarray(law), log_lens)), np.nan)

        exact = np.stack([position_mean(row) for row in kl_from(evaluation.log_p[cut])])
        output = np.stack([position_mean(row) for row in kl_from(log_lens[-1])])
        rungs = [np.nanmean(kl_from(law[cut]), axis=(1, 2)) for law in rung_laws.values()]
    return exact, output, np.stack(rungs) if rungs else np.zeros((0, exact.shape[0]))


@jax.jit
def _normalise(log_lens: Array) -> Array:
    return jax.nn.log_softmax(log_lens, axis=-1)


@jax.jit
def _kl_to_each(log_law: Array, log_lens: Array) -> Array:
    """Return KL from one law to the lens at every layer."""
    return jax.vmap(measures.kl, in_axes=(None, 0))(log_law, log_lens)
