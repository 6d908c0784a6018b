"""The logit lens: what a network would answer if it stopped after a layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.layers.streams import all_streams
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
    return read_streams(network, trace.residuals[..., positions, :])


def sublayer_lens(
    network: AbstractTracedNetwork, trace: LayerTrace, positions: Int[Array, " position"]
) -> Float[Array, "stream *sequence position outcome"]:
    """Read the residual stream out at every place, between mixer and feed-forward part too.

    Args:
        network: Network of the trace.
        trace: What it computed, for one sequence or a batch traced in one call.
        positions: Input positions that are looked at.

    Returns:
        Log probabilities in nats, one law for each of :func:`~bayescmp.layers.stream_names`.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> trace = network.trace_layers(jnp.array([0, 2, 2]))
        >>> bool((sublayer_lens(network, trace, jnp.arange(3))[::2]
        ...      == logit_lens(network, trace, jnp.arange(3))).all())
        True
    """
    return read_streams(network, all_streams(trace)[..., positions, :])


def read_streams(
    network: AbstractTracedNetwork, streams: Float[Array, "*rows feature"]
) -> Float[Array, "*rows outcome"]:
    """Read residual streams out as if each were the last one.

    Args:
        network: Network whose read-out is used.
        streams: Residual streams, from anywhere.

    Returns:
        Log probabilities in nats.
    """
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
