"""Conformal sets: outcomes that together cover what comes with a stated probability.

The score of an outcome is the mass of all that are likelier, plus a uniform share of its own;
outcomes of equal probability stand in random order. The set holds all outcomes whose score is
at most a threshold. Under the exact law the score of what comes is uniform, so that the exact
predictor's threshold is the level itself. Split-conformal sets take it from held-out scores:
they cover as stated, on average over exchangeable questions, whatever the predictor. They
promise nothing at a single position or for a single sequence.
"""

import numpy as np
from jaxtyping import Bool, Float

from bayescmp.measures.recalibration import mean_zero_p_value

Laws = Float[np.ndarray, "*rows outcome"]
PerQuestion = Float[np.ndarray, "*rows"]


def conformal_scores(log_q: Laws, order: Laws, share: PerQuestion) -> Laws:
    """Score every outcome by the mass of what is likelier, and a share of its own.

    Args:
        log_q: Log probabilities [nat].
        order: Uniform numbers that order outcomes of equal probability.
        share: A uniform number for each question.

    Returns:
        Scores between 0 and 1; at a question, the set at a threshold holds those up to it.

    Raises:
        ValueError: If shapes differ.

    Source: Romano, Sesia and Candes, Classification with valid and adaptive coverage, arXiv
    2006.02544.

    Example:
        >>> from bayescmp.measures.conformal import conformal_scores
        >>> conformal_scores(np.log([0.3, 0.7]), np.zeros(2), np.array(0.5)).round(3)
        array([0.85, 0.35])
    """
    if order.shape != log_q.shape or share.shape != log_q.shape[:-1]:
        raise ValueError(
            f"order: expected the shape {log_q.shape}, and share without the last axis, got "
            f"{order.shape} and {share.shape}"
        )
    mass = np.exp(log_q)
    rank = np.lexsort((order, -log_q), axis=-1)
    ranked = np.take_along_axis(mass, rank, axis=-1)
    scores = np.cumsum(ranked, axis=-1) - ranked + share[..., None] * ranked
    back = np.argsort(rank, axis=-1)
    return np.take_along_axis(scores, back, axis=-1)


def conformal_threshold(scores: Float[np.ndarray, " question"], level: float) -> float:
    """Choose the threshold by held-out scores of what came.

    The ``ceil((n + 1) level)``-th smallest of ``n``. One more exchangeable question, whose
    score is continuous, is then covered with a probability between ``level`` and
    ``level + 1 / (n + 1)``. Take one question of each sequence: those of one are not
    exchangeable with those of another.

    Args:
        scores: Scores of what came at held-out questions.
        level: Coverage asked for, between 0 and 1.

    Returns:
        The threshold; infinite where there are too few questions for the level, and the set
        then holds every outcome.

    Raises:
        ValueError: If there is no score, one is NaN, or the level is not inside (0, 1).

    Source: Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005.

    Example:
        >>> from bayescmp.measures.conformal import conformal_threshold
        >>> conformal_threshold(np.array([0.1, 0.2, 0.3, 0.4]), 0.6)
        0.3
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    if scores.size == 0 or np.isnan(scores).any():
        raise ValueError("scores: expected at least one, and numbers, got none or NaN")
    # A product that is whole but for rounding is whole: 0.9 * 10 must not become 10 of 9.
    place = int(np.ceil((scores.size + 1) * level - 1e-9))
    return float(np.sort(scores)[place - 1]) if place <= scores.size else np.inf


def set_coverage(inside: Bool[np.ndarray, "*rows outcome"], log_p: Laws) -> PerQuestion:
    """Compute the chance that a set holds what comes, under the exact law.

    Args:
        inside: Which outcomes the set holds.
        log_p: Exact log probabilities [nat].

    Returns:
        The chance, for each question; no drawn outcome blurs it.

    Example:
        >>> from bayescmp.measures.conformal import set_coverage
        >>> set_coverage(np.array([[True, False]]), np.log([[0.7, 0.3]])).round(3)
        array([0.7])
    """
    return np.where(inside, np.exp(log_p), 0.0).sum(axis=-1)


def density_set_size(log_p: Laws, level: float) -> PerQuestion:
    """Compute the mean size of the smallest randomised set that covers with a probability.

    The likeliest outcomes as long as they fit below the level, and the next one with the
    probability that fills the rest (Neyman and Pearson's lemma: none is smaller on average).

    Args:
        log_p: Log probabilities [nat].
        level: Coverage, between 0 and 1.

    Returns:
        Mean number of outcomes for each question, not whole as a rule.

    Raises:
        ValueError: If the level is not inside (0, 1).

    Example:
        >>> from bayescmp.measures.conformal import density_set_size
        >>> density_set_size(np.log([[0.5, 0.3, 0.2]]), 0.9).round(3)
        array([2.5])
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    ranked = -np.sort(-np.exp(log_p), axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    room = np.clip(level - before, 0.0, ranked)
    filled = np.divide(room, ranked, out=np.zeros_like(ranked), where=ranked > 0.0)
    return filled.sum(axis=-1)


def coverage_p_value(
    scores: Float[np.ndarray, "sequence position"],
    counts: Bool[np.ndarray, "sequence position"],
    level: float,
) -> float:
    """Test whether a predictor's own sets cover what comes as often as they say.

    The score of what comes at a question is uniform for a calibrated predictor, given
    anything that its law rests on, so that the hits of a sequence less ``level`` each have
    mean zero. Student's t of these sums over sequences; questions of one may depend on each
    other.

    Args:
        scores: Score of what came at each question, with random shares.
        counts: Which questions count.
        level: Coverage that the sets claim, between 0 and 1.

    Returns:
        Two-sided p-value; 0 where every sequence misses or hits by the same amount.

    Raises:
        ValueError: If there are fewer than two sequences, or the level is not inside (0, 1).

    Example:
        >>> from bayescmp.measures.conformal import coverage_p_value
        >>> scores = np.random.default_rng(0).random((200, 3))
        >>> coverage_p_value(scores, np.ones((200, 3), bool), 0.9) > 0.05
        True
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    if len(scores) < 2:
        raise ValueError(f"scores: expected at least two sequences, got {len(scores)}")
    excess = np.where(counts, (scores <= level) - level, 0.0).sum(axis=1)
    if np.ptp(excess) <= 1e-12:
        return float(abs(excess[0]) <= 1e-12)
    return mean_zero_p_value(excess)
