"""Keys that attention makes of a residual stream, before any rotation."""

import equinox as eqx
from jaxtyping import Array, Float

from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.norms import normalise
from bayescmp.networks.parts.stack import pick_block
from bayescmp.networks.residual import AbstractResidualNetwork


@eqx.filter_jit
def project_keys(
    network: AbstractResidualNetwork, block: int, stream: Float[Array, "*sequence place feature"]
) -> Float[Array, "*sequence source_head place head_feature"]:
    """Return the keys that one block makes of a residual stream.

    Args:
        network: Network with attention.
        block: Which of its different blocks, from zero.
        stream: What enters the block, or anything of the same width.

    Returns:
        Keys of every head that has keys of its own.

    Raises:
        TypeError: If the block does not attend.

    Example:
        >>> model = bc.models.Bijection(size=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> from bayescmp.layers.keys import project_keys
        >>> project_keys(network, 0, network.embedding).shape
        (4, 8, 16)
    """
    part = pick_block(network.blocks, block)
    if not isinstance(part.mixer, Attention):
        raise TypeError(f"network: expected attention in block {block + 1}, got none")
    before = normalise(part.mixer_norm, stream) if part.norm_place == "pre" else stream
    return part.mixer.project(before)[1]
