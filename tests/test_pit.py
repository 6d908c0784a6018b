"""The probability integral transform: laws, oracles, alarms and silence."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.stats
from calibration_cases import constant, exact_judged, network_judged, swapped
from complaints import raised, unchecked
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing.pit import LEVELS, Pit, check_pit, pit_group
from bayescmp.auditing.questions import entropy_levels, pick_one_each
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.measures.pit import exact_pit_distribution, pit_dependence, randomised_pit
from bayescmp.measures.ranked_score import ranked_probability_score
from bayescmp.report.pit import build_pit_section, write_p_value
from bayescmp.results.tree import make_tree
from bayescmp.results.tree_file import load_tree, save_tree

sys.path.insert(0, str(Path(__file__).parent / "benchmarks" / "diagnostics"))

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def exact() -> Pit:
    return check_pit(exact_judged(), key=KEY)


@pytest.fixture(scope="module")
def network() -> Pit:
    return check_pit(network_judged(), key=KEY)


def some_laws(num: int = 7, num_outcomes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Draw laws with impossible outcomes among them."""
    rng = np.random.default_rng(0)
    laws = rng.dirichlet(np.ones(num_outcomes), (2, num))
    laws[1, 0] = [0.0, 0.5, 0.0, 0.5]
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(laws)
    return log_p, log_q


def slow_pit(q: np.ndarray, outcome: int, uniform: float) -> float:
    below = 0.0
    for value in range(outcome):
        below += q[value]
    return below + uniform * q[outcome]


def test_transforms_are_what_loops_say():
    _, log_q = some_laws()
    rng = np.random.default_rng(1)
    outcomes, uniforms = rng.integers(0, 4, 7), rng.random(7)
    found = randomised_pit(log_q, outcomes, uniforms)
    rows = zip(np.exp(log_q), outcomes, uniforms, strict=True)
    np.testing.assert_allclose(found, [slow_pit(*row) for row in rows], atol=1e-15)


def test_exact_distributions_are_what_many_draws_show():
    """A share of 40,000 draws is off by less than 5 x 0.5 / 200 = 0.0125."""
    log_p, log_q = some_laws(num=1)
    rng = np.random.default_rng(2)
    outcomes = rng.choice(4, 40_000, p=np.exp(log_p[0]))
    pit = randomised_pit(np.repeat(log_q, 40_000, axis=0), outcomes, rng.random(40_000))
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    shares = (pit[:, None] <= levels).mean(axis=0)
    exact = exact_pit_distribution(log_p, log_q, levels)
    np.testing.assert_allclose(exact, shares, atol=0.0125)


def test_an_exact_predictor_has_uniform_transforms_by_exact_laws():
    log_p, log_q = some_laws()
    for laws in (log_p, log_q):
        # Sums of four probabilities are off by some 1e-16, divided by probabilities above 1e-3.
        np.testing.assert_allclose(exact_pit_distribution(laws, laws, LEVELS), LEVELS, atol=1e-12)
    assert np.isnan(exact_pit_distribution(log_p[:0], log_q[:0], LEVELS)).all()


def test_dependence_is_a_student_test_over_sequences():
    rng = np.random.default_rng(0)
    pit, counts = rng.random((50, 4)), rng.random((50, 4)) < 0.8
    means = []
    for row, count in zip(pit, counts, strict=True):
        pairs = [
            12.0 * (row[t] - 0.5) * (row[t - 1] - 0.5)
            for t in range(1, 4)
            if count[t] and count[t - 1]
        ]
        means += [sum(pairs) / len(pairs)] if pairs else []
    found = pit_dependence(np.where(counts, pit, np.nan), counts)
    assert found.num == len(means)
    np.testing.assert_allclose(found.correlation, np.mean(means), atol=1e-15)
    np.testing.assert_allclose(found.p_value, scipy.stats.ttest_1samp(means, 0.0).pvalue)
    assert np.isnan(pit_dependence(pit[:, :1], counts[:, :1]).p_value)


