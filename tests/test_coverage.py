"""Expected coverage: sets of discrete laws and of posterior draws, and the audit of a predictor."""

import jax
import numpy as np
import pytest
import scipy.special
import xarray as xr
from complaints import unchecked
from judged_cases import judged_coin, judged_hidden, tempered, with_laws, without_last
from scipy.stats import kstest
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing.coverage import REGIONS, Coverage, check_coverage, coverage_group
from bayescmp.auditing.judged import Judged
from bayescmp.measures.coverage import (
    LEVELS,
    coverage_sums,
    density_levels,
    expected_coverage,
    merge_positions,
    rank_among,
    stand,
)
from bayescmp.measures.joint_sums import CellSums, check_jointly, flip_signs, remove_skewness
from bayescmp.plots.coverage import plot_coverage, plot_coverage_by_position
from bayescmp.report.coverage import build_coverage_section
from bayescmp.results.tree import make_tree

DENSEST, LEARNT, BLIND = range(3)


COIN = judged_coin(1_000)


def slow_standing(law: np.ndarray, scores: np.ndarray) -> tuple[list[float], list[float]]:
    """Add up masses outcome by outcome."""
    pairs = list(zip(law, scores, strict=True))
    before = [sum(q for q, s in pairs if s > own) for own in scores]
    return before, [sum(q for q, s in pairs if s == own) for own in scores]


@pytest.mark.parametrize("kind", ["distinct", "tied", "impossible", "certain"])
def test_standing_is_the_mass_before_and_the_mass_tied(kind: str) -> None:
    rng = np.random.default_rng(0)
    laws = rng.dirichlet(np.ones(5), 6)
    if kind == "tied":
        laws[:, 1] = laws[:, 3] = 0.5 * (laws[:, 1] + laws[:, 3])
    elif kind == "impossible":
        laws[:, [0, 2]] = 0.0
    elif kind == "certain":
        laws = np.eye(5)[[0, 1, 2, 3, 4, 0]]
    laws = laws / laws.sum(axis=1, keepdims=True)
    for scores in (laws, -laws, np.floor(3.0 * rng.random(laws.shape))):
        place = stand(laws, scores)
        slow = np.array([slow_standing(*pair) for pair in zip(laws, scores, strict=True)])
        # Sums of five numbers below one: rounding stays below 1e-15 each.
        np.testing.assert_allclose(place.before, slow[:, 0], atol=1e-14)
        np.testing.assert_allclose(place.tied, slow[:, 1], atol=1e-14)


def test_coverage_is_exactly_nominal_under_the_predictors_own_law() -> None:
    """At every level, for any law, ties and zeros included, and whatever the order."""
    rng = np.random.default_rng(1)
    laws = rng.dirichlet(0.3 * np.ones(4), (3, 5))
    laws[0, 0], laws[1, 1], laws[2, 2] = [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], 0.25
    for scores in (laws, rng.random(laws.shape), np.zeros_like(laws)):
        standing = stand(laws, scores)
        for level in LEVELS:
            covered = expected_coverage(standing, laws, float(level))
            np.testing.assert_allclose(covered, level, atol=1e-12)


def test_a_randomised_level_lies_in_the_set_as_often_as_the_share_says() -> None:
    law = np.array([[0.6, 0.25, 0.15]])
    place = stand(law, law)
    uniforms = np.linspace(0.0005, 0.9995, 1_000)[:, None, None]
    levels = place.randomise(np.broadcast_to(uniforms, (1_000, 1, 3)))
    for level in (0.3, 0.7, 0.9):
        share = (levels <= level).mean(axis=0)
        np.testing.assert_allclose(share, place.share_covered(level), atol=2e-3)


def test_what_is_held_impossible_is_never_covered() -> None:
    law = np.array([0.7, 0.3, 0.0])
    assert stand(law, law).share_covered(0.95)[2] == 0.0


def test_moments_of_coverage_are_those_of_simulated_outcomes() -> None:
    rng = np.random.default_rng(2)
    laws = rng.dirichlet(np.ones(3), (1, 2))
    laws = np.repeat(laws, 20_000, axis=0)
    outcomes = (rng.random((20_000, 2, 1)) > laws.cumsum(-1)[..., :-1]).sum(-1)
    counts = np.ones(outcomes.shape, dtype=bool)
    sums = merge_positions(coverage_sums(laws, stand(laws, laws), outcomes, counts), 2)
    # The variance of 20,000 numbers below one is known within 1 %; five standard errors are 5 %.
    np.testing.assert_allclose((sums.scores**2).sum(axis=0), sums.variance, rtol=0.06)
    scale = sums.variance**0.5
    assert np.abs(sums.scores.sum(axis=0) / scale).max() < 5.0
    simulated = (sums.scores**3).sum(axis=0) / 20_000
    error = (sums.scores**3).std(axis=0) / 20_000**0.5
    assert (np.abs(simulated - sums.third_moment / 20_000) < 5.0 * error).all()


