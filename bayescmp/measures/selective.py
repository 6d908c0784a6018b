"""Selective prediction: how often is an answer wrong when only the surest are given?

Risks are chances of being wrong. Where the exact law is known they are ``1 - p(answer)``, so
that no drawn outcome blurs them. Where questions tie in confidence, the order among them is
random, and every number here is its expectation: ties are neither luck nor loss.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Questions = Float[np.ndarray, " question"]


@dataclass(frozen=True)
class Areas:
    """Areas under risk-coverage curves of the same answers, in different orders."""

    own: float
    """By the predictor's confidence."""
    best: float
    """By the risk itself: no order of these answers is better."""
    random: float
    """In random order: the mean risk."""

    @property
    def excess(self) -> float:
        """What the order loses: own minus best."""
        return self.own - self.best


def risk_coverage(confidence: Questions, risk: Questions) -> Questions:
    """Average the risk over the surest answers, for every number of them.

    Args:
        confidence: How sure the predictor is of each answer; larger is surer.
        risk: Chance that the answer is wrong.

    Returns:
        Mean risk of the ``k`` surest answers, ``k = 1 .. n``; the coverage is ``k / n``.

    Raises:
        ValueError: If there is no question, shapes differ, or a confidence is NaN.

    Source: El-Yaniv and Wiener, On the foundations of noise-free selective classification,
    Journal of Machine Learning Research 11 (2010).

    Example:
        >>> from bayescmp.measures.selective import risk_coverage
        >>> risk_coverage(np.array([0.9, 0.5, 0.5]), np.array([0.0, 1.0, 0.0])).round(3)
        array([0.   , 0.25 , 0.333])
    """
    if confidence.shape != risk.shape or confidence.size == 0:
        raise ValueError(
            f"risk: expected one for each confidence and at least one, got {risk.shape} for "
            f"{confidence.shape}"
        )
    if np.isnan(confidence).any():
        raise ValueError("confidence: expected numbers, got NaN")
    _, group, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=risk) / size
    expected = np.repeat(mean, size)  # groups are numbered from the surest on
    return np.cumsum(expected) / np.arange(1, risk.size + 1)


def area_under(curve: Questions) -> float:
    """Average a risk-coverage curve over coverage.

    ``AURC = (1 / n) sum_k risk(k / n)``.

    Args:
        curve: Mean risk of the surest answers, as :func:`risk_coverage` returns it.

    Returns:
        The area.

    Source: Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural
    classifiers, arXiv 1805.08206.

    Example:
        >>> from bayescmp.measures.selective import area_under
        >>> area_under(np.array([0.0, 0.25, 0.5]))
        0.25
    """
    return float(curve.mean())


def selective_areas(confidence: Questions, risk: Questions) -> Areas:
    """Compare the order that a predictor's confidence gives with the best and a random one.

    Args:
        confidence: How sure the predictor is of each answer; larger is surer.
        risk: Chance that the answer is wrong.

    Returns:
        The areas; the excess is never negative but for rounding.

    Example:
        >>> from bayescmp.measures.selective import selective_areas
        >>> areas = selective_areas(np.array([0.9, 0.8, 0.7]), np.array([0.3, 0.2, 0.1]))
        >>> round(areas.own, 4), round(areas.best, 4), round(areas.random, 4)
        (0.25, 0.15, 0.2)
    """
    own, best = (area_under(risk_coverage(order, risk)) for order in (confidence, -risk))
    return Areas(own=own, best=best, random=float(risk.mean()))


def answers_of(
    log_q: Float[np.ndarray, "*rows outcome"], log_p: Float[np.ndarray, "*rows outcome"]
) -> tuple[Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"]]:
    """Return how sure a predictor is of its likeliest outcome, and the risk of answering it.

    Among outcomes that tie for the likeliest, up to a relative 1e-6, one is answered at random.

    Args:
        log_q: Its log probabilities [nat].
        log_p: Exact log probabilities [nat].

    Returns:
        Confidence ``max q``, and the chance of being wrong under the exact law.

    Example:
        >>> from bayescmp.measures.selective import answers_of
        >>> answers_of(np.log([[0.8, 0.2]]), np.log([[0.6, 0.4]]))[1].round(3)
        array([0.4])
    """
    top = log_q.max(axis=-1, keepdims=True)
    tied: Bool[np.ndarray, "*rows outcome"] = log_q >= top - 1e-6
    right = np.where(tied, np.exp(log_p), 0.0).sum(axis=-1) / tied.sum(axis=-1)
    return np.exp(top[..., 0]), 1.0 - right


def grouped_error(values: Float[np.ndarray, "group *entry"]) -> Float[np.ndarray, "*entry"]:
    """Compute a standard error from values that each leave one group of sequences out.

    The delete-a-group jackknife: ``se^2 = (G - 1) / G sum_g (v_g - mean v)^2``.

    Args:
        values: Statistic without group ``g``, groups of about the same size.

    Returns:
        Standard error of the statistic of all sequences.

    Source: Kott, The delete-a-group jackknife, Journal of Official Statistics 17 (2001).

    Example:
        >>> from bayescmp.measures.selective import grouped_error
        >>> data = np.arange(10.0)
        >>> left_out = (data.sum() - data)[:, None] / 9  # the mean without each
        >>> bool(np.isclose(grouped_error(left_out)[0], data.std(ddof=1) / 10**0.5))
        True
    """
    num = len(values)
    spread = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    return np.sqrt((num - 1) / num * spread)
