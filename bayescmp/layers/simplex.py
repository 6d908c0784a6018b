"""The belief simplex: probabilities as points of a plane, and beliefs read from a stream."""

import numpy as np
from jaxtyping import Float

Beliefs = Float[np.ndarray, "row value"]
Weights = Float[np.ndarray, " row"]
Corners = Float[np.ndarray, "value plane"]

SMALLEST_VARIANCE = 1e-10
"""Variance of a direction, relative to the largest, that rounding in 32 bits may leave: the square
of 1e-5, a hundred roundings."""

ROUNDING = 1e-13
"""Variance relative to the mean square that rounding in 32 bits leaves of a constant."""

TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
"""Corners of the simplex of three values, drawn with equal sides."""


def simplex_corners(beliefs: Beliefs, weights: Weights) -> Corners:
    """Place the corners of the simplex in a plane, so that ``point = belief @ corners``.

    Three values have the triangle of equal sides, which shows all there is. More values are
    seen along the first two principal components of the beliefs.

    Args:
        beliefs: Probabilities, each row with the sum one.
        weights: Weight of each row; their sum is one.

    Returns:
        One point of the plane for each value.

    Raises:
        ValueError: If there are fewer than two values.

    Example:
        >>> corners = simplex_corners(np.eye(3), np.full(3, 1 / 3))
        >>> (np.full(3, 1 / 3) @ corners).round(3).tolist()  # the centre of the triangle
        [0.5, 0.289]
    """
    if beliefs.shape[1] < 2:
        raise ValueError(f"beliefs: expected at least 2 values, got {beliefs.shape[1]}")
    if beliefs.shape[1] == 3:
        return TRIANGLE.copy()
    mean = weights @ beliefs
    centred = (beliefs - mean) * np.sqrt(weights)[:, None]
    axes = np.linalg.svd(centred.T @ centred)[0][:, :2]
    # A component has no sign of its own: its largest entry is made positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None, :], axis=0)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    return axes - mean @ axes


def fit_affine(
    rows: Float[np.ndarray, "row feature"], targets: Beliefs, weights: Weights
) -> Float[np.ndarray, "feature_and_one value"]:
    """Fit targets by an affine map of vectors, by weighted least squares.

    Where several maps fit as well, the smallest is taken: directions of no more variance than
    rounding in 32 bits leaves are not used. Targets that sum to one are read as
    numbers that sum to one, though not always between zero and one.

    Args:
        rows: Vectors.
        targets: What is to be read from each.
        weights: Weight of each row.

    Returns:
        The map; its last row is what it adds.

    Source: Shai et al., arXiv 2405.15943.

    Example:
        >>> rows = np.array([[0.0], [1.0], [2.0]])
        >>> fit_affine(rows, 3.0 * rows + 1.0, np.full(3, 1 / 3)).round(6).tolist()
        [[3.0], [1.0]]
    """
    share, wide = weights / weights.sum(), rows.astype(np.float64)
    mean, middle = share @ wide, share @ targets
    centred = wide - mean
    variances, axes = np.linalg.eigh((centred * share[:, None]).T @ centred)
    rounding = ROUNDING * (share @ np.sum(wide**2, axis=1))
    kept = variances > max(SMALLEST_VARIANCE * variances.max(initial=0.0), rounding)
    along = centred @ axes[:, kept]
    linear = axes[:, kept] @ ((along * share[:, None]).T @ targets / variances[kept, None])
    return np.concatenate([linear, (middle - mean @ linear)[None, :]])


def apply_affine(
    rows: Float[np.ndarray, "row feature"], fitted: Float[np.ndarray, "feature_and_one value"]
) -> Beliefs:
    """Read targets from vectors.

    Args:
        rows: Vectors.
        fitted: What :func:`fit_affine` returned.

    Returns:
        What is read from each.

    Example:
        >>> apply_affine(np.array([[5.0]]), np.array([[3.0], [1.0]])).tolist()
        [[16.0]]
    """
    return rows.astype(np.float64) @ fitted[:-1] + fitted[-1]


def explained_share(targets: Beliefs, read: Beliefs, weights: Weights) -> float:
    """Return ``R^2 = 1 - E|target - read|^2 / E|target - mean|^2``.

    Args:
        targets: What is to be read.
        read: What was read.
        weights: Weight of each row; their sum is one.

    Returns:
        At most 1, below 0 where the mean would have served better; NaN where targets are all
        the same.

    Example:
        >>> targets = np.array([[0.0], [1.0]])
        >>> explained_share(targets, targets, np.full(2, 0.5))
        1.0
    """
    spread = weights @ np.sum((targets - weights @ targets) ** 2, axis=1)
    missed = weights @ np.sum((targets - read) ** 2, axis=1)
    return float(1.0 - missed / spread) if spread > 1e-12 else float("nan")
