"""How a network tells positions apart: added vectors, rotations, or a bias on distances."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
POSITIONS: tuple[Positions, ...] = ("learned", "sinusoidal", "rotary", "alibi", "none")
Heads = Float[Array, "*sequence head input_position head_feature"]


def sinusoids(length: int, size: int) -> Float[Array, "input_position feature"]:
    """Return vectors of sines and cosines of the position.

    Feature ``i`` is ``sin(position * 10000^(-2 i / size))`` and feature ``i + size / 2`` the
    cosine of the same angle.

    Args:
        length: Number of positions.
        size: Number of features; a last odd one stays zero.

    Returns:
        One vector for each position.

    Source: Vaswani et al., arXiv 1706.03762, section 3.5.
    """
    angle = _angles(length, size - size % 2)
    return jnp.pad(
        jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1), ((0, 0), (0, size % 2))
    )


def rotate(x: Heads) -> Heads:
    """Rotate pairs of features by angles that grow with the position.

    Feature ``i`` and feature ``i + size / 2`` turn by ``position * 10000^(-2 i / size)``,
    so that products of rotated vectors depend on the distance of their positions only.

    Args:
        x: Queries or keys, with an even number of features.

    Returns:
        Rotated vectors of the same shape.

    Source: Su et al., "RoFormer", arXiv 2104.09864, equation 34.
    """
    angle = _angles(x.shape[-2], x.shape[-1]).astype(x.dtype)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def distance_bias(
    num_heads: int, length: int
) -> Float[Array, "head input_position source_position"]:
    """Return ``-slope_h * distance`` for each head, with slopes ``2^(-8 h / num_heads)``.

    Args:
        num_heads: Number of heads, counted from one in the formula.
        length: Number of positions.

    Returns:
        What is added to attention scores; positive at future positions, which are masked.

    Source: Press, Smith and Lewis, "Train short, test long" (ALiBi), arXiv 2108.12409.
    """
    slopes = 2.0 ** (-8.0 * jnp.arange(1, num_heads + 1) / num_heads)
    places = jnp.arange(length)
    distance = (places[:, None] - places[None, :]).astype(slopes.dtype)
    return -slopes[:, None, None] * distance


def _angles(length: int, size: int) -> Float[Array, "input_position pair"]:
    frequency = 10_000.0 ** (-jnp.arange(size // 2) / max(size // 2, 1))
    return jnp.arange(length)[:, None] * frequency[None, :]
