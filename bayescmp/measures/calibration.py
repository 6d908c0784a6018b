"""Calibration of predicted probabilities, against outcomes and against the exact law.

Every outcome of every supervised position is one entry: the predictor gave it the
probability ``q``, and it came true or not. Entries with similar ``q`` share a bin;
a calibrated predictor's outcomes come true there as often as it said.

The entries of one sequence depend on each other (outcomes of a position exclude
each other, positions share latents), so the interval treats sequences, not
entries, as the independent units:

1. In a bin, sequence ``s`` has ``N_s`` entries, ``Y_s`` of them came true. The
   observed frequency ``r = sum_s Y_s / sum_s N_s`` is a ratio of two sums of
   independent terms. Write ``R`` for the ratio of their expectations.
2. Linearise: ``r - R = sum_s (Y_s - R N_s) / sum_s N_s``, and the denominator may
   be taken as fixed to first order.
3. So ``var(r) = G / (G - 1) * sum_s (Y_s - r N_s)^2 / (sum_s N_s)^2``, where ``G``
   counts the sequences that have an entry in the bin. The residuals sum to zero,
   hence the factor.
4. This is the variance that ``n = r (1 - r) / var(r)`` independent trials would
   have. Wilson's score interval with these ``n`` trials stays inside [0, 1] and
   covers where ``r`` is near 0 or 1, as in most bins here, unlike ``r +- z sd``.
5. Where nothing or everything came true, the variance says nothing; each
   sequence then counts as a single trial, ``n = G``, the most cautious choice.
"""

from statistics import NormalDist

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp._types import Outcomes, Supervised


class Reliability(eqx.Module):
    """How predicted probabilities compare with what came true, by bin.

    A bin without entries has count 0 and NaN in every other quantity: no data.
    ``q`` is the predicted, ``p`` the exact probability of an entry.

    Example:
        >>> log_p = jnp.log(jnp.array([[[0.2, 0.8]]] * 4))  # 4 sequences, 2 outcomes each
        >>> outcomes, all_count = jnp.ones((4, 1), int), jnp.ones((4, 1), bool)
        >>> reliability(log_p, outcomes, log_p, all_count, num_bins=2).count
        Array([4, 4], dtype=int32)
    """

    edges_low: Float[Array, " bin"]
    """Smallest predicted probability of the bin, included."""
    edges_high: Float[Array, " bin"]
    """Upper edge, excluded, except in the last bin."""
    count: Int[Array, " bin"]
    """Number of entries; not a number of independent trials."""
    predicted: Float[Array, " bin"]
    """Mean of ``q`` over the bin's entries."""
    observed: Float[Array, " bin"]
    """Share of the bin's entries that came true."""
    observed_low: Float[Array, " bin"]
    """Lower end of the interval of ``observed``, clustered by sequence."""
    observed_high: Float[Array, " bin"]
    """Upper end of the interval of ``observed``, clustered by sequence."""
    exact: Float[Array, " bin"]
    """Mean of ``p`` over the bin's entries, the expectation of ``observed``."""
    level: float = eqx.field(static=True)
    """Coverage asked of the interval, between 0 and 1."""


def reliability(
    log_q: Float[Array, "sequence position outcome"],
    outcomes: Outcomes,
    log_p: Float[Array, "sequence position outcome"],
    supervised: Supervised,
    num_bins: int,
    level: float = 0.95,
) -> Reliability:
    """Compare predicted probabilities with frequencies in equally wide bins.

    The interval is the score interval derived above. It is built on a normal
    approximation over sequences: trust it where some 30 sequences reach the bin.

    Args:
        log_q: Judged log probabilities [nat].
        outcomes: Drawn outcomes, indices from 0.
        log_p: Exact log probabilities [nat].
        supervised: True where a position counts; the rest is never looked at.
        num_bins: Number of bins that divide [0, 1].
        level: Coverage of each bin's interval, between 0 and 1. It holds bin by
            bin: of 20 calibrated bins one misses on average at 0.95.

    Returns:
        Reliability [1]. A supervised NaN in either law makes every bin NaN.

    Raises:
        ValueError: If shapes differ, there is no bin or the level is not inside (0, 1).

    Example:
        >>> log_q = jnp.log(jnp.array([[[0.1, 0.9]]] * 4))  # too sure of outcome 1
        >>> log_p = jnp.log(jnp.array([[[0.3, 0.7]]] * 4))
        >>> outcomes, all_count = jnp.array([[1], [1], [1], [0]]), jnp.ones((4, 1), bool)
        >>> table = reliability(log_q, outcomes, log_p, all_count, num_bins=2)
        >>> table.predicted[1], table.observed[1], table.exact[1]
        (Array(0.9, dtype=float32), Array(0.75, dtype=float32), Array(0.7, dtype=float32))
    """
    _require_arguments(log_q, outcomes, log_p, supervised, num_bins, level)
    counted = jnp.broadcast_to(supervised[..., None], log_q.shape)
    predicted = jnp.where(counted, jnp.exp(log_q), 0.0)
    exact = jnp.where(counted, jnp.exp(log_p), 0.0)
    hit = counted & (outcomes[..., None] == jnp.arange(log_q.shape[-1])[None, None, :])
    edges = jnp.arange(num_bins + 1, dtype=predicted.dtype) / num_bins
    index = jnp.searchsorted(edges[1:-1], predicted, side="right", method="compare_all")

    entries = jnp.stack([counted, hit, predicted, exact], axis=-1)
    sums = jax.vmap(lambda row, bins: jnp.zeros((num_bins, 4), row.dtype).at[bins].add(row))(
        entries, index
    )
    counts, hits = sums[..., 0].astype(jnp.int32), sums[..., 1].astype(jnp.int32)
    count = jnp.sum(counts, axis=0)
    poison = jnp.where(jnp.any(jnp.isnan(predicted) | jnp.isnan(exact)), jnp.nan, 0.0)
    total = jnp.where(count > 0, count, jnp.nan).astype(predicted.dtype) + poison
    observed = jnp.sum(hits, axis=0) / total
    low, high = _clustered_interval(counts, hits, observed, level)
    return Reliability(
        edges_low=edges[:-1],
        edges_high=edges[1:],
        count=count,
        predicted=jnp.sum(sums[..., 2], axis=0) / total,
        observed=observed,
        observed_low=low,
        observed_high=high,
        exact=jnp.sum(sums[..., 3], axis=0) / total,
        level=level,
    )


