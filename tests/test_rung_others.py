"""Bayes under another model, and mixtures of rungs."""

from functools import partial

import cases
import jax.numpy as jnp
import numpy as np
from complaints import raised
from rungs import EXACT, all_laws, laws, oracle_of, toss

from bayescmp.models import Bijection, beta_bernoulli
from bayescmp.predictors import FixedLaw, Mixture, OtherOracle, WindowPredictor


def test_another_prior_is_the_other_models_exact_answer():
    ours, theirs = beta_bernoulli(length=6), beta_bernoulli(length=6, heads=9.0, tails=3.0)
    batch = toss(ours, 32, seed=7)
    rung = OtherOracle(oracle_of(theirs), ours)
    assert rung.name == "Bayes under coin with a Beta(9, 3) bias"
    expected = laws(oracle_of(theirs), theirs.batch_from_sites({"token": batch.outcomes}))
    found, exact = all_laws((rung, oracle_of(ours)), batch)
    np.testing.assert_allclose(found, expected, rtol=EXACT)
    assert np.abs(found - exact).max() > 0.1


def test_a_model_is_its_own_other_model():
    model, batch = cases.build("regression"), cases.first("regression", 16)
    oracle = oracle_of(model)
    found, exact = all_laws((OtherOracle(oracle, model, name="itself"), oracle), batch)
    np.testing.assert_allclose(found, exact, rtol=EXACT)


def test_other_models_that_ask_otherwise_are_refused():
    coin = beta_bernoulli(length=6)
    for other, part in (
        (beta_bernoulli(length=5), "asked site is token[6] from 0 to 1"),
        (cases.build("urns"), "asked site"),
        (Bijection(size=3), "asked site"),
    ):
        oracle = oracle_of(other)
        assert part in raised(ValueError, partial(OtherOracle, oracle, coin))


# --------------------------------------------------------------------- mixture


def test_a_mixture_is_the_weighted_mean_of_laws():
    model = beta_bernoulli(length=5)
    oracle = oracle_of(model)
    batch = toss(model, 16, seed=8)
    sure = FixedLaw(jnp.log(jnp.array([0.0, 1.0])), "sure")  # its law is held in 32 bits
    parts = (oracle, WindowPredictor(oracle, 1), sure)
    weights = np.array([0.5, 0.3, 0.2])
    found, *own = all_laws((Mixture(parts, np.log(weights), "mixed"), *parts), batch)
    expected = sum(w * law for w, law in zip(weights, own, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_mixtures_that_are_none_are_refused():
    law = FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
    for parts, log_weights, message in (
        ((), [], "predictors: expected at least one, got none"),
        ((law,), [0.0, 0.0], "log_weights: expected one for each of 1 predictors"),
        ((law, law), [0.0, 0.0], "log_weights: expected weights that sum to 1, got 2.0"),
        ((law,), [np.nan], "log_weights: expected weights that sum to 1, got nan"),
    ):
        assert message in raised(ValueError, partial(Mixture, parts, np.array(log_weights), "m"))
