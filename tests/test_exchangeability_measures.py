"""Gaps, drift and spread over orders and paths, against sums written out and stated rates."""

from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from complaints import raised, unchecked
from exchangeability_cases import EXACT, beta_laws

from bayescmp.measures.exchangeability import (
    allowed_one_step_gap,
    one_step_gap,
    path_spread,
    spread_ratio,
)
from bayescmp.measures.martingale import drift_scores, score_test
from bayescmp.measures.permutation_gap import (
    allowed_order_gap,
    order_divergence,
    order_gap,
    order_spread,
)


@pytest.mark.parametrize("prior", [(1.0, 1.0), (6.0, 1.0), (0.3, 0.2)])
def test_bayes_under_any_prior_agrees_with_its_next_step(prior: tuple[float, float]) -> None:
    for shown in range(5):
        for heads in range(shown + 1):
            now = beta_laws(heads, shown, *prior)
            following = np.stack([beta_laws(heads + y, shown + 1, *prior) for y in (0, 1)])
            assert one_step_gap(now, following, now) < EXACT


def test_the_gap_is_the_sum_written_out_and_impossible_rows_are_not_read() -> None:
    now, early = np.array([0.0, 0.3, 0.7]), np.array([0.2, 0.3, 0.5])
    following = np.array([[np.nan] * 3, [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    mean = [0.3 * following[1, z] + 0.7 * following[2, z] for z in range(3)]
    wanted = 0.5 * sum(abs(m - e) for m, e in zip(mean, early, strict=True))
    assert one_step_gap(now, following, early) == pytest.approx(wanted, abs=EXACT)


def test_no_gap_is_larger_than_its_bound() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        joint = rng.dirichlet(np.ones(9) * 0.5).reshape(3, 3)
        joint = 0.5 * (joint + joint.T)  # two exchangeable answers
        p_now = joint.sum(axis=1)
        exact = (p_now, joint / p_now[:, None], p_now)
        near = [0.7 * law + 0.3 * rng.dirichlet(np.ones(3), law.shape[:-1]) for law in exact]
        assert one_step_gap(*exact) < 1e-10  # a division by a small probability in between
        assert one_step_gap(*near) <= allowed_one_step_gap(exact, tuple(near)) + EXACT
        orders = np.stack([0.5 * p_now + 0.5 * rng.dirichlet(np.ones(3)) for _ in range(4)])
        assert order_gap(orders) <= allowed_order_gap(p_now, orders) + EXACT


def test_gaps_between_orders_are_means_over_pairs() -> None:
    laws = np.random.default_rng(0).dirichlet(np.ones(3), (4, 2))
    pairs = list(permutations(range(4), 2))
    apart = [[0.5 * np.abs(laws[a, s] - laws[b, s]).sum() for a, b in pairs] for s in range(2)]
    kl = [[scipy.stats.entropy(laws[a, s], laws[b, s]) for a, b in pairs] for s in range(2)]
    np.testing.assert_allclose(order_gap(laws), np.mean(apart, axis=1), rtol=EXACT)
    np.testing.assert_allclose(order_divergence(np.log(laws)), np.mean(kl, axis=1), rtol=1e-10)


def test_an_excluded_order_is_infinitely_far() -> None:
    with np.errstate(divide="ignore"):
        assert order_spread(np.log([[0.5, 0.2], [0.5, 0.0]])).tolist() == [0.0, np.inf]
        assert np.isinf(order_divergence(np.log([[1.0, 0.0], [0.5, 0.5]])))


def test_scores_are_sums_written_out() -> None:
    rng = np.random.default_rng(0)
    now, later = rng.dirichlet(np.ones(2), (2, 40, 3))
    last = rng.integers(-1, 2, (40, 3))
    names, scores = drift_scores(now, later, last)
    assert names == ("sharpening", "lag", "drift to 0")
    wanted = np.zeros((40, 3))
    for s in range(40):
        for n in range(3):
            move = (n + 1) * (later[s, n] - now[s, n])
            wanted[s, 0] += now[s, n] @ move
            wanted[s, 1] += move[last[s, n]] if last[s, n] >= 0 else 0.0
            wanted[s, 2] += move[0]
    np.testing.assert_allclose(scores, wanted, atol=EXACT)


def test_one_score_is_students_test() -> None:
    scores = np.random.default_rng(0).normal(0.2, 1.0, (50, 1))
    wanted = scipy.stats.ttest_1samp(scores[:, 0], 0.0).pvalue
    assert score_test(("one",), scores).p_value == pytest.approx(wanted, rel=1e-10)


def test_several_scores_are_hotellings_test_whatever_their_units() -> None:
    scores = np.random.default_rng(1).normal(0.1, 1.0, (60, 3)) @ [[1, 2, 0], [0, 1, 0], [1, 0, 3]]
    mean, covariance = scores.mean(axis=0), np.cov(scores, rowvar=False)
    squared = 60 * mean @ np.linalg.inv(covariance) @ mean
    wanted = scipy.stats.f.sf(57 / (3 * 59) * squared, 3, 57)
    for units in (np.ones(3), np.array([1.0, 1e-4, 1e4])):
        test = score_test(("a", "b", "c"), scores * units)
        assert test.p_value == pytest.approx(wanted, rel=1e-8)  # units cost some digits


def test_scores_without_spread_are_certain() -> None:
    noise = np.random.default_rng(0).normal(size=(30, 1))
    zero, one = np.zeros((30, 1)), np.ones((30, 1))
    names = ("a", "b")
    assert score_test(names, np.hstack([zero, zero])).p_value == 1.0
    assert score_test(names, np.hstack([noise, one])).p_value == 0.0
    twice = score_test(names, np.hstack([noise, 2.0 * noise])).p_value
    assert twice == pytest.approx(score_test(("a",), noise).p_value, rel=1e-8)


def drift_p_value(a: float, b: float, rng: np.random.Generator) -> float:
    """Predict 200 sequences of six tosses with a prior, where the true one is flat."""
    tosses = (rng.random((200, 6)) < rng.random((200, 1))).astype(int)
    heads = np.concatenate([np.zeros((200, 1)), tosses.cumsum(axis=1)], axis=1)[:, :-1]
    chance = (a + heads) / (a + b + np.arange(6))
    laws = np.stack([1.0 - chance, chance], axis=-1)
    last = np.concatenate([np.full((200, 1), -1), tosses[:, :-2]], axis=1)
    return score_test(*drift_scores(laws[:, :-1], laws[:, 1:], last)).p_value


def test_drift_is_reported_as_often_as_stated_and_found_where_it_is() -> None:
    """400 audits: four standard errors of the rate are 0.044."""
    rng = np.random.default_rng(0)
    rate = np.mean([drift_p_value(1.0, 1.0, rng) < 0.05 for _ in range(400)])
    assert abs(rate - 0.05) < 0.044
    found = np.mean([drift_p_value(3.0, 1.0, rng) < 0.05 for _ in range(50)])
    assert found > 0.9


def test_spread_over_paths_is_an_unbiased_variance() -> None:
    ends = np.random.default_rng(0).dirichlet(np.ones(3), (5, 4))
    np.testing.assert_allclose(path_spread(ends), [np.trace(np.cov(e.T)) for e in ends])


def test_the_ratio_of_spreads_covers_as_stated() -> None:
    """Of 400 intervals, all but 8 % at most miss a ratio of 1/2: four standard errors above 5 %."""
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(400):
        exact = rng.gamma(4.0, size=64)
        ratio = spread_ratio(0.5 * exact * rng.gamma(4.0, 0.25, 64), exact)
        misses += not ratio.low < 0.5 < ratio.high
    assert misses <= 0.094 * 400
    assert np.isnan(spread_ratio(np.zeros(3), np.zeros(3)).mean)


def test_measures_refuse_what_does_not_fit() -> None:
    ones = np.full((4, 1, 2), 0.5)
    with unchecked():
        early = np.zeros((4, 1), int)
        assert "later" in raised(ValueError, lambda: drift_scores(ones, ones[:3], early))
        assert "following" in raised(ValueError, lambda: one_step_gap(ones[0], ones, ones[0]))
    assert "two orders" in raised(ValueError, lambda: order_gap(np.ones((1, 2))))
    assert "two paths" in raised(ValueError, lambda: path_spread(np.ones((1, 2))))
    assert "sequences" in raised(ValueError, lambda: score_test(("a",), np.ones((2, 1))))
    assert "finite" in raised(ValueError, lambda: score_test(("a",), np.full((9, 1), np.nan)))
