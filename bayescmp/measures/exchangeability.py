"""Does a predictor agree with its own next step? Computed, without drawing anything.

A posterior mean is what it will be on average once one more answer has come in. With few
outcomes the average can be written out: ``sum_y q_n(y) q_{n+1}(z | y) = q_n(z)``, with ``q_n(z)``
the law of the answer after next, asked now. It holds for exact Bayes under any prior, the wrong
one included, so that a gap says that a predictor is no posterior at all, and not that it is
far from the right one.

How large can the gap be? The exact law has none, and a predictor that is close to it cannot
have a large one. With ``p q`` the joint law of two answers,
``TV(sum_y q_n(y) q_{n+1}(. | y), q_n) <= TV(p_n, q_n) + sum_y p_n(y) TV(p_{n+1}, q_{n+1})
+ TV(p_n', q_n')``, where ``'`` marks the law of the answer after next: the triangle inequality
over the exact gap, which is zero. A gap at this bound says that the errors are all incoherence;
one far below it says that they are those of some other posterior.
"""

import numpy as np
from jaxtyping import Float

from bayescmp.measures.interval import Interval

Law = Float[np.ndarray, "*context outcome"]
NextLaws = Float[np.ndarray, "*context answer outcome"]


def one_step_gap(now: Law, following: NextLaws, early: Law) -> Float[np.ndarray, "*context"]:
    """Compute how far a predictor's mean law after one more answer is from its law now.

    ``(1/2) sum_z |sum_y q_n(y) q_{n+1}(z | y) - q_n(z)|``, between 0 and 1.

    Args:
        now: Law of the next answer [1].
        following: Law of the answer after next for each next answer [1]; rows for answers of
            probability zero are not read.
        early: Law of the answer after next before the next one is shown [1].

    Returns:
        Total variation [1]; 0 for exact Bayes under any prior, where answers are exchangeable.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> now = np.array([0.5, 0.5])  # a coin with a flat prior: 2/3 after one more head
        >>> float(one_step_gap(now, np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]), now).round(12))
        0.0
    """
    _check_shapes(now, following, early)
    mean = np.einsum("...y,...yz->...z", now, _where_possible(now, following))
    return np.asarray(0.5 * np.abs(mean - early).sum(axis=-1))


def allowed_one_step_gap(
    exact: tuple[Law, NextLaws, Law], judged: tuple[Law, NextLaws, Law]
) -> Float[np.ndarray, "*context"]:
    """Compute the largest gap that a predictor's distance from exact Bayes allows.

    ``TV(p_n, q_n) + sum_y p_n(y) TV(p_{n+1}(. | y), q_{n+1}(. | y)) + TV(p_n', q_n')``.

    Args:
        exact: Exact laws now, following and early, as :func:`one_step_gap` takes them.
        judged: The predictor's.

    Returns:
        Bound on the gap [1]; it can exceed 1.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> laws = np.array([0.5, 0.5]), np.array([[0.6, 0.4], [0.4, 0.6]]), np.array([0.5, 0.5])
        >>> float(allowed_one_step_gap(laws, laws))
        0.0
    """
    (p_now, p_next, p_early), (q_now, q_next, q_early) = exact, judged
    _check_shapes(p_now, p_next, p_early)
    _check_shapes(q_now, q_next, q_early)
    apart = 0.5 * np.abs(_where_possible(p_now, p_next - q_next)).sum(axis=-1)
    ends = 0.5 * (np.abs(p_now - q_now).sum(axis=-1) + np.abs(p_early - q_early).sum(axis=-1))
    return np.asarray(ends + (p_now * apart).sum(axis=-1))


def path_spread(ends: Float[np.ndarray, "*context path outcome"]) -> Float[np.ndarray, "*context"]:
    """Compute how much the law of a later answer varies over what may come before it.

    ``sum_z Var_path q_N(z)``, without bias. For a posterior mean this is how much of its
    uncertainty the steps in between resolve; as the steps grow in number it becomes the posterior
    variance of the outcome's probability, the epistemic part.

    Args:
        ends: Law at the end of each path [1], at least two paths for each context.

    Returns:
        Variance [1].

    Raises:
        ValueError: If there are fewer than two paths.

    Example:
        >>> float(path_spread(np.array([[0.25, 0.75], [0.75, 0.25]])))
        0.25
    """
    if ends.shape[-2] < 2:
        raise ValueError(f"ends: expected at least two paths, got {ends.shape[-2]}")
    return np.asarray(ends.var(axis=-2, ddof=1).sum(axis=-1))


def spread_ratio(
    own: Float[np.ndarray, " context"], exact: Float[np.ndarray, " context"], level: float = 0.95
) -> Interval:
    """Compare how much a predictor expects to learn with how much there is to learn.

    ``r = sum own / sum exact`` over independent contexts, with the standard error of a ratio,
    ``sqrt(n / (n - 1) sum (own - r exact)^2) / sum exact``, and Student's quantile.

    Args:
        own: Spread over the predictor's paths from each context [1].
        exact: Spread over the oracle's paths [1].
        level: Coverage asked for.

    Returns:
        Ratio [1]: 1 for exact Bayes, below where a predictor is too certain too soon. NaN where
        there is nothing to learn.

    Example:
        >>> ratio = spread_ratio(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.4, 0.6]))
        >>> float(ratio.mean), float(ratio.high - ratio.low)
        (0.5, 0.0)
    """
    from scipy.special import stdtrit  # 0.1 s to import, and only needed here

    num, total = len(own), float(exact.sum())
    if total <= 0.0:
        nothing = np.float64(np.nan)
        return Interval(nothing, nothing, nothing, level, num)
    ratio = np.float64(own.sum() / total)
    error = np.inf if num < 2 else np.sqrt(num / (num - 1) * ((own - ratio * exact) ** 2).sum())
    half = stdtrit(max(num - 1, 1), 0.5 * (1.0 + level)) * error / total
    return Interval(ratio, ratio - half, ratio + half, level, num)


def _where_possible(now: Law, following: NextLaws) -> NextLaws:
    """Put zero into rows that follow an impossible answer, whatever stands there."""
    return np.where((now > 0.0)[..., None], following, 0.0)


def _check_shapes(now: Law, following: NextLaws, early: Law) -> None:
    if following.shape != (*now.shape, now.shape[-1]) or early.shape != now.shape:
        raise ValueError(
            f"following, early: expected shapes {(*now.shape, now.shape[-1])} and {now.shape}, "
            f"as now has, got {following.shape} and {early.shape}"
        )
