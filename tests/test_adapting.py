"""Predictors from anywhere, as predictors of ours."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised, unchecked

import bayescmp as bc
from bayescmp.comparison.evaluation import ask, draw_evaluation, measure
from bayescmp.networks.adapting import adapt

TABLE = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [0.6, 0.2, 0.2]]))
MODEL = bc.models.Mess3(length=4)


def traced(tokens: jax.Array) -> jax.Array:
    return jnp.asarray(TABLE, jnp.result_type(float))[tokens]


def on_host(tokens: np.ndarray) -> np.ndarray:
    assert isinstance(tokens, np.ndarray)
    return TABLE[tokens]


def sequence_alone(tokens: np.ndarray) -> np.ndarray:
    assert tokens.ndim == 1
    return TABLE[tokens]


def batch_at_once(tokens: jax.Array) -> jax.Array:
    assert tokens.ndim == 2
    return traced(tokens)


CASES = {
    "logits": adapt(lambda tokens: traced(tokens) + 3.0),
    "log probabilities": adapt(traced, answers="log_prob"),
    "probabilities": adapt(lambda tokens: jnp.exp(traced(tokens)), answers="prob"),
    "batches": adapt(batch_at_once, batched=True),
    "NumPy, one sequence": adapt(sequence_alone, host_outcomes=3),
    "NumPy, batches, probabilities": adapt(
        lambda tokens: np.exp(on_host(tokens)), batched=True, answers="prob", host_outcomes=3
    ),
}


@pytest.mark.parametrize("network", CASES.values(), ids=CASES)
def test_all_kinds_are_one_predictor(network):
    inputs = jnp.array([[[0, 1, 3], [0, 2, 2]], [[0, 1, 1], [1, 2, 3]]])
    for tokens in (inputs, inputs[0], inputs[0, 0]):
        law = jax.nn.log_softmax(jax.jit(lambda tokens: network(tokens))(tokens), axis=-1)
        np.testing.assert_allclose(law, TABLE[np.asarray(tokens)], atol=1e-6)


def test_all_kinds_get_the_same_figures():
    evaluation = draw_evaluation(bc.derive_oracle(MODEL), 16, key=jax.random.key(0))
    expected = measure(ask(traced, evaluation), evaluation).kl
    assert expected.mean() > 0.01
    for network in CASES.values():
        found = measure(ask(network, evaluation), evaluation)
        np.testing.assert_allclose(found.kl, expected, atol=1e-6)


def test_vectors_are_inputs_too():
    network = adapt(lambda rows: rows[..., :2], batched=True)
    rows = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(network(rows), rows[..., :2])
    np.testing.assert_array_equal(network(rows[0]), rows[0, :, :2])


@pytest.mark.parametrize("network", [traced, CASES["logits"]], ids=["callable", "adapted"])
def test_what_looks_inside_says_that_it_needs_a_trace(network):
    oracle = bc.derive_oracle(MODEL)
    with unchecked():
        look = partial(bc.inspection.record, network, oracle, key=jax.random.key(0))
        message = raised(TypeError, look)
    assert message.startswith(
        "network: expected one that can be traced, since this looks inside, got "
    )
    assert message.endswith("; compare() measures any callable from outside")


@pytest.mark.parametrize("answers", ["prob", "log_prob"])
def test_answers_that_are_no_law_are_refused(answers):
    network = adapt(lambda tokens: jnp.full((tokens.size, 3), 0.5), answers=answers)
    with pytest.raises(RuntimeError, match=f"predict: expected {answers} over outcomes"):
        jax.block_until_ready(network(jnp.array([0, 1])))


def test_impossible_outcomes_are_no_error():
    network = adapt(
        lambda tokens: jnp.tile(jnp.array([1.0, 0.0]), (tokens.size, 1)), answers="prob"
    )
    np.testing.assert_array_equal(network(jnp.array([0, 1])), [[0.0, -np.inf]] * 2)


def test_answers_of_another_shape_are_refused():
    network = adapt(sequence_alone, host_outcomes=2)
    with pytest.raises(Exception, match=r"predict: expected answers of shape \(1, 2, 2\)"):
        jax.block_until_ready(network(jnp.array([0, 1])))


def test_bad_arguments():
    with unchecked():
        assert raised(TypeError, lambda: adapt(3)) == "predict: expected a callable, got int"
        message = raised(ValueError, lambda: adapt(traced, answers="odds"))
    assert message == "answers: expected 'logits', 'log_prob' or 'prob', got 'odds'"
    with pytest.raises(ValueError, match="host_outcomes: expected None or at least 1, got 0"):
        adapt(traced, host_outcomes=0)
