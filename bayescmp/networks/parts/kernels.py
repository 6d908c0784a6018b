"""How attention turns scores of what it may see into weights."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.networks.parts.single import at_least_single

KernelName = Literal["softmax", "sigmoid", "linear"]
KERNELS: tuple[KernelName, ...] = ("softmax", "sigmoid", "linear")
Scores = Float[Array, "*sequence head input_position source_position"]
Mask = Bool[np.ndarray, "input_position source_position"]


def causal_mask(length: int, window: int | None, *, hide_start: bool = False) -> Mask:
    """Return which positions each position may attend to: itself and its past.

    Args:
        length: Number of positions.
        window: How many of the last positions, itself among them; None for all.
        hide_start: Whether the first position is seen by itself alone.

    Returns:
        True where attention is allowed.
    """
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    allowed = (distance >= 0) & (distance < (length if window is None else window))
    if hide_start:
        allowed[1:, 0] = False
    return allowed


def full_mask(length: int) -> Mask:
    """Allow each position to attend to every position, before and after it.

    Args:
        length: Number of positions.

    Returns:
        True everywhere.
    """
    return np.ones((length, length), bool)


def weigh(kernel: KernelName, scores: Scores, mask: Mask) -> Scores:
    """Turn scores into attention weights, zero where attention is not allowed.

    ``softmax``: ``exp(s_j) / sum_k exp(s_k)``. ``sigmoid``: ``1 / (1 + n exp(-s_j))`` over ``n``
    allowed positions, whose sum is about one for small scores. ``linear``: ``s_j / n``, the
    kernel of theories of in-context gradient descent, which has weights below zero.

    Args:
        kernel: Which of them.
        scores: Products of queries and keys.
        mask: Where attention is allowed; at least one place for each position.

    Returns:
        Weights; only those of ``softmax`` are probabilities.

    Source: Ramapuram et al., arXiv 2409.04431, for the bias ``-log n`` of the sigmoid; von
        Oswald et al., arXiv 2212.07677, for linear attention.
    """
    if kernel == "softmax":
        allowed = jnp.where(mask, at_least_single(scores), -jnp.inf)
        return jax.nn.softmax(allowed, axis=-1).astype(scores.dtype)
    count = mask.sum(axis=-1, keepdims=True).astype(scores.dtype)
    if kernel == "sigmoid":
        return jnp.where(mask, jax.nn.sigmoid(scores - jnp.log(count)), 0.0)
    return jnp.where(mask, scores / count, 0.0)