def test_the_exact_predictor_is_silent(exact: Pit):
    assert exact.overall.p_value > 0.05
    assert exact.off() == ()
    assert exact.overall.exact_distance < 1e-12  # rounding: see above
    curve = exact.overall
    assert (curve.difference <= curve.high).all()
    assert (curve.difference >= curve.low).all()
    assert exact.dependence is not None
    assert exact.dependence.p_value > 0.05


def test_swapped_classes_fire(exact: Pit):
    """A late law that swaps two outcomes puts most of its probability where it cannot be."""
    found = check_pit(swapped(exact_judged()), key=KEY)
    assert found.overall.p_value < 1e-6
    assert 3 in found.off()
    assert found.overall.distance > 0.5 * found.overall.exact_distance > 0.0
    assert found.by_entropy[0].p_value < 1e-6  # where least is left open, most goes wrong
    assert found.by_position[0].exact_distance < 1e-6  # nothing is known at first; 32 bits


def test_ignorance_has_uniform_transforms_and_dependent_ones():
    """What was said before and cannot come again is forgotten; transforms repel each other."""
    found = check_pit(constant(exact_judged()), key=KEY)
    assert found.overall.p_value > 0.01
    assert found.overall.exact_distance < 0.05  # 600 sequences stand for all
    assert found.dependence is not None
    assert found.dependence.p_value < 1e-6
    assert found.dependence.correlation < 0.0


def test_the_last_place_is_the_network_itself(network: Pit):
    last, own = network.by_stream[-1], network.overall
    # The lens reads out in one call what the network reads out in others: 32 bits apart.
    np.testing.assert_allclose(last.exact, own.exact, atol=1e-5)
    assert abs(last.distance - own.distance) <= 1.5 / own.num  # one outcome may cross a level
    assert len(network.by_stream) == len(network.stream_names)


def test_nothing_is_said_where_nothing_counts():
    judged = exact_judged()
    counts = judged.counts.copy()
    counts[:, 1] = False
    batch = replace(judged.evaluation.batch, supervised=jax.numpy.asarray(counts))
    some = replace(judged, evaluation=replace(judged.evaluation, batch=batch))
    log_q = some.log_q.copy()
    log_q[:, 1] = np.nan
    found = check_pit(replace(some, log_q=log_q), key=KEY)
    assert found.by_position[1].num == 0
    assert np.isnan(found.by_position[1].p_value)
    assert found.overall.p_value > 0.01


def test_one_question_of_each_sequence_is_picked_evenly():
    eligible = np.random.default_rng(0).random((4_000, 3)) < 0.7
    eligible[:, 0] = True
    picked = pick_one_each(eligible, np.random.default_rng(1))
    assert (picked.sequences == np.arange(4_000)).all()
    assert picked.of(eligible).all()
    three = eligible.all(axis=1)
    shares = np.bincount(picked.positions[three]) / three.sum()
    # Standard deviation of a share of 1/3 in some 2,000: 0.0105; five of them.
    np.testing.assert_allclose(shares, 1 / 3, atol=0.053)


def test_levels_of_entropy_follow_what_is_left_open():
    judged = exact_judged()
    levels = entropy_levels(judged)
    np.testing.assert_allclose(levels.edges[[0, -1]], np.log([2.0, 5.0]), rtol=1e-6)
    assert levels.level[0].tolist() == [3, 3, 1, 0]  # log 5, 4, 3 and 2


def test_densities_are_judged_by_their_distribution():
    judged = exact_judged()
    uniform = np.random.default_rng(0).random(judged.counts.shape)
    fine, bent = (check_pit(judged, key=KEY, cdf=values) for values in (uniform, uniform**1.5))
    assert fine.overall.p_value > 0.05 > bent.overall.p_value
    assert np.isnan(fine.overall.exact).all()
    assert fine.by_stream == ()


def test_a_density_of_a_network_fits_in():
    """A Gaussian process's outcomes, by their true distribution given nothing."""
    judged = exact_judged()
    draws = np.random.default_rng(5).normal(size=judged.counts.shape)
    assert check_pit(judged, key=KEY, cdf=scipy.stats.norm.cdf(draws)).off() == ()