def test_questions_that_do_not_count_add_nothing() -> None:
    laws = np.full((4, 2, 2), 0.5)
    counts = np.array([[True, False]] * 4)
    sums = coverage_sums(laws, stand(laws, np.arange(16.0).reshape(4, 2, 2)), counts * 1, counts)
    half = len(LEVELS)
    assert (sums.scores[:, half:] == 0.0).all()
    assert (sums.variance[half:] == 0.0).all()


def test_draws_of_one_law_have_uniform_levels_with_ties_too() -> None:
    rng = np.random.default_rng(3)
    for digits in (8, 0):  # many ties where draws are rounded
        values = np.round(rng.normal(size=(4_000, 20)), digits)
        truth, draws = values[:, 0], values[:, 1:]
        levels = density_levels(-(draws**2), -(truth**2), rng.random(4_000))
        assert kstest(levels, "uniform").pvalue > 1e-3
    narrow = density_levels(-((0.7 * draws) ** 2), -(truth**2), rng.random(4_000))
    assert kstest(narrow, "uniform").pvalue < 1e-10


def test_ranks_count_draws_below_and_share_ties() -> None:
    draws = np.array([[1.0, 2.0, 2.0, 3.0]])
    for uniform in (0.0, 0.5, 1.0):
        slow = (1 + uniform * 3) / 5
        assert rank_among(draws, np.array([2.0]), np.array([uniform]))[0] == pytest.approx(slow)


def test_sign_flips_hold_their_level_where_questions_depend() -> None:
    """Scores of a sequence are ten times the same number: naive trials would reject most."""
    rng = np.random.default_rng(4)
    signs, rejected = flip_signs(100, rng), 0
    for _ in range(200):
        scores = np.repeat(rng.normal(size=(100, 1)), 3, axis=1) * 10.0
        sums = CellSums(scores, np.full(3, 1_000.0), np.zeros(3))
        rejected += check_jointly(sums, signs).p_value <= 0.05
    # Binomial(200, 0.05) exceeds 25 with a chance of 1e-5.
    assert rejected <= 25


def test_a_joint_test_names_the_cell_and_leaves_the_band_with_it() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(300, 4)) + np.array([0.0, 0.0, 0.4, 0.0])
    found = check_jointly(CellSums(scores, np.full(4, 300.0), np.zeros(4)), flip_signs(300, rng))
    assert (found.adjusted <= 0.05).tolist() == [False, False, True, False]
    assert (np.abs(found.statistic) > found.bound).tolist() == (found.adjusted <= 0.05).tolist()
    assert found.p_value == found.adjusted.min()


def test_rare_events_are_not_tested_and_constants_never_fire() -> None:
    scores = np.stack([np.full(50, -1e-4), np.full(50, 1e-17)], axis=1)
    sums = CellSums(scores, np.array([50e-4, 0.0]), np.array([50e-4, 0.0]))
    found = check_jointly(sums, flip_signs(50, np.random.default_rng(0)))
    assert np.isnan(found.adjusted[0])
    assert found.adjusted[1] == 1.0


def test_skewness_is_removed_monotonically() -> None:
    values = np.linspace(-40.0, 40.0, 2_001)
    for skewness in (-1.0 / 3.0, 0.2, 1.0 / 3.0):
        assert (np.diff(remove_skewness(values, np.full(2_001, skewness))) >= 0.0).all()
    # A gamma variable of shape 36 has skewness 1/3 and known tails; left as it is, a chance of
    # 1e-4 would be stated as 4e-6 above and as 1e-3 below.
    for chance in (1e-2, 1e-3, 1e-4):
        ends = scipy.special.gammainccinv(36.0, chance), scipy.special.gammaincinv(36.0, chance)
        raw = (np.array(ends) - 36.0) / 6.0
        stated = scipy.special.ndtr(-np.abs(remove_skewness(raw, np.full(2, 1.0 / 3.0))))
        assert ((stated > chance) & (stated < 2.5 * chance)).all()


