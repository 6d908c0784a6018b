"""Errors of predictive entropy, in both definitions that papers use.

Neither says that a predictor is right: a law with the right entropy on the wrong
outcomes scores zero. Read them beside ``kl`` and ``impossible_mass``, and beside
``best_constant_entropy_mae``, the score of a predictor that learned nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import PerPosition, Supervised
from bayescmp.measures.divergence import entropy, require_same_shape


def entropy_mae_per_sequence(
    log_p: Float[Array, "*sequence position outcome"],
    log_q: Float[Array, "*sequence position outcome"],
    supervised: Supervised,
    weights: Float[Array, "*sequence"] | None = None,
) -> Float[Array, ""]:
    """Compute the entropy error of single predictions (definition A).

    ``mean_{s,t} |H(q_st) - H(p_st)|`` over the supervised sequences and positions.
    It is never below definition B where every entry is supervised.

    Args:
        log_p: Exact log probabilities [nat]; minus infinity where impossible.
        log_q: Judged log probabilities [nat].
        supervised: True where a prediction counts; the rest is never looked at.
        weights: Probability of each sequence, positive, where they are all there are; the
            same for each by default.

    Returns:
        Mean absolute error [nat]; NaN if nothing is supervised.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> log_p = jnp.log(jnp.array([[[0.5, 0.5]], [[1.0, 0.0]]]))
        >>> log_q = log_p[::-1]  # unsure where it should be sure, and the other way round
        >>> entropy_mae_per_sequence(log_p, log_q, jnp.ones((2, 1), bool))
        Array(0.6931472, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    gap = jnp.abs(entropy(log_q) - entropy(log_p))
    return _weighted_mean(gap, _mass(supervised, weights, gap.dtype))


def entropy_mae_of_means(
    log_p: Float[Array, "*sequence position outcome"],
    log_q: Float[Array, "*sequence position outcome"],
    supervised: Supervised,
    weights: Float[Array, "*sequence"] | None = None,
) -> Float[Array, ""]:
    """Compute the entropy error of averages over sequences (definition B).

    ``mean_t |mean_s H(q_st) - mean_s H(p_st)|``, where a position's means run over
    the sequences supervised there and the outer mean, with equal weights, over the
    positions supervised in any sequence. Errors of opposite sign cancel inside a
    position, so this one forgives more than definition A.

    Args:
        log_p: Exact log probabilities [nat]; minus infinity where impossible.
        log_q: Judged log probabilities [nat].
        supervised: True where a prediction counts; the rest is never looked at.
        weights: Probability of each sequence, positive, where they are all there are; the
            same for each by default.

    Returns:
        Mean absolute error [nat]; NaN if nothing is supervised.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> log_p = jnp.log(jnp.array([[[0.5, 0.5]], [[1.0, 0.0]]]))
        >>> log_q = log_p[::-1]  # unsure where it should be sure, and the other way round
        >>> entropy_mae_of_means(log_p, log_q, jnp.ones((2, 1), bool))
        Array(0., dtype=float32)
    """
    require_same_shape(log_p, log_q)
    sequences = tuple(range(supervised.ndim - 1))
    gap = jnp.where(supervised, entropy(log_q) - entropy(log_p), 0.0)
    mass = _mass(supervised, weights, gap.dtype)
    total = jnp.sum(mass, axis=sequences)
    mean_gap = jnp.sum(gap * mass, axis=sequences) / jnp.where(total > 0, total, 1.0)
    return _weighted_mean(jnp.abs(mean_gap), (total > 0).astype(gap.dtype))


def best_constant_entropy_mae(
    entropy: PerPosition,
    supervised: Supervised,
    weights: Float[Array, "*sequence"] | None = None,
) -> Float[Array, ""]:
    """Compute the definition A score of the best predictor that ignores its input.

    ``min_c mean_{s,t} |c - H(p_st)|`` over the supervised entries, attained at the
    median of the exact entropies, weighted where sequences are. An entropy error near this
    one shows nothing.

    Args:
        entropy: Entropy of the exact law [nat].
        supervised: True where an entry counts; the rest is never looked at.
        weights: Probability of each sequence, positive, where they are all there are; the
            same for each by default.

    Returns:
        Mean absolute error [nat]; NaN if nothing is supervised.

    Example:
        >>> best_constant_entropy_mae(jnp.array([0.0, 1.0, 5.0]), jnp.array([True] * 3))
        Array(1.6666666, dtype=float32)
    """
    mass = _mass(supervised, weights, entropy.dtype)
    order = jnp.argsort(jnp.where(supervised, entropy, jnp.inf), axis=None)
    below = jnp.cumsum(mass.ravel()[order])
    # Between two middle entries every number is as good as the lower one.
    median = entropy.ravel()[order][jnp.searchsorted(below, 0.5 * below[-1])]
    return _weighted_mean(jnp.abs(entropy - median), mass)


def _mass(
    supervised: Supervised, weights: Float[Array, "*sequence"] | None, dtype: jnp.dtype
) -> PerPosition:
    """Return the weight of every entry, zero where it does not count."""
    mass = supervised.astype(dtype)
    return mass if weights is None else mass * weights[..., None]


def _weighted_mean(
    values: Float[Array, "*entry"], mass: Float[Array, "*entry"]
) -> Float[Array, ""]:
    """Average the entries of positive mass; NaN without any, or with a NaN among them."""
    return jnp.sum(jnp.where(mass > 0, values * mass, 0.0)) / jnp.sum(mass)
