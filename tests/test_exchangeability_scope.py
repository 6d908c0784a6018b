"""Where the audit of exchangeability applies, and what it refuses."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from exchangeability_cases import QUICK, judged_coin

import bayescmp as bc
from bayescmp.auditing import judge
from bayescmp.auditing.exchangeability import check_exchangeability
from bayescmp.auditing.exchangeability_tables import exchangeability_group
from bayescmp.auditing.steps import take_apart


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
