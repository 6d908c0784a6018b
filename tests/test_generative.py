"""Generative models: draws, batches from a user's own values, and equality."""

from functools import partial

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayescmp as bc
from bayescmp.models import REGISTRY, Bijection, HiddenMarkov, beta_bernoulli


def same(first: bc.Batch, second: bc.Batch) -> bool:
    """Compare batches; a fused computation may round a real number's last bit otherwise."""
    return bool(eqx.tree_equal(first, second, rtol=1e-6))


@pytest.mark.parametrize("name", ["bijection_3", "urns", "regression"])
def test_draws_depend_on_the_key_alone(name):
    model = cases.build(name)
    sample = eqx.filter_jit(model.sample)
    assert same(sample(16, key=jax.random.key(5)), sample(16, key=jax.random.key(5)))
    assert not same(sample(16, key=jax.random.key(5)), sample(16, key=jax.random.key(6)))


def test_a_sample_is_many_draws():
    model = cases.build("regression")
    key = jax.random.key(7)
    batch = jax.jit(partial(model.sample, 3))(key=key)
    for index, one in enumerate(jax.random.split(key, 3)):
        draw = jax.jit(model.draw)(key=one)
        for many, single in zip(jax.tree.leaves(batch), jax.tree.leaves(draw), strict=True):
            np.testing.assert_array_equal(many[index], single)


@pytest.mark.parametrize("name", ["bijection_4_whole", "hidden_markov_2x4", "regression", "clues"])
def test_values_of_a_draw_make_the_same_batch(name):
    model = cases.build(name)
    drawn = cases.first(name, 6)
    sites = {**model.engine_sites(drawn), **drawn.latents}
    assert set(sites) == set(model.sites)
    assert same(model.batch_from_sites(sites), drawn)
    one = model.batch_from_sites({name: value[2] for name, value in sites.items()})
    assert same(one, jax.tree.map(lambda x: x[2], drawn))
    twice = model.batch_from_sites(
        {name: value.reshape(2, 3, *value.shape[1:]) for name, value in sites.items()}
    )
    assert same(twice, jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), drawn))


def test_batches_can_be_made_inside_compiled_code():
    model = cases.build("coin_flat")
    tosses = jnp.array([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]])
    batch = jax.jit(lambda token: model.batch_from_sites({"token": token}))(tosses)
    assert same(batch, model.batch_from_sites({"token": tosses}))


def test_booleans_are_tosses_too():
    model = cases.build("coin_flat")
    tosses = np.array([True, False, True, True, False])
    batch = model.batch_from_sites({"token": jnp.asarray(tosses)})
    np.testing.assert_array_equal(batch.outcomes, tosses.astype(int))


def test_latents_are_all_that_is_not_shown():
    batch = cases.first("urns", 1)
    assert set(batch.shown) == set()
    assert set(batch.latents) == {"urn", "spoiled"}
    assert batch.supervised.all()


def test_equal_models_are_equal():
    assert Bijection(4) == Bijection(4, num_pairs=3)
    assert Bijection(4) != Bijection(4, num_pairs=4)
    assert HiddenMarkov(2, 3) != HiddenMarkov(3, 2)
    assert beta_bernoulli(5, heads=2.0) == beta_bernoulli(5, heads=2.0)
    assert beta_bernoulli(5, heads=2.0) != beta_bernoulli(5, tails=2.0)


def dice(length: int, sides: int, loaded: bool = False) -> None:
    law = jnp.arange(1.0, sides + 1) if loaded else jnp.ones(sides)
    with numpyro.plate("position", length):
        numpyro.sample("pips", dist.Categorical(probs=law / law.sum()))


def test_arguments_reach_the_function():
    model = bc.GenerativeModel(
        dice, outcome="pips", length=3, arguments={"sides": 4, "loaded": True}
    )
    swapped = bc.GenerativeModel(
        dice, outcome="pips", length=3, arguments={"loaded": True, "sides": 4}
    )
    assert model == swapped
    assert (model.length, model.num_outcomes, model.title()) == (3, 4, "dice")
    batch = model.batch_from_sites({"pips": jnp.array([0, 3, 1])})
    law = np.exp(bc.derive_oracle(model)(batch).log_predictive)
    np.testing.assert_allclose(law, np.tile([0.1, 0.2, 0.3, 0.4], (3, 1)), rtol=1e-5)


def test_a_function_without_length_needs_none():
    model = bc.GenerativeModel(partial(dice, 2, 3), outcome="pips", name="a die")
    assert (model.length, model.title()) == (2, "a die")


def test_one_site_may_take_different_values_at_different_positions():
    """Bounds may differ from element to element; the outcomes are all that any can take."""

    def function() -> None:
        numpyro.sample("y", dist.DiscreteUniform(jnp.array([2, 4]), jnp.array([3, 7])))

    model = bc.GenerativeModel(function, outcome="y")
    assert (model.layout.outcome.lowest, model.num_outcomes) == (2, 6)


def test_sites_inside_a_scan_know_their_bounds():
    def function() -> None:
        def step(carry: None, _: None) -> tuple[None, None]:
            numpyro.sample("y", dist.DiscreteUniform(3, 6))
            return carry, None

        numpyro.contrib.control_flow.scan(step, None, None, length=2)

    model = bc.GenerativeModel(function, outcome="y")
    assert (model.layout.outcome.lowest, model.num_outcomes, model.length) == (3, 4, 2)
    law = np.exp(
        bc.derive_oracle(model)(model.batch_from_sites({"y": jnp.array([3, 6])})).log_predictive
    )
    np.testing.assert_allclose(law, np.full((2, 4), 0.25), rtol=1e-5)


@pytest.mark.parametrize("name", REGISTRY)
def test_registered_models_can_be_listed_and_built(name):
    entry = REGISTRY[name]
    assert "asked: " in entry.summary
    assert entry.make().title() != ""
    assert entry.small().length <= entry.make().length
