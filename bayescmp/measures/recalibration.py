"""Recalibration on held-out outcomes: an isotonic map of the confidence."""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class IsotonicMap:
    """A rising step function from a confidence to how often such answers were right."""

    confidence: Float[np.ndarray, " knot"]
    """Confidences that were seen, rising."""
    right: Float[np.ndarray, " knot"]
    """Share of right answers there."""

    def __call__(self, confidence: Float[np.ndarray, "*rows"]) -> Float[np.ndarray, "*rows"]:
        """Look up confidences, linear between those that were seen and constant beyond."""
        return np.interp(confidence, self.confidence, self.right)


def fit_isotonic(
    confidence: Float[np.ndarray, " question"], right: Bool[np.ndarray, " question"]
) -> IsotonicMap:
    """Fit a rising map from confidence to the share of right answers, by least squares.

    Equal confidences are pooled first. The fit is no test: questions of one sequence depend on
    each other.

    Args:
        confidence: How sure the predictor was of its answer.
        right: Whether it was right.

    Returns:
        The map.

    Raises:
        ValueError: If there is no question, or shapes differ.

    Source: Zadrozny and Elkan, Transforming classifier scores into accurate multiclass
    probability estimates, KDD 2002.

    Example:
        >>> from bayescmp.measures.recalibration import fit_isotonic
        >>> fit = fit_isotonic(np.array([0.9, 0.9, 0.6]), np.array([True, False, False]))
        >>> fit(np.array([0.6, 0.75, 0.99])).round(2)
        array([0.  , 0.25, 0.5 ])
    """
    if confidence.shape != right.shape or confidence.size == 0:
        raise ValueError(
            f"right: expected one for each confidence and at least one, got {right.shape} for "
            f"{confidence.shape}"
        )
    knots, group, size = np.unique(confidence, return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=right) / size
    fitted = scipy.optimize.isotonic_regression(share, weights=size).x
    return IsotonicMap(knots, np.asarray(fitted))


def mean_zero_p_value(sums: Float[np.ndarray, " sequence"]) -> float:
    """Test whether independent numbers have mean zero, by Student's t.

    Args:
        sums: One number for each sequence, not all equal.

    Returns:
        Two-sided p-value.

    Example:
        >>> from bayescmp.measures.recalibration import mean_zero_p_value
        >>> round(mean_zero_p_value(np.array([1.0, 2.0, 3.0])), 4)
        0.0742
    """
    num = sums.size
    statistic = sums.mean() / (sums.std(ddof=1) / np.sqrt(num))
    return float(2.0 * scipy.special.stdtr(num - 1, -abs(statistic)))
