"""Selective prediction: risk-coverage curves, ties, and what order and answers lose."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from complaints import unchecked
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing.judged import Judged, judge
from bayescmp.auditing.selective import AREAS, GAPS, select_predictions, selective_group
from bayescmp.measures.selective import (
    answers_of,
    area_under,
    grouped_error,
    risk_coverage,
    selective_areas,
)
from bayescmp.measures.temperature import apply_temperature
from bayescmp.plots.selective import plot_selective
from bayescmp.report.selective import build_selective_section
from bayescmp.results.tree import make_tree


@pytest.fixture(scope="module")
def coin() -> Judged:
    oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=6))
    return judge(oracle, oracle, key=jax.random.key(0), num_sequences=512)


def test_a_curve_is_the_mean_over_all_orders_of_ties() -> None:
    sure = np.array([0.9, 0.5, 0.5, 0.7, 0.5])
    risk = np.array([0.1, 0.9, 0.2, 0.3, 0.4])
    curves = []
    for order in itertools.permutations(range(5)):
        if all(sure[a] >= sure[b] for a, b in itertools.pairwise(order)):
            curves.append([np.mean(risk[list(order[: k + 1])]) for k in range(5)])
    assert len(curves) == 6
    np.testing.assert_allclose(risk_coverage(sure, risk), np.mean(curves, axis=0), atol=1e-15)


def test_no_order_is_better_than_the_best() -> None:
    rng = np.random.default_rng(0)
    risk = rng.random(6)
    best = selective_areas(risk, risk).best
    areas = [
        area_under(risk_coverage(np.array(order, float), risk))
        for order in itertools.permutations(range(6))
    ]
    assert abs(min(areas) - best) < 1e-15
    areas = selective_areas(np.zeros(6), risk)
    assert areas.own == pytest.approx(areas.random)
    assert areas.excess > 0.0


def test_answers_that_tie_are_a_draw() -> None:
    sure, risk = answers_of(np.log([[0.4, 0.4, 0.2]]), np.log([[0.1, 0.3, 0.6]]))
    np.testing.assert_allclose([sure[0], risk[0]], [0.4, 1.0 - 0.2])


def test_the_exact_predictor_loses_nothing(coin: Judged) -> None:
    found = select_predictions(coin)
    gap = dict(zip(GAPS, found.gap, strict=True))
    np.testing.assert_allclose([gap["order"], gap["answers"], gap["total"]], 0.0, atol=1e-12)
    area = dict(zip(AREAS, found.area, strict=True))
    assert area["own"] < area["random"]
    assert (np.diff(found.curve[0]) > -1e-12).all()


def test_a_temperature_leaves_the_order_of_two_outcomes_alone(coin: Judged) -> None:
    hot = select_predictions(replace(coin, log_q=apply_temperature(coin.log_p, 3.0)))
    np.testing.assert_allclose(hot.gap, 0.0, atol=1e-9)


def test_a_wrong_order_and_wrong_answers_are_told_apart(coin: Judged) -> None:
    law = np.exp(coin.log_p)
    blind = 0.5 + np.sign(law - 0.5) * (0.5 - np.abs(law - 0.5)) * 0.9  # surest where least sure
    order = select_predictions(replace(coin, log_q=np.log(blind)))
    assert order.gap[0] > 5 * order.gap_error[0]
    turned = select_predictions(replace(coin, log_q=coin.log_p[..., ::-1].copy()))
    assert turned.gap[1] > 5 * turned.gap_error[1]
    assert turned.gap[2] == pytest.approx(turned.gap[0] + turned.gap[1])


def test_the_grouped_error_is_the_spread_of_repetitions() -> None:
    rng, means, errors = np.random.default_rng(0), [], []
    for _ in range(300):
        rows = rng.gamma(1.0, 1.0, (80, 1)) + 0.1 * rng.normal(size=(80, 3))  # dependent inside
        group = np.arange(80) % 40
        means.append(rows.mean())
        left_out = np.array([[rows[group != one].mean()] for one in range(40)])
        errors.append(grouped_error(left_out)[0])
    # The spread of 300 means is known to 1 / sqrt(600) = 4 %; five of these.
    assert abs(np.mean(errors) / np.std(means) - 1.0) < 0.2


def test_selective_prediction_becomes_a_group_and_a_section(coin: Judged) -> None:
    found = select_predictions(coin, num_groups=5)
    groups, attrs = split(synthetic_tree(num_seeds=2, length=6, num_outcomes=6))
    tree = make_tree({**groups, "/selective": selective_group([found, found])}, attrs)
    section = build_selective_section(tree)
    assert len(section.figures) == 1
    assert not section.missing
    assert all(panel.has_data() for panel in plot_selective(tree).axes)
    assert build_selective_section(make_tree(groups, attrs)).missing


def test_bad_input_is_refused(coin: Judged) -> None:
    for sure, risk, message in (
        (np.zeros(2), np.zeros(3), "risk: expected one for each confidence"),
        (np.zeros(0), np.zeros(0), "at least one"),
        (np.array([np.nan]), np.zeros(1), "confidence: expected numbers, got NaN"),
    ):
        with unchecked(), pytest.raises(ValueError, match=message):
            risk_coverage(sure, risk)
    with pytest.raises(ValueError, match="num_groups: expected at least 2, got 1"):
        select_predictions(coin, num_groups=1)
