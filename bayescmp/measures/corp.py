"""Reliability by isotonic regression: what forecasts turn out to mean, without any bins.

The recalibrated probability of a forecast is the rising function of it that fits the outcomes
best. It has no bins to choose, and the regions where it is level are as wide as the outcomes
leave undecided. The fit itself is SciPy's; equal forecasts are pooled before it, since a function
gives them the same value.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

Forecasts = Float[np.ndarray, " entry"]
Distinct = Float[np.ndarray, " distinct"]


@dataclass(frozen=True)
class Blocks:
    """An isotonic regression as its level parts, in rising order."""

    value: Float[np.ndarray, " block"]
    """Recalibrated probability of each part."""
    weight: Float[np.ndarray, " block"]
    """Entries in it."""
    start: Int[np.ndarray, " limit"]
    """First distinct forecast of each part, and the number of distinct forecasts."""

    @cached_property
    def fitted(self) -> Distinct:
        """Recalibrated probability of each distinct forecast."""
        return np.repeat(self.value, np.diff(self.start))


@dataclass(frozen=True)
class Pooled:
    """Forecasts in order, equal ones pooled: what fits to different outcomes share.

    Example:
        >>> pooled = pool_forecasts(np.array([0.6, 0.2, 0.6]))
        >>> pooled.forecasts, pooled.counts, pooled.regress(np.array([1.0, 0.0, 0.0])).fitted
        (array([0.2, 0.6]), array([1., 2.]), array([0. , 0.5]))
    """

    forecasts: Distinct
    """Distinct forecasts, rising."""
    counts: Distinct
    """Entries with each."""
    places: Int[np.ndarray, " entry"]
    """Which of them each entry has."""

    def sums(self, targets: Forecasts) -> Distinct:
        """Sum what belongs to entries over those with equal forecasts.

        Args:
            targets: Outcomes, 0 or 1, or their exact probabilities.

        Returns:
            A sum for each distinct forecast.
        """
        return np.bincount(self.places, weights=targets, minlength=self.forecasts.size)

    def regress(self, targets: Forecasts) -> Blocks:
        """Fit the rising function of the forecast that is nearest to some targets.

        Args:
            targets: Outcomes, 0 or 1, or their exact probabilities.

        Returns:
            The fit.
        """
        return self.regress_sums(self.sums(targets))

    def regress_sums(self, sums: Distinct) -> Blocks:
        """Do the same with the targets' sums over equal forecasts.

        Args:
            sums: What :meth:`sums` returns.

        Returns:
            The fit.
        """
        from scipy.optimize import isotonic_regression  # 0.4 s to import, and only needed here

        fit = isotonic_regression(sums / self.counts, weights=self.counts)
        start = fit.blocks.astype(np.int64)
        return Blocks(fit.x[start[:-1]], np.asarray(fit.weights, np.float64), start)


def pool_forecasts(forecasts: Forecasts) -> Pooled:
    """Order forecasts and pool equal ones.

    Args:
        forecasts: Predicted probabilities [1].

    Returns:
        The distinct ones, with their counts.

    Raises:
        ValueError: If there is none, or one is not inside [0, 1].
    """
    if not forecasts.size:
        raise ValueError("forecasts: expected at least one, got none")
    if not (forecasts.min() >= 0.0 and forecasts.max() <= 1.0 + 1e-9):  # off by rounding at most
        raise ValueError("forecasts: expected probabilities, got numbers outside [0, 1]")
    distinct, places, counts = np.unique(forecasts, return_inverse=True, return_counts=True)
    return Pooled(distinct, counts.astype(np.float64), places)


def reliability_curve(
    pooled: Pooled, blocks: Blocks, grid: Float[np.ndarray, " point"]
) -> Float[np.ndarray, " point"]:
    """Read a recalibration at given forecasts.

    Args:
        pooled: The forecasts of the fit.
        blocks: The fit.
        grid: Forecasts to read it at, in [0, 1].

    Returns:
        Recalibrated probabilities [1], by linear interpolation between forecasts that were made;
        NaN below the least and above the greatest of them, where nothing is known.

    Source: Dimitriadis, Gneiting and Jordan, Stable reliability diagrams for probabilistic
    classifiers, 2021, PNAS 118, e2016191118.

    Example:
        >>> pooled = pool_forecasts(np.array([0.2, 0.4, 0.8]))
        >>> fit = pooled.regress(np.array([0.0, 1.0, 1.0]))
        >>> reliability_curve(pooled, fit, np.array([0.1, 0.3, 0.6])).round(3)
        array([nan, 0.5, 1. ])
    """
    inside = np.interp(grid, pooled.forecasts, blocks.fitted, left=np.nan, right=np.nan)
    return np.clip(inside, 0.0, 1.0)


def isotonic_error(pooled: Pooled, targets: Forecasts) -> float:
    """Average the distance between forecasts and what they turn out to mean.

    ``sum_i |m(q_i) - q_i| / n`` with ``m`` the isotonic regression of the targets on the
    forecasts. With exact probabilities for targets it is a calibration error without labels and
    without bins, zero for the exact predictor; with outcomes it is positive even for that one.
    It sees only what a rising function can undo, and takes any other distortion for noise.

    Args:
        pooled: Forecasts.
        targets: Outcomes, 0 or 1, or their exact probabilities.

    Returns:
        Error [1].

    Example:
        >>> pooled = pool_forecasts(np.array([0.25, 0.75]))
        >>> isotonic_error(pooled, np.array([0.25, 0.5]))
        0.125
    """
    gaps = np.abs(pooled.regress(targets).fitted - pooled.forecasts)
    return float(pooled.counts @ gaps / pooled.counts.sum())
