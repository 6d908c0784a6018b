"""Reliability by isotonic regression: laws, oracles, alarms and silence."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from calibration_cases import constant, exact_judged, network_judged, swapped, unsure
from complaints import raised, unchecked
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing import Judged
from bayescmp.auditing.reliability import ReliabilityFit, fit_reliability, reliability_group
from bayescmp.auditing.reliability_rows import ESTIMATORS, Rows, measure_rows
from bayescmp.measures.consistency import (
    as_targets,
    draw_outcomes,
    envelope,
    monte_carlo_p_value,
)
from bayescmp.measures.corp import isotonic_error, pool_forecasts, reliability_curve
from bayescmp.measures.debiased import binned_errors
from bayescmp.measures.score_decomposition import decompose_scores, score_forecasts
from bayescmp.report.reliability import build_reliability_section
from bayescmp.results.tree import make_tree
from bayescmp.results.tree_file import load_tree, save_tree

sys.path.insert(0, str(Path(__file__).parent / "benchmarks" / "diagnostics"))

KEY = jax.random.key(3)
SCORE, MISCALIBRATION, DISCRIMINATION, UNCERTAINTY = range(4)


@pytest.fixture(scope="module")
def exact() -> ReliabilityFit:
    return fit(exact_judged())


@pytest.fixture(scope="module")
def network() -> ReliabilityFit:
    return fit_reliability(network_judged(), key=KEY)


def fit(judged: Judged) -> ReliabilityFit:
    """Fit without checks of types: they take most of the time where calls are many."""
    with unchecked():
        return fit_reliability(judged, key=KEY)


def slow_isotonic(forecasts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Fit by the min-max formula: max over starts of min over ends of the mean between."""
    distinct = np.unique(forecasts)
    fitted = []
    for x in distinct:
        best = -np.inf
        for a in distinct[distinct <= x]:
            means = [
                targets[(forecasts >= a) & (forecasts <= b)].mean() for b in distinct[distinct >= x]
            ]
            best = max(best, min(means))
        fitted.append(best)
    return np.array(fitted)


def some_forecasts(num: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Draw forecasts with ties, and outcomes that follow them loosely."""
    rng = np.random.default_rng(0)
    forecasts = rng.integers(0, 11, num) / 10.0
    return forecasts, (rng.random(num) < 0.2 + 0.6 * forecasts).astype(np.float64)


def test_recalibration_is_the_min_max_formula():
    forecasts, targets = some_forecasts()
    pooled = pool_forecasts(forecasts)
    fitted = pooled.regress(targets).fitted
    np.testing.assert_allclose(fitted, slow_isotonic(forecasts, targets), rtol=1e-12)
    slow = np.abs(np.interp(forecasts, pooled.forecasts, fitted) - forecasts).mean()
    np.testing.assert_allclose(isotonic_error(pooled, targets), slow, rtol=1e-12)


def test_a_curve_goes_through_its_forecasts_and_ends_with_them():
    pooled = pool_forecasts(np.array([0.2, 0.4, 0.8]))
    fit = pooled.regress(np.array([0.0, 1.0, 0.5]))
    curve = reliability_curve(pooled, fit, np.array([0.0, 0.2, 0.3, 0.4, 0.8, 1.0]))
    np.testing.assert_allclose(curve, [np.nan, 0.0, 0.375, 0.75, 0.75, np.nan])


def slow_scores(q: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Score one outcome entry by entry, both scores."""
    brier = np.mean([t * (1 - a) ** 2 + (1 - t) * a**2 for a, t in zip(q, targets, strict=True)])
    log = 0.0
    for a, t in zip(q, targets, strict=True):
        log -= (t * np.log(a) if t > 0 else 0.0) + ((1 - t) * np.log(1 - a) if t < 1 else 0.0)
    return np.array([brier, log / len(q)])


def test_decompositions_are_what_loops_say_and_add_up():
    forecasts, came = some_forecasts()
    forecasts = 0.05 + 0.9 * forecasts
    for targets in (came, np.random.default_rng(1).random(came.size)):
        found = score_forecasts(forecasts).decompose(targets)
        pooled = pool_forecasts(forecasts)
        recalibrated = slow_isotonic(forecasts, targets)[pooled.places]
        mean = np.full_like(targets, targets.mean())
        own, best, base = (slow_scores(f, targets) for f in (forecasts, recalibrated, mean))
        slow = np.stack([own, own - best, base - best, base], axis=-1)
        np.testing.assert_allclose(found, slow, rtol=1e-10, atol=1e-12)
        parts = found[:, MISCALIBRATION] - found[:, DISCRIMINATION] + found[:, UNCERTAINTY]
        np.testing.assert_allclose(found[:, SCORE], parts, rtol=1e-14)
        assert (found[:, 1:3] > -1e-15).all()  # never negative, but for rounding


def test_summed_brier_scores_are_those_of_the_whole_law():
    rng = np.random.default_rng(0)
    q, outcomes = rng.dirichlet(np.ones(4), 50), rng.integers(0, 4, 50)
    came = as_targets(outcomes, 4)
    found = decompose_scores(q, came)
    np.testing.assert_allclose(found[0, SCORE], ((q - came) ** 2).sum(axis=1).mean(), rtol=1e-12)
    two = np.stack([q[:, 0], 1.0 - q[:, 0]], axis=1)
    twice = decompose_scores(two, as_targets((outcomes > 0).astype(int), 2))[1, SCORE]
    once = -np.log(two[np.arange(50), (outcomes > 0).astype(int)]).mean()
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-12)


