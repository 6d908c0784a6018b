"""Calibration of predicted probabilities, against outcomes and against the exact law.

Every outcome of every supervised position is one entry: the predictor gave it the
probability ``q``, and it came true or not. Entries with similar ``q`` share a bin;
a calibrated predictor's outcomes come true there as often as it said.

The entries of one sequence depend on each other, so the interval of a frequency treats
sequences as the independent units; :mod:`bayescmp.measures.clustered` derives it. Where
sequences are not drawn but are all there are, each weighted by its exact probability,
frequencies are known exactly and the interval collapses onto them.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp._types import Outcomes, Supervised
from bayescmp.measures.clustered import clustered_interval


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
    weight: Float[Array, " bin"]
    """Sum of the entries' weights: their number where sequences count the same."""
    predicted: Float[Array, " bin"]
    """Mean of ``q`` over the bin's entries."""
    observed: Float[Array, " bin"]
    """Share of the bin's entries that came true."""
    observed_low: Float[Array, " bin"]
    """Lower end of the interval of ``observed``, clustered by sequence; with weights itself."""
    observed_high: Float[Array, " bin"]
    """Upper end of the interval of ``observed``, clustered by sequence; with weights itself."""
    exact: Float[Array, " bin"]
    """Mean of ``p`` over the bin's entries, the expectation of ``observed``."""
    level: float = eqx.field(static=True)
    """Coverage asked of the interval, between 0 and 1."""
    is_weighted: bool = eqx.field(static=True, default=False)
    """Whether sequences were weighted by their exact probability."""


def reliability(
    log_q: Float[Array, "sequence position outcome"],
    outcomes: Outcomes | None,
    log_p: Float[Array, "sequence position outcome"],
    supervised: Supervised,
    num_bins: int,
    level: float = 0.95,
    *,
    weights: Float[Array, " sequence"] | None = None,
) -> Reliability:
    """Compare predicted probabilities with frequencies in equally wide bins.

    The interval is a score interval, built on a normal approximation over sequences:
    trust it where some 30 sequences reach the bin. With weights there is no sampling
    error, and its ends are the frequency itself.

    Args:
        log_q: Judged log probabilities [nat].
        outcomes: Outcomes of the sequences, indices from 0; None where they follow the
            exact law, so that frequencies are exact probabilities. Needs weights.
        log_p: Exact log probabilities [nat].
        supervised: True where a position counts; the rest is never looked at.
        num_bins: Number of bins that divide [0, 1].
        level: Coverage of each bin's interval, between 0 and 1. It holds bin by
            bin: of 20 calibrated bins one misses on average at 0.95.
        weights: Probability of each sequence, where they are all there are, or a part of
            them; positive.

    Returns:
        Reliability [1]. A supervised NaN in either law makes every bin NaN.

    Raises:
        ValueError: If shapes differ, there is no bin, the level is not inside (0, 1), or
            there are neither outcomes nor weights.

    Example:
        >>> log_q = jnp.log(jnp.array([[[0.1, 0.9]]] * 4))  # too sure of outcome 1
        >>> log_p = jnp.log(jnp.array([[[0.3, 0.7]]] * 4))
        >>> outcomes, all_count = jnp.array([[1], [1], [1], [0]]), jnp.ones((4, 1), bool)
        >>> table = reliability(log_q, outcomes, log_p, all_count, num_bins=2)
        >>> table.predicted[1], table.observed[1], table.exact[1]
        (Array(0.9, dtype=float32), Array(0.75, dtype=float32), Array(0.7, dtype=float32))
    """
    _require_arguments(log_q, outcomes, log_p, supervised, num_bins, level, weights)
    counted = jnp.broadcast_to(supervised[..., None], log_q.shape)
    predicted = jnp.where(counted, jnp.exp(log_q), 0.0)
    exact = jnp.where(counted, jnp.exp(log_p), 0.0)
    hit = exact
    if outcomes is not None:
        hit = counted & (outcomes[..., None] == jnp.arange(log_q.shape[-1])[None, None, :])
    edges = jnp.arange(num_bins + 1, dtype=predicted.dtype) / num_bins
    index = jnp.searchsorted(edges[1:-1], predicted, side="right", method="compare_all")

    entries = jnp.stack([counted, hit, predicted, exact], axis=-1)
    by_sequence = jax.vmap(lambda row, at: jnp.zeros((num_bins, 4), row.dtype).at[at].add(row))(
        entries, index
    )
    counts = by_sequence[..., 0].astype(jnp.int32)
    count = jnp.sum(counts, axis=0)
    scale = jnp.ones(log_q.shape[0], predicted.dtype) if weights is None else weights
    sums = jnp.sum(by_sequence * scale[:, None, None], axis=0)
    poison = jnp.where(jnp.any(jnp.isnan(predicted) | jnp.isnan(exact)), jnp.nan, 0.0)
    total = jnp.where(count > 0, sums[:, 0], jnp.nan) + poison
    observed = sums[:, 1] / total
    low = high = observed
    if weights is None:
        hits = by_sequence[..., 1].astype(jnp.int32)
        low, high = clustered_interval(counts, hits, observed, level)
    return Reliability(
        edges_low=edges[:-1],
        edges_high=edges[1:],
        count=count,
        weight=sums[:, 0],
        predicted=sums[:, 2] / total,
        observed=observed,
        observed_low=low,
        observed_high=high,
        exact=sums[:, 3] / total,
        level=level,
        is_weighted=weights is not None,
    )


