"""A moving average of the weights, which lags behind them and is smoother."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree


def include(
    average: PyTree[Array], params: PyTree[Array], num_before: Int[Array, ""], decay: float
) -> PyTree[Array]:
    """Move an average towards the weights after one more step.

    With ``t`` steps, decay ``d`` and weights ``w_s`` after step ``s``, the average is
    ``(1 - d) / (1 - d^t) sum_s d^(t - s) w_s``, whose coefficients sum to one from the
    first step on. It moves by the share ``(1 - d) / (1 - d^t)`` from where it was.

    Args:
        average: Average over the steps before; after none, anything finite.
        params: Weights after this step.
        num_before: Steps before this one.
        decay: ``d``, between 0 and 1.

    Returns:
        The average with this step.

    Example:
        >>> include(jnp.array(1.0), jnp.array(4.0), jnp.array(1), decay=0.5)
        Array(3., dtype=float32)
    """
    steps = (num_before + 1).astype(jnp.float32)
    share = (1.0 - decay) / -jnp.expm1(steps * math.log(decay))

    def move(before: Array, now: Array) -> Array:
        part = share.astype(now.dtype)
        return (1 - part) * before + part * now

    return jax.tree.map(move, average, params)
