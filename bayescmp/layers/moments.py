"""Weighted second moments of features and targets: all that linear regression needs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

CHUNK = 8_192
"""Rows that are held in 64 bits at once."""


@dataclass(frozen=True)
class Moments:
    """Sums over rows about their mean; the moments of two sets of rows add up to that of both.

    Example:
        >>> from bayescmp.layers.moments import gather_moments
        >>> rows = np.array([[0.0], [2.0], [4.0]])
        >>> part = gather_moments(rows, 3.0 * rows, np.ones(3))
        >>> float(part.cross[0, 0]), float((part + part).cross[0, 0])
        (24.0, 48.0)
    """

    weight: float
    """Sum of the weights."""
    feature_mean: Float[np.ndarray, " feature"]
    target_mean: Float[np.ndarray, " column"]
    features: Float[np.ndarray, "feature feature"]
    """``sum_i w_i (x_i - mean) (x_i - mean)^T``."""
    cross: Float[np.ndarray, "feature column"]
    """``sum_i w_i (x_i - mean) (y_i - mean)^T``."""
    squares: Float[np.ndarray, " column"]
    """``sum_i w_i (y_i - mean)^2``, column by column."""

    def __add__(self, other: "Moments") -> "Moments":
        """Add the moments of other rows (Chan, Golub and LeVeque)."""
        weight = self.weight + other.weight
        gap = other.feature_mean - self.feature_mean
        target_gap = other.target_mean - self.target_mean
        share, between = other.weight / weight, self.weight * other.weight / weight
        return Moments(
            weight,
            self.feature_mean + share * gap,
            self.target_mean + share * target_gap,
            self.features + other.features + between * np.outer(gap, gap),
            self.cross + other.cross + between * np.outer(gap, target_gap),
            self.squares + other.squares + between * target_gap**2,
        )

    def take(self, features: slice = slice(None), columns: slice = slice(None)) -> "Moments":
        """Keep some of the features and columns.

        Args:
            features: Which features.
            columns: Which columns of the targets.

        Returns:
            Their moments.
        """
        return Moments(
            self.weight,
            self.feature_mean[features],
            self.target_mean[columns],
            self.features[features, features],
            self.cross[features, columns],
            self.squares[columns],
        )

    def project(self, basis: Float[np.ndarray, "feature direction"]) -> "Moments":
        """Put coordinates along some directions in the place of the features.

        Args:
            basis: The directions, one in each column.

        Returns:
            Moments of ``basis^T x``.
        """
        return Moments(
            self.weight,
            basis.T @ self.feature_mean,
            self.target_mean,
            basis.T @ self.features @ basis,
            basis.T @ self.cross,
            self.squares,
        )


def gather_moments(
    features: Num[np.ndarray, "row feature"],
    targets: Float[np.ndarray, "row column"],
    weights: Float[np.ndarray, " row"],
) -> Moments:
    """Sum up the second moments of some rows, in 64 bits.

    Args:
        features: Features of each row, in any precision.
        targets: What is to be read from them.
        weights: Weight of each row, positive.

    Returns:
        The moments.

    Raises:
        ValueError: If there is no row, a weight is not positive, or a number is not finite.
    """
    if not len(features):
        raise ValueError("features: expected at least one row, got none")
    if not (weights > 0.0).all():
        raise ValueError(f"weights: expected positive numbers, got {weights.min()}")
    cuts = [slice(start, start + CHUNK) for start in range(0, len(features), CHUNK)]
    parts = (_gather(features[cut], targets[cut], weights[cut]) for cut in cuts)
    total = next(parts)
    for part in parts:
        total += part
    if not (np.isfinite(total.features).all() and np.isfinite(total.squares).all()):
        raise ValueError("features, targets: expected finite numbers, got others")
    return total


def _gather(features: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Moments:
    """Sum up the moments of a few rows about their own mean."""
    x, y = features.astype(np.float64), targets
    weight = float(weights.sum())
    mean, target_mean = weights @ x / weight, weights @ y / weight
    root = np.sqrt(weights)[:, None]
    x, y = root * (x - mean), root * (y - target_mean)
    return Moments(weight, mean, target_mean, x.T @ x, x.T @ y, np.sum(y**2, axis=0))
