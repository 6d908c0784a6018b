"""Weights of the published construction, and of its repairs, coordinate by coordinate."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from bayescmp.networks.constructed.published_tokens import TokenLayout

SHARPNESS = 50.0
"""Factor on attention scores: a score less by one gets ``exp(-50)`` of the weight, 2e-22."""

WEIGHTS = (1.0, 1.0, 0.0)
"""``w0``, ``w1`` and ``b`` of the published update ``sigmoid(w0 m0 + w1 m1 + b)``."""


@dataclass(frozen=True, eq=False)
class Dense:
    """Two dense layers."""

    up: np.ndarray
    up_bias: np.ndarray
    down: np.ndarray
    down_bias: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the arrays in their order."""
        return iter((self.up, self.up_bias, self.down, self.down_bias))


def address(layout: TokenLayout, *, matching: bool) -> list[np.ndarray]:
    """Return queries, keys, values, outputs and their biases, with the layer axis in front.

    As published the score of a token is a product of two numbers, greatest for the largest. A
    match is the greatest ``-(q - k)^2 = 2 q k - k^2 - q^2``, whose last part is the same for all.

    Args:
        layout: Where each number of a token stands.
        matching: Whether heads look for a match, or for the largest number as published.

    Returns:
        Eight arrays in this order, in double precision.
    """
    heads, width = layout.num_heads, layout.width
    query, key, value = (np.zeros((1, width, heads, 2)) for _ in range(3))
    query_bias, out = np.zeros((1, heads, 2)), np.zeros((1, heads, 2, width))
    scale = SHARPNESS * np.sqrt(2.0)  # scores are divided by the root of a head's size
    for head in range(heads):
        query[0, layout.neighbour(head), head, 0] = scale
        if matching:
            key[0, layout.own, head, 0] = 2.0
            key[0, layout.own + 1, head, 1] = -1.0
            query_bias[0, head, 1] = scale
        else:
            key[0, layout.neighbour(head), head, 0] = 1.0
        value[0, layout.belief, head, 0] = 1.0
        out[0, head, 0, layout.scratch(head)] = 1.0
    matrices = [matrix.reshape(1, width, -1) for matrix in (query, key, value)]
    none = np.zeros((1, 2 * heads))
    biases = [query_bias.reshape(1, -1), none, none, np.zeros((1, width))]
    return [*matrices, out.reshape(1, 2 * heads, width), *biases]


def _changed(layout: TokenLayout) -> list[int]:
    """List the coordinates that one layer changes: the belief, then all scratch numbers."""
    return [layout.belief, *map(layout.scratch, range(layout.num_heads))]


def squash(layout: TokenLayout) -> Dense:
    """Return the published update of beliefs, and what takes away the old numbers.

    ``sigmoid(e x) = 1/2 + e x / 4 + O(e^3 x^3)``: a unit with a small weight copies a number.

    Args:
        layout: Where each number of a token stands.

    Returns:
        Both layers, for the activation ``sigmoid``.
    """
    small = float(jnp.finfo(jnp.result_type(float)).eps) ** (1 / 3)
    changed = _changed(layout)
    units, width = 1 + len(changed), layout.width
    up, down = np.zeros((width, units)), np.zeros((units, width))
    up_bias, down_bias = np.zeros(units), np.zeros(width)
    up[changed[1:], 0] = [WEIGHTS[min(head, 1)] for head in range(layout.num_heads)]
    up_bias[0] = WEIGHTS[2]
    down[0, layout.belief] = 1.0
    for unit, place in enumerate(changed, start=1):
        up[place, unit] = small
        down[unit, place] = -4.0 / small
        down_bias[place] = 2.0 / small
    return Dense(up, up_bias, down, down_bias)


def sum_up(layout: TokenLayout) -> Dense:
    """Return the update of log odds, their sum: ``x = relu(x) - relu(-x)`` makes it exact.

    Args:
        layout: Where each number of a token stands.

    Returns:
        Both layers, for the activation ``relu``.
    """
    changed = _changed(layout)
    units, width = 2 * len(changed), layout.width
    up, down = np.zeros((width, units)), np.zeros((units, width))
    for number, place in enumerate(changed):
        for unit, sign in ((2 * number, 1.0), (2 * number + 1, -1.0)):
            up[place, unit] = sign
            down[unit, place] -= sign
            if place != layout.belief:
                down[unit, layout.belief] += sign
    return Dense(up, np.zeros(units), down, np.zeros(width))


def read(layout: TokenLayout, has_log_odds: bool) -> list[np.ndarray]:
    """Return the read-out to logits: exact for log odds, the tangent at 1/2 for beliefs.

    Args:
        layout: Where each number of a token stands.
        has_log_odds: Whether the belief is log odds.

    Returns:
        The matrix and the bias.
    """
    weight, bias = np.zeros((layout.width, 2)), np.zeros(2)
    weight[layout.belief, 1] = 1.0 if has_log_odds else 4.0
    bias[1] = 0.0 if has_log_odds else -2.0
    return [weight, bias]
