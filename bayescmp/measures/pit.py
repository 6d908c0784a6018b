"""The probability integral transform: where outcomes fall in the laws that foretold them.

For a calibrated predictor ``F(y - 1) + u q(y)``, with ``F`` the predicted distribution in the
order of the outcomes and ``u`` uniform, is uniform itself. Where outcomes are discrete the share
``u`` of the outcome's own probability fills the jump; without it the transform of a perfect
predictor has lumps. Outcomes without an order of their own get that of their indices, which is
as valid as any other, and sees a defect as well or as badly as that order happens to.

A predictor that knows less than there is to know, and says so, is calibrated: a uniform
transform says nothing of what it missed. Where each outcome is shown before the next question,
an exact predictor's transforms are independent of each other besides, and one that forgets
what it was shown is found by that.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Laws = Float[np.ndarray, "row outcome"]
Levels = Float[np.ndarray, " level"]

CHUNK = 4_096
"""Rows whose exact distribution is computed at a time."""


def randomised_pit(
    log_q: Laws, outcomes: Int[np.ndarray, " row"], uniforms: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Transform outcomes by the laws that were predicted for them.

    ``F(y - 1) + u q(y)``, uniform for a calibrated predictor whatever the number of outcomes.

    Args:
        log_q: Predicted log probabilities [nat].
        outcomes: What came, indices from 0.
        uniforms: Uniform numbers in [0, 1], independent of all else.

    Returns:
        The transforms [1].

    Raises:
        ValueError: If an outcome is out of range or a law holds NaN.

    Source: Czado, Gneiting and Held, Predictive model assessment for count data, 2009,
    Biometrics 65, section 2 (there without ``u``, as a mean over it).

    Example:
        >>> log_q = np.log([[0.2, 0.3, 0.5]] * 2)
        >>> randomised_pit(log_q, np.array([0, 1]), np.array([0.5, 0.5])).round(3)
        array([0.1 , 0.35])
    """
    q = _probabilities("log_q", log_q)
    if outcomes.size and not (outcomes.min() >= 0 and outcomes.max() < q.shape[1]):
        raise ValueError(f"outcomes: expected 0 to {q.shape[1] - 1}, got others")
    own = np.take_along_axis(q, outcomes[:, None], axis=1)[:, 0]
    upto = np.take_along_axis(np.cumsum(q, axis=1), outcomes[:, None], axis=1)[:, 0]
    return np.clip(upto - own + uniforms * own, 0.0, 1.0)  # sums are off by rounding


def exact_pit_distribution(log_p: Laws, log_q: Laws, levels: Levels) -> Levels:
    """Compute the distribution that randomised transforms have, without any outcome drawn.

    The mean over rows of ``sum_k p(k) min(max((z - F(k - 1)) / q(k), 0), 1)``: the exact chance
    that a row's transform is at most ``z``. It is ``z`` for a calibrated predictor.

    Args:
        log_p: Exact log probabilities [nat].
        log_q: Predicted log probabilities [nat].
        levels: Where the distribution is wanted, in [0, 1].

    Returns:
        Chance of a transform at most as large as each level [1]; NaN without rows.

    Raises:
        ValueError: If a law holds NaN.

    Example:
        >>> log_p, log_q = np.log([[0.2, 0.8]]), np.log([[0.5, 0.5]])
        >>> exact_pit_distribution(log_p, log_q, np.array([0.25, 0.5, 0.75])).round(3)
        array([0.1, 0.2, 0.6])
    """
    p, q = _probabilities("log_p", log_p), _probabilities("log_q", log_q)
    total = np.zeros(levels.size)
    for start in range(0, len(q), CHUNK):
        part = slice(start, start + CHUNK)
        total += _sum_distributions(p[part], q[part], levels)
    return total / len(q) if len(q) else np.full(levels.size, np.nan)


def _sum_distributions(p: Laws, q: Laws, levels: Levels) -> Levels:
    """Sum the distributions of the transforms of some rows, outcome by outcome."""
    below, total = np.zeros(len(q)), np.zeros(levels.size)
    for mass, chance in zip(q.T, p.T, strict=True):
        beyond = levels[:, None] - below
        jump = np.where(beyond >= 0.0, 1.0, 0.0)  # of an outcome that was given no probability
        share = np.divide(beyond, mass, out=jump, where=mass > 0.0)
        total += np.clip(share, 0.0, 1.0) @ chance
        below = below + mass
    return total


@dataclass(frozen=True)
class Dependence:
    """How transforms of successive questions hang together, sequences as independent units."""

    correlation: float
    """Mean of ``12 (z_t - 1/2) (z_{t-1} - 1/2)``: a correlation where transforms are uniform."""
    p_value: float
    """Of a mean of zero, two-sided; NaN where no sequence has two successive questions."""
    num: int
    """Sequences that have such questions."""


def pit_dependence(
    pit: Float[np.ndarray, "sequence position"], counts: Bool[np.ndarray, "sequence position"]
) -> Dependence:
    """Test whether transforms of successive questions are independent.

    Null: each transform is uniform given all earlier ones, as for an exact predictor where each
    outcome is shown before the next question (Rosenblatt). The products of neighbours are
    averaged within each sequence, and a Student test over sequences asks whether their mean is
    zero, so that nothing is assumed of how products of one sequence depend on each other.

    Args:
        pit: Transforms; never looked at where a question does not count.
        counts: Which questions count.

    Returns:
        Correlation and p-value.

    Source: Diebold, Gunther and Tay, Evaluating density forecasts with applications to financial
    risk management, 1998, International Economic Review 39, section 3.

    Example:
        >>> draws = np.random.default_rng(1).random((500, 4))
        >>> pit_dependence(draws, np.ones((500, 4), bool)).p_value > 0.05
        True
    """
    from scipy.stats import ttest_1samp  # 0.5 s to import, and only needed here

    both = counts[:, 1:] & counts[:, :-1]
    centred = np.where(counts, pit, 0.5) - 0.5
    products = 12.0 * centred[:, 1:] * centred[:, :-1]
    pairs = both.sum(axis=1)
    means = np.where(both, products, 0.0).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    if means.size < 2 or np.ptp(means) == 0.0:
        return Dependence(np.nan, np.nan, int(means.size))
    p_value = float(np.asarray(ttest_1samp(means, 0.0))[1])
    return Dependence(float(means.mean()), p_value, int(means.size))


def _probabilities(name: str, log_laws: Laws) -> Laws:
    """Return probabilities, and refuse NaN."""
    if np.isnan(log_laws).any():
        raise ValueError(f"{name}: expected log probabilities, got NaN")
    return np.exp(log_laws)
