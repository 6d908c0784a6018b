"""Where is a predictor off? Sums of what came minus what it said, by groups of contexts.

A question has the residual ``e_k = 1[y = k] - q_k``. Under calibration its expectation is zero
whatever the context, so any weights ``w_k`` that are a function of the context give a score
``sum_k w_k e_k`` of expectation zero, whose variance and third moment under ``q`` are known
exactly. These are used:

- ``w = q``, the *excess sureness*: ``q_y - sum_k q_k^2``, the probability that the predictor gave
  to what came, minus what it expected of itself. Negative: too sure; positive: not sure enough.
- ``w`` one for outcomes that the sequence has shown before, or showed last, and zero for the rest:
  they come again more often (positive) or more rarely than predicted.
- ``w`` one for a single outcome: it came more often or more rarely than predicted.

The label-free truth stands beside every sum: ``p_k`` in the place of ``1[y = k]``.

Source: Vaicenavicius et al., Evaluating model calibration in classification, 2019, AISTATS
(tests of residuals given the prediction); Widmann, Lindsten and Zachariah, Calibration tests in
multi-class classification, 2019, NeurIPS (residuals times features, here with a linear kernel).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from bayescmp.measures.joint_sums import CellSums

Laws = Float[np.ndarray, "sequence position outcome"]
Weights = Sequence[Laws]
Aspects = Float[np.ndarray, "sequence position aspect"]
Members = (
    Bool[np.ndarray, "sequence position context"] | Float[np.ndarray, "sequence position context"]
)


def residual_scores(laws: Laws, came: Laws, weights: Weights) -> Aspects:
    """Compute weighted residuals of each question, then the residual of every outcome.

    Args:
        laws: The predictor's probabilities.
        came: One for what came and zero for the rest, or exact probabilities.
        weights: Weights of the outcomes, functions of the context; ``laws`` for the sureness.

    Returns:
        One score for each of the weights, then one for each outcome [1].

    Example:
        >>> from bayescmp.measures.residuals import residual_scores
        >>> laws, came = np.array([[[0.5, 0.5]]]), np.array([[[1.0, 0.0]]])
        >>> residual_scores(laws, came, [laws])
        array([[[ 0. ,  0.5, -0.5]]])
    """
    residual = came - laws
    sums = [np.sum(one * residual, axis=-1, keepdims=True) for one in weights]
    return np.concatenate([*sums, residual], axis=-1)


def aspect_moments(laws: Laws, weights: Weights, power: int) -> Aspects:
    """Compute central moments of weighted residuals by the predictor's own law.

    Args:
        laws: The predictor's probabilities.
        weights: Weights of the outcomes.
        power: 2 for variances, 3 for third moments.

    Returns:
        Moments in the order of :func:`residual_scores`.
    """
    moments = []
    for one in weights:
        expected = np.sum(laws * one, axis=-1, keepdims=True)
        moments.append(np.sum(laws * (one - expected) ** power, axis=-1, keepdims=True))
    rest = 1.0 - laws
    single = laws * rest**power + rest * (-laws) ** power
    return np.concatenate([*moments, single], axis=-1)


def shown_before(came: Laws) -> tuple[Laws, Laws]:
    """Mark outcomes that a sequence has shown before each question, and the last of them.

    Args:
        came: What came, as :func:`one_hot` writes it.

    Returns:
        Ones for outcomes that came at any earlier question; ones for that of the last question.
    """
    last = np.zeros_like(came)
    last[:, 1:] = came[:, :-1]
    return np.maximum.accumulate(last, axis=1), last


def one_hot(outcomes: Int[np.ndarray, "sequence position"], num_outcomes: int) -> Laws:
    """Write what came as a law.

    Args:
        outcomes: Indices from zero.
        num_outcomes: How many outcomes there are.

    Returns:
        One for what came and zero for the rest.
    """
    return (outcomes[..., None] == np.arange(num_outcomes)).astype(np.float64)


def sum_by_context(members: Members, laws: Laws, came: Laws, weights: Weights = ()) -> CellSums:
    """Sum up residuals over groups of contexts, or weighted by features of them.

    Args:
        members: Weight of each question in each group; zero where a question does not count.
        laws: The predictor's probabilities.
        came: What came, as :func:`one_hot` writes it.
        weights: Weights of the outcomes, each an aspect before the single outcomes.

    Returns:
        One cell for each group and aspect, groups slow.
    """
    groups = members.astype(np.float64)
    scores = np.matmul(np.swapaxes(groups, 1, 2), residual_scores(laws, came, weights))
    flat = groups.reshape(-1, groups.shape[-1])
    moments = (
        (flat**power).T @ aspect_moments(laws, weights, power).reshape(len(flat), -1)
        for power in (2, 3)
    )
    return CellSums(scores.reshape(len(scores), -1), *(one.ravel() for one in moments))
