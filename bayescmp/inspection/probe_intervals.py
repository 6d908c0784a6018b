"""Intervals over sequences, whose questions depend on each other, for the scores of probes."""

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from bayescmp.inspection.probe_scores import Design, Examples, Score, decoded_kl

LEVEL = 0.95
"""Level of the intervals."""

Interval = tuple[float, float]
"""Lower and upper end."""


def intervals(
    own: Score, found: Design, examples: Examples, index: int
) -> tuple[Interval, Interval]:
    """Return intervals over sequences for a share explained and for a divergence in nats.

    Args:
        own: Score of a read-out from the design's features.
        found: Features and moments.
        examples: Targets, and which rows are for what.
        index: Which target.

    Returns:
        Ends of each; NaN for the divergence of a target that is no law. Where every sequence is
        listed, nothing was drawn, and a score is its own interval.
    """
    if examples.validate is None:
        return (own.r_squared, own.r_squared), (own.kl, own.kl)
    affine = own.read_out.affine
    columns, rows = examples.columns[index], examples.judge
    weights, mean = examples.weights[rows], found.judge.target_mean[columns]
    values = examples.values[rows, columns]
    errors = np.sum((values - affine(found.features[rows])) ** 2, axis=1)
    squares = np.sum((values - mean) ** 2, axis=1)
    clusters = examples.sequences[rows]
    low, high = ratio_interval(weights * errors, weights * squares, clusters)
    if examples.targets[index].law_size is None:
        return (1.0 - high, 1.0 - low), (np.nan, np.nan)
    rows = examples.decoded_rows(examples.targets[index].num_columns)
    kl = decoded_kl(affine, found.features, examples, index)
    weights, clusters = examples.weights[rows], examples.sequences[rows]
    return (1.0 - high, 1.0 - low), ratio_interval(weights * kl, weights, clusters)


def ratio_interval(
    above: Float[np.ndarray, " row"],
    below: Float[np.ndarray, " row"],
    clusters: Int[np.ndarray, " row"],
) -> Interval:
    """Return an interval of a ratio of sums over rows that depend on each other by sequence.

    With ``a_s`` and ``b_s`` the sums of sequence ``s`` and ``r = sum a / sum b``, to first order
    ``var r = G / (G - 1) sum_s (a_s - r b_s)^2 / (sum b)^2`` for ``G`` sequences.

    Args:
        above: Numerator of each row.
        below: Denominator of each row.
        clusters: Number of the sequence of each row.

    Returns:
        Ends of Student's interval; infinitely wide for one sequence.
    """
    _, places = np.unique(clusters, return_inverse=True)
    a, b = np.bincount(places, above), np.bincount(places, below)
    num, ratio, total = len(a), a.sum() / b.sum(), b.sum()
    if num < 2:
        return -np.inf, np.inf
    error = np.sqrt(num / (num - 1) * np.sum((a - ratio * b) ** 2)) / total
    half = float(scipy.special.stdtrit(num - 1, 0.5 * (1.0 + LEVEL)) * error)
    return float(ratio) - half, float(ratio) + half