def test_what_was_called_impossible_is_infinitely_bad_only_if_it_comes():
    q = np.array([0.0, 0.0, 0.5, 1.0])
    fine = score_forecasts(q).decompose(np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite(fine).all()
    bad = score_forecasts(q).decompose(np.array([0.0, 1.0, 1.0, 1.0]))[1]
    assert np.isinf(bad[[SCORE, MISCALIBRATION]]).all()
    assert np.isfinite(bad[[DISCRIMINATION, UNCERTAINTY]]).all()


def test_exact_laws_have_nothing_to_recalibrate():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    parts = decompose_scores(p, p)
    np.testing.assert_allclose(parts[:, MISCALIBRATION], 0.0, atol=1e-14)
    assert (parts[:, DISCRIMINATION] > 0.01).all()


def slow_binned(q: np.ndarray, came: np.ndarray, p: np.ndarray, num_bins: int) -> list[float]:
    """Measure errors bin by bin, the mean distance of a normal number by quadrature."""
    plain = debiased = truth = square = true_square = 0.0
    grid = np.linspace(-9.0, 9.0, 40_001)
    density = np.exp(-0.5 * grid**2) / np.exp(-0.5 * grid**2).sum()
    for b in range(num_bins):
        inside = [
            i
            for i in range(q.size)
            if b / num_bins <= q[i] < (b + 1 + (b == num_bins - 1)) / num_bins
        ]
        if not inside:
            continue
        share, n = len(inside) / q.size, len(inside)
        gap, y = came[inside].mean() - q[inside].mean(), came[inside].mean()
        around = density @ np.abs(gap + np.sqrt(y * (1 - y) / n) * grid)
        plain += share * abs(gap)
        debiased += share * (2 * abs(gap) - around)
        truth += share * abs(p[inside].mean() - q[inside].mean())
        true_square += share * (p[inside].mean() - q[inside].mean()) ** 2
        square += share * (gap**2 - y * (1 - y) / (n - 1) if n > 1 else 0.0)
    return [plain, debiased, truth, square, true_square]


def test_binned_errors_are_what_loops_say():
    rng = np.random.default_rng(0)
    q, p = rng.random(60), rng.random(60)
    came = rng.random(60) < p
    found = binned_errors(q, came, p, num_bins=7)
    fast = [found.plain, found.debiased, found.exact, found.squared, found.exact_squared]
    # The quadrature of a kink in steps of 4.5e-4 is off by the square of that.
    np.testing.assert_allclose(fast, slow_binned(q, came, p, 7), rtol=1e-6, atol=1e-9)


def test_corrections_take_bias_off():
    """Means of 400 errors: their standard deviations are below 0.02, so 0.003 is three of them."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(400):
        p = rng.random(300)
        error = binned_errors(p, rng.random(300) < p, p)
        rows.append([error.plain, error.debiased, error.squared])
    plain, debiased, squared = np.mean(rows, axis=0)
    assert plain > 0.05
    assert debiased < 0.65 * plain  # no full cure: the docstring says so
    # In a bin of width 1/15 probabilities vary by far less than outcomes do.
    assert abs(squared) < 0.0005


def test_drawn_outcomes_follow_their_laws():
    q = np.array([[0.0, 0.3, 0.7, 0.0], [0.25, 0.25, 0.25, 0.25]])
    draws = draw_outcomes(q, 20_000, np.random.default_rng(0))
    shares = [np.bincount(column, minlength=4) / 20_000 for column in draws.T]
    np.testing.assert_allclose(shares, q, atol=5 * 0.5 / np.sqrt(20_000))
    assert (np.array(shares)[q == 0.0] == 0.0).all()


def test_envelopes_hold_as_a_whole():
    """Fresh curves leave with a chance of 5 %: of 1,000, 27 to 78 (both chances 1e-3)."""
    rng = np.random.default_rng(0)
    curves = 0.5 + 0.05 * rng.normal(size=(6_000, 8)).cumsum(axis=1) / 3.0
    band = envelope(curves[:5_000])
    out = ((curves[5_000:] < band.low) | (curves[5_000:] > band.high)).any(axis=1).sum()
    assert 27 <= out <= 78
    certain = envelope(np.full((30, 2), 0.25))
    np.testing.assert_allclose([certain.low, certain.high], 0.25)


def test_the_exact_predictor_is_silent(exact: ReliabilityFit):
    whole = exact.overall
    assert (whole.p_value > 0.05).all()
    np.testing.assert_allclose(whole.exact_errors, 0.0, atol=1e-9)
    np.testing.assert_allclose(whole.parts[:, 1, MISCALIBRATION], 0.0, atol=1e-12)
    assert (whole.errors[:, ESTIMATORS.index("binned")] > 0.0).all()  # yet outcomes fluctuate
    for curve in exact.curves:
        inside = ~np.isnan(curve.drawn)
        assert (curve.drawn[inside] >= curve.low[inside] - 1e-9).all()
        assert (curve.drawn[inside] <= curve.high[inside] + 1e-9).all()


def test_an_unsure_predictor_fires():
    found = fit(unsure(exact_judged()))
    assert (found.overall.p_value <= 0.01).all()
    assert (found.overall.parts[:, 1, MISCALIBRATION] > 0.005).all()
    curve = found.curves[0]
    inside = ~np.isnan(curve.drawn)
    outside = (curve.drawn < curve.low - 1e-9) | (curve.drawn > curve.high + 1e-9)
    assert outside[inside].any()


def test_swapped_classes_fire():
    found = fit(unsure(swapped(exact_judged())))
    assert (found.overall.p_value <= 0.01).all()
    assert (found.by_position[3].p_value <= 0.01).all()
    assert (found.by_entropy[0].p_value <= 0.01).all()
    binned = found.overall.errors[0] - found.overall.exact_errors[0]
    assert np.abs(binned).max() < 0.05  # every estimator is near what it estimates


def test_ignorance_is_calibrated_and_tells_nothing_apart():
    found = fit(constant(exact_judged()))
    assert (found.overall.p_value > 0.05).all()
    np.testing.assert_allclose(found.overall.parts[:, 0, DISCRIMINATION], 0.0, atol=1e-12)


def test_the_last_place_is_the_network_itself(network: ReliabilityFit):
    last, own = network.by_stream[-1], network.overall
    # 32 bits apart: a forecast may cross the edge of a bin, but scores are continuous.
    np.testing.assert_allclose(last.parts[:, 1], own.parts[:, 1], atol=1e-4)
    assert np.isnan(last.p_value).all()
    assert np.isfinite(own.p_value).all()


def test_levels_and_positions_add_up_to_scores(network: ReliabilityFit):
    for rows in (network.overall, *network.by_position, *network.by_entropy, *network.by_stream):
        score, *parts = np.moveaxis(rows.parts, -1, 0)
        np.testing.assert_allclose(score, parts[0] - parts[1] + parts[2], rtol=1e-12)


def test_no_question_says_nothing():
    empty = Rows(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int))
    found = measure_rows(empty, 5, np.random.default_rng(0))
    assert found.num == 0
    assert np.isnan(found.parts).all()
    assert np.isnan(found.exact_errors).all()


def test_alarms_are_as_rare_as_they_should_be():
    """80 null simulations; more than 11 alarms have a chance of 0.1 %."""
    import reliability  # pyright: ignore[reportMissingImports]

    with unchecked():
        for name, values in reliability.p_values("none", 200, 80, seed=1).items():
            assert (values <= 0.05).sum() <= 11, name
        for defect in reliability.SEES[reliability.BRIER]:
            for name, values in reliability.p_values(defect, 5_000, 3, seed=2).items():
                assert (values <= 0.05).sum() >= 2, (name, defect)


def test_a_key_decides_everything(exact: ReliabilityFit):
    again = fit_reliability(exact_judged(), key=KEY)
    np.testing.assert_array_equal(again.overall.p_value, exact.overall.p_value)
    np.testing.assert_array_equal(again.curves[0].low, exact.curves[0].low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pool_forecasts(np.zeros(0)), "forecasts: expected at least one, got none"),
        (
            lambda: pool_forecasts(np.array([0.5, np.nan])),
            "forecasts: expected probabilities, got numbers outside [0, 1]",
        ),
        (
            lambda: decompose_scores(np.ones((2, 2)), np.ones((2, 3))),
            "targets: expected shape (2, 2), got (2, 3)",
        ),
        (
            lambda: binned_errors(np.array([0.5]), np.array([True]), np.array([0.5]), num_bins=0),
            "num_bins: expected at least 1, got 0",
        ),
        (
            lambda: binned_errors(np.zeros(0), np.zeros(0, bool), np.zeros(0)),
            "q: expected at least one entry, got none",
        ),
        (
            lambda: binned_errors(np.array([0.5]), np.array([True]), np.zeros(2)),
            "p: expected shape (1,), got (2,)",
        ),
        (
            lambda: binned_errors(np.array([1.5]), np.array([True]), np.array([0.5])),
            "q: expected probabilities, got numbers outside [0, 1]",
        ),
        (
            lambda: envelope(np.zeros((30, 2)), 1.0),
            "coverage: expected a number between 0 and 1, got 1.0",
        ),
        (lambda: envelope(np.zeros((3, 2))), "curves: expected at least 20 draws, got 3"),
    ],
)
def test_bad_input_is_refused(call, message: str):
    with unchecked():
        assert raised(ValueError, call) == message


def test_no_p_value_comes_from_what_is_no_number():
    assert np.isnan(monte_carlo_p_value(np.nan, np.zeros(3)))
    assert monte_carlo_p_value(np.inf, np.zeros(9)) == 0.1


def test_the_group_is_saved_drawn_and_reported(
    exact: ReliabilityFit, network: ReliabilityFit, tmp_path: Path
):
    groups, attrs = split(synthetic_tree(num_seeds=2, length=4, num_outcomes=5))
    groups["/reliability"] = reliability_group([network, network])
    save_tree(make_tree(groups, attrs), tmp_path / "results.nc")
    tree = load_tree(tmp_path / "results.nc")
    bits = tree["/reliability/log"].sel(against="outcomes", score_part="score")
    nats = network.overall.parts[1, 0, SCORE]
    np.testing.assert_allclose(bits.values, nats / np.log(2.0))
    section = build_reliability_section(tree)
    assert section.ident == "reliability"
    assert len(section.figures) == 3
    assert "600 sequences" in section.paragraphs[0]
    infinite = fit(swapped(exact_judged()))
    groups["/reliability"] = reliability_group([exact, infinite])
    section = build_reliability_section(make_tree(groups, attrs))
    assert len(section.figures) == 2
    assert section.missing
    assert "not finite" in section.paragraphs[0]  # what was called impossible came


def test_an_absent_group_is_named():
    section = build_reliability_section(synthetic_tree(num_seeds=2))
    assert section.missing[0].startswith("The tree has no group /reliability")
