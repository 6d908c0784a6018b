"""Ask, retrieve or answer: expected utilities against loops, and regret under the exact law."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import unchecked
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing.decisions import (
    _follow,
    balance_utilities,
    decisions_group,
    score_decisions_of,
)
from bayescmp.auditing.judged import Judged, judge
from bayescmp.measures.decisions import ACTIONS, Utilities, score_decisions
from bayescmp.measures.temperature import apply_temperature
from bayescmp.plots.decisions import plot_decisions
from bayescmp.predictors.predictor import FixedLaw
from bayescmp.report.decisions import build_decisions_section
from bayescmp.results.tree import make_tree

LENGTH = 4


@pytest.fixture(scope="module")
def coin() -> Judged:
    oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=LENGTH))
    return judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)


def random_joints(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(12, 0.4), num).reshape(num, 3, 4)


def plain_worth(p: np.ndarray, q: np.ndarray, u: Utilities) -> tuple[int, float]:
    """Decide one question by ``q`` and score it by ``p``, both joint laws, with loops."""
    own = [answer(q.sum(1), q.sum(1), u), u.right - u.ask_cost, retrieve(q, q, u)]
    action = int(np.argmax(own))
    true = [answer(p.sum(1), q.sum(1), u), u.right - u.ask_cost, retrieve(p, q, u)]
    return action, true[action]


def answer(p: np.ndarray, q: np.ndarray, u: Utilities) -> float:
    right = p[int(np.argmax(q))]
    return float(u.right * right + u.wrong * (1.0 - right))


def retrieve(p: np.ndarray, q: np.ndarray, u: Utilities) -> float:
    total = -u.retrieve_cost
    for seen in range(p.shape[1]):
        mass = p[:, seen].sum()
        after_p, after_q = p[:, seen] / mass, q[:, seen] / q[:, seen].sum()
        asks = u.right - u.ask_cost > answer(after_q, after_q, u)
        total += mass * (u.right - u.ask_cost if asks else answer(after_p, after_q, u))
    return total


@pytest.mark.parametrize(
    "utilities",
    [Utilities(), Utilities(2.0, -1.0, 0.4, 0.05), Utilities(ask_cost=5.0, retrieve_cost=0.0)],
)
def test_decisions_are_worth_what_loops_say(utilities: Utilities) -> None:
    p, q = random_joints(60, 0), random_joints(60, 1)
    done = score_decisions(p.sum(2), q.sum(2), utilities, p, q)
    for row in range(60):
        action, worth = plain_worth(p[row], q[row], utilities)
        assert done.action[row] == action
        # A dozen products of numbers up to two, each rounded to 1e-16.
        assert abs(done.utility[row] - worth) < 1e-14
        assert abs(done.best_utility[row] - plain_worth(p[row], p[row], utilities)[1]) < 1e-14
    assert done.regret.min() > -1e-12
    assert len(set(done.action)) > 1


def test_the_exact_law_has_no_regret_and_a_bold_one_has() -> None:
    p = random_joints(200, 0)
    law = p.sum(2)
    assert np.abs(score_decisions(law, law, Utilities(), p, p).regret).max() < 1e-12
    bold = law**5 / (law**5).sum(1, keepdims=True)
    done = score_decisions(law, bold, Utilities())
    assert done.regret.mean() > 0.02
    assert (done.action == ACTIONS.index("answer")).mean() > 0.7
    assert (done.best_action == ACTIONS.index("answer")).mean() < 0.6


def test_an_observation_that_was_held_for_impossible_changes_nothing() -> None:
    p, q = np.full((1, 2, 2), 0.25), np.array([[[0.6, 0.0], [0.4, 0.0]]])
    done = score_decisions(p.sum(2), q.sum(2), Utilities(retrieve_cost=0.0), p, q)
    assert np.isfinite(done.utility).all()


def test_the_price_of_asking_lies_between_the_risks(coin: Judged) -> None:
    for laws, price in ((np.log([0.7, 0.3]), 0.3), (np.log([0.999, 0.001]), 0.1)):
        judged = replace(coin, evaluation=replace(coin.evaluation, log_p=np.tile(laws, (64, 4, 1))))
        assert balance_utilities(judged).ask_cost == price


def test_free_advice_is_always_taken() -> None:
    p = random_joints(20, 0)
    done = score_decisions(p.sum(2), p.sum(2), Utilities(ask_cost=0.0), p, p)
    np.testing.assert_allclose(done.best_utility, 1.0)


def test_what_follows_is_asked_of_the_predictor_itself(coin: Judged) -> None:
    sites = coin.evaluation.model.engine_sites(coin.evaluation.batch)
    after = _follow(coin.subject, coin.evaluation.model, sites)
    heads = np.cumsum(coin.outcomes, axis=1) - coin.outcomes
    for outcome in (0, 1):  # Laplace's rule after one toss more
        expected = (1 + heads[:, :-1] + outcome) / (3 + np.arange(LENGTH - 1))
        np.testing.assert_allclose(after[:, :, outcome, 1], expected.T, atol=1e-5)  # 32 bits


def test_a_coin_is_decided_without_regret_by_exact_bayes_only(coin: Judged) -> None:
    exact = score_decisions_of(coin)
    assert np.abs(exact.regret).max() < 1e-6
    assert np.trace(exact.share) == pytest.approx(1.0)
    fair = FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
    wrong = replace(coin, subject=fair, log_q=np.full_like(coin.log_q, np.log(0.5)))
    found = score_decisions_of(wrong)
    assert found.mean_regret.low > 0.0
    assert found.share[:, ACTIONS.index("answer")].sum() == 0.0  # a half is never enough
    sure = replace(coin, log_q=apply_temperature(coin.log_p, 0.1))
    assert score_decisions_of(sure).mean_regret.mean > 0.0


def test_decisions_become_a_group_and_a_section(coin: Judged) -> None:
    found = score_decisions_of(coin, utilities=Utilities())
    groups, attrs = split(synthetic_tree(num_seeds=2, length=LENGTH, num_outcomes=LENGTH))
    tree = make_tree({**groups, "/decisions": decisions_group([found, found])}, attrs)
    section = build_decisions_section(tree)
    assert not section.missing
    assert "a right answer worth 1, a wrong one 0, asking at 0.3" in section.paragraphs[0]
    assert all(panel.has_data() for panel in plot_decisions(tree).axes)
    assert build_decisions_section(make_tree(groups, attrs)).missing
    with pytest.raises(ValueError, match="results: expected the same utilities for all"):
        decisions_group([found, replace(found, utilities=Utilities(ask_cost=0.9))])


def test_bad_input_is_refused() -> None:
    for fields, message in (
        ({"right": 0.0}, "right: expected more than wrong"),
        ({"ask_cost": -1.0}, "ask_cost: expected at least 0"),
        ({"wrong": float("nan")}, "utilities: expected finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Utilities(**fields)
    p = random_joints(2, 0)
    for arguments, message in (
        ((p.sum(2), p.sum(2)[:1]), "q: expected the shape of p"),
        ((p.sum(2), p.sum(2), Utilities(), p), "joint_q: expected both"),
        ((p.sum(2), p.sum(2), Utilities(), p[:1], p[:1]), "joint_p: expected shape"),
    ):
        arguments = arguments if len(arguments) > 2 else (*arguments, Utilities())
        with unchecked(), pytest.raises(ValueError, match=message):
            score_decisions(*arguments)
