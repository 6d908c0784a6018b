"""Normalisation of each position by itself."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.parts.single import at_least_single

NormName = Literal["rms", "layer", "none"]
NormPlace = Literal["pre", "post"]
Rows = Float[Array, "*rows feature"]


class RMSNorm(eqx.Module):
    """``scale * x / sqrt(mean(x^2) + epsilon)``.

    Source: Zhang and Sennrich, arXiv 1910.07467.
    """

    scale: Float[Array, " feature"]

    def __init__(self, size: int) -> None:
        """Begin with a scale of one."""
        self.scale = jnp.ones(size)

    def __call__(self, x: Rows) -> Rows:
        """Normalise each row."""
        power = jnp.mean(jnp.square(at_least_single(x)), axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(power + 1e-6).astype(x.dtype) * self.scale


class LayerNorm(eqx.Module):
    """``scale * (x - mean(x)) / sqrt(var(x) + epsilon) + bias``.

    Source: Ba, Kiros and Hinton, arXiv 1607.06450.
    """

    scale: Float[Array, " feature"]
    bias: Float[Array, " feature"]

    def __init__(self, size: int) -> None:
        """Begin with a scale of one and a bias of zero."""
        self.scale = jnp.ones(size)
        self.bias = jnp.zeros(size)

    def __call__(self, x: Rows) -> Rows:
        """Normalise each row."""
        wide = at_least_single(x)
        centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + 1e-5)
        return normed.astype(x.dtype) * self.scale + self.bias


Norm = RMSNorm | LayerNorm


def make_norm(name: NormName, size: int) -> Norm | None:
    """Return a fresh normalisation.

    Args:
        name: Kind; ``none`` leaves vectors as they are.
        size: Features of a row.

    Returns:
        The normalisation, or None.
    """
    if name == "none":
        return None
    return RMSNorm(size) if name == "rms" else LayerNorm(size)


def normalise(norm: Norm | None, x: Rows) -> Rows:
    """Apply a normalisation if there is one.

    Args:
        norm: Normalisation, or None.
        x: Rows.

    Returns:
        Normalised rows.
    """
    return x if norm is None else norm(x)
