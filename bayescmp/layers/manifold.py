"""The manifold of vectors: how few directions hold their variance, and what the first follows.

Features are z-scored, as in the published figures, so that none counts for its size alone.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray, "row feature"]
Weights = Float[np.ndarray, " row"]

SMALLEST_SPREAD = 1e-6
"""Standard deviation, relative to the root mean square, below which a feature is constant: ten
times the rounding of 32 bits."""


@dataclass(frozen=True)
class Manifold:
    """How vectors spread; every number is between 0 and 1 except the participation ratio.

    Example:
        >>> rows = np.outer(np.arange(4.0), np.array([1.0, -2.0, 0.5]))  # a line
        >>> found = describe_manifold(rows, np.full(4, 0.25), np.arange(4.0), np.ones(4))
        >>> round(found.pc1, 6), round(found.participation, 6), round(found.entropy_rho, 6)
        (1.0, 1.0, 1.0)
    """

    pc1: float
    """Share of the variance along the first principal component."""
    pc12: float
    """Share along the first two."""
    participation: float
    """``(sum_i v_i)^2 / sum_i v_i^2`` of the variances ``v``: 1 on a line, d where all agree."""
    entropy_rho: float
    """Absolute rank correlation of the first component with the predictive entropy."""
    position_rho: float
    """The same with the position, which any network can read off."""


def describe_manifold(rows: Rows, weights: Weights, entropy: Weights, place: Weights) -> Manifold:
    """Describe how vectors spread.

    Args:
        rows: Vectors, in any unit.
        weights: Weight of each; their sum is one.
        entropy: Predictive entropy that belongs to each, in any unit.
        place: Position of each.

    Returns:
        The description; NaN where nothing varies.
    """
    standard = standardise(rows, weights)
    shares, axes = _principal_axes(standard, weights)
    if shares.size == 0:
        return Manifold(*([float("nan")] * 5))
    scores = standard @ axes[:, 0]
    return Manifold(
        pc1=float(shares[0]),
        pc12=float(shares[:2].sum()),
        participation=participation_ratio(shares),
        entropy_rho=abs(rank_correlation(scores, entropy, weights)),
        position_rho=abs(rank_correlation(scores, place, weights)),
    )


def standardise(rows: Rows, weights: Weights) -> Float[np.ndarray, "row varying_feature"]:
    """Give every feature mean zero and variance one; constant features are left out.

    Args:
        rows: Vectors.
        weights: Weight of each; their sum is one.

    Returns:
        Rows in 64 bits.

    Example:
        >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0]]), np.full(2, 0.5)).tolist()
        [[-1.0], [1.0]]
    """
    wide = rows.astype(np.float64)
    centred = wide - weights @ wide
    spread = np.sqrt(weights @ centred**2)
    varies = spread > SMALLEST_SPREAD * np.sqrt(weights @ wide**2)
    return centred[:, varies] / spread[varies]


def principal_shares(rows: Rows, weights: Weights) -> Float[np.ndarray, " component"]:
    """Return the share of the z-scored features' variance along each principal component.

    Args:
        rows: Vectors.
        weights: Weight of each; their sum is one.

    Returns:
        Shares in falling order, which sum to one; none where nothing varies.

    Example:
        >>> principal_shares(np.array([[0.0, 0.0], [1.0, 2.0]]), np.full(2, 0.5)).round(6)
        array([1., 0.])
    """
    return _principal_axes(standardise(rows, weights), weights)[0]


def _principal_axes(standard: Rows, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return shares and axes of the correlation matrix, the largest first."""
    variances, axes = np.linalg.eigh((standard * weights[:, None]).T @ standard)
    variances = np.maximum(variances[::-1], 0.0)
    return variances / max(variances.sum(), 1e-300), axes[:, ::-1]


def participation_ratio(shares: Float[np.ndarray, " component"]) -> float:
    """Return how many directions share the variance, ``1 / sum_i share_i^2``.

    Args:
        shares: Shares that sum to one.

    Returns:
        Between 1 and their number; NaN where there is none.

    Example:
        >>> participation_ratio(np.array([0.5, 0.5, 0.0]))
        2.0
    """
    return float(1.0 / np.sum(shares**2)) if shares.size else float("nan")


def rank_correlation(first: Weights, second: Weights, weights: Weights) -> float:
    """Return Spearman's correlation, with weights.

    The rank of a value is the weight below it and half of that at it, so that ties share one.

    Args:
        first: Numbers.
        second: Other numbers.
        weights: Weight of each pair; their sum is one.

    Returns:
        Between -1 and 1; NaN where one of them does not vary.

    Example:
        >>> values = np.array([1.0, 2.0, 9.0])
        >>> rank_correlation(values, values[::-1], np.full(3, 1 / 3))
        -1.0
    """
    x, y = (_midranks(values, weights) - 0.5 for values in (first, second))
    spread = float(np.sqrt((weights @ x**2) * (weights @ y**2)))
    return float(np.clip((weights * x) @ y / spread, -1.0, 1.0)) if spread > 1e-12 else float("nan")


def _midranks(values: Weights, weights: Weights) -> Weights:
    _, level = np.unique(values, return_inverse=True)
    mass = np.bincount(level, weights)
    return (np.cumsum(mass) - 0.5 * mass)[level]


def gaussian_shares(
    num_rows: int, num_features: int, rng: np.random.Generator
) -> Float[np.ndarray, " component"]:
    """Draw the shares that independent normal features have, for as many rows.

    Args:
        num_rows: Number of vectors, at least two.
        num_features: Number of their features.
        rng: Generator.

    Returns:
        Shares in falling order: of 75 vectors of 1,024 features the first holds 2.1 %.

    Raises:
        ValueError: If there are fewer than two vectors.
    """
    if num_rows < 2:
        raise ValueError(f"num_rows: expected at least 2, got {num_rows}")
    rows = rng.standard_normal((num_rows, num_features))
    return principal_shares(rows, np.full(num_rows, 1.0 / num_rows))


def permuted_shares(
    rows: Rows, weights: Weights, rng: np.random.Generator
) -> Float[np.ndarray, " component"]:
    """Draw the shares that remain when each feature is shuffled by itself over the vectors.

    The features keep their laws and lose all that they have to do with each other.

    Args:
        rows: Vectors.
        weights: Weight of each; their sum is one.
        rng: Generator.

    Returns:
        Shares in falling order.
    """
    return principal_shares(rng.permuted(rows, axis=0), weights)
