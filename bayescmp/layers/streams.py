"""The places in a residual stream: the embedding, then after each mixer and after each block."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.records import LayerTrace


def stream_names(num_layers: int) -> tuple[str, ...]:
    """Name the places in the residual stream of a network.

    Args:
        num_layers: Number of blocks, loops counted.

    Returns:
        One name for each place, in the order of computation.

    Raises:
        ValueError: If there is no block.

    Example:
        >>> bc.layers.stream_names(2)
        ('embedding', 'mixer 1', 'block 1', 'mixer 2', 'block 2')
    """
    if num_layers < 1:
        raise ValueError(f"num_layers: expected at least 1, got {num_layers}")
    blocks = range(1, num_layers + 1)
    return ("embedding", *(f"{part} {block}" for block in blocks for part in ("mixer", "block")))


def all_streams(trace: LayerTrace) -> Float[Array, "stream *sequence input_position feature"]:
    """Return the residual stream at every place, in the order of computation.

    Args:
        trace: What a network computed.

    Returns:
        ``x_0`` after the embedding, then after each block's mixer and after each block.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> trace = network.trace_layers(jnp.array([0, 2, 2]))
        >>> bc.layers.all_streams(trace).shape[0] == 1 + 2 * trace.resid_post.shape[0]
        True
    """
    pairs = jnp.stack([trace.resid_mid, trace.resid_post], axis=1)
    return jnp.concatenate([trace.resid_pre[:1], pairs.reshape(-1, *pairs.shape[2:])])
