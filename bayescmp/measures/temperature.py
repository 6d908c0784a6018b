"""Recalibration by one temperature, fitted to held-out outcomes, and the test that needs none.

Sequences are the independent units of the test and of the interval; questions of one sequence
may depend on each other.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float, Int

from bayescmp.measures.joint_sums import remove_skewness

Laws = Float[np.ndarray, "sequence position outcome"]
Drawn = Int[np.ndarray, "sequence position"]
Counts = Bool[np.ndarray, "sequence position"]

MOST = np.log(100.0)
"""Temperatures are sought between 1/100 and 100."""


@dataclass(frozen=True)
class Temperature:
    """The temperature that suits a predictor's held-out log loss best.

    ``q_T(y)`` is proportional to ``q(y)^(1/T)``: above 1 the predictor was too sure.
    """

    value: float
    """The temperature; NaN where what came had probability zero, which none can mend."""
    low: float
    """Lower end of its interval over sequences; NaN where it lies at an end of the search.

    The interval trusts the sample: surprises so rare that few or none came are not reckoned with,
    and it is too narrow then. The p-value reckons with them.
    """
    high: float
    """Upper end; infinite where the interval of the inverse temperature holds zero."""
    p_value: float
    """Chance of a score as far from zero as at temperature one, were one right."""
    loss: float
    """Mean log loss before [nat]."""
    fitted_loss: float
    """Mean log loss of the same outcomes after [nat]; never more."""


def apply_temperature(
    log_q: Float[np.ndarray, "*rows outcome"], temperature: float
) -> Float[np.ndarray, "*rows outcome"]:
    """Raise laws to the power ``1 / temperature`` and normalise.

    Args:
        log_q: Log probabilities [nat].
        temperature: Positive number.

    Returns:
        Log probabilities [nat].

    Raises:
        ValueError: If the temperature is not a positive number.

    Example:
        >>> from bayescmp.measures.temperature import apply_temperature
        >>> np.exp(apply_temperature(np.log([0.8, 0.2]), 0.5)).round(3)
        array([0.941, 0.059])
    """
    if not 0.0 < temperature < np.inf:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    return scipy.special.log_softmax(log_q / temperature, axis=-1)


LEAST_SHARE = 0.9
"""Of the announced variance that a test reckons with at least."""

MOST_SKEWNESS = 1.0 / 3.0
"""Of a sum of scores that is still taken for nearly normal."""


def temperature_p_value(log_q: Laws, outcomes: Drawn, counts: Counts) -> float:
    """Test whether temperature one is right, without fitting any.

    The score of the inverse temperature at one is ``-log q(y) - H(q)``: surprise at what came,
    above the surprise that was announced. Its mean is zero at every question of a calibrated
    predictor, whatever else the sequence holds, so the sums over the sequences' questions have
    mean zero. Their variance is the larger of what they show and nine tenths of what the laws
    announce: surprises so rare that none came would otherwise be taken for impossible, and
    exact predictors rejected. Student's t is theirs after their announced skewness is removed;
    where that is above 1/3 (fewer than some nine rare surprises expected) the bound of Chebyshev
    stands in its place. It sees no error that leaves surprise as announced, such as
    forgetting an observation and answering rightly by the others.

    Args:
        log_q: Judged log probabilities [nat].
        outcomes: What came, indices from 0.
        counts: Which questions count.

    Returns:
        Two-sided p-value; 0 where what came had probability zero, and 1 where all scores are
        zero, as for answers that are certain.

    Raises:
        ValueError: If there are fewer than two sequences, or shapes differ.

    Example:
        >>> from bayescmp.measures.temperature import temperature_p_value
        >>> rng, counts = np.random.default_rng(0), np.ones((200, 3), bool)
        >>> came = (rng.random((200, 3)) < 0.6).astype(int)
        >>> laws = np.tile(np.log([0.1, 0.9]), (200, 3, 1))  # far too sure
        >>> temperature_p_value(laws, came, counts) < 1e-6
        True
    """
    _require(log_q, outcomes, counts)
    losses = np.where(counts, _losses(log_q, outcomes), 0.0)
    if np.isinf(losses).any():
        return 0.0
    announced, variance, third = _announced(log_q, counts)
    scores = losses.sum(axis=1) - announced
    # Rounding of certain answers is some 1e-16; no score of drawn outcomes is that small.
    if np.all(np.abs(scores) <= 1e-12):
        return 1.0
    spread = max(float(scores.var(ddof=1)), LEAST_SHARE * variance)
    statistic = float(scores.mean()) / np.sqrt(spread / len(scores))
    skewness = third / (spread**1.5 * np.sqrt(len(scores)))
    if abs(skewness) > MOST_SKEWNESS:
        return float(min(1.0, statistic**-2.0)) if statistic else 1.0
    straight = remove_skewness(np.array([statistic]), np.array([skewness]))[0]
    return float(2.0 * scipy.special.stdtr(len(scores) - 1, -abs(straight)))


def _announced(log_q: Laws, counts: Counts) -> tuple[Float[np.ndarray, " sequence"], float, float]:
    """Return each sequence's announced surprise, and its mean variance and third moment.

    The last two are sums over questions, as for questions whose scores do not go together.
    """
    q = np.exp(log_q)
    entropy = scipy.special.entr(q).sum(axis=-1)
    apart = np.where(q > 0.0, -log_q - entropy[..., None], 0.0)
    mean, square, cube = (
        np.where(counts, values, 0.0).sum(axis=1)
        for values in (entropy, (q * apart**2).sum(axis=-1), (q * apart**3).sum(axis=-1))
    )
    return mean, float(square.mean()), float(cube.mean())


def fit_temperature(
    log_q: Laws, outcomes: Drawn, counts: Counts, *, level: float = 0.95
) -> Temperature:
    """Fit one temperature to held-out outcomes by their mean log loss.

    The loss is convex in ``beta = 1 / T``; its minimum is found by Brent's method. With ``s_i``
    the score of sequence ``i`` at the minimum and ``J`` the loss's curvature, summed,
    ``se(beta)^2 = sum_i s_i^2 / J^2`` (the sandwich formula). It trusts the sample: where surprises
    are rare, and few or none of them came, the interval is too narrow and the p-value, which
    reckons with the surprises that the laws announce, is what to go by.

    Args:
        log_q: Judged log probabilities [nat].
        outcomes: What came, indices from 0.
        counts: Which questions count.
        level: Coverage of the interval.

    Returns:
        Temperature with interval, p-value of one, and losses.

    Raises:
        ValueError: If there are fewer than two sequences, shapes differ, nothing counts, or the
            level is not inside (0, 1).

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, arXiv
    1706.04599.

    Example:
        >>> from bayescmp.measures.temperature import fit_temperature
        >>> came = np.array([[0], [0], [1], [0]])  # three in four
        >>> laws = np.tile(np.log([0.9, 0.1]), (4, 1, 1))
        >>> round(fit_temperature(laws, came, np.ones((4, 1), bool)).value, 3)  # 9^(1/2) = 3
        2.0
    """
    _require(log_q, outcomes, counts)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    if not counts.any():
        raise ValueError("counts: expected a question that counts, got none")
    loss = float(_losses(log_q, outcomes)[counts].mean())
    p_value = temperature_p_value(log_q, outcomes, counts)
    if not np.isfinite(loss):
        return Temperature(np.nan, np.nan, np.nan, p_value, loss, loss)

    def mean_loss(log_temperature: float) -> float:
        tempered = apply_temperature(log_q, float(np.exp(log_temperature)))
        return float(_losses(tempered, outcomes)[counts].mean())

    found = scipy.optimize.minimize_scalar(mean_loss, bounds=(-MOST, MOST), method="bounded")
    value, fitted = float(np.exp(found.x)), float(found.fun)
    if fitted >= loss:  # flat, or one is best already
        value, fitted = 1.0, loss
    low, high = _interval(log_q, outcomes, counts, value, level)
    return Temperature(value, low, high, p_value, loss, fitted)


def _interval(
    log_q: Laws, outcomes: Drawn, counts: Counts, value: float, level: float
) -> tuple[float, float]:
    """Return the sandwich interval of the temperature, through that of its inverse."""
    if abs(np.log(value)) > 0.99 * MOST:
        return np.nan, np.nan
    law = np.exp(apply_temperature(log_q, value))
    finite = np.where(np.isneginf(log_q), 0.0, log_q)
    mean = (law * finite).sum(axis=-1)
    curvature = (law * finite**2).sum(axis=-1) - mean**2
    came = np.take_along_axis(finite, outcomes[..., None], axis=-1)[..., 0]
    scores = np.where(counts, mean - came, 0.0).sum(axis=1)
    total = float(curvature[counts].sum())
    if total <= 1e-12:  # answers that no temperature changes
        return np.nan, np.nan
    error = np.sqrt(float((scores**2).sum())) / total
    half = float(scipy.stats.norm.ppf(0.5 * (1.0 + level))) * error
    high = np.inf if half >= 1.0 / value else 1.0 / (1.0 / value - half)
    return 1.0 / (1.0 / value + half), float(high)


def _losses(log_q: Laws, outcomes: Drawn) -> Float[np.ndarray, "sequence position"]:
    return -np.take_along_axis(log_q, outcomes[..., None], axis=-1)[..., 0]


def _require(log_q: Laws, outcomes: Drawn, counts: Counts) -> None:
    """Raise a ValueError for shapes that do not fit."""
    if log_q.ndim != 3 or len(log_q) < 2:
        raise ValueError(
            "log_q: expected the axes sequence, position, outcome, and two sequences, got shape "
            f"{log_q.shape}"
        )
    for name, array in (("outcomes", outcomes), ("counts", counts)):
        if array.shape != log_q.shape[:-1]:
            raise ValueError(f"{name}: expected shape {log_q.shape[:-1]}, got {array.shape}")
