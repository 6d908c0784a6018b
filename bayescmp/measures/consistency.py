"""What a calibrated predictor would show: its own laws, with outcomes drawn from them.

Null: given its laws, each row's outcome was drawn from that row's law, independently of the
other rows. That is calibration of the whole law, no more: a predictor that knows little and says
so passes. Rows must be independent, so of one sequence only one question may be among them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Laws = Float[np.ndarray, "row outcome"]


def draw_outcomes(q: Laws, num: int, rng: np.random.Generator) -> Int[np.ndarray, "draw row"]:
    """Draw outcomes from the law of each row.

    Args:
        q: Probabilities [1]; what they lack to one by rounding goes to the last possible outcome.
        num: How many outcomes for each row.
        rng: Where randomness comes from.

    Returns:
        Outcomes, indices from 0; never one of probability zero.

    Example:
        >>> draw_outcomes(np.array([[0.0, 1.0], [1.0, 0.0]]), 3, np.random.default_rng(0))[0]
        array([1, 0])
    """
    limits = np.cumsum(q, axis=1)
    limits /= limits[:, -1:]
    uniforms = rng.random((num, len(q)))
    drawn = np.zeros(uniforms.shape, np.int64)
    for limit in limits.T[:-1]:  # one outcome at a time: all at once would need much memory
        drawn += uniforms >= limit
    return drawn


def as_targets(outcomes: Int[np.ndarray, " row"], num_outcomes: int) -> Laws:
    """Write outcomes as rows of zeros and a one.

    Args:
        outcomes: Indices from 0.
        num_outcomes: Values that an outcome can take.

    Returns:
        Targets of a regression.

    Example:
        >>> as_targets(np.array([1, 0]), 2)
        array([[0., 1.],
               [1., 0.]])
    """
    return (outcomes[:, None] == np.arange(num_outcomes)).astype(np.float64)


def monte_carlo_p_value(value: float, null: Float[np.ndarray, " draw"]) -> float:
    """Return the chance of a value as large, by draws under the null.

    ``(1 + #{draws >= value}) / (1 + #draws)``: at most ``a`` with a chance of at most ``a``
    under the null, with any number of draws.

    Args:
        value: What was observed.
        null: The same of independent draws under the null.

    Returns:
        The p-value; NaN for a value or a draw that is none.

    Source: Phipson and Smyth, Permutation p-values should never be zero, 2010, Statistical
    Applications in Genetics and Molecular Biology 9.

    Example:
        >>> monte_carlo_p_value(2.0, np.array([0.0, 1.0, 3.0]))
        0.5
    """
    if np.isnan(value) or np.isnan(null).any():
        return np.nan
    return (1.0 + float(np.sum(null >= value))) / (1.0 + null.size)


@dataclass(frozen=True)
class Envelope:
    """A region that a whole curve stays in with a stated chance under the null."""

    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]


def envelope(curves: Float[np.ndarray, "draw point"], coverage: float = 0.95) -> Envelope:
    """Bound curves that were drawn under the null, at all points together.

    ``mean +- c sd`` at each point, with ``c`` the quantile over draws of the greatest distance
    from the mean in standard deviations. A band of pointwise quantiles would be left somewhere
    by many curves that are right. It is a Monte Carlo band: its coverage is off by
    ``sqrt(0.95 x 0.05 / draws)`` or so.

    Args:
        curves: One row for each draw, probabilities; NaN where the curve is not defined.
        coverage: Chance of a curve inside at all points.

    Returns:
        The region, inside [0, 1]; NaN where too few curves are defined.

    Raises:
        ValueError: If the coverage is not inside (0, 1) or there are fewer than 20 draws.

    Example:
        >>> curves = np.random.default_rng(0).normal(0.5, 0.1, (200, 3))
        >>> bool(envelope(curves).high[0] > 0.5 + 1.96 * 0.1)  # wider than a pointwise band
        True
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage}")
    if len(curves) < 20:
        raise ValueError(f"curves: expected at least 20 draws, got {len(curves)}")
    known: Bool[np.ndarray, " point"] = ~np.isnan(curves).any(axis=0)
    mean = np.where(known, curves.sum(axis=0) / len(curves), np.nan)
    spread = np.sqrt(((curves - mean) ** 2).sum(axis=0) / (len(curves) - 1))
    moves = known & (spread > 1e-12)  # what is certain has rounding for a spread
    distance = np.abs(curves[:, moves] - mean[moves]) / spread[moves]
    factor = np.quantile(distance.max(axis=1, initial=0.0), coverage, method="higher")
    low, high = mean - factor * spread, mean + factor * spread
    return Envelope(np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))
