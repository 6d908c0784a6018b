"""Do laws fit together as one posterior's: gaps, drift, own paths, and where that may be asked."""

from dataclasses import replace
from functools import cache, partial
from itertools import permutations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from complaints import raised, unchecked
from jaxtyping import Float
from small_networks import small_config, transformer_for
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing import Judged, judge
from bayescmp.auditing.exchangeability import Exchangeability, check_exchangeability
from bayescmp.auditing.exchangeability_tables import by_position, exchangeability_group
from bayescmp.auditing.paths import draw_outcomes
from bayescmp.auditing.steps import take_apart
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
from bayescmp.plots.exchangeability import plot_drift, plot_order_gaps
from bayescmp.predictors import AbstractPredictor, OtherOracle, WindowPredictor
from bayescmp.report.exchangeability import build_exchangeability_section
from bayescmp.results.tree import make_tree

EXACT = 1e-12
"""Error of laws in float64 over some dozen operations of 2e-16 each."""

LENGTH = 4
COIN = bc.models.beta_bernoulli(length=LENGTH)
QUICK = {"num_ordered": 128, "num_orders": 4, "num_paths": 4}


class Tempered(AbstractPredictor):
    """Exact Bayes, too sure of itself: a function of counts that is no posterior."""

    oracle: bc.Oracle
    name: str = "tempered"

    def log_predictive(self, batch: bc.Batch) -> Float[jax.Array, "sequence position outcome"]:
        return jax.nn.log_softmax(2.0 * self.oracle(batch).log_predictive, axis=-1)


@cache
def oracle() -> bc.Oracle:
    return bc.derive_oracle(COIN)


@cache
def judged_coin(kind: str) -> Judged:
    """Judge one kind of predictor on tosses of a coin."""
    subjects = {
        "exact": oracle,
        "wrong prior": lambda: OtherOracle(
            bc.derive_oracle(bc.models.beta_bernoulli(LENGTH, 6.0, 1.0)), COIN
        ),
        "window": lambda: WindowPredictor(oracle(), window=1),
        "tempered": lambda: Tempered(oracle()),
    }
    return judge(subjects[kind](), oracle(), key=jax.random.key(0), num_sequences=512)


@cache
def found(kind: str) -> Exchangeability:
    return check_exchangeability(judged_coin(kind), key=jax.random.key(1), **QUICK)


@cache
def found_network() -> Exchangeability:
    """Audit a random network on the bijection, whose steps have queries."""
    model = bc.models.Bijection(size=4)
    config = small_config(1, 1, 6, 4, positions="learned", activation="gelu")
    network = transformer_for(model, config)
    judged = judge(network, bc.derive_oracle(model), key=jax.random.key(0), num_sequences=256)
    return check_exchangeability(judged, key=jax.random.key(1), **QUICK)


def beta_laws(heads: int, shown: int, a: float, b: float) -> np.ndarray:
    return np.array([b + shown - heads, a + heads]) / (a + b + shown)


# ---------------------------------------------------------------- measures


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


# ------------------------------------------------------------------- steps


def test_steps_move_whole_and_prompts_stay() -> None:
    model = bc.models.Bijection(size=4)
    judged = judge(
        bc.derive_oracle(model), bc.derive_oracle(model), key=jax.random.key(0), num_sequences=8
    )
    steps = take_apart(judged.evaluation)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(3), (8, 1)), axis=1)
    moved = steps.reordered(orders)
    for name in ("key", "value"):
        for s in range(8):
            assert moved.sites[name][s].tolist() == [steps.sites[name][s][k] for k in orders[s]]
    swapped = steps.swapped(np.zeros(8, int), np.full(8, 2))
    np.testing.assert_array_equal(swapped.outcomes, steps.outcomes[:, [2, 1, 0]])
    assert not np.array_equal(moved.outcomes, steps.outcomes)


def test_a_law_does_not_depend_on_what_comes_after_its_question() -> None:
    judged = judged_coin("exact")
    positions = np.random.default_rng(0).integers(LENGTH, size=512)
    laws = take_apart(judged.evaluation).laws_at(oracle(), positions)
    np.testing.assert_allclose(laws, np.exp(judged.log_p[np.arange(512), positions]), rtol=EXACT)


