"""The logit lens: what a network would answer if it stopped after a layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.records import LayerTrace


def logit_lens(
    network: AbstractTracedNetwork, trace: LayerTrace, positions: Int[Array, " position"]
) -> Float[Array, "stream *sequence position outcome"]:
    """Read every residual stream out as if it were the last one.

    ``log softmax(unembed(norm(x_l)))`` for ``l = 0`` (the embedding) to the last block.
    A layer that computes in another basis than the read-out's looks worse here than it
    is, so a large divergence at an early layer does not show that nothing is there.

    Args:
        network: Network of the trace.
        trace: What it computed, for one sequence or a batch traced in one call.
        positions: Input positions that are looked at.

    Returns:
        Log probabilities in nats.

    Source: nostalgebraist, "interpreting GPT: the logit lens", 2020.
    """
    streams = trace.residuals[..., positions, :]
    return jax.nn.log_softmax(network.read_out(streams), axis=-1)


def attention_entropy(
    pattern: Float[Array, "*rows input_position source_position"],
) -> Float[Array, "*rows input_position"]:
    """Return the entropy of attention weights, ``-sum_s a_s log a_s``.

    Args:
        pattern: Attention weights, rows that sum to one.

    Returns:
        Entropy in nats; zero where all attention is at one place.
    """
    safe = jnp.where(pattern > 0, pattern, 1.0)
    return -jnp.sum(pattern * jnp.log(safe), axis=-1)
