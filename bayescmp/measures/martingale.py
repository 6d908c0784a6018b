"""Is a predictor's law of one answer a martingale, as every posterior mean is?

While exchangeable answers come in, the exact law of one fixed answer moves, and no move can be
foreseen: ``E[q_{n+1}(z) - q_n(z) | s_n] = 0``. Along sequences of the true process this holds
for a calibrated predictor; along sequences that a predictor draws from itself it holds if it is
Bayesian under any prior. A score is a move times something that was known before it, so that
its mean is zero. The moves of one sequence depend on each other: a test counts the sequence,
with the sum of its scores, as one trial.

Source: Fong, Holmes and Walker, "Martingale Posterior Distributions", J. R. Stat. Soc. B 85
(2023); Falck, Wang and Holmes, "Is In-Context Learning in Large Language Models Bayesian? A
Martingale Perspective", arXiv 2406.00793 (there on paths that a network draws from itself).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Laws = Float[np.ndarray, "sequence step outcome"]

LEAST_TRIALS = 10
"""Sequences for each score that a test needs before it looks at every outcome by itself."""

TINY = 1e-9
"""A spread below this share of the largest is rounding: 64 bits and some thousand terms."""


@dataclass(frozen=True)
class ScoreTest:
    """Whether the means of some scores are zero, all at once.

    Attributes:
        names: What each score looks for.
        mean: Mean of each over sequences, in the unit of the scores.
        standard_error: Of each mean.
        p_value: Chance of means as far out if all are zero.
        num_sequences: Independent trials.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " score"]
    standard_error: Float[np.ndarray, " score"]
    p_value: float
    num_sequences: int


def drift_scores(
    now: Laws, later: Laws, last: Int[np.ndarray, "sequence step"]
) -> tuple[tuple[str, ...], Float[np.ndarray, "sequence score"]]:
    """Multiply the moves of a law by what was known before.

    With ``d_n(z) = (n + 1) (q_{n+1}(z) - q_n(z))``, since the moves of a posterior mean shrink
    like ``1 / n``, the scores of a sequence are sums over its steps of: ``sum_z q_n(z) d_n(z)``
    (does the law sharpen or blur by itself?), ``d_n(y_{n-1})`` (does it still move towards the
    answer before last?), and ``d_n(z)`` for every outcome but the last (does it wander to a
    fixed outcome?). The last kind is left out where there are too few sequences for it.

    Args:
        now: Law of an answer before a step's own answer is shown [1].
        later: Law of the same answer once that is shown [1].
        last: Answer that was shown last before the step; -1 where none was.

    Returns:
        Names of the scores, and their values for each sequence [1].

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> now, later = np.full((4, 1, 2), 0.5), np.full((4, 1, 2), [0.25, 0.75])
        >>> names, scores = drift_scores(now, later, np.full((4, 1), -1))
        >>> names, scores[0].tolist()
        (('sharpening', 'lag'), [0.0, 0.0])
    """
    if now.shape != later.shape or last.shape != now.shape[:2]:
        raise ValueError(
            f"later, last: expected shapes {now.shape} and {now.shape[:2]}, as now has, got "
            f"{later.shape} and {last.shape}"
        )
    num_sequences, num_steps, num_outcomes = now.shape
    moves = np.arange(1, num_steps + 1)[:, None] * (later - now)
    shown = (last[..., None] == np.arange(num_outcomes)).astype(float)
    columns = [(now * moves).sum((1, 2)), (shown * moves).sum((1, 2))]
    names = ["sharpening", "lag"]
    if num_sequences >= LEAST_TRIALS * (num_outcomes + 1):
        columns += list(moves.sum(axis=1)[:, :-1].T)
        names += [f"drift to {outcome}" for outcome in range(num_outcomes - 1)]
    return tuple(names), np.stack(columns, axis=1)


def score_test(names: tuple[str, ...], scores: Float[np.ndarray, "sequence score"]) -> ScoreTest:
    """Test whether the mean of every score is zero.

    Hotelling's statistic ``T^2 = n m' S^-1 m`` with the scores' mean ``m`` and covariance ``S``
    over ``n`` independent sequences; ``(n - r) / (r (n - 1)) T^2`` is held against Fisher's F
    with ``r`` and ``n - r`` degrees of freedom, ``r`` the rank of ``S``. Scores need not be
    normal where ``n`` is large. A mean without any spread is certain: it is zero, up to
    rounding, or the p-value is.

    Args:
        names: What each score looks for.
        scores: One number for each sequence [1]; sequences are the independent trials.

    Returns:
        Means, their standard errors and the p-value; 1 where no score ever moves.

    Raises:
        ValueError: If there are too few sequences, or a score is not finite.

    Example:
        >>> scores = np.random.default_rng(0).normal(size=(200, 2)) + [0.0, 0.5]
        >>> found = score_test(("level", "lag"), scores)
        >>> found.mean.round(2), found.p_value < 0.001
        (array([-0.1 ,  0.52]), True)
    """
    num, width = scores.shape
    if num <= width + 1:
        raise ValueError(f"scores: expected more than {width + 1} sequences, got {num}")
    if not np.isfinite(scores).all():
        raise ValueError("scores: expected finite numbers, got others")
    mean = scores.mean(axis=0)
    error = scores.std(axis=0, ddof=1) / np.sqrt(num)
    return ScoreTest(names, mean, error, _p_value(scores, mean), num)


def _p_value(scores: Float[np.ndarray, "sequence score"], mean: np.ndarray) -> float:
    """Return Hotelling's p-value in the directions in which the scores spread at all."""
    from scipy.stats import f  # 0.5 s to import, and only needed here

    num = len(scores)
    size = np.sqrt((scores**2).mean(axis=0))
    used = size > TINY * max(float(size.max()), TINY)
    if not used.any():
        return 1.0
    scaled = scores[:, used] / size[used]
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(scaled, rowvar=False)))
    along = axes.T @ (mean[used] / size[used])
    spread = variances > TINY
    if (np.abs(along[~spread]) > np.sqrt(TINY)).any():
        return 0.0
    rank = int(spread.sum())
    squared = num * float((along[spread] ** 2 / variances[spread]).sum())
    return float(f.sf((num - rank) / (rank * (num - 1.0)) * squared, rank, num - rank))
