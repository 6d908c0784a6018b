"""Linear and selective state-space models: all positions at once equal one after another."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_mixers
import pytest
from mixer_checks import FLOAT64, all_finite, check_mixer, mix_and_differentiate, random_mixer
from network_cases import CASES

from bayescmp.networks import LinearSSMConfig, SelectiveSSMConfig
from bayescmp.networks.linear_ssm import FASTEST, SLOWEST
from bayescmp.networks.parts.scans import linear_recurrence
from bayescmp.networks.selective_ssm import (
    LONGEST_STEP,
    SHORTEST_STEP,
    join_states,
    run_states,
)

NUM_STEPS = 2000
ORACLES = {
    "linear ssm": oracles_mixers.linear_ssm,
    "linear ssm, biases, post": oracles_mixers.linear_ssm,
    "selective ssm": oracles_mixers.selective_ssm,
    "selective ssm, no mlp": oracles_mixers.selective_ssm,
}


@pytest.mark.parametrize("name", ORACLES)
def test_mixer_equals_a_loop_over_time(name: str):
    check_mixer(CASES[name][0], ORACLES[name])


@pytest.mark.parametrize("length", [1, 2, 13])
def test_recurrence_equals_a_loop_for_any_length(length: int):
    rng = np.random.default_rng(length)
    decay, drive = rng.normal(size=(2, 3, length, 2))
    with jax.enable_x64(True):
        states = linear_recurrence(jnp.asarray(decay), jnp.asarray(drive), axis=-2)
    state = np.zeros((3, 2))
    for t in range(length):
        state = decay[:, t] * state + drive[:, t]
        np.testing.assert_allclose(states[:, t], state, **FLOAT64)


@pytest.mark.parametrize("run", [run_states, join_states])
def test_both_orders_of_selective_states_equal_loops(run):
    # A CPU runs one of them, accelerators the other.
    u = np.random.default_rng(5).normal(size=(2, 3, 7, 16))
    with jax.enable_x64(True):
        mixer = random_mixer(CASES["selective ssm"][0], np.float64)
        rates = jnp.exp(mixer.log_rate)
        selection = oracles_mixers.selection(mixer, u)
        given = run(rates, *(jnp.asarray(x) for x in (selection[0], u, *selection[1:])))
    for place in np.ndindex(2, 3):
        expected = oracles_mixers.selective_states(mixer, u[place])
        np.testing.assert_allclose(given[place], expected, **FLOAT64)


# ------------------------------------------------------------------ stability


def long_inputs(size: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(3).normal(size=(NUM_STEPS, size)), jnp.float32)


# From fast decay to one so slow that its modulus is one in single precision.
@pytest.mark.parametrize("rate", [1.0, -4.0, -30.0])
def test_linear_states_stay_bounded(rate: float):
    mixer = random_mixer(LinearSSMConfig(model_size=3, state_size=4))
    mixer = eqx.tree_at(lambda m: m.rate, mixer, jnp.full(4, rate, jnp.float32))
    x = long_inputs(3)
    outputs, gradient = mix_and_differentiate(mixer, x)
    # sup |h| <= sup |drive| * (1 + |a| + |a|^2 + ...), at most one term for each step.
    modulus = np.exp(-np.exp(rate))
    terms = min(NUM_STEPS, 1.0 / (1.0 - modulus))
    drive = np.sqrt(1.0 - modulus**2) * np.abs(x @ mixer.drive_weight).max() * np.sqrt(2.0)
    reach = np.abs(mixer.out.weight).sum(axis=0) * terms * drive + np.abs(mixer.skip * x).max()
    assert (np.abs(outputs) <= reach * (1.0 + 1e-5)).all()
    assert all_finite(gradient)


def test_long_sequences_lose_few_digits():
    mixer = random_mixer(LinearSSMConfig(model_size=3, state_size=4))
    mixer = eqx.tree_at(lambda m: m.rate, mixer, jnp.full(4, -6.0, jnp.float32))
    x = long_inputs(3)
    outputs, _ = mix_and_differentiate(mixer, x)
    expected = oracles_mixers.linear_ssm(mixer, np.asarray(x, np.float64))
    # A rounded factor, 6e-8 off in size and in angle, is raised to powers of up to some
    # 1 / (1 - |a|) = 400 before its term has decayed: 2.4e-5 of the largest state, from either
    # of two parts, and four states are added.
    np.testing.assert_allclose(outputs, expected, atol=2 * 4 * 2.4e-5 * np.abs(expected).max())


def test_selective_states_stay_bounded():
    mixer = random_mixer(SelectiveSSMConfig(model_size=3, state_size=2, window=2))
    x = long_inputs(3)
    outputs, gradient = mix_and_differentiate(mixer, x)
    assert all_finite(gradient)
    raised = np.asarray(x, np.float64) @ oracles_mixers.double(mixer.inward)
    filtered = oracles_mixers.depthwise(mixer.short, raised[:, :6])
    u = oracles_mixers.silu(filtered + oracles_mixers.double(mixer.short_bias))
    step, enter, leave = oracles_mixers.selection(mixer, u)
    # A state moves towards B u / A by less than the whole way, plus its entry s B u:
    # sup |h| <= sup |B u| sup (1 / A + s), since s / (1 - exp(-s A)) <= 1 / A + s.
    rates = np.exp(oracles_mixers.double(mixer.log_rate))
    state = np.abs(u).max() * np.abs(enter).max() * (1.0 / rates.min() + step.max())
    y = 2 * np.abs(leave).max() * state + np.abs(mixer.skip * u).max()
    gate = np.abs(oracles_mixers.silu(raised[:, 6:])).max()
    assert (np.abs(outputs) <= y * gate * np.abs(mixer.out.weight).sum(axis=0)).all()


# ---------------------------------------------------------------- first weights


def test_linear_states_begin_in_a_ring_of_the_upper_half_plane():
    mixer = LinearSSMConfig(model_size=2, state_size=500).make_mixer(key=jax.random.key(0))
    decay = np.asarray(mixer.decay)
    assert (np.abs(decay) > FASTEST - 1e-6).all()
    assert (np.abs(decay) < SLOWEST + 1e-6).all()
    assert (decay.imag >= 0.0).all()
    # The square of the modulus is uniform; its mean has a standard error of 0.21 / sqrt(500).
    middle = (FASTEST**2 + SLOWEST**2) / 2.0
    assert abs(np.mean(np.abs(decay) ** 2) - middle) < 5 * 0.21 / np.sqrt(500)


def test_linear_states_of_white_noise_have_the_size_of_their_drive():
    mixer = LinearSSMConfig(model_size=2, state_size=8).make_mixer(key=jax.random.key(0))
    x = long_inputs(2)
    states = np.asarray(eqx.filter_jit(lambda m, x: m.states(x))(mixer, x))[200:]
    drive = np.asarray(x @ mixer.drive_weight)
    sizes = np.mean(np.abs(states) ** 2, axis=0)
    drives = np.mean(drive[:, :8] ** 2 + drive[:, 8:] ** 2, axis=0)
    # The slowest state forgets within 1 / (1 - 0.98) = 50 steps: 36 independent draws or more,
    # hence a standard error of at most sqrt(2 / 36) = 0.24 of each variance.
    np.testing.assert_allclose(sizes / drives, 1.0, atol=5 * 0.24)


def test_selective_steps_begin_between_their_bounds():
    config = SelectiveSSMConfig(model_size=8, state_size=3)
    mixer = config.make_mixer(key=jax.random.key(0))
    steps = np.log1p(np.exp(np.asarray(mixer.step_bias, np.float64)))
    assert (steps > SHORTEST_STEP * (1 - 1e-3)).all()
    assert (steps < LONGEST_STEP * (1 + 1e-3)).all()
    np.testing.assert_allclose(np.exp(mixer.log_rate[:, 0]), [1.0, 2.0, 3.0], rtol=1e-6)
    assert mixer.step_weight.shape == (1, 16)


@pytest.mark.parametrize("name", ["state_size", "expansion", "window", "step_rank"])
def test_sizes_of_nothing_are_refused(name: str):
    with pytest.raises(ValueError, match=f"^{name}: expected at least 1, got 0$"):
        SelectiveSSMConfig(**{name: 0})


def test_no_linear_states_are_refused():
    with pytest.raises(ValueError, match=r"^state_size: expected at least 1, got 0$"):
        LinearSSMConfig(state_size=0)