def merge_reliability(tables: Sequence[Reliability]) -> Reliability:
    """Join the tables of parts of all sequences into that of all.

    Args:
        tables: Tables of the same bins; with weights, unless there is only one.

    Returns:
        Reliability [1] over all of them.

    Raises:
        ValueError: If there is no table, or several without weights: what an interval
            needs to know of single sequences is not kept.

    Example:
        >>> log_p, half = jnp.log(jnp.array([[[0.25, 0.75]]])), jnp.array([0.5])
        >>> ones = jnp.ones((1, 1), bool)
        >>> parts = [reliability(log_p, None, log_p, ones, 2, weights=half) for _ in range(2)]
        >>> merge_reliability(parts).weight
        Array([1., 1.], dtype=float32)
    """
    if len(tables) == 1:
        return tables[0]
    if not tables or not all(table.is_weighted for table in tables):
        raise ValueError("tables: expected one, or several with weights, got none or others")
    weight, count = (
        jnp.sum(jnp.stack([getattr(t, name) for t in tables]), axis=0)
        for name in ("weight", "count")
    )
    total = jnp.where(count > 0, weight, jnp.nan)

    def mean(name: str) -> Float[Array, " bin"]:
        parts = [jnp.where(t.count > 0, t.weight * getattr(t, name), 0.0) for t in tables]
        return jnp.sum(jnp.stack(parts), axis=0) / total

    observed = mean("observed")
    return Reliability(
        edges_low=tables[0].edges_low,
        edges_high=tables[0].edges_high,
        count=count,
        weight=weight,
        predicted=mean("predicted"),
        observed=observed,
        observed_low=observed,
        observed_high=observed,
        exact=mean("exact"),
        level=tables[0].level,
        is_weighted=True,
    )


def expected_calibration_error(table: Reliability) -> Float[Array, ""]:
    """Average the gap between predicted probability and observed frequency.

    ``sum_b (weight_b / weight) |observed_b - predicted_b|``. On drawn
    outcomes it is positive even for a perfect predictor, since the frequencies
    fluctuate, and grows with the number of bins and with fewer sequences: compare it
    with another predictor's on the same outcomes, never with zero.
    ``exact_calibration_error`` has no such floor, and equals this one where sequences
    were weighted by their exact probability.

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
    return _weighted_gap(table, table.observed - table.predicted)


def exact_calibration_error(table: Reliability) -> Float[Array, ""]:
    """Average the gap between predicted and exact probability, without labels.

    ``sum_b (weight_b / weight) |exact_b - predicted_b|``. It uses the expectation of
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
    return _weighted_gap(table, table.exact - table.predicted)


def _weighted_gap(table: Reliability, gap: Float[Array, " bin"]) -> Float[Array, ""]:
    """Average absolute gaps by the bins' weights; bins without data take no part."""
    filled = jnp.where(table.count > 0, table.weight * jnp.abs(gap), 0.0)
    return jnp.sum(filled) / jnp.sum(table.weight)


def _require_arguments(
    log_q: Float[Array, "sequence position outcome"],
    outcomes: Outcomes | None,
    log_p: Float[Array, "sequence position outcome"],
    supervised: Supervised,
    num_bins: int,
    level: float,
    weights: Float[Array, " sequence"] | None,
) -> None:
    """Raise a ValueError for shapes or options that do not fit."""
    if log_q.ndim != 3:
        raise ValueError(
            f"log_q: expected the axes sequence, position, outcome, got shape {log_q.shape}"
        )
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p: expected the shape of log_q, {log_q.shape}, got {log_p.shape}")
    for name, array in (("outcomes", outcomes), ("supervised", supervised)):
        if array is not None and array.shape != log_q.shape[:-1]:
            raise ValueError(f"{name}: expected shape {log_q.shape[:-1]}, got {array.shape}")
    if weights is None and outcomes is None:
        raise ValueError("weights: expected them where no outcomes are given, got none")
    if weights is not None and weights.shape != log_q.shape[:1]:
        raise ValueError(f"weights: expected shape {log_q.shape[:1]}, got {weights.shape}")
    if num_bins < 1:
        raise ValueError(f"num_bins: expected a number of at least 1, got {num_bins}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