@pytest.mark.parametrize("judged", [COIN, judged_hidden(400)], ids=["coin", "hidden state"])
def test_the_exact_predictor_is_covered_as_it_says(judged: Judged) -> None:
    for region in check_coverage(judged, key=jax.random.key(1)).regions:
        assert region.p_value > 0.01
        assert np.abs(region.exact_coverage - LEVELS).max() < 1e-12
        assert region.error.low <= 0.0 <= region.error.high
        assert (np.abs(region.coverage - LEVELS) <= region.band + 1e-12).all()


@pytest.mark.parametrize(("temperature", "sign"), [(0.4, -1.0), (2.5, 1.0)])
def test_a_predictor_that_is_too_sure_covers_too_little(temperature: float, sign: float) -> None:
    region = check_coverage(tempered(COIN, temperature), key=jax.random.key(1)).regions[DENSEST]
    assert region.p_value < 0.01
    assert sign * region.error.mean > 0.0
    assert region.error.low <= region.exact_error <= region.error.high
    assert np.nanmin(region.p_by_position) < 0.05


def test_only_a_reference_that_knows_the_context_sees_a_predictor_that_ignores_it() -> None:
    """The marginal law is calibrated at each position; what it ignores is what it misses."""
    blind = with_laws(COIN, np.array([0.5, 0.5]))
    regions = check_coverage(blind, key=jax.random.key(1)).regions
    assert regions[DENSEST].p_value > 0.05
    assert regions[BLIND].p_value > 0.05
    assert regions[LEARNT].p_value < 0.01
    assert regions[LEARNT].error.low > 1.0


def test_a_predictor_of_swapped_outcomes_is_seen_by_all() -> None:
    swapped = with_laws(COIN, np.exp(COIN.log_p[..., ::-1]))
    regions = check_coverage(swapped, key=jax.random.key(1)).regions
    assert regions[DENSEST].p_value < 0.01
    assert regions[LEARNT].p_value < 0.01


def test_questions_that_do_not_count_may_be_answered_by_anything() -> None:
    for region in check_coverage(without_last(COIN), key=jax.random.key(1)).regions:
        assert region.p_value > 0.01
        assert np.isnan(region.p_by_position[-1])
        assert np.isnan(region.error_by_position[-1])
        assert np.isfinite(region.error_by_position[:-1]).all()


def test_arguments_are_checked() -> None:
    with unchecked(), pytest.raises(ValueError, match="scores: expected the shape"):
        stand(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="scores: expected numbers, got NaN"):
        stand(np.ones((2, 2)), np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="got NaN among draws"):
        rank_among(np.full((1, 2), np.nan), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="expected at least 20 sequences, got 3"):
        check_coverage(judged_coin(3), key=jax.random.key(0))


@pytest.fixture(scope="module")
def found() -> list[Coverage]:
    subjects = (COIN, tempered(COIN, 0.4))
    return [check_coverage(one, key=jax.random.key(1)) for one in subjects]


def tree_of(group: xr.Dataset) -> xr.DataTree:
    """Put a group beside a made-up comparison of as many seeds and positions."""
    sizes = {"num_seeds": group.sizes["seed"], "length": group.sizes.get("position", 4)}
    groups, attrs = split(synthetic_tree(num_outcomes=4, **sizes))
    return make_tree({**groups, "/coverage": group}, attrs)


def test_the_group_holds_what_was_found(found: list[Coverage]) -> None:
    group = coverage_group(found)
    assert group["region"].values.tolist() == list(REGIONS)
    assert group["nominal"].values[[0, -1]].tolist() == [5, 95]
    assert group["error"].values[1, DENSEST] == found[1].regions[DENSEST].error.mean
    assert group["error"].attrs["units"] == "point"


def test_the_page_says_which_way_a_predictor_is_off(found: list[Coverage]) -> None:
    section = build_coverage_section(tree_of(coverage_group(found[1:])))
    assert "too sure" in section.paragraphs[0]
    assert len(section.figures) == 2
    calm = build_coverage_section(tree_of(coverage_group(found[:1])))
    assert "too sure" not in calm.paragraphs[0]
    assert build_coverage_section(synthetic_tree()).missing


def test_the_figures_show_every_kind_of_set(found: list[Coverage]) -> None:
    tree = tree_of(coverage_group(found))
    assert len(plot_coverage(tree).axes) == len(REGIONS)
    assert len(plot_coverage_by_position(tree).axes) == 2
