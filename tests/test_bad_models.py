"""Mistakes in a model, and the one line that each of them gets."""

from functools import partial

import cases
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import COIN, model_of, raised, tokens, unchecked

import bayescmp as bc
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli


def test_an_unknown_outcome_gets_the_nearest_name():
    message = raised(ValueError, lambda: model_of(COIN, outcome="tokens"))
    assert message == (
        "outcome: the program has no sample site 'tokens', only ['token']; did you mean 'token'?"
    )


@pytest.mark.parametrize("role", ["given", "query"])
def test_unknown_shown_sites_name_their_role(role):
    message = raised(ValueError, lambda: model_of(COIN, **{role: ("tokne",)}))
    assert message.startswith(f"{role}: the program has no sample site 'tokne'")
    assert message.endswith("did you mean 'token'?")


def test_repeated_names():
    def function() -> None:
        numpyro.sample("row", dist.Normal(0.0, 1.0))
        tokens(COIN)

    model = partial(bc.GenerativeModel, function, outcome="token")
    message = raised(ValueError, lambda: model(given=("row", "row")))
    assert message == (
        "outcome, given, query: expected different sites, got ['token', 'row', 'row']"
    )
    assert "different sites" in raised(ValueError, lambda: model(query=("token",)))


def test_one_string_in_place_of_a_tuple():
    with unchecked():
        message = raised(TypeError, lambda: model_of(COIN, given="token"))
    assert message == "given: expected a tuple of site names, got 'token'"


def test_a_site_that_is_observed_inside():
    def function() -> None:
        numpyro.sample("token", COIN.expand([3]), obs=jnp.array([0, 1, 1]))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith("program: site 'token' is observed inside the program; expected")


def test_continuous_outcomes():
    message = raised(ValueError, lambda: model_of(dist.Normal(0.0, 1.0)))
    assert message == (
        "outcome: expected a site with finitely many values, got 'token' with support Real(); "
        "give edges= to ask for the bin of a continuous outcome"
    )


def test_unbounded_outcomes():
    message = raised(ValueError, lambda: model_of(dist.Poisson(2.0)))
    assert "expected a site with finitely many values, got 'token'" in message


def test_outcomes_whose_values_depend_on_a_draw():
    def function() -> None:
        highest = numpyro.sample("highest", dist.DiscreteUniform(1, 6))
        tokens(dist.DiscreteUniform(0, highest))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith("program: the values that site 'token' can take depend on other")


@pytest.mark.parametrize("shape", [(), (3, 2)], ids=["scalar", "matrix"])
def test_outcomes_that_are_not_one_a_position(shape):
    def function() -> None:
        numpyro.sample("token", COIN.expand(shape))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith("outcome")
    assert f"got shape {shape}" in message


@pytest.mark.parametrize("shape", [(2,), (3, 2)], ids=["too short", "two values a step"])
def test_queries_that_are_not_one_a_position(shape):
    def function() -> None:
        numpyro.sample("key", COIN.expand(shape))
        tokens(COIN)

    message = raised(
        ValueError, lambda: bc.GenerativeModel(function, outcome="token", query=("key",))
    )
    assert message.startswith("outcome, query: expected")
    assert f"got shape {shape}" in message


def test_steps_that_show_nothing():
    message = raised(ValueError, lambda: model_of(COIN, reveal=False))
    assert message.startswith("reveal: expected True where no query is shown")


def test_python_that_branches_on_a_draw():
    def function() -> None:
        side = numpyro.sample("side", COIN)
        tokens(dist.Bernoulli(0.9 if side else 0.1))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith("program: expected only JAX functions on drawn values")
    assert "jnp.where" in message


def test_numpy_on_a_draw():
    def function() -> None:
        weights = np.array([0.2, 0.8])
        tokens(dist.Bernoulli(weights[numpyro.sample("side", COIN)]))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert "NumPy function" in message


@pytest.mark.parametrize(
    ("value", "kind"), [([1.0], "list"), (np.ones(2), "ndarray"), ({}, "dict")]
)
def test_arguments_that_cannot_be_hashed(value, kind):
    def function(weights: object) -> None:
        tokens(COIN)

    message = raised(
        TypeError,
        lambda: bc.GenerativeModel(function, outcome="token", arguments={"weights": value}),
    )
    assert message == (
        f"arguments: expected hashable values, got {kind} for 'weights'; use a tuple and "
        "convert it inside the function"
    )


def test_arguments_that_do_not_fit():
    with pytest.raises(TypeError, match="unexpected keyword argument 'sides'"):
        model_of(COIN, arguments={"sides": 6})
    message = raised(ValueError, lambda: model_of(COIN, length=3, arguments={"length": 4}))
    assert message == "arguments: expected no 'length' beside length=, got both"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bijection(size=1), "size: expected at least 2, got 1"),
        (lambda: Bijection(size=0), "size: expected at least 2, got 0"),
        (lambda: Bijection(4, num_pairs=0), "num_pairs: expected 1 to 4 (the size), got 0"),
        (lambda: Bijection(4, num_pairs=5), "num_pairs: expected 1 to 4 (the size), got 5"),
        (lambda: HiddenMarkov(num_states=0), "num_states: expected at least 2, got 0"),
        (lambda: HiddenMarkov(num_symbols=-1), "num_symbols: expected at least 2, got -1"),
        (lambda: HiddenMarkov(length=0), "length: expected at least 1, got 0"),
        (
            lambda: HiddenMarkov(concentration=0.0),
            "concentration: expected a positive number, got 0.0",
        ),
        (
            lambda: HiddenMarkov(concentration=float("inf")),
            "concentration: expected a positive number, got inf",
        ),
        (lambda: beta_bernoulli(length=0), "length: expected at least 1, got 0"),
        (lambda: beta_bernoulli(heads=-1.0), "heads: expected a positive number, got -1.0"),
        (
            lambda: beta_bernoulli(tails=float("nan")),
            "tails: expected a positive number, got nan",
        ),
        (lambda: model_of(COIN, length=0), "length: expected at least 1, got 0"),
    ],
)
def test_numbers_out_of_range(make, message):
    assert raised(ValueError, make) == message


def test_no_sequences():
    message = raised(ValueError, lambda: cases.build("coin_flat").sample(0, key=jax.random.key(0)))
    assert message == "num_sequences: expected at least 1, got 0"
