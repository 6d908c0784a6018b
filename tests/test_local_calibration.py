"""Where a predictor is off: residuals by context, L-C2ST, and the audit."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import xarray as xr
from complaints import unchecked
from judged_cases import judged_coin, judged_hidden, tempered, with_laws, without_last
from sbi_case import make_case
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing.contexts import describe_contexts, group_contexts, own_entropy
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.local_calibration import (
    LocalCalibration,
    local_calibration_group,
    locate_miscalibration,
)
from bayescmp.measures.local_c2st import PENALTY, Quadratics, fit_logistic, local_c2st
from bayescmp.measures.residuals import (
    aspect_moments,
    one_hot,
    residual_scores,
    shown_before,
    sum_by_context,
)
from bayescmp.plots.local_calibration import plot_local_calibration
from bayescmp.report.local_calibration import build_local_calibration_section
from bayescmp.results.tree import make_tree

COIN, HIDDEN = judged_coin(1_000), judged_hidden(600, seed=1)
SBI = json.loads((Path(__file__).parent / "data" / "sbi_values.json").read_text())


def locate(judged: Judged) -> LocalCalibration:
    return locate_miscalibration(judged, key=jax.random.key(1))


def test_moments_are_those_of_enumerated_outcomes() -> None:
    rng = np.random.default_rng(0)
    laws = rng.dirichlet(np.ones(4), (2, 3))
    weights = (laws, rng.random(laws.shape))
    scores = [residual_scores(laws, np.broadcast_to(one, laws.shape), weights) for one in np.eye(4)]
    chances = [laws[..., k, None] for k in range(4)]
    mean = sum(c * s for c, s in zip(chances, scores, strict=True))
    np.testing.assert_allclose(mean, 0.0, atol=1e-15)
    for power in (2, 3):
        slow = sum(c * s**power for c, s in zip(chances, scores, strict=True))
        np.testing.assert_allclose(aspect_moments(laws, weights, power), slow, atol=1e-15)


def test_sums_by_context_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    laws, members = rng.dirichlet(np.ones(3), (5, 4)), rng.random((5, 4, 2))
    came = one_hot(rng.integers(0, 3, (5, 4)), 3)
    sums = sum_by_context(members, laws, came, (laws,))
    slow = np.zeros((5, 2, 4))
    variance = np.zeros((2, 4))
    for s in range(5):
        for t in range(4):
            score = residual_scores(
                laws[s : s + 1, t : t + 1],
                came[s : s + 1, t : t + 1],
                (laws[s : s + 1, t : t + 1],),
            )[0, 0]
            second = aspect_moments(laws, (laws,), 2)[s, t]
            for c in range(2):
                slow[s, c] += members[s, t, c] * score
                variance[c] += members[s, t, c] ** 2 * second
    np.testing.assert_allclose(sums.scores, slow.reshape(5, -1), atol=1e-14)
    np.testing.assert_allclose(sums.variance, variance.ravel(), atol=1e-14)


def test_shown_before_knows_only_the_past() -> None:
    came = one_hot(np.array([[1, 1, 0]]), 2)
    before, last = shown_before(came)
    assert before[0].tolist() == [[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    assert last[0].tolist() == [[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


def test_contexts_do_not_know_what_comes() -> None:
    """Features at a question stay the same when its outcome and later ones change."""
    other = judged_coin(1_000, seed=5)
    inputs = np.asarray(COIN.evaluation.batch.inputs)
    same = (np.asarray(other.evaluation.batch.inputs)[:, :2] == inputs[:, :2]).all(axis=1)
    differs = (other.outcomes != COIN.outcomes)[:, 1] & same
    raw = [own_entropy(one)[differs, 1] for one in (COIN, other)]
    assert differs.any()
    np.testing.assert_allclose(raw[0], raw[1], atol=1e-12)
    features = describe_contexts(COIN)
    np.testing.assert_allclose(features[..., 1:].mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(features[..., 1:].std(axis=(0, 1)), 1.0, atol=1e-12)


def test_every_question_is_in_one_group_of_each_kind() -> None:
    groups = group_contexts(COIN)
    for kind in ("position", "entropy", "last token"):
        chosen = [name.startswith(kind) for name in groups.names]
        assert (groups.members[..., chosen].sum(axis=-1) == 1).all()
    assert not any(name.startswith("last token") for name in group_contexts(HIDDEN).names)


@pytest.mark.parametrize("judged", [COIN, HIDDEN], ids=["coin", "hidden state"])
def test_the_exact_predictor_is_off_nowhere(judged: Judged) -> None:
    found = locate(judged)
    assert found.places(level=0.01) == ()
    assert found.map_p_value > 0.01
    assert found.features_p_value > 0.01
    filled = np.isfinite(found.exact_gap)
    assert np.abs(found.exact_gap[filled]).max() < 1e-12
    assert np.isnan(found.agreement)


@pytest.mark.parametrize(("temperature", "sign"), [(0.4, -1.0), (2.5, 1.0)])
@pytest.mark.parametrize("judged", [COIN, HIDDEN], ids=["coin", "hidden state"])
def test_a_predictor_that_is_too_sure_is_found_so(
    judged: Judged, temperature: float, sign: float
) -> None:
    found = locate(tempered(judged, temperature))
    sureness = [place for place in found.places() if place[1] == "sureness"]
    assert sureness
    for _, _, gap, exact in sureness:
        assert np.sign(gap) == np.sign(exact) == sign
    assert found.agreement > 0.8


def test_an_error_at_one_position_is_found_there_and_not_elsewhere() -> None:
    laws = np.exp(COIN.log_p).copy()
    laws[:, 2] = laws[:, 2, ::-1]
    places = locate(with_laws(COIN, laws)).places()
    positions = {context for context, *_ in places if context.startswith("position")}
    assert positions == {"position 2"}


def test_a_predictor_that_ignores_what_was_shown_repeats_too_rarely() -> None:
    found = locate(with_laws(COIN, np.array([0.5, 0.5])))
    gaps = {(context, aspect): (gap, exact) for context, aspect, gap, exact in found.places()}
    gap, exact = gaps["all questions", "shown last"]
    # The bias is spread evenly: after one toss the same comes again with chance 2/3.
    assert gap > 0.05
    assert gap == pytest.approx(exact, abs=0.03)
    assert ("all questions", "sureness") not in gaps
    assert found.features_p_value < 0.01


def test_what_was_held_impossible_refutes_at_once() -> None:
    laws = np.exp(COIN.log_p).copy()
    laws[0, 0] = np.eye(2)[1 - COIN.outcomes[0, 0]]
    found = locate(with_laws(COIN, laws))
    assert found.num_impossible == 1
    assert found.map_p_value == 0.0


def test_questions_that_do_not_count_may_be_answered_by_anything() -> None:
    found = locate(without_last(COIN))
    assert found.places(level=0.01) == ()
    at = {name: k for k, name in enumerate(found.contexts)}
    assert found.num_questions[at["all questions"]] == 2_500
    assert found.num_questions[at["position 3"]] == 0
    assert np.isnan(found.gap[at["position 3"]]).all()


def linear(rng: np.random.Generator, num: int, gain: float = 0.5) -> tuple[np.ndarray, ...]:
    """Draw a parameter, what is observed of it, and a draw of a posterior of some gain."""
    truth = rng.normal(size=(num, 1))
    observed = truth + rng.normal(size=(num, 1))
    return truth, gain * observed + 0.5**0.5 * rng.normal(size=(num, 1)), observed


PLACES = np.array([[-2.0], [0.0], [2.0]])


def place_draws(rng: np.random.Generator, gain: float) -> np.ndarray:
    return gain * PLACES[:, None] + 0.5**0.5 * rng.normal(size=(3, 50, 1))


def test_lc2st_is_valid_on_the_exact_posterior() -> None:
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(100):
        pairs, at = linear(rng, 60), place_draws(rng, 0.5)
        p_values.append(local_c2st(*pairs, at, PLACES, rng=rng, num_trials=19).p_values)
    # Exact: binomial(100, 0.1) at each place lies within 2 and 23 with a chance of 0.999.
    rejected = (np.stack(p_values) <= 0.1).sum(axis=0)
    assert ((rejected >= 2) & (rejected <= 23)).all()


def test_lc2st_says_where_a_posterior_is_off() -> None:
    """A posterior that trusts the data too much is off far from zero, and right at zero."""
    rng = np.random.default_rng(3)
    found = local_c2st(*linear(rng, 500, 0.8), place_draws(rng, 0.8), PLACES, rng=rng)
    assert found.p_value < 0.05
    assert (found.adjusted[[0, 2]] < 0.05).all()
    assert found.statistic[1] < 0.5 * found.statistic[[0, 2]].min()


def test_the_logistic_fit_is_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(4)
    features = Quadratics.fit(rng.normal(size=(80, 2)))(rng.normal(size=(80, 2)))
    labels = (rng.random((80, 2)) < scipy.special.expit(features[:, 1:2])).astype(float)

    def loss(weights: np.ndarray, column: int) -> float:
        logits = features @ weights
        data = np.sum(np.logaddexp(0.0, logits) - labels[:, column] * logits)
        return float(data + 0.5 * PENALTY * np.sum(weights[1:] ** 2))

    fitted = fit_logistic(features, labels)
    for column in range(2):
        best = scipy.optimize.minimize(loss, np.zeros(features.shape[1]), (column,))
        # Thirty steps leave some 3e-4 of a weight of 1 where classes are this far apart.
        np.testing.assert_allclose(fitted[:, column], best.x, atol=1e-3)


def test_sbi_has_the_same_statistic() -> None:
    """Values of sbi 0.27, by tests/data/remake_sbi_values.py, with a logistic regression."""
    case = make_case()
    found = local_c2st(
        case["truth"],
        case["draws"][:, 0],
        case["observed"],
        case["place_draws"],
        case["places"],
        rng=np.random.default_rng(0),
        num_trials=19,
    )
    # Both minimise the same convex loss; scikit-learn stops at a gradient of 1e-12, ours after
    # 30 steps, which leave some 1e-4 of the weights.
    np.testing.assert_allclose(found.statistic, SBI["lc2st"], rtol=1e-3)


def test_arguments_are_checked() -> None:
    rng = np.random.default_rng(0)
    one, two = np.ones((4, 1)), np.ones((4, 2))
    at, places = np.ones((1, 2, 1)), np.ones((1, 1))
    with unchecked():
        with pytest.raises(ValueError, match="drawn: expected the shape of truth"):
            local_c2st(one, two, one, at, places, rng=rng)
        with pytest.raises(ValueError, match="observed: expected 4 rows, got 1"):
            local_c2st(one, one, places, at, places, rng=rng)
        with pytest.raises(ValueError, match="place_draws: expected 4 places of 1 coordinates"):
            local_c2st(one, one, one, at, one, rng=rng)
    with pytest.raises(ValueError, match="truth: expected finite numbers"):
        local_c2st(one * np.nan, one, one, at, places, rng=rng)
    with pytest.raises(ValueError, match="expected at least 20 sequences, got 3"):
        locate(judged_coin(3))


@pytest.fixture(scope="module")
def found() -> list[LocalCalibration]:
    return [locate(one) for one in (COIN, tempered(COIN, 0.4))]


def tree_of(group: xr.Dataset) -> xr.DataTree:
    groups, attrs = split(synthetic_tree(num_seeds=group.sizes["seed"], length=4))
    return make_tree({**groups, "/local_calibration": group}, attrs)


def test_the_group_holds_what_was_found(found: list[LocalCalibration]) -> None:
    group = local_calibration_group(found)
    at = {"context": "all questions", "aspect": "sureness"}
    np.testing.assert_array_equal(group["gap"].sel(at).values, [one.gap[0, 0] for one in found])
    assert group["num_impossible"].dtype.kind == "i"


def test_the_page_names_the_places(found: list[LocalCalibration]) -> None:
    section = build_local_calibration_section(tree_of(local_calibration_group(found[1:])))
    assert section.paragraphs[0].startswith("The first seed is off in ")
    assert section.tables
    calm = build_local_calibration_section(tree_of(local_calibration_group(found[:1])))
    assert calm.paragraphs[0].startswith("In no group")
    assert not calm.tables
    assert build_local_calibration_section(synthetic_tree()).missing


def test_the_figure_has_a_row_for_each_context_with_questions(
    found: list[LocalCalibration],
) -> None:
    tree = tree_of(local_calibration_group(found))
    rows = int((found[0].num_questions > 0).sum())
    for panel in plot_local_calibration(tree).axes:
        assert len(panel.get_yticks()) == rows
