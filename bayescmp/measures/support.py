"""Whether a predictor puts its mass where outcomes are possible.

Entropy and log loss can look right while the mass sits on outcomes that cannot
occur; these two measures cannot be satisfied that way.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import LogProbs
from bayescmp.measures.divergence import require_same_shape


def impossible_mass(log_p: LogProbs, log_q: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the probability that ``q`` gives to outcomes that ``p`` excludes.

    ``sum_y q(y) [p(y) = 0]``. Only a log probability of minus infinity counts as
    impossible; one so small that it underflows when exponentiated does not.

    Args:
        log_p: Exact log probabilities [nat]; minus infinity where impossible.
        log_q: Judged log probabilities [nat].

    Returns:
        Probability [1]; NaN where either law holds a NaN.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> impossible_mass(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.75, 0.25])))
        Array(0.25, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    mass = jnp.sum(jnp.where(jnp.isneginf(log_p), jnp.exp(log_q), 0.0), axis=-1)
    return _keep_nan(mass, log_p, log_q)


def argmax_agreement(
    log_p: LogProbs, log_q: LogProbs, tolerance: float = 1e-5
) -> Float[Array, "*sequence"]:
    """Tell whether the likeliest outcome under ``q`` is a likeliest one under ``p``.

    1 if the maximiser of ``q`` is among the maximisers of ``p``, else 0. Where
    ``q`` itself is tied, the answer is the share of its maximisers that ``p``
    shares, which is what a random choice among them would score on average: a
    uniform predictor gets no credit from the order in which outcomes are numbered.

    Args:
        log_p: Exact log probabilities [nat].
        log_q: Judged log probabilities [nat].
        tolerance: Log probabilities this close to the largest are tied with it
            [nat]; the default is some tens of float32 roundings.

    Returns:
        Agreement [1], between 0 and 1; NaN where either law holds a NaN.

    Raises:
        ValueError: If the shapes differ or the tolerance is negative.

    Example:
        >>> argmax_agreement(jnp.log(jnp.array([0.6, 0.4])), jnp.log(jnp.array([0.9, 0.1])))
        Array(1., dtype=float32)
    """
    require_same_shape(log_p, log_q)
    if not tolerance >= 0.0:
        raise ValueError(f"tolerance: expected a number of at least 0, got {tolerance}")
    best_p = log_p >= jnp.max(log_p, axis=-1, keepdims=True) - tolerance
    best_q = log_q >= jnp.max(log_q, axis=-1, keepdims=True) - tolerance
    dtype = jnp.result_type(log_p, log_q)
    shared = jnp.sum(best_p & best_q, axis=-1, dtype=dtype)
    return _keep_nan(shared / jnp.sum(best_q, axis=-1, dtype=dtype), log_p, log_q)


def _keep_nan(
    values: Float[Array, "*sequence"], log_p: LogProbs, log_q: LogProbs
) -> Float[Array, "*sequence"]:
    """Put NaN where either law holds one: a selection would otherwise hide it."""
    broken = jnp.any(jnp.isnan(log_p) | jnp.isnan(log_q), axis=-1)
    return jnp.where(broken, jnp.nan, values)
