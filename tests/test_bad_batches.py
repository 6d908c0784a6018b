"""Wrong values and impossible sequences, and the one line that each of them gets."""

import cases
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised

import bayescmp as bc


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
