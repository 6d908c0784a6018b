"""Calibration errors in bins: as drawn outcomes show them, less their bias, and exactly.

In a bin ``b`` with ``n_b`` of ``n`` entries let ``f_b`` be the mean forecast, ``y_b`` the share
that came true and ``p_b`` the mean exact probability. The plain error ``sum_b n_b/n |y_b - f_b|``
is positive for a perfect predictor, since ``y_b`` fluctuates around ``p_b``. Two corrections:

1. ``y_b`` is nearly normal with variance ``v_b = y_b (1 - y_b) / n_b``. A normal number of mean
   ``m = y_b - f_b`` and standard deviation ``s`` has the mean distance
   ``E|X| = s sqrt(2/pi) exp(-m^2 / 2 s^2) + m erf(m / (s sqrt 2))`` from zero. The amount by
   which that exceeds ``|m|`` estimates by how much fluctuation lengthens the error, and is taken
   off. The rest can be negative. It is no full cure: where there is no error the bias loses
   ``sqrt(2) - 1`` of itself, for a second fluctuation lengthens a distance less than the first.
2. ``(y_b - f_b)^2 - y_b (1 - y_b) / (n_b - 1)`` has exactly the mean ``(p_b - f_b)^2`` for
   entries of the same ``p``, and one smaller by ``var(p) / (n_b - 1)`` where they differ.

Both hold for entries that are independent of each other: one question of each sequence, and one
outcome at a time.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

NUM_BINS = 15
"""Equally wide bins unless told."""

Entries = Float[np.ndarray, " entry"]


@dataclass(frozen=True)
class BinnedErrors:
    """Calibration errors of the same entries, in the same bins."""

    plain: float
    """Against outcomes: the expected calibration error."""
    debiased: float
    """The same, less its bias by a normal approximation; can be negative."""
    exact: float
    """Against exact probabilities: what both estimate."""
    squared: float
    """Mean square against outcomes, less its bias; can be negative."""
    exact_squared: float
    """Mean square against exact probabilities: what ``squared`` estimates."""


def binned_errors(
    q: Entries, came: Bool[np.ndarray, " entry"], p: Entries, num_bins: int = NUM_BINS
) -> BinnedErrors:
    """Measure the calibration error of independent entries in equally wide bins.

    Args:
        q: Predicted probabilities [1].
        came: Which came true.
        p: Exact probabilities [1].
        num_bins: Bins that divide [0, 1].

    Returns:
        Errors [1]. A bin with one entry tells nothing of its own fluctuation, and adds nothing
        to ``squared``.

    Raises:
        ValueError: If there is no entry or no bin, or shapes differ.

    Source: Kumar, Liang and Ma, Verified uncertainty calibration, 2019, NeurIPS 32: section 5
    for the square, appendix G for the distance (there by simulation).

    Example:
        >>> q, came = np.full(100, 0.5), np.arange(100) < 55
        >>> errors = binned_errors(q, came, q)
        >>> round(errors.plain, 4), round(errors.debiased, 4), errors.exact
        (0.05, 0.0418, 0.0)
    """
    _require(q, came, p, num_bins)
    place = np.minimum((q * num_bins).astype(np.int64), num_bins - 1)
    count, predicted, observed, exact = (
        np.bincount(place, weights=values, minlength=num_bins)
        for values in (np.ones(q.size), q, came.astype(np.float64), p)
    )
    filled = count > 0
    count = count[filled]
    predicted, observed, exact = (sums[filled] / count for sums in (predicted, observed, exact))
    share, gap = count / count.sum(), observed - predicted
    plain = float(share @ np.abs(gap))
    variance = observed * (1.0 - observed)
    excess = _mean_distance(gap, np.sqrt(variance / count)) - np.abs(gap)
    square = np.where(count > 1, gap**2 - variance / np.maximum(count - 1, 1), 0.0)
    return BinnedErrors(
        plain=plain,
        debiased=plain - float(share @ excess),
        exact=float(share @ np.abs(exact - predicted)),
        squared=float(share @ square),
        exact_squared=float(share @ (exact - predicted) ** 2),
    )


def _mean_distance(
    mean: Float[np.ndarray, " bin"], deviation: Float[np.ndarray, " bin"]
) -> Float[np.ndarray, " bin"]:
    """Return how far a normal number is from zero on average."""
    from scipy.special import erf  # 0.1 s to import, and only needed here

    spread = deviation > 0.0
    ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=spread)
    peak = deviation * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * ratio**2)
    return np.where(spread, peak + mean * erf(ratio / np.sqrt(2.0)), np.abs(mean))


def _require(q: Entries, came: Bool[np.ndarray, " entry"], p: Entries, num_bins: int) -> None:
    """Raise a ValueError for entries that do not fit."""
    if num_bins < 1:
        raise ValueError(f"num_bins: expected at least 1, got {num_bins}")
    if not q.size:
        raise ValueError("q: expected at least one entry, got none")
    for name, values in (("came", came), ("p", p)):
        if values.shape != q.shape:
            raise ValueError(f"{name}: expected shape {q.shape}, got {values.shape}")
    if not (q.min() >= 0.0 and q.max() <= 1.0 + 1e-9):  # off by rounding at most
        raise ValueError("q: expected probabilities, got numbers outside [0, 1]")
