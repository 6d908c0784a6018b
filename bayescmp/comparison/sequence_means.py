"""Means over questions with intervals over sequences."""

import numpy as np
from jaxtyping import Float, Int

from bayescmp.measures.interval import Interval

Values = Float[np.ndarray, "*entry sequence position"]
"""One number for each question, NaN where a question does not count."""

Weights = Float[np.ndarray, " sequence"]
"""Probabilities of all sequences there are, where they are not draws."""


def over_questions(values: Values, weights: Weights | None = None, level: float = 0.95) -> Interval:
    """Average over all questions that count.

    Sequences are independent, their questions are not: with ``S_i`` the sum over the
    questions of sequence ``i``, ``m_i`` their number and ``r = sum S_i / sum m_i``, the
    standard error is ``sqrt(n / (n - 1) sum (S_i - r m_i)^2) / sum m_i``.

    Args:
        values: One number for each question, in any unit.
        weights: Exact probabilities of the sequences, if these are all there are; nothing
            is estimated then, and the interval has no width.
        level: Coverage asked for.

    Returns:
        Interval of the mean. Infinitely wide for fewer than two sequences; with infinite
        values its ends are NaN.

    Example:
        >>> interval = over_questions(np.array([[1.0, 3.0], [2.0, np.nan]]))
        >>> float(interval.mean), interval.num
        (2.0, 2)
    """
    counts = ~np.isnan(values)
    return ratio(np.where(counts, values, 0.0).sum(-1), counts.sum(-1), weights, level)


def over_sequences(values: Values, weights: Weights | None = None, level: float = 0.95) -> Interval:
    """Average over the sequences that count at each position.

    Args:
        values: One number for each question, in any unit.
        weights: Exact probabilities of the sequences, if these are all there are.
        level: Coverage asked for.

    Returns:
        Interval of the mean at each position; NaN where nothing counts.
    """
    by_position = np.moveaxis(values, -1, 0)[..., None]
    interval = over_questions(by_position, weights, level)
    mean, low, high = (
        np.moveaxis(np.asarray(x), 0, -1) for x in (interval.mean, interval.low, interval.high)
    )
    return Interval(mean, low, high, level, interval.num)


def ratio(
    sums: Float[np.ndarray, "*entry sequence"],
    counts: Float[np.ndarray, "*entry sequence"] | Int[np.ndarray, "*entry sequence"],
    weights: Weights | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a ratio of two sums over independent sequences.

    Args:
        sums: What is added up above the line, for each sequence.
        counts: What is added up below it; a sequence with 0 does not count.
        weights: Exact probabilities of the sequences, if these are all there are.
        level: Coverage asked for.

    Returns:
        Interval of the ratio, as :func:`over_questions` has it; NaN where nothing counts.
    """
    from scipy.special import stdtrit  # 0.1 s to import, and only needed here

    shares = np.ones(sums.shape[-1]) if weights is None else weights
    with np.errstate(invalid="ignore", divide="ignore"):  # infinities and nothing that counts
        total = (shares * counts).sum(-1)
        mean = (shares * sums).sum(-1) / total
        if weights is not None:
            return Interval(mean[()], mean[()], mean[()], level, sums.shape[-1])
        num = (counts > 0).sum(-1)
        squares = ((sums - mean[..., None] * counts) ** 2).sum(-1)
        error = np.sqrt(num / (num - 1.0) * squares) / total
        error = np.where(num == 1, np.inf, error)
        half = stdtrit(np.maximum(num - 1, 1), 0.5 * (1.0 + level)) * error
        return Interval(mean[()], (mean - half)[()], (mean + half)[()], level, int(num.max()))
