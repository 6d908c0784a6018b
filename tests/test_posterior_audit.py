"""The audit of an amortised posterior from arrays: it fires on what is wrong, and names it."""

import jax
import numpy as np
import pytest
import xarray as xr
from complaints import unchecked
from scipy import stats
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing import PosteriorAudit, audit_posterior
from bayescmp.auditing.posterior_groups import posterior_group
from bayescmp.measures.ranks import judge_places
from bayescmp.plots.posterior import plot_posterior
from bayescmp.report.page import build_page
from bayescmp.report.posterior import build_posterior_section
from bayescmp.results.tree import make_tree

NUM, NUM_DRAWS = 1_200, 99
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
TRUTHS = RNG.normal(size=(NUM, 2))
DATA = TRUTHS + RNG.normal(size=(NUM, 2))
NOISE = RNG.normal(size=(NUM, NUM_DRAWS, 2))
POSTERIORS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "right": (0.5 * DATA, np.full((NUM, 2), np.sqrt(0.5))),
    "too narrow": (0.5 * DATA, np.full((NUM, 2), 0.75 * np.sqrt(0.5))),
    "too wide": (0.5 * DATA, np.full((NUM, 2), 1.35 * np.sqrt(0.5))),
    "shifted": (0.5 * DATA + [0.3, 0.0], np.full((NUM, 2), np.sqrt(0.5))),
    "prior": (0.0 * DATA, np.ones((NUM, 2))),
    "blind to the second": (DATA * [0.5, 0.0], np.tile([np.sqrt(0.5), 1.0], (NUM, 1))),
}
"""Means and standard deviations; two numbers with standard normal priors, each seen once."""


def audit(kind: str, *, with_features: bool = True, with_densities: bool = True) -> PosteriorAudit:
    mean, deviation = POSTERIORS[kind]
    draws = mean[:, None] + deviation[:, None] * NOISE
    log_draws = stats.norm.logpdf(draws, mean[:, None], deviation[:, None]).sum(axis=-1)
    log_truth = stats.norm.logpdf(TRUTHS, mean, deviation).sum(axis=-1)
    return audit_posterior(
        draws,
        TRUTHS,
        key=KEY,
        names=("first", "second"),
        features=DATA if with_features else None,
        log_densities=(log_draws, log_truth) if with_densities else None,
    )


@pytest.fixture(scope="module")
def found() -> dict[str, PosteriorAudit]:
    return {kind: audit(kind) for kind in POSTERIORS}


def test_a_right_posterior_is_silent(found: dict[str, PosteriorAudit]) -> None:
    right = found["right"]
    assert right.p_value > 0.05
    assert len(right.tests) == 6
    assert right.local is not None
    assert right.local.test.adjusted.min() > 0.01


@pytest.mark.parametrize("kind", [kind for kind in POSTERIORS if kind != "right"])
def test_each_defect_fires(found: dict[str, PosteriorAudit], kind: str) -> None:
    assert found[kind].p_value < 0.01


def test_only_tests_that_know_the_data_see_a_posterior_that_ignores_it(
    found: dict[str, PosteriorAudit],
) -> None:
    tests = found["prior"].tests
    knowing = {"learnt reference", "local test"}
    assert all(tests[name] < 0.01 for name in knowing)
    assert all(p_value > 0.01 for name, p_value in tests.items() if name not in knowing)
    alone = audit("prior", with_features=False)
    assert alone.local is None
    assert alone.p_value > 0.01


def test_each_defect_is_named_by_direction(found: dict[str, PosteriorAudit]) -> None:
    narrow, wide, shifted = (found[kind] for kind in ("too narrow", "too wide", "shifted"))
    assert narrow.ranks[0].interval_error < -3.0 < 3.0 < wide.ranks[0].interval_error
    assert narrow.sets["highest density"].area < 0.0 < wide.sets["highest density"].area
    assert shifted.oddest == "rank of first" or shifted.tests["rank of first"] < 1e-6
    assert shifted.tests["rank of second"] > 0.01
    for one in (narrow, wide, shifted):
        assert one.local is not None
    # The classifier is penalised, so that it finds a part of the defect, with the right sign.
    assert narrow.local.width.mean() > 1.1 > 0.95 > wide.local.width.mean()
    assert -0.9 < shifted.local.shift[:, 0].mean() < -0.2
    assert abs(shifted.local.shift[:, 1].mean()) < 0.2
    blind = found["blind to the second"].local
    assert np.corrcoef(blind.shift[:, 1], blind.features[:, 1])[0, 1] > 0.8


