"""Mistakes that people make, and the one line that each of them gets."""

from collections.abc import Callable
from functools import partial

import cases
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayescmp as bc
from bayescmp.exact import EnumerationEngine
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli


def raised(kind: type[Exception], function: Callable[[], object]) -> str:
    """Return the message of an error, which must be one line."""
    with pytest.raises(kind) as caught:
        function()
    message = str(caught.value)
    assert "\n" not in message
    return message


def tokens(law: dist.Distribution, length: int = 3) -> None:
    """Draw tokens from a fixed law."""
    numpyro.sample("token", law.expand([length]))


def model_of(law: dist.Distribution, outcome: str = "token", **options) -> bc.GenerativeModel:
    return bc.GenerativeModel(partial(tokens, law), outcome=outcome, **options)


COIN = dist.Bernoulli(0.5)


# ------------------------------------------------------------------ which sites


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


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the checks of types that only these tests run with."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
def test_one_string_in_place_of_a_tuple():
    message = raised(TypeError, lambda: model_of(COIN, given="token"))
    assert message == "given: expected a tuple of site names, got 'token'"


def test_a_site_that_is_observed_inside():
    def function() -> None:
        numpyro.sample("token", COIN.expand([3]), obs=jnp.array([0, 1, 1]))

    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith("program: site 'token' is observed inside the program; expected")


# --------------------------------------------------------------- which outcomes


