"""Look inside traced networks: the logit lens at every layer, and attention."""

from dataclasses import dataclass, fields

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.layers.lens import attention_entropy, logit_lens
from bayescmp.networks.network import AbstractTracedNetwork

CHUNK = 256
"""Sequences that are traced in one call."""

NUM_TRACED = 1_024
"""Drawn sequences that are traced in all."""


@dataclass(frozen=True)
class InsideView:
    """Means over sequences of what a traced network does inside; information in bits."""

    kl: Float[np.ndarray, "stream position"]
    """KL from the exact predictive to the logit lens."""
    kl_to_output: Float[np.ndarray, "stream position"]
    """KL from the network's own answer to the logit lens."""
    rung_kl: Float[np.ndarray, "rung stream"]
    """KL from each rung to the logit lens, mean over positions too."""
    attention_entropy: Float[np.ndarray, "layer head input_position"] | None
    """None where nothing attends, or attends with weights that are no probabilities."""


@dataclass(frozen=True)
class InsideSums:
    """The same as sums over sequences, which add up over parts of them."""

    kl: Float[np.ndarray, "stream position"]
    kl_to_output: Float[np.ndarray, "stream position"]
    rung_kl: Float[np.ndarray, "rung stream"]
    attention_entropy: Float[np.ndarray, "layer head input_position"] | None
    supervised: Float[np.ndarray, " position"]
    """Weight of the sequences that count at each position."""
    weight: float
    """Weight of all sequences."""

    def __add__(self, other: "InsideSums") -> "InsideSums":
        """Add the sums over other sequences."""
        names = [f.name for f in fields(self) if f.name != "attention_entropy"]
        both = {name: getattr(self, name) + getattr(other, name) for name in names}
        entropies = self.attention_entropy, other.attention_entropy
        known = [entropy for entropy in entropies if entropy is not None]
        entropy = known[0] + known[1] if len(known) == 2 else None
        return InsideSums(**both, attention_entropy=entropy)

    def view(self) -> InsideView:
        """Return means in place of sums.

        Returns:
            Means over sequences, in bits; NaN where no sequence counts.
        """
        entropy = self.attention_entropy
        with np.errstate(invalid="ignore"):
            return InsideView(
                kl=self.kl / self.supervised * BITS,
                kl_to_output=self.kl_to_output / self.supervised * BITS,
                rung_kl=self.rung_kl / self.supervised.sum() * BITS,
                attention_entropy=None if entropy is None else entropy / self.weight * BITS,
            )


def look_inside(
    network: AbstractTracedNetwork, evaluation: Evaluation, rung_laws: dict[str, LogLaws]
) -> InsideSums:
    """Hold the logit lens at every layer against the exact answer and the ladder.

    Args:
        network: Network that can be traced.
        evaluation: Sequences and exact answers. Of drawn ones the first 1,024 are looked
            at, and of those that are weighted by their probability all.
        rung_laws: Log probabilities of each rung on the same sequences.

    Returns:
        Sums over those sequences.
    """
    num_sequences = evaluation.log_p.shape[0]
    weights = evaluation.weights
    if weights is None:
        num_sequences = min(num_sequences, NUM_TRACED)
        weights = np.ones(num_sequences)
    positions = jnp.asarray(evaluation.model.asked_positions)
    probable = _attends_by_probabilities(attention_pattern(network, evaluation))
    total = None
    for start in range(0, num_sequences, CHUNK):
        cut = slice(start, min(start + CHUNK, num_sequences))
        inputs = evaluation.batch.inputs[cut]
        lens, entropy = _summarise(network, inputs, positions, jnp.asarray(weights[cut]))
        kl, kl_to_output, rung_kl = _lens_divergences(lens, evaluation, rung_laws, cut, weights)
        sums = InsideSums(
            kl=kl,
            kl_to_output=kl_to_output,
            rung_kl=rung_kl,
            attention_entropy=np.asarray(entropy, np.float64) if probable else None,
            supervised=weights[cut] @ evaluation.supervised[cut],
            weight=float(weights[cut].sum()),
        )
        total = sums if total is None else total + sums
    if total is None:
        raise ValueError("evaluation: expected at least one sequence, got none")
    return total


def attention_pattern(
    network: AbstractTracedNetwork, evaluation: Evaluation
) -> Float[np.ndarray, "layer head input_position source_position"] | None:
    """Return where a network attends to on the first sequence.

    Args:
        network: Network that can be traced.
        evaluation: Sequences.

    Returns:
        Attention weights; None where nothing attends.
    """
    pattern = _pattern(network, evaluation.batch.inputs[0])
    return None if pattern is None else np.asarray(pattern, np.float64)


def _attends_by_probabilities(pattern: Float[np.ndarray, "*rows source_position"] | None) -> bool:
    """Whether attention weights are probabilities, as those of a softmax are.

    A thousandth is far above a row's rounding in half precision and far below what the
    sigmoid's and the linear kernel's rows lack.
    """
    if pattern is None:
        return False
    return bool((pattern >= 0).all() and (np.abs(pattern.sum(axis=-1) - 1.0) < 1e-3).all())


@eqx.filter_jit
def _pattern(network: AbstractTracedNetwork, sequence: Array) -> Array | None:
    return network.trace_layers(sequence).attn_pattern


@eqx.filter_jit
def _summarise(
    network: AbstractTracedNetwork, inputs: Array, positions: Array, weights: Array
) -> tuple[Array, Array | None]:
    """Return lens answers and the weighted sum of attention entropies."""

    def one(sequence: Array) -> tuple[Array, Array | None]:
        trace = network.trace_layers(sequence)
        pattern = trace.attn_pattern
        entropy = None if pattern is None else attention_entropy(pattern)
        return logit_lens(network, trace, positions), entropy

    lens, entropy = jax.vmap(one)(inputs)
    if entropy is not None:
        entropy = jnp.tensordot(weights.astype(entropy.dtype), entropy, axes=1)
    return jnp.moveaxis(lens, 1, 0), entropy


def _lens_divergences(
    lens: Array,
    evaluation: Evaluation,
    rung_laws: dict[str, LogLaws],
    cut: slice,
    weights: Float[np.ndarray, " traced"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sums of KL to the lens from the exact law, from the output and from each rung."""
    counts, scale = evaluation.supervised[cut], weights[cut, None]
    with jax.enable_x64(True):
        log_lens = _normalise(jnp.asarray(lens, jnp.float64))

        def kl_from(law: np.ndarray | Array) -> Float[np.ndarray, "stream position"]:
            to_each = np.asarray(_kl_to_each(jnp.asarray(law), log_lens))
            return np.sum(np.where(counts, to_each * scale, 0.0), axis=1)

        exact, output = kl_from(evaluation.log_p[cut]), kl_from(log_lens[-1])
        rungs = [kl_from(law[cut]).sum(axis=-1) for law in rung_laws.values()]
    return exact, output, np.stack(rungs) if rungs else np.zeros((0, exact.shape[0]))


@jax.jit
def _normalise(log_lens: Array) -> Array:
    return jax.nn.log_softmax(log_lens, axis=-1)


@jax.jit
def _kl_to_each(log_law: Array, log_lens: Array) -> Array:
    """Return KL from one law to the lens at every layer."""
    return jax.vmap(measures.kl, in_axes=(None, 0))(log_law, log_lens)