class Hidden(Evaluation):
    """The same sequences, as if their outcomes were not shown."""

    @property
    def model(self):
        return SimpleNamespace(layout=SimpleNamespace(reveal=False))


def test_what_is_not_shown_is_not_tested_for_dependence():
    judged = exact_judged()
    given = judged.evaluation
    hidden = Hidden(given.oracle, given.batch, given.log_p)
    assert check_pit(replace(judged, evaluation=hidden), key=KEY).dependence is None


def test_a_key_decides_everything(exact: Pit):
    again = check_pit(exact_judged(), key=KEY)
    other = check_pit(exact_judged(), key=jax.random.key(4))
    np.testing.assert_array_equal(again.overall.difference, exact.overall.difference)
    assert (other.overall.difference != exact.overall.difference).any()


def test_alarms_are_as_rare_as_they_should_be():
    """300 null simulations; outside 6 to 26 with a chance below 1 %."""
    import pit  # pyright: ignore[reportMissingImports]

    with unchecked():
        for name, values in pit.p_values("none", 200, 300, seed=1).items():
            assert 6 <= (values <= 0.05).sum() <= 26, name
        for name, defects in pit.SEES.items():
            for defect in defects:
                values = pit.p_values(defect, pit.NUM_SEQUENCES[name], 5, seed=2)[name]
                assert (values <= 0.05).sum() >= 3, (name, defect)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: randomised_pit(np.log([[0.5, 0.5]]), np.array([2]), np.array([0.5])),
            "outcomes: expected 0 to 1, got others",
        ),
        (
            lambda: randomised_pit(np.array([[np.nan, 0.0]]), np.array([0]), np.array([0.5])),
            "log_q: expected log probabilities, got NaN",
        ),
        (
            lambda: check_pit(exact_judged(), key=KEY, cdf=np.zeros((2, 2))),
            "cdf: expected shape (600, 4), got (2, 2)",
        ),
        (
            lambda: check_pit(exact_judged(), key=KEY, cdf=np.full((600, 4), 1.5)),
            "cdf: expected numbers from 0 to 1, got others",
        ),
    ],
)
def test_bad_input_is_refused(call, message: str):
    with unchecked():
        assert raised(ValueError, call) == message


def test_ranked_scores_are_what_loops_say():
    log_p, _ = some_laws()
    outcomes, widths = np.array([0, 1, 2, 3, 0, 1, 2]), np.array([0.5, 1.0, 2.0])
    slow = [
        sum(w * (np.exp(row[: k + 1]).sum() - (y <= k)) ** 2 for k, w in enumerate(widths))
        for row, y in zip(log_p, outcomes, strict=True)
    ]
    found = ranked_probability_score(log_p, outcomes, widths)
    np.testing.assert_allclose(found, slow, rtol=1e-12)
    assert "widths" in raised(
        ValueError, lambda: ranked_probability_score(log_p, outcomes, widths[:1])
    )


def test_the_group_is_saved_drawn_and_reported(exact: Pit, network: Pit, tmp_path: Path):
    groups, attrs = split(synthetic_tree(num_seeds=2, length=4, num_outcomes=5))
    groups["/pit"] = pit_group([network, network])
    save_tree(make_tree(groups, attrs), tmp_path / "results.nc")
    tree = load_tree(tmp_path / "results.nc")
    section = build_pit_section(tree)
    assert section.ident == "pit"
    assert [figure.ident for figure in section.figures] == ["fig-pit", "fig-pit-streams"]
    assert "600 sequences" in section.paragraphs[0]
    groups["/pit"] = pit_group([exact, exact])
    section = build_pit_section(make_tree(groups, attrs))
    assert len(section.figures) == len(section.missing) == 1


def test_an_absent_group_is_named():
    section = build_pit_section(synthetic_tree(num_seeds=2))
    assert section.missing[0].startswith("The tree has no group /pit")
    assert write_p_value(np.nan) == "no p-value"
    assert write_p_value(1e-9) == "p < 0.001"