def test_continuous_outcomes():
    message = raised(ValueError, lambda: model_of(dist.Normal(0.0, 1.0)))
    assert message == (
        "outcome: expected a site with finitely many values, got 'token' with support Real(); "
        "bin a continuous outcome inside the program"
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


# ----------------------------------------------------------------- the function


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


# ------------------------------------------------------------- values and batches


def test_missing_and_unknown_values():
    model = cases.build("clues")
    clue, number = jnp.array([0, 1, 0]), jnp.array([3, 4, 5])
    message = raised(ValueError, lambda: model.batch_from_sites({"clue": clue}))
    assert message == "sites: expected a value for 'number', got ['clue']"
    sites = {"clue": clue, "number": number, "nubmer": number}
    message = raised(ValueError, lambda: model.batch_from_sites(sites))
    assert message == "sites: expected names among ['clue', 'device', 'number'], got 'nubmer'"


def test_values_of_wrong_shapes():
    model = cases.build("clues")
    clue, number = jnp.zeros((2, 3), int), jnp.full((2, 3), 4)
    for sites, expected in [
        ({"clue": clue[:, :2], "number": number}, "'clue' to end in shape (3,), got (2, 2)"),
        ({"clue": clue, "number": number[0, 0]}, "'number' to end in shape (3,), got ()"),
        ({"clue": clue[0], "number": number}, "same batch axes everywhere, got {'clue': (),"),
        ({"clue": clue, "number": number, "device": jnp.zeros(3, int)}, "'device': (3,)"),
    ]:
        message = raised(ValueError, lambda s=sites: model.batch_from_sites(s))
        assert message.startswith("sites: expected")
        assert expected in message


@pytest.mark.parametrize(
    ("name", "sites", "message"),
    [
        (
            "coin_flat",
            {"token": [[0, 1, 0, 0, 0], [0, 0, 2, 0, 0]]},
            "'token' to hold whole numbers from 0 to 1, got 2 at index (1, 2)",
        ),
        (
            "clues",
            {"clue": [0, 1, 1], "number": [3, 2, 4]},
            "'number' to hold whole numbers from 3 to 5, got 2 at index (1,)",
        ),
        (
            "bijection_3",
            {"key": [0, 1], "value": [0.0, 1.5]},
            "'value' to hold whole numbers from 0 to 2, got 1.5 at index (1,)",
        ),
        (
            "regression",
            {"x": [0.0, float("nan"), 0.0, 0.0], "y": [0, 0, 0, 0]},
            "'x' to hold finite numbers, got nan at index (1,)",
        ),
        (
            "hidden_markov_2x4",
            {
                "transition": [[0.5, 0.5], [0.25, 0.5]],
                "emission": [[0.25] * 4] * 2,
                "symbol": [0, 1, 2],
                "state": [0, 1, 0],
            },
            "'transition' to hold rows of probabilities that sum to one, got [0.25 0.5 ] "
            "at index (1,)",
        ),
    ],
)
def test_values_that_a_site_cannot_take(name, sites, message):
    arrays = {site: jnp.asarray(value) for site, value in sites.items()}
    found = raised(ValueError, lambda: cases.build(name).batch_from_sites(arrays))
    assert found == f"sites: expected {message}"


def test_impossible_sequences_are_named():
    model = cases.build("bijection_4_whole")
    keys = jnp.array([[0, 1, 2, 3], [3, 1, 0, 2], [0, 1, 2, 3]])
    values = jnp.array([[1, 0, 2, 3], [0, 1, 1, 2], [3, 2, 1, 0]])
    oracle = bc.derive_oracle(model)
    message = raised(
        ValueError, lambda: oracle(model.batch_from_sites({"key": keys, "value": values}))
    )
    assert message == (
        "batch: expected sequences that are possible under the model, got probability zero at "
        "sequence 1, position 2"
    )
    stacked = {"key": keys[None], "value": values[None]}
    message = raised(ValueError, lambda: oracle(model.batch_from_sites(stacked)))
    assert message.endswith("sequence [0, 1], position 2")
    single = {"key": keys[1], "value": values[1]}
    message = raised(ValueError, lambda: oracle(model.batch_from_sites(single)))
    assert message.endswith("sequence 0, position 2")


def test_impossible_sequences_under_enumeration():
    """Of the third kind comes only from the other urns or a spoiled label."""

    def function() -> None:
        numpyro.sample("token", dist.Categorical(probs=jnp.array([0.5, 0.5, 0.0])).expand([3]))

    model = bc.GenerativeModel(function, outcome="token")
    batch = model.batch_from_sites({"token": jnp.array([[0, 1, 0], [0, 1, 2]])})
    message = raised(ValueError, lambda: bc.derive_oracle(model)(batch))
    assert message.endswith("sequence 1, position 2")


def test_impossible_sequences_inside_compiled_code():
    """Evidence is minus infinity from the impossible symbol on, and never NaN."""
    model = cases.build("hidden_markov_2x4")
    sites = {
        "transition": jnp.array([[0.5, 0.5], [0.5, 0.5]]),
        "emission": jnp.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]]),
        "symbol": jnp.array([0, 3, 1]),
        "state": jnp.array([0, 1, 0]),
    }
    oracle, batch = bc.derive_oracle(model), model.batch_from_sites(sites)
    log_evidence = np.asarray(jax.jit(lambda b: oracle(b).log_evidence)(batch))
    np.testing.assert_allclose(log_evidence, [np.log(0.375), -np.inf, -np.inf], rtol=1e-6)
    message = raised(ValueError, lambda: oracle(batch))
    assert message.endswith("sequence 0, position 1")


def test_a_batch_of_another_model():
    oracle = bc.derive_oracle(cases.build("bijection_3"))
    other = cases.build("bijection_4_whole").batch_from_sites(
        {"key": jnp.arange(4), "value": jnp.arange(4)}
    )
    message = raised(ValueError, lambda: oracle(other))
    assert message.startswith("batch: expected 2 positions that show ['key'], as bijection of 3")
    coin = cases.build("coin_flat").batch_from_sites({"token": jnp.zeros(5, int)})
    assert "got 5 that show []" in raised(ValueError, lambda: oracle(coin))


# ------------------------------------------------------------------------ engines


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_engine():
    message = raised(ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="enumerate"))
    assert message.startswith("engine: expected one of ('auto', ")
    assert message.endswith("got 'enumerate'")


def test_an_engine_that_does_not_apply():
    message = raised(
        ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="closed form")
    )
    assert message == "engine: urns has no closed form; use engine='auto'"
    message = raised(ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="conjugate"))
    assert message.startswith("engine: found no conjugate structure in urns; expected one Beta")


