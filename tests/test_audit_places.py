"""Coverage and local calibration by level of exact entropy and by place in the stream."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.special
from calibration_cases import network_judged
from judged_cases import judged_coin, tempered, with_laws, without_last
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing.contexts import group_contexts
from bayescmp.auditing.coverage import Coverage, check_coverage, coverage_group
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import LensLaws
from bayescmp.auditing.local_calibration import (
    LocalCalibration,
    local_calibration_group,
    locate_miscalibration,
)
from bayescmp.auditing.questions import entropy_levels
from bayescmp.measures.coverage import LEVELS
from bayescmp.plots.coverage import plot_coverage_streams
from bayescmp.plots.local_calibration import plot_local_calibration_streams
from bayescmp.report.coverage import build_coverage_section
from bayescmp.report.local_calibration import build_local_calibration_section
from bayescmp.results.tree import make_tree

COIN = judged_coin(1_000)
KEY = jax.random.key(1)
PLACES = ("too sure", "blind", "exact")
"""Made-up places of a stream: what each would answer."""
DENSEST, LEARNT = 0, 1


def off_where_little_is_known(judged: Judged) -> Judged:
    """Be too sure where the exact entropy is highest, and exact elsewhere."""
    high = entropy_levels(judged).level == 3
    sure = scipy.special.log_softmax(6.0 * (judged.log_p - 0.1 * np.arange(2)), axis=-1)
    return replace(judged, log_q=np.where(high[..., None], sure, judged.log_p))


def planted_lens(judged: Judged) -> LensLaws:
    laws = [tempered(judged, 0.3), with_laws(judged, np.array([0.5, 0.5])), judged]
    return LensLaws(PLACES, np.stack([one.log_q for one in laws]))


@pytest.fixture
def lens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("coverage", "local_calibration"):
        monkeypatch.setattr(f"bayescmp.auditing.{name}.read_lens_laws", planted_lens)


# ---------------------------------------------------------------- levels of exact entropy


def test_coverage_of_an_exact_predictor_is_nominal_at_every_level_of_entropy() -> None:
    for region in check_coverage(COIN, key=KEY).regions:
        tested = region.p_by_entropy[np.isfinite(region.p_by_entropy)]
        assert tested.size
        assert tested.min() > 0.01
        there = region.num_by_entropy > 0
        # Under the exact law coverage is nominal whatever the questions: rounding, in points.
        np.testing.assert_allclose(region.exact_error_by_entropy[there], 0.0, atol=1e-9)


def test_coverage_names_the_level_of_entropy_that_is_off() -> None:
    region = check_coverage(off_where_little_is_known(COIN), key=KEY).regions[DENSEST]
    assert (region.p_by_entropy <= 0.05).tolist() == [False, False, False, True]
    assert region.error_by_entropy[3] < -5.0
    assert region.error_by_entropy[3] == pytest.approx(region.exact_error_by_entropy[3], abs=3.0)


def test_levels_are_those_of_a_loop_over_questions() -> None:
    judged = without_last(tempered(COIN, 0.4))
    found = check_coverage(judged, key=KEY).regions[DENSEST]
    level, q = entropy_levels(judged).level, np.exp(judged.log_q)
    total, num, sequences = np.zeros(4), np.zeros(4), [set() for _ in range(4)]
    for (n, t), k in np.ndenumerate(level):
        if k < 0:
            continue
        own, other = q[n, t, judged.outcomes[n, t]], q[n, t, 1 - judged.outcomes[n, t]]
        tied = own == other
        before, mass = (0.0, 1.0) if tied else (other if other > own else 0.0, own)
        total[k] += 100.0 * (0.5 - before - 0.5 * mass)
        num[k] += 1
        sequences[k].add(n)
    there = num > 0
    np.testing.assert_allclose(found.error_by_entropy[there], (total / np.maximum(num, 1))[there])
    assert np.isnan(found.error_by_entropy[~there]).all()
    assert found.num_by_entropy.tolist() == [len(one) for one in sequences]


def test_contexts_hold_levels_of_exact_entropy_and_the_map_names_them() -> None:
    judged = off_where_little_is_known(COIN)
    groups = group_contexts(judged)
    level = entropy_levels(judged).level
    for k in range(4):
        column = groups.names.index(f"exact entropy level {k}")
        np.testing.assert_array_equal(groups.members[..., column], level == k)
    places = locate_miscalibration(judged, key=KEY).places()
    assert ("exact entropy level 3", "sureness") in {place[:2] for place in places}
    assert "exact entropy level 0" not in {place[0] for place in places}


def test_entropy_that_never_differs_makes_no_groups() -> None:
    fair = with_laws(COIN, np.array([0.5, 0.5]))
    fair = replace(fair, evaluation=replace(fair.evaluation, log_p=fair.log_q))
    assert not any(name.startswith("exact") for name in group_contexts(fair).names)
    assert np.isfinite(check_coverage(fair, key=KEY).regions[DENSEST].num_by_entropy).all()


# ---------------------------------------------------------------- places in the stream


def test_coverage_fires_at_the_places_that_are_off_and_at_no_other(lens: None) -> None:
    found = check_coverage(COIN, key=KEY).by_stream
    assert found is not None
    assert found.names == PLACES
    assert (found.p_value[DENSEST] <= 0.01).tolist() == [True, False, False]
    assert found.error[DENSEST, 0] < -5.0  # too sure covers too little
    # Who ignores the context is seen by the reference that knows it.
    assert found.p_value[LEARNT, 1] <= 0.01
    assert found.p_value[LEARNT, 2] > 0.01
    np.testing.assert_allclose(found.exact_error[:, 2], 0.0, atol=1e-9)


def test_a_place_is_judged_like_a_predictor_that_answers_so(lens: None) -> None:
    found = check_coverage(COIN, key=KEY).by_stream
    alone = check_coverage(tempered(COIN, 0.3), key=KEY).regions
    for region in (DENSEST, LEARNT):
        assert found is not None
        assert found.error[region, 0] == pytest.approx(float(alone[region].error.mean))
        assert found.exact_error[region, 0] == pytest.approx(alone[region].exact_error)
        assert found.p_value[region, 0] == alone[region].p_value


def test_the_map_fires_at_the_places_that_are_off_and_at_no_other(lens: None) -> None:
    found = locate_miscalibration(COIN, key=KEY)
    assert found.stream_names == PLACES
    assert [one.map_p_value <= 0.01 for one in found.by_stream] == [True, True, False]
    assert [one.features_p_value <= 0.01 for one in found.by_stream] == [True, True, False]
    sure = found.by_stream[0]
    assert sure.contexts == found.contexts
    assert sure.gap[0, 0] < -0.05
    assert found.by_stream[2].places() == found.places() == ()


def test_the_last_place_of_a_network_is_its_own_answer() -> None:
    judged = network_judged()
    found = check_coverage(judged, key=KEY)
    assert found.by_stream is not None
    # The lens reads out in one call what the network reads out in another: 32 bits apart.
    own = float(found.regions[DENSEST].error.mean)
    assert found.by_stream.error[DENSEST, -1] == pytest.approx(own, abs=1e-3)
    located = locate_miscalibration(judged, key=KEY)
    last = located.by_stream[-1]
    tested = np.isfinite(located.gap)
    np.testing.assert_allclose(last.gap[tested], located.gap[tested], atol=1e-5)


# ---------------------------------------------------------------- groups and pages


@pytest.fixture
def records(lens: None) -> tuple[list[Coverage], list[LocalCalibration]]:
    subjects = (COIN, tempered(COIN, 0.4))
    covered = [check_coverage(one, key=KEY) for one in subjects]
    return covered, [locate_miscalibration(one, key=KEY) for one in subjects]


def test_groups_and_pages_hold_every_part(
    records: tuple[list[Coverage], list[LocalCalibration]],
) -> None:
    covered, located = records
    groups, attrs = split(synthetic_tree(num_seeds=2, length=4, num_outcomes=4))
    outside = {
        "/coverage": coverage_group(covered),
        "/local_calibration": local_calibration_group(located),
    }
    tree = make_tree({**groups, **outside}, attrs)
    coverage, local = outside.values()
    assert coverage["error_by_stream"].dims == ("seed", "region", "stream")
    assert np.isnan(coverage["error_by_stream"].sel(region="blind reference")).all()
    low, high = coverage["entropy_low"].values[0], coverage["entropy_high"].values[0]
    np.testing.assert_allclose(low[1:], high[:-1])
    assert high[-1] == pytest.approx(1.0)  # a coin's first toss is one bit
    assert local["gap_by_stream"].sel(stream="too sure", context="all questions").shape == (2, 5)

    section = build_coverage_section(tree)
    idents = [figure.ident for figure in section.figures]
    assert idents == ["fig-coverage", "fig-coverage-by-position", "fig-coverage-by-stream"]
    assert len(section.tables) == 2
    assert not section.missing
    assert len(plot_coverage_streams(tree).axes) == 2
    section = build_local_calibration_section(tree)
    assert section.figures[-1].ident == "fig-local-calibration-streams"
    assert plot_local_calibration_streams(tree).axes[0].get_xticklabels()[0].get_text() == PLACES[0]


def test_pages_of_trees_without_these_parts_say_so() -> None:
    groups, attrs = split(synthetic_tree(num_seeds=1, length=4, num_outcomes=4))
    coverage = coverage_group([check_coverage(COIN, key=KEY)])
    old = coverage.drop_vars([name for name in coverage if "entropy" in str(name)])
    local = local_calibration_group([locate_miscalibration(COIN, key=KEY)])
    tree = make_tree({**groups, "/coverage": old, "/local_calibration": local}, attrs)
    section = build_coverage_section(tree)
    assert [text.split(":")[0].split()[-1] for text in section.missing] == [
        "/coverage/error_by_stream",
        "/coverage/error_by_entropy",
    ]
    assert build_local_calibration_section(tree).missing
    assert LEVELS.size == old.sizes["nominal"]