def expected_calibration_error(table: Reliability) -> Float[Array, ""]:
    """Average the gap between predicted probability and observed frequency.

    ``sum_b (count_b / count) |observed_b - predicted_b|``. It is positive even for
    a perfect predictor, since the frequencies fluctuate, and grows with the number
    of bins and with fewer sequences: compare it with another predictor's on the
    same outcomes, never with zero. ``exact_calibration_error`` has no such floor.

    Args:
        table: Reliability of a predictor.

    Returns:
        Error [1]; NaN without any entry or where the predictor holds a NaN.

    Example:
        >>> log_p = jnp.log(jnp.array([[[0.25, 0.75]]] * 4))  # exact, yet 1 came every time
        >>> outcomes, all_count = jnp.ones((4, 1), int), jnp.ones((4, 1), bool)
        >>> expected_calibration_error(reliability(log_p, outcomes, log_p, all_count, 2))
        Array(0.25, dtype=float32)
    """
    return _weighted_gap(table.count, table.observed - table.predicted)


def exact_calibration_error(table: Reliability) -> Float[Array, ""]:
    """Average the gap between predicted and exact probability, without labels.

    ``sum_b (count_b / count) |exact_b - predicted_b|``. It uses the expectation of
    the observed frequency in its place, so outcomes add no noise, and it is exactly
    zero for the exact predictor, though not only for it: errors that cancel within
    a bin leave it zero, as calibration demands.

    Args:
        table: Reliability of a predictor.

    Returns:
        Error [1]; NaN without any entry or where a law holds a NaN.

    Example:
        >>> log_p = jnp.log(jnp.array([[[0.25, 0.75]]] * 4))  # exact, yet 1 came every time
        >>> outcomes, all_count = jnp.ones((4, 1), int), jnp.ones((4, 1), bool)
        >>> exact_calibration_error(reliability(log_p, outcomes, log_p, all_count, 2))
        Array(0., dtype=float32)
    """
    return _weighted_gap(table.count, table.exact - table.predicted)


def _weighted_gap(count: Int[Array, " bin"], gap: Float[Array, " bin"]) -> Float[Array, ""]:
    """Average absolute gaps, weighted by count; bins without data take no part."""
    return jnp.sum(jnp.where(count > 0, count * jnp.abs(gap), 0.0)) / jnp.sum(count)


def _clustered_interval(
    counts: Int[Array, "sequence bin"],
    hits: Int[Array, "sequence bin"],
    observed: Float[Array, " bin"],
    level: float,
) -> tuple[Float[Array, " bin"], Float[Array, " bin"]]:
    """Compute the score interval of the module docstring; [0, 1] for one sequence."""
    num_sequences = jnp.sum(counts > 0, axis=0)
    residual = hits - observed[None, :] * counts
    factor = num_sequences / jnp.maximum(num_sequences - 1, 1)
    total = jnp.maximum(jnp.sum(counts, axis=0), 1).astype(observed.dtype)
    variance = factor * jnp.sum(jnp.square(residual / total[None, :]), axis=0)
    one_trial = observed * (1.0 - observed)
    mixed = one_trial > 0.0
    inverse_trials = jnp.where(
        mixed,
        variance / jnp.where(mixed, one_trial, 1.0),
        1.0 / jnp.maximum(num_sequences, 1),
    )
    shrink = NormalDist().inv_cdf(0.5 * (1.0 + level)) ** 2 * inverse_trials
    centre = (observed + 0.5 * shrink) / (1.0 + shrink)
    half_width = jnp.sqrt(shrink * one_trial + 0.25 * jnp.square(shrink)) / (1.0 + shrink)
    no_data = jnp.where(jnp.isnan(observed), jnp.nan, 0.0)
    known = num_sequences > 1
    low = jnp.where(known, jnp.clip(centre - half_width, 0.0, 1.0), 0.0) + no_data
    high = jnp.where(known, jnp.clip(centre + half_width, 0.0, 1.0), 1.0) + no_data
    return low, high


def _require_arguments(
    log_q: Float[Array, "sequence position outcome"],
    outcomes: Outcomes,
    log_p: Float[Array, "sequence position outcome"],
    supervised: Supervised,
    num_bins: int,
    level: float,
) -> None:
    """Raise a ValueError for shapes or options that do not fit."""
    if log_q.ndim != 3:
        raise ValueError(
            f"log_q: expected the axes sequence, position, outcome, got shape {log_q.shape}"
        )
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p: expected the shape of log_q, {log_q.shape}, got {log_p.shape}")
    for name, array in (("outcomes", outcomes), ("supervised", supervised)):
        if array.shape != log_q.shape[:-1]:
            raise ValueError(f"{name}: expected shape {log_q.shape[:-1]}, got {array.shape}")
    if num_bins < 1:
        raise ValueError(f"num_bins: expected a number of at least 1, got {num_bins}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
