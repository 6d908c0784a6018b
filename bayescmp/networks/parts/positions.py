"""How a network tells positions apart: added vectors, rotations, or a bias on distances."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
POSITIONS: tuple[Positions, ...] = ("learned", "sinusoidal", "rotary", "alibi", "none")
Heads = Float[Array, "*sequence head input_position head_feature"]
Places = Int[Array, "*#sequence input_position"]
"""Where each input stands: ``0, 1, 2, ...`` unless something else is said."""


def count_places(length: int) -> Int[Array, " input_position"]:
    """Return where inputs stand that follow one another from the first place on.

    Args:
        length: Number of inputs.

    Returns:
        ``0 .. length - 1``.
    """
    return jnp.arange(length)


def sinusoids(places: Places, size: int) -> Float[Array, "*sequence input_position feature"]:
    """Return vectors of sines and cosines of the position.

    Feature ``i`` is ``sin(position * 10000^(-2 i / size))`` and feature ``i + size / 2`` the
    cosine of the same angle.

    Args:
        places: Positions.
        size: Number of features; a last odd one stays zero.

    Returns:
        One vector for each position.

    Source: Vaswani et al., arXiv 1706.03762, section 3.5.
    """
    angle = _angles(places, size - size % 2)
    waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return jnp.pad(waves, [(0, 0)] * (waves.ndim - 1) + [(0, size % 2)])


def pick_rows(
    table: Float[Array, "place feature"], length: int, places: Places | None = None
) -> Float[Array, "*sequence input_position feature"]:
    """Return the learned vectors of some places.

    Args:
        table: A row for each place.
        length: Number of positions.
        places: Where they stand; one after the other by default.

    Returns:
        One vector for each position; NaN at a place without a row.

    Raises:
        ValueError: If there are more positions than rows.
    """
    if length > len(table):
        raise ValueError(
            f"inputs: expected at most {len(table)} positions, which is as far as the learned "
            f"positions reach, got {length}; use positions='rotary' or 'none'"
        )
    if places is None:
        return table[:length]
    return table.at[places].get(mode="fill", fill_value=jnp.nan)


def rotate(x: Heads, places: Places | None = None) -> Heads:
    """Rotate pairs of features by angles that grow with the position.

    Feature ``i`` and feature ``i + size / 2`` turn by ``position * 10000^(-2 i / size)``,
    so that products of rotated vectors depend on the distance of their positions only.

    Args:
        x: Queries or keys, with an even number of features.
        places: Positions; one after the other from zero by default.

    Returns:
        Rotated vectors of the same shape.

    Source: Su et al., "RoFormer", arXiv 2104.09864, equation 34.
    """
    places = count_places(x.shape[-2]) if places is None else places
    # Half precision keeps eight bits: enough for a sine, and not for the angle of a far place.
    angle = _angles(places, x.shape[-1])[..., None, :, :]
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def distance_bias(
    num_heads: int, length: int, places: Places | None = None, *, both_ways: bool = False
) -> Float[Array, "*sequence head input_position source_position"]:
    """Return ``-slope_h * distance`` for each head, with slopes ``2^(-8 h / num_heads)``.

    Distance is how far back a source lies; with ``both_ways`` how far away, before or after.

    Args:
        num_heads: Number of heads, counted from one in the formula.
        length: Number of positions.
        places: Where they stand; one after the other by default.
        both_ways: Whether future positions are seen too.

    Returns:
        What is added to attention scores; positive at future positions that are masked.

    Source: Press, Smith and Lewis, "Train short, test long" (ALiBi), arXiv 2108.12409.
    """
    slopes = 2.0 ** (-8.0 * jnp.arange(1, num_heads + 1) / num_heads)
    places = count_places(length) if places is None else places
    distance = (places[..., :, None] - places[..., None, :]).astype(slopes.dtype)
    distance = jnp.abs(distance) if both_ways else distance
    return -slopes[:, None, None] * distance[..., None, :, :]


def _angles(places: Places, size: int) -> Float[Array, "*sequence input_position pair"]:
    frequency = 10_000.0 ** (-jnp.arange(size // 2) / max(size // 2, 1))
    return places[..., None] * frequency
