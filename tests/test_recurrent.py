"""LSTM and GRU against the textbook's equations in a loop over time."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles_mixers
import pytest
from mixer_checks import all_finite, check_mixer, mix, mix_and_differentiate, random_mixer
from network_cases import CASES

from bayescmp.networks import GRUConfig, LSTMConfig

ORACLES = {
    "lstm": oracles_mixers.lstm,
    "lstm, other state, biases": oracles_mixers.lstm,
    "gru": oracles_mixers.gru,
    "gru, other state, biases": oracles_mixers.gru,
}
EVERY_CELL = pytest.mark.parametrize("make", [LSTMConfig, GRUConfig])


@pytest.mark.parametrize("name", ORACLES)
def test_mixer_equals_a_loop_over_time(name: str):
    check_mixer(CASES[name][0], ORACLES[name])


@EVERY_CELL
def test_a_fresh_cell_keeps_more_than_it_forgets(make):
    state_weight = make(model_size=4, state_size=3).make_mixer(key=jax.random.key(0))
    # Forget gate of the LSTM and update gate of the GRU are the second of the gates.
    expected = np.zeros(state_weight.gate_bias.size)
    expected[3:6] = 1.0
    np.testing.assert_array_equal(state_weight.gate_bias, expected)


@EVERY_CELL
def test_a_state_stays_between_minus_one_and_one_over_2000_steps(make):
    config = make(model_size=3, state_size=3)
    mixer = random_mixer(config)
    inputs = jnp.asarray(np.random.default_rng(3).normal(size=(2000, 3)), jnp.float32)
    outputs, gradient = mix_and_differentiate(mixer, inputs)
    bound = np.abs(mixer.out.weight).sum(axis=0)
    assert (np.abs(outputs) <= bound).all()
    assert all_finite(gradient)


@EVERY_CELL
def test_the_answer_depends_on_the_whole_past(make):
    mixer = random_mixer(make(model_size=3, state_size=3))
    x = np.random.default_rng(4).normal(size=(7, 3)).astype(np.float32)
    other = x.copy()
    other[0] += 1.0
    assert (np.abs(mix(mixer, jnp.asarray(other)) - mix(mixer, jnp.asarray(x)))[-1] > 1e-6).any()


@EVERY_CELL
def test_a_state_of_no_size_is_refused(make):
    with pytest.raises(ValueError, match=r"^state_size: expected at least 1, got 0$"):
        make(state_size=0)
