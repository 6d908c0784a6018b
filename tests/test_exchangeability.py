"""Do laws fit together as one posterior's: gaps, drift and own paths of audited predictors."""

from functools import cache

import jax
import numpy as np
import pytest
from exchangeability_cases import (
    EXACT,
    LENGTH,
    QUICK,
    beta_laws,
    found,
    judged_coin,
    oracle,
    tree_of,
)
from small_networks import small_config, transformer_for

import bayescmp as bc
from bayescmp.auditing import judge
from bayescmp.auditing.exchangeability import Exchangeability, check_exchangeability
from bayescmp.auditing.paths import draw_outcomes
from bayescmp.auditing.steps import take_apart
from bayescmp.report.exchangeability import build_exchangeability_section

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


@cache
def found_network() -> Exchangeability:
    """Audit a random network on the bijection, whose steps have queries."""
    model = bc.models.Bijection(size=4)
    config = small_config(1, 1, 6, 4, positions="learned", activation="gelu")
    network = transformer_for(model, config)
    judged = judge(network, bc.derive_oracle(model), key=jax.random.key(0), num_sequences=256)
    return check_exchangeability(judged, key=jax.random.key(1), **QUICK)


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
