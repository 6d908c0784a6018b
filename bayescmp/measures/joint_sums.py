"""Many sums over sequences, tested together: which of them are not zero?

Every cell (a level of a coverage curve, a group of contexts) has one score per sequence whose
expectation is zero if the predictor is calibrated. The questions of one sequence depend on each
other, and so do the cells; sequences are independent.

1. A cell's sum has a variance: the sum of the squared scores of sequences, which allows for any
   dependence within a sequence. Where events are rare it is a poor estimate (nothing came, so
   nothing varied), but the predictor's own laws state the variance of each question too. So it
   is taken to be at least 0.9 of that; both agree on average under an exact predictor, and the
   larger of both would make the test too strict.
2. The sum of rare events is skew. With its skewness ``g``, known from the laws, ``t`` becomes
   ``t - g (t^2 - 1) / 6 + g^2 t^3 / 108``, whose tails are normal to second order and which rises
   with ``t`` everywhere. Cells with ``|g| > 1/3`` (fewer than some nine events) are not tested.
3. The joint law of all cells comes from flipping the signs of whole sequences at random, each
   flipped sum divided by its own standard deviation: the correlation of cells is the data's.

A cell's p-value is the chance that the largest of all flipped cells is as large, so that the
chance of any false finding is at most the level whatever the dependence (Westfall and Young);
Holm's procedure gives the same guarantee and finds less.

Source: Hall, On the removal of skewness by transformation, Journal of the Royal Statistical
Society B 54 (1992); Westfall and Young, Resampling-based multiple testing (1993).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NUM_FLIPS = 999
"""Random flips: p-values are multiples of 1/1,000."""

MOST_SKEW = 1.0 / 3.0
"""Largest skewness of a sum that is tested."""

LEAST_SHARE = 0.9
"""Least variance between sequences, as a share of the variance by the predictor's laws."""

ROUNDING = 1e-12
"""Variance of a cell, as a share of its sequences, below which it never varies."""

CHUNK = 2**22
"""Numbers that are flipped at once."""


@dataclass(frozen=True)
class CellSums:
    """Sums over sequences of many cells, each of expectation zero under calibration."""

    scores: Float[np.ndarray, "sequence cell"]
    """What each sequence adds to each cell."""
    variance: Float[np.ndarray, " cell"]
    """Variance of the cell's sum by the predictor's own laws."""
    third_moment: Float[np.ndarray, " cell"]
    """Third central moment of the cell's sum by the predictor's own laws."""


@dataclass(frozen=True)
class JointTest:
    """Which of many sums are not zero."""

    statistic: Float[np.ndarray, " cell"]
    """Sums in standard deviations, skewness removed; NaN where a cell is not tested."""
    scale: Float[np.ndarray, " cell"]
    """Standard deviation of each sum."""
    adjusted: Float[np.ndarray, " cell"]
    """P-value of each cell among all; NaN where it is not tested."""
    p_value: float
    """Chance of a largest cell as large; 1 where no cell could be tested."""
    p_sum: float
    """Chance of a sum of squared cells as large: for errors spread over many cells."""
    bound: float
    """What no cell exceeds with a chance of 95 %."""


def flip_signs(num_sequences: int, rng: np.random.Generator) -> Float[np.ndarray, "flip sequence"]:
    """Draw the signs that sequences get in each flip.

    Args:
        num_sequences: How many sequences.
        rng: Where the signs come from.

    Returns:
        Ones and minus ones.
    """
    return rng.choice(np.array([-1.0, 1.0]), size=(NUM_FLIPS, num_sequences))


def check_jointly(sums: CellSums, signs: Float[np.ndarray, "flip sequence"]) -> JointTest:
    """Test whether many sums are zero, all together.

    Args:
        sums: Scores of the sequences, with moments by the predictor's laws.
        signs: Random signs of sequences, one row for each flip.

    Returns:
        Statistics and p-values. The units are sequences: any dependence between the questions
        of one is allowed for.

    Example:
        >>> from bayescmp.measures.joint_sums import CellSums, flip_signs, check_jointly
        >>> rng = np.random.default_rng(3)
        >>> scores = rng.normal(size=(400, 3)) + [0.0, 0.5, 0.0]
        >>> sums = CellSums(scores, np.full(3, 400.0), np.zeros(3))
        >>> check_jointly(sums, flip_signs(400, rng)).adjusted < 0.05
        array([False,  True, False])
    """
    squares = np.sum(sums.scores**2, axis=0)
    variance = np.maximum(squares, LEAST_SHARE * sums.variance)
    varies = variance > ROUNDING * len(sums.scores)
    scale = np.sqrt(np.where(varies, variance, 1.0))
    skewness = np.where(varies, sums.third_moment / scale**3, 0.0)
    tested = np.abs(skewness) <= MOST_SKEW
    raw = np.where(varies, sums.scores.sum(axis=0) / scale, 0.0)
    statistic = np.where(tested, remove_skewness(raw, skewness), np.nan)
    if not tested.any():
        return JointTest(statistic, scale, np.full(tested.shape, np.nan), 1.0, 1.0, np.inf)
    own = np.sqrt(np.where(squares > ROUNDING * len(sums.scores), squares, np.inf))
    largest, total = _flip((sums.scores / own)[:, tested], signs)
    size = np.abs(statistic)
    return JointTest(
        statistic=statistic,
        scale=scale,
        adjusted=np.where(tested, _exceedance(largest, size), np.nan),
        p_value=float(_exceedance(largest, size[tested].max(keepdims=True))[0]),
        p_sum=float(_exceedance(total, np.sum(size[tested] ** 2, keepdims=True))[0]),
        bound=float(np.sort(largest)[-round(0.05 * (len(signs) + 1))]),
    )


def remove_skewness(
    statistic: Float[np.ndarray, "*cell"], skewness: Float[np.ndarray, "*cell"]
) -> Float[np.ndarray, "*cell"]:
    """Transform a standardised sum so that its tails are normal to second order.

    ``t - g (t^2 - 1) / 6 + g^2 t^3 / 108``, which rises with ``t`` everywhere.

    Args:
        statistic: Sums in standard deviations.
        skewness: Their skewness ``g``.

    Returns:
        Transformed sums.
    """
    return statistic - skewness * (statistic**2 - 1.0) / 6.0 + skewness**2 * statistic**3 / 108.0


def _flip(
    scores: Float[np.ndarray, "sequence cell"], signs: Float[np.ndarray, "flip sequence"]
) -> tuple[Float[np.ndarray, " flip"], Float[np.ndarray, " flip"]]:
    """Return the largest flipped cell, and the sum of squared ones, of each flip."""
    step = max(1, CHUNK // scores.shape[1])
    parts = [signs[start : start + step] @ scores for start in range(0, len(signs), step)]
    largest = np.concatenate([np.abs(part).max(axis=1) for part in parts])
    return largest, np.concatenate([np.sum(part**2, axis=1) for part in parts])


def _exceedance(
    null: Float[np.ndarray, " flip"], values: Float[np.ndarray, " cell"]
) -> Float[np.ndarray, " cell"]:
    """Return the chance of values as large, the data being one more flip."""
    # Equal sums of the same numbers in another order differ by rounding.
    below = np.searchsorted(np.sort(null), values * (1.0 - 1e-9), side="left")
    return (1.0 + len(null) - below) / (len(null) + 1.0)