def test_a_window_of_nothing():
    model = cases.build("coin_flat")
    batch = model.batch_from_sites({"token": jnp.zeros(5, int)})
    message = raised(ValueError, lambda: bc.derive_oracle(model).windowed(batch, 0))
    assert message == "window: expected at least 1, got 0"


def test_enumeration_that_is_too_large():
    model = bc.GenerativeModel(cases.urns, outcome="token", length=15)
    message = raised(ValueError, lambda: bc.derive_oracle(model))
    assert message == (
        "program: expected at most 1,000,000 joint settings to enumerate, got 86,093,442 "
        "(urn: 3, spoiled: 2, token: 14,348,907); use a smaller model, or one with a closed form"
    )


def test_enumeration_that_is_larger_than_any_float():
    model = bc.GenerativeModel(cases.urns, outcome="token", length=1_000)
    message = raised(ValueError, lambda: bc.derive_oracle(model))
    assert "got 10^478 (urn: 3, spoiled: 2, token: 10^477)" in message


def test_enumeration_of_permutations_is_refused_before_they_are_listed():
    model = Bijection(size=30)
    message = raised(ValueError, lambda: EnumerationEngine(model.program, model.layout))
    assert "mapping: 10^32" in message


def enumerated(function: Callable[[], None], **options) -> str:
    model = bc.GenerativeModel(function, outcome="token", **options)
    return raised(ValueError, lambda: bc.derive_oracle(model, engine="enumeration"))


def test_latents_that_cannot_be_listed():
    def counts() -> None:
        tokens(dist.Bernoulli(probs=0.5 / (1.0 + numpyro.sample("count", dist.Poisson(2.0)))))

    def slopes() -> None:
        tokens(dist.Bernoulli(logits=numpyro.sample("slope", dist.Normal(0.0, 1.0))))

    def widths() -> None:
        width = numpyro.sample("width", dist.Uniform(0.0, 1.0))
        tokens(dist.Bernoulli(probs=numpyro.sample("bias", dist.Uniform(0.0, width))))

    for function, site in ((counts, "count"), (slopes, "slope"), (widths, "bias")):
        message = enumerated(function)
        assert message.startswith(f"program: site {site!r} with support")
        assert message.endswith(
            "cannot be enumerated; expected finitely many values, or numbers between two fixed "
            "bounds"
        )


def test_elements_with_different_values():
    def function() -> None:
        numpyro.sample("token", dist.DiscreteUniform(jnp.array([0, 1]), jnp.array([3, 3])))

    assert "expected the same values for all" in enumerated(function)


def test_continuous_queries_that_tell_of_a_latent():
    def function() -> None:
        side = numpyro.sample("side", COIN)
        numpyro.sample("x", dist.Normal(side, 1.0).expand([3]))
        tokens(dist.Bernoulli(0.2 + 0.6 * side))

    message = enumerated(function, query=("x",))
    assert message.startswith("query: expected a continuous site whose law depends on nothing")
    assert "got 'x'" in message


def test_continuous_queries_without_one_density_a_position():
    def function() -> None:
        side = numpyro.sample("side", COIN)
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
        numpyro.sample("token", dist.Bernoulli(logits=x * side))

    message = enumerated(function, query=("x",))
    assert message.startswith("query: expected a density for each of 3 positions, got shape ()")


def test_inexact_oracles_are_not_made_unasked():
    def function() -> None:
        bias = numpyro.sample("bias", dist.Beta(2.0, 2.0))
        tokens(dist.Bernoulli(probs=bias**2))

    model = bc.GenerativeModel(function, outcome="token")
    message = raised(ValueError, lambda: bc.derive_oracle(model))
    assert message.startswith("model: no exact engine for")
    assert "engine='enumeration'" in message
    certificate = bc.derive_oracle(model, engine="enumeration").certificate
    assert not certificate.exact
    # The likelihood is a polynomial in the bias of degree 6, which 64 nodes integrate exactly.
    assert 0.0 < certificate.error < 1e-12
    assert "within" in str(certificate)
