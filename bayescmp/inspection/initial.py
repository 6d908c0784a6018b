"""Networks of the same shape before any training: the first control of every instrument."""

import jax

from bayescmp._types import Key
from bayescmp.networks.config import AbstractNetworkConfig
from bayescmp.networks.network import AbstractTracedNetwork


def draw_initial(
    network: AbstractTracedNetwork, num: int, *, key: Key
) -> tuple[AbstractTracedNetwork, ...]:
    """Draw networks of the same configuration with fresh initial weights.

    Args:
        network: Network whose configuration is used.
        num: How many.
        key: Typed key of the weights.

    Returns:
        The networks; none where the given one does not know its own configuration.
    """
    config, shape = getattr(network, "config", None), getattr(network, "shape", None)
    if not isinstance(config, AbstractNetworkConfig) or shape is None:
        return ()
    built = (config.build(shape, key=k) for k in jax.random.split(key, num))
    return tuple(one for one in built if isinstance(one, AbstractTracedNetwork))
