"""Log probabilities of the bins of a continuous outcome."""

import math
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import erfc
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.exact.reading.elements import element_law


def log_bin_probs(
    law: Any, edges: Float[Array, " edge"], length: int
) -> Float[Array, "position bin"]:
    """Return the log probability of each bin at each position.

    Bin ``k`` reaches from ``edges[k - 1]`` to ``edges[k]``, the first from minus infinity and
    the last to infinity, so ``log P(k) = log (F(edges[k]) - F(edges[k - 1]))``.

    Args:
        law: NumPyro distribution of the outcome, one element for each position.
        edges: Inner edges, rising, in the outcome's unit.
        length: Number of positions.

    Returns:
        Log probabilities in nats.

    Raises:
        ValueError: If the law does not know its cumulative distribution function.

    Example:
        >>> jnp.exp(log_bin_probs(dist.Normal(jnp.zeros(1), 1.0), jnp.array([0.0]), 1))
        Array([[0.5, 0.5]], dtype=float32)
    """
    inner = element_law(law)
    if isinstance(inner, dist.Normal):
        loc = jnp.broadcast_to(jnp.asarray(inner.loc), (length,))[:, None]
        scale = jnp.broadcast_to(jnp.asarray(inner.scale), (length,))[:, None]
        return log_normal_bins((edges - loc) / scale)
    try:
        below = [jnp.broadcast_to(_distribution_at(inner, edge), (length,)) for edge in edges]
    except NotImplementedError as error:
        raise ValueError(
            f"edges: expected an outcome whose law has a distribution function, got "
            f"{type(inner).__name__} without one"
        ) from error
    cdf = jnp.stack([jnp.zeros(length), *below, jnp.ones(length)], axis=-1)
    return jnp.log(jnp.diff(cdf, axis=-1))


def _distribution_at(law: Any, edge: Float[Array, ""]) -> Float[Array, "..."]:
    """Return ``F(edge)`` for every edge: NumPyro's holds for values that the law can take."""
    low = getattr(law.support, "lower_bound", -jnp.inf)
    high = getattr(law.support, "upper_bound", jnp.inf)
    value = jnp.floor(edge) if law.is_discrete else edge
    inside = law.cdf(jnp.clip(value, low, high))
    return jnp.where(value < low, 0.0, jnp.where(value >= high, 1.0, inside))


def log_normal_bins(edges: Float[Array, "*batch edge"]) -> Float[Array, "*batch bin"]:
    """Return the log probability of each bin under a standard normal law.

    A bin above zero is mirrored, since differences of probabilities near one would cancel.

    Args:
        edges: Inner edges in standard deviations from the mean, rising.

    Returns:
        Log probabilities in nats.

    Example:
        >>> log_normal_bins(jnp.array([-1e9, 10.0]))[-1]  # log of 7.6e-24
        Array(-53.231285, dtype=float32)
    """
    ends = jnp.full_like(edges[..., :1], jnp.inf)
    low = jnp.concatenate([-ends, edges], axis=-1)
    high = jnp.concatenate([edges, ends], axis=-1)
    mirrored = low > 0.0
    log_high = log_cdf(jnp.where(mirrored, -low, high))
    log_low = log_cdf(jnp.where(mirrored, -high, low))
    gap = jnp.minimum(log_low - log_high, 0.0)
    return log_high + jnp.log(-jnp.expm1(gap))


def log_cdf(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the log of the standard normal distribution function, exact far out too.

    ``log (erfc(-z / sqrt 2) / 2)`` where that does not underflow, and the asymptotic series of
    Mills' ratio below; ``jax.scipy.special.log_ndtr`` (JAX 0.12) is off by 4e-9 between.

    Args:
        z: Standard deviations from the mean; infinities are allowed.

    Returns:
        Log probabilities in nats.

    Example:
        >>> log_cdf(jnp.array([-jnp.inf, 0.0, jnp.inf]))
        Array([      -inf, -0.6931472,  0.       ], dtype=float32)
    """
    # The series' ninth term is (17!!) / z^18: 1e-19 of the first at -30, 2e-12 at -12.
    far = -30.0 if z.dtype == jnp.float64 else -12.0
    near = jnp.log(erfc(-jnp.maximum(z, far) / math.sqrt(2.0)) / 2.0)
    x = jnp.clip(z, -1e18, far)
    total = term = jnp.ones_like(x)
    for k in range(1, 9):
        term = -term * (2 * k - 1) / x**2
        total = total + term
    tail = -0.5 * x**2 - jnp.log(-x) - 0.5 * math.log(2.0 * math.pi) + jnp.log(total)
    return jnp.where(z < far, jnp.where(jnp.isneginf(z), -jnp.inf, tail), near)
