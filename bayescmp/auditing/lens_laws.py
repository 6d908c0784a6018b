"""What a network would answer at every place of its residual stream, on the judged sequences."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from bayescmp.auditing.judged import Judged
from bayescmp.layers.lens import sublayer_lens
from bayescmp.layers.streams import stream_names
from bayescmp.networks.network import AbstractTracedNetwork

CHUNK = 256
"""Sequences that are traced in one call."""


@dataclass(frozen=True)
class LensLaws:
    """The logit lens at every place, the last of which is the network's own answer."""

    stream_names: tuple[str, ...]
    """Names of the places."""
    log_q: Float[np.ndarray, "stream sequence position outcome"]
    """Log probabilities in nats."""


def read_lens_laws(judged: Judged) -> LensLaws | None:
    """Read a judged network's residual streams out as if each were the last.

    Args:
        judged: A predictor on drawn sequences.

    Returns:
        Its laws by place; None where it is no network that can be traced.

    Raises:
        ValueError: If a law holds NaN where a question counts.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> judged = bc.auditing.judge(network, oracle, key=jax.random.key(1), num_sequences=8)
        >>> read_lens_laws(judged).log_q.shape[1:]
        (8, 4, 2)
    """
    network = judged.subject
    if not isinstance(network, AbstractTracedNetwork):
        return None
    inputs = judged.evaluation.batch.inputs
    positions = jnp.asarray(judged.evaluation.model.asked_positions)
    starts = range(0, inputs.shape[0], CHUNK)
    parts = [np.asarray(_read(network, inputs[i : i + CHUNK], positions)) for i in starts]
    log_q = scipy.special.log_softmax(np.concatenate(parts, axis=1).astype(np.float64), axis=-1)
    if np.isnan(log_q[:, judged.counts]).any():
        raise ValueError("network: expected finite numbers, got NaN through the logit lens")
    return LensLaws(stream_names(log_q.shape[0] // 2), log_q)


@eqx.filter_jit
def _read(network: AbstractTracedNetwork, inputs: Array, positions: Array) -> Array:
    # Vectorised over sequences in one call, as in training.
    return sublayer_lens(network, network.trace_layers(inputs), positions)
