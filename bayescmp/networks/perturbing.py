"""Networks with noise on every weight: starts between a given network and a random one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bayescmp._types import Key


def perturb[Network: eqx.Module](network: Network, size: float, *, key: Key) -> Network:
    """Add Gaussian noise to every weight, in proportion to the weights of the same array.

    ``w + size rms(W) noise`` for each weight ``w`` of an array ``W``, those that are zero too: an
    array of zeros stays one.

    Args:
        network: Network.
        size: Standard deviation of the noise, in units of an array's root mean square.
        key: Typed key.

    Returns:
        A network of the same shape.

    Raises:
        ValueError: If the size is negative.

    Example:
        >>> network = bc.Transformer.for_model(bc.models.Bijection(4), key=jax.random.key(0))
        >>> moved = bc.networks.perturb(network, 0.1, key=jax.random.key(1))
        >>> gap = moved.embedding - network.embedding
        >>> round(float(jnp.std(gap) / jnp.std(network.embedding)), 1)
        0.1
    """
    if not size >= 0.0:
        raise ValueError(f"size: expected at least 0, got {size}")
    arrays, static = eqx.partition(network, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)
    keys = jax.random.split(key, len(leaves))
    moved = [_shake(leaf, size, key=own) for leaf, own in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, moved), static)


def _shake(weights: Array, size: float, *, key: Key) -> Array:
    scale = size * jnp.sqrt(jnp.mean(jnp.square(weights)))
    return weights + scale * jax.random.normal(key, weights.shape, weights.dtype)