def test_places_are_ranks_of_a_loop(found: dict[str, PosteriorAudit]) -> None:
    one = found["right"]
    mean, deviation = POSTERIORS["right"]
    draws = mean[:, None] + deviation[:, None] * NOISE
    for row in range(50):
        rank = sum(draws[row, :, 1] < TRUTHS[row, 1])
        assert rank <= one.places[1, row] * (NUM_DRAWS + 1) <= rank + 1
    assert one.ranks[1].p_value == judge_places(one.places[1]).p_value


def test_whole_numbers_and_their_ties_are_silent() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 4, (500, 41, 1)).astype(float)
    assert audit_posterior(values[:, 1:], values[:, 0], key=KEY).p_value > 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": np.zeros((50, 9, 2))}, "draws: expected 50 simulations of 1 parameters"),
        ({"draws": np.zeros((50, 0, 1))}, "draws: expected 50 simulations"),
        ({"draws": np.full((50, 9, 1), np.nan)}, "draws: expected finite numbers"),
        ({"truths": np.full((50, 1), np.inf)}, "truths: expected finite numbers"),
        ({"features": np.zeros((49, 1))}, "features: expected 50 rows, got 49"),
        ({"features": np.full((50, 1), np.nan)}, "features: expected finite numbers"),
        ({"features": np.zeros((50, 40))}, "features: expected at most 39 beside 1"),
        ({"features": np.zeros((50, 1)), "num_places": 0}, "num_places: expected 1 to 25, got 0"),
        ({"names": ("a", "b")}, "names: expected 1, got 2"),
        ({"log_densities": (np.zeros((50, 8)), np.zeros(50))}, "log_densities: expected shapes"),
        ({"log_densities": (np.full((50, 9), np.nan), np.zeros(50))}, "expected numbers, got NaN"),
    ],
)
def test_bad_arguments_get_one_line(change: dict, message: str) -> None:
    rng = np.random.default_rng(0)
    given = {"draws": rng.normal(size=(50, 9, 1)), "truths": rng.normal(size=(50, 1))} | change
    with unchecked(), pytest.raises(ValueError, match=message):
        audit_posterior(given.pop("draws"), given.pop("truths"), key=KEY, **given)
    with pytest.raises(ValueError, match="truths: expected at least 40 simulations, got 5"):
        audit_posterior(np.zeros((5, 9, 1)), np.zeros((5, 1)), key=KEY)


# ---------------------------------------------------------------- group, figure, page


def test_the_group_holds_what_was_found(found: dict[str, PosteriorAudit]) -> None:
    pair = [found["right"], found["shifted"]]
    group = posterior_group(pair)
    for seed, one in enumerate(pair):
        assert group["p_value_of_all"].values[seed] == one.p_value
        for name, sets in one.sets.items():
            row = group.sel(posterior_set=name).isel(seed=seed)
            np.testing.assert_array_equal(row["set_coverage"], sets.coverage)
            assert float(row["set_error"]) == 100.0 * sets.area
    assert (group["height"].sum("posterior_bin") == NUM).all()
    assert group["local_shift"].dims == ("seed", "posterior_place", "parameter")
    with pytest.raises(ValueError, match="results: expected at least one"):
        posterior_group([])
    with pytest.raises(ValueError, match="results: expected the same parameters"):
        posterior_group([pair[0], audit("right", with_features=False)])


def test_the_section_is_made_from_the_group_alone(found: dict[str, PosteriorAudit]) -> None:
    tree = xr.DataTree.from_dict({"/posterior": posterior_group([found["shifted"]])})
    section = build_posterior_section(tree)
    assert "the posterior is not calibrated" in section.paragraphs[0]
    assert len(section.tables) == 3
    assert not section.missing
    assert len(plot_posterior(tree).axes) == 3
    without = audit("right", with_features=False, with_densities=False)
    tree = xr.DataTree.from_dict({"/posterior": posterior_group([without])})
    section = build_posterior_section(tree)
    assert "no departure from calibration was found" in section.paragraphs[0]
    assert "no features of the data were given" in section.missing[0]


def test_the_page_has_the_section_and_escapes_names() -> None:
    rng = np.random.default_rng(5)
    one = audit_posterior(
        rng.normal(size=(60, 20, 1)), rng.normal(size=(60, 1)), key=KEY, names=["<b>x</b>"]
    )
    groups, attrs = split(synthetic_tree(num_seeds=1))
    tree = make_tree({**groups, "/posterior": posterior_group([one])}, attrs)
    section = next(one for one in build_page(tree).sections if one.ident == "posterior")
    assert "<b>" not in section.figures[0].svg
    assert build_posterior_section(synthetic_tree(num_seeds=1)).missing