def test_draws_follow_the_law_and_never_the_impossible() -> None:
    laws = np.tile([0.0, 0.25, 0.0, 0.75, 0.0], (20_000, 1))
    counts = np.bincount(draw_outcomes(laws, np.random.default_rng(0)), minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(counts[1] - 5_000) < 5 * np.sqrt(20_000 * 0.25 * 0.75)


# ------------------------------------------------------------------ audits


def test_the_oracle_is_silent() -> None:
    seen = found("exact")
    assert seen.reason == ""
    assert seen.oracle_gap < 1e-9
    assert seen.orders.gap.max() < EXACT
    assert seen.orders.spread.max() < EXACT
    assert seen.one_step.gap.max() < EXACT
    assert seen.one_step.allowed.max() < EXACT
    assert seen.drift.p_value > 0.01  # four tests, each false with this chance
    assert all(path.drift.p_value > 0.01 for path in seen.paths)
    assert seen.untrained_orders is None


def test_a_wrong_prior_is_a_posterior_all_the_same() -> None:
    seen = found("wrong prior")
    assert seen.orders.gap.max() < EXACT
    assert seen.orders.spread.max() < EXACT
    assert seen.one_step.gap.max() < EXACT
    assert seen.one_step.allowed.mean() > 0.1  # it is far from exact
    assert all(path.drift.p_value > 0.01 for path in seen.paths)
    assert seen.drift.p_value < 1e-6  # but what comes is not what it expects


def test_short_memory_depends_on_order() -> None:
    seen = found("window")
    assert seen.orders.gap.mean() > 0.02
    assert seen.orders.spread.mean() > 0.05
    assert (seen.orders.gap <= seen.orders.allowed + EXACT).all()
    assert seen.drift.p_value < 1e-6
    assert seen.drift.names[1] == "lag"


def test_a_function_of_counts_that_is_no_posterior_is_caught_by_the_other_gaps() -> None:
    seen, steps = found("tempered"), take_apart(judged_coin("tempered").evaluation)
    assert seen.orders.gap.max() < EXACT
    assert seen.orders.spread.mean() > 1e-3
    assert (seen.one_step.gap <= seen.one_step.allowed + EXACT).all()

    def law(heads: int, shown: int) -> np.ndarray:
        squared = beta_laws(heads, shown, 1.0, 1.0) ** 2
        return squared / squared.sum()

    for row in range(20):
        shown = int(seen.one_step.positions[row])
        heads = int(steps.outcomes[row, :shown].sum())
        now = law(heads, shown)
        mean = now[0] * law(heads, shown + 1) + now[1] * law(heads + 1, shown + 1)
        wanted = 0.5 * np.abs(mean - now).sum()
        assert seen.one_step.gap[row] == pytest.approx(wanted, abs=EXACT)


def test_steps_with_queries_are_asked_early_and_a_random_network_is_caught() -> None:
    seen = found_network()
    assert seen.reason == ""
    assert seen.oracle_gap < EXACT
    assert seen.orders.gap.mean() > 1e-3
    assert seen.one_step.gap.mean() > 1e-2
    assert (seen.one_step.gap <= seen.one_step.allowed + EXACT).all()
    assert seen.drift.p_value < 1e-6
    assert seen.untrained_orders.gap.mean() > 1e-4
    assert seen.untrained_one_step.gap.mean() > 1e-4
    assert [path.start for path in seen.paths] == [0, 1]
    # After one pair, three values are left; the last of them is known once two more are.
    assert seen.paths[1].exact_spread.mean() == pytest.approx(0.5 * (1 - 1 / 2), abs=0.35)


def test_bins_of_numbers_are_compared_without_what_would_have_to_be_made_up() -> None:
    model = bc.models.linear_regression(num_features=1, length=3, num_bins=3)
    regression = bc.derive_oracle(model)
    judged = judge(regression, regression, key=jax.random.key(0), num_sequences=128)
    seen = check_exchangeability(judged, key=jax.random.key(1), **QUICK)
    assert seen.reason == ""
    assert seen.oracle_gap < 1e-9
    assert seen.orders.spread is None
    assert seen.one_step is None
    assert seen.paths == ()
    assert seen.drift.p_value > 0.01
    section = build_exchangeability_section(tree_of(seen, length=3))
    assert "could go on by itself" in section.missing[0]
    assert "varies over orders" not in section.paragraphs[0]


# --------------------------------------------------------- where it applies


def alternating(length: int) -> None:
    """Toss once, and turn the coin over ever after."""
    first = numpyro.sample("first", dist.DiscreteUniform(0, 1))
    with numpyro.plate("position", length) as position:
        certain = jnp.where(jnp.arange(2) == ((first + position) % 2)[:, None], 0.0, -jnp.inf)
        numpyro.sample("token", dist.Categorical(logits=certain, validate_args=False))


def walk(length: int) -> None:
    """Toss a coin that remembers whether it was turned at the start, and turns later."""
    bias = numpyro.sample("bias", dist.DiscreteUniform(0, 1))
    with numpyro.plate("position", length) as position:
        turned = (bias + (position == 1)) % 2
        numpyro.sample("token", dist.Bernoulli(probs=0.25 + 0.5 * turned))


def drifting(length: int) -> None:
    """Toss independent coins that differ: order does not matter for laws, but for sequences."""
    with numpyro.plate("position", length) as position:
        numpyro.sample("token", dist.Bernoulli(probs=0.2 + 0.15 * position))


def hidden(length: int) -> None:
    """Show a clue to each toss, and never the toss."""
    bias = numpyro.sample("bias", dist.DiscreteUniform(0, 1))
    with numpyro.plate("position", length):
        clue = numpyro.sample("clue", dist.Bernoulli(probs=0.25 + 0.5 * bias))
        numpyro.sample("token", dist.Bernoulli(probs=0.25 + 0.5 * clue))


NOT_EXCHANGEABLE = {
    "walk": (lambda: model_of(walk), "in total variation"),
    "alternating": (lambda: model_of(alternating), "some are impossible"),
    "drifting": (lambda: model_of(drifting), "of a sequence by"),
    "hidden": (lambda: model_of(hidden, query=("clue",), reveal=False), "never shown"),
    "short": (lambda: bc.models.beta_bernoulli(length=2), "no earlier steps"),
}
"""Processes to which the audit does not apply, and words of the reason."""


def model_of(function, **options) -> bc.GenerativeModel:
    return bc.GenerativeModel(function, outcome="token", length=3, **options)


@pytest.mark.parametrize(("make", "words"), NOT_EXCHANGEABLE.values(), ids=NOT_EXCHANGEABLE)
def test_other_processes_are_told_by_their_own_oracle(make, words: str) -> None:
    oracle = bc.derive_oracle(make())
    judged = judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
    seen = check_exchangeability(judged, key=jax.random.key(1), **QUICK)
    assert words in seen.reason
    assert "\n" not in seen.reason
    assert seen.orders is None
    group = exchangeability_group([seen])
    assert group.attrs["reason"] == seen.reason
    assert list(group.data_vars) == ["oracle_gap"]


def test_shorter_sequences_are_refused_in_words() -> None:
    judged = judged_coin("exact")
    supervised = judged.evaluation.batch.supervised.at[0, -1].set(False)
    batch = eqx.tree_at(lambda b: b.supervised, judged.evaluation.batch, supervised)
    shorter = replace(judged, evaluation=replace(judged.evaluation, batch=batch))
    assert "shorter" in check_exchangeability(shorter, key=jax.random.key(0)).reason
    assert "full length" in raised(ValueError, lambda: take_apart(shorter.evaluation))


def test_too_few_orders_and_paths_are_refused() -> None:
    check = partial(check_exchangeability, judged_coin("exact"), key=jax.random.key(0))
    assert "num_orders" in raised(ValueError, lambda: check(num_orders=1))
    assert "two paths" in raised(ValueError, lambda: check(num_paths=1))


# -------------------------------------------------------- groups and pages


def tree_of(*results: Exchangeability, length: int = LENGTH):
    groups, attrs = split(synthetic_tree(num_seeds=len(results), length=length, num_outcomes=4))
    return make_tree(groups | {"/exchangeability": exchangeability_group(results)}, attrs)


def test_positions_are_averaged_one_by_one() -> None:
    means = by_position(np.array([1.0, 3.0, 5.0]), np.array([1, 1, 2]), 4)
    np.testing.assert_array_equal(means, [np.nan, 2.0, 5.0, np.nan])


def test_the_page_says_what_was_found() -> None:
    tree = tree_of(found("window"), found("tempered"))
    section = build_exchangeability_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == ["fig-order-gaps", "fig-drift"]
    assert "in another order" in section.paragraphs[0]
    assert "p < 0.001" in section.paragraphs[1]
    assert any("cannot show" in text for text in section.paragraphs)
    assert len(section.tables) == 2
    group = tree["/exchangeability"]
    gaps = np.array([found(kind).orders.gap.mean() for kind in ("window", "tempered")])
    np.testing.assert_allclose(group["order_gap"], gaps)
    assert np.isnan(group["order_gap_by_position"][:, :2]).all()
    for plot in (plot_order_gaps, plot_drift):
        assert len(plot(tree).axes) == 1


def test_of_many_outcomes_the_farthest_drift_is_drawn() -> None:
    test, names = (
        found("window").drift,
        ("sharpening", "lag", *(f"drift to {k}" for k in range(30))),
    )
    far = np.zeros(32)
    far[[0, 1, 20]] = [1.0, -2.0, 7.0]
    many = replace(test, names=names, mean=far, standard_error=np.ones(32))
    (panel,) = plot_drift(tree_of(replace(found("window"), drift=many, paths=()))).axes
    drawn = [label.get_text() for label in panel.get_yticklabels()]
    assert drawn == ["sharpening, true", "lag, true", "drift to 18, true"]


def test_the_page_says_why_nothing_was_measured() -> None:
    reason = replace(found("exact"), reason="answers are never shown", orders=None)
    (text,) = build_exchangeability_section(tree_of(reason)).missing
    assert text == "This was not measured: answers are never shown."
    assert build_exchangeability_section(synthetic_tree()).missing
