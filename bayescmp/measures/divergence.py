"""Divergences between two laws of one outcome, from log probabilities.

An impossible outcome is one with log probability minus infinity. It adds
exactly nothing to a mean under its own law, and its gradient there is zero, the
limit of ``d(p log p) / d(log p)`` as ``p`` goes to 0. The infinities are replaced
before the arithmetic, since a select after it would still pass a NaN backwards.
A law that misses a possible outcome is infinitely far away. NaN is never hidden.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bayescmp._types import LogProbs


def kl(log_p: LogProbs, log_q: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the Kullback-Leibler divergence of ``q`` from ``p``.

    ``kl(p, q) = sum_y p(y) (log p(y) - log q(y))``, in the reading order of the
    formula: ``p`` is the exact law and ``q`` the one held against it.

    Args:
        log_p: Exact log probabilities [nat]; minus infinity where impossible.
        log_q: Judged log probabilities [nat], normalised like ``log_p``.

    Returns:
        Divergence [nat], infinite where ``q`` gives a possible outcome no mass.
        Where it should be zero, rounding leaves up to a few machine epsilons of
        either sign. Infinite entries have zero gradient.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> kl(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.5, 0.5])))
        Array(0.6931472, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    terms = jnp.exp(log_p) * (_replace_infinity(log_p) - _replace_infinity(log_q))
    return jnp.sum(jnp.where(_missed(log_p, log_q), jnp.inf, terms), axis=-1)


def cross_entropy(log_p: LogProbs, log_q: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the expected log loss of ``q`` when outcomes follow ``p``.

    ``-sum_y p(y) log q(y) = entropy(p) + kl(p, q)``.

    Args:
        log_p: Exact log probabilities [nat]; minus infinity where impossible.
        log_q: Judged log probabilities [nat].

    Returns:
        Expected loss [nat], infinite where ``q`` gives a possible outcome no mass.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> cross_entropy(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.25, 0.75])))
        Array(1.3862944, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    terms = -jnp.exp(log_p) * _replace_infinity(log_q)
    return jnp.sum(jnp.where(_missed(log_p, log_q), jnp.inf, terms), axis=-1)


def entropy(log_p: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the Shannon entropy of a law.

    ``H(p) = -sum_y p(y) log p(y)``; exactly 0 for a law with one possible outcome.

    Args:
        log_p: Log probabilities [nat]; minus infinity where impossible.

    Returns:
        Entropy [nat].

    Example:
        >>> entropy(jnp.log(jnp.array([0.5, 0.5, 0.0])))
        Array(0.6931472, dtype=float32)
    """
    return jnp.sum(-jnp.exp(log_p) * _replace_infinity(log_p), axis=-1)


def total_variation(log_p: LogProbs, log_q: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the largest difference that two laws can give to one event.

    ``TV(p, q) = (1/2) sum_y |p(y) - q(y)|``, between 0 and 1, symmetric, and at
    most ``sqrt(kl(p, q) / 2)`` (Pinsker).

    Args:
        log_p: Log probabilities [nat].
        log_q: Log probabilities [nat].

    Returns:
        Distance [1].

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> total_variation(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.25, 0.75])))
        Array(0.75, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    return 0.5 * jnp.sum(jnp.abs(jnp.exp(log_p) - jnp.exp(log_q)), axis=-1)


def jensen_shannon(log_p: LogProbs, log_q: LogProbs) -> Float[Array, "*sequence"]:
    """Compute the Jensen-Shannon divergence, symmetric and always finite.

    ``JS(p, q) = (kl(p, m) + kl(q, m)) / 2`` with ``m = (p + q) / 2``; it reaches
    ``log 2`` where the laws share no outcome.

    Args:
        log_p: Log probabilities [nat]; minus infinity where impossible.
        log_q: Log probabilities [nat]; minus infinity where impossible.

    Returns:
        Divergence [nat].

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> jensen_shannon(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.0, 1.0])))
        Array(0.6931472, dtype=float32)
    """
    require_same_shape(log_p, log_q)
    impossible = jnp.isneginf(log_p) & jnp.isneginf(log_q)
    summed = jnp.logaddexp(jnp.where(impossible, 0.0, log_p), jnp.where(impossible, 0.0, log_q))
    log_middle = jnp.where(impossible, -jnp.inf, summed - math.log(2.0))
    return 0.5 * (kl(log_p, log_middle) + kl(log_q, log_middle))


def log_loss(log_q: LogProbs, outcomes: Int[Array, "*sequence"]) -> Float[Array, "*sequence"]:
    """Compute the loss ``-log q(y)`` on the outcomes that were drawn.

    Its expectation over outcomes that follow ``p`` is ``cross_entropy(p, q)``.

    Args:
        log_q: Judged log probabilities [nat].
        outcomes: Drawn outcomes, indices from 0.

    Returns:
        Loss [nat], infinite where ``q`` gave the outcome no mass. NaN where an
        outcome is negative or too large (no index wraps or is clamped) and
        where any entry of the law is NaN.

    Example:
        >>> log_loss(jnp.log(jnp.array([0.25, 0.75])), jnp.array(0))
        Array(1.3862944, dtype=float32)
    """
    num_outcomes = log_q.shape[-1]
    known = (outcomes >= 0) & (outcomes < num_outcomes)
    index = jnp.clip(outcomes, 0, num_outcomes - 1)
    chosen = jnp.take_along_axis(log_q, index[..., None], axis=-1)[..., 0]
    broken = jnp.any(jnp.isnan(log_q), axis=-1)
    return jnp.where(known & ~broken, -chosen, jnp.nan)


def require_same_shape(log_p: LogProbs, log_q: LogProbs) -> None:
    """Raise unless two arrays of log probabilities have one shape.

    Args:
        log_p: Log probabilities [nat].
        log_q: Log probabilities [nat].

    Raises:
        ValueError: If the shapes differ; broadcasting could pair wrong laws.
    """
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_q: expected the shape of log_p, {log_p.shape}, got {log_q.shape}")


def _replace_infinity(log_p: LogProbs) -> LogProbs:
    """Put 0 for minus infinity, so that products and gradients stay finite."""
    return jnp.where(jnp.isneginf(log_p), 0.0, log_p)


def _missed(log_p: LogProbs, log_q: LogProbs) -> Bool[Array, "*sequence outcome"]:
    """Mark outcomes that ``p`` allows and ``q`` excludes; never true for a NaN."""
    return jnp.isneginf(log_q) & (log_p > -jnp.inf)
