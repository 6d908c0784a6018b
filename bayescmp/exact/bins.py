"""Log probabilities of the bins of a continuous outcome."""

from typing import Any

import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.exact.elements import element_law


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
        below = [jnp.broadcast_to(inner.cdf(edge), (length,)) for edge in edges]
    except NotImplementedError as error:
        raise ValueError(
            f"edges: expected an outcome whose law has a distribution function, got "
            f"{type(inner).__name__} without one"
        ) from error
    cdf = jnp.stack([jnp.zeros(length), *below, jnp.ones(length)], axis=-1)
    return jnp.log(jnp.diff(cdf, axis=-1))


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
    log_high = log_ndtr(jnp.where(mirrored, -low, high))
    log_low = log_ndtr(jnp.where(mirrored, -high, low))
    gap = jnp.minimum(log_low - log_high, 0.0)
    return log_high + jnp.log(-jnp.expm1(gap))
