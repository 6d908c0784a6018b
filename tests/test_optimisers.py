"""Learning rates at known steps, and which parameters each optimiser treats how."""

import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import bayescmp as bc
from bayescmp.training.optimisers import rate


def rates(optimiser: bc.AdamW | bc.Muon, num_steps: int, steps: list[int]) -> list[float]:
    return [float(rate(optimiser, num_steps)(step)) for step in steps]


def one_update(optimiser: bc.AdamW | bc.Muon, params, grads):
    # One step of one: no warm-up, and the rate is the peak.
    transformation = optimiser.build(1)

    @jax.jit
    def update(params, grads):
        return transformation.update(grads, transformation.init(params), params)[0]

    return update(params, grads)


# ------------------------------------------------------------------ schedules


@pytest.mark.parametrize("make", [bc.AdamW, bc.Muon])
@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    # Ten steps of warm-up, ninety left: step 55 is half way, step 99 is one before zero.
    [
        ("constant", 1.0, 1.0),
        ("linear", 0.5, 1.0 / 90.0),
        ("cosine", 0.5, 0.5 * (1.0 + np.cos(np.pi * 89.0 / 90.0))),
    ],
)
def test_rate_at_known_steps(make, schedule: str, middle: float, end: float):
    optimiser = make(learning_rate=2.0, warmup=0.1, schedule=schedule)
    expected = [0.2, 1.0, 2.0, 2.0, 2.0 * middle, 2.0 * end]
    found = rates(optimiser, 100, [0, 4, 9, 10, 55, 99])
    # A cosine near -1 keeps few digits of its distance from there in 32 bits.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rate_rises_once_and_falls_once():
    found = rates(bc.AdamW(), 200, list(range(200)))
    peak = int(np.argmax(found))
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak + 1 :]) < 0).all()
    assert found[peak] == pytest.approx(1e-3)
    assert min(found) > 0


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.99])
def test_rate_of_the_shortest_runs_is_positive_and_finite(num_steps: int, warmup: float):
    found = rates(bc.AdamW(learning_rate=1.0, warmup=warmup), num_steps, list(range(num_steps)))
    assert all(0 < value <= 1.0 for value in found)


# -------------------------------------------------------------------- updates


def blocks_and_embedding(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    shapes = {"qkv": (2, 3, 6, 4), "up": (2, 4, 6), "norm": (2, 6), "embedding": (9, 6)}
    return {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}


def test_muon_orthogonalises_every_matrix_of_a_stack_by_itself():
    params, grads = blocks_and_embedding(0), blocks_and_embedding(1)
    updates = one_update(bc.Muon(learning_rate=1.0, warmup=0.0), params, grads)
    for name in ("qkv", "up"):
        values = np.linalg.svd(np.asarray(updates[name]), compute_uv=False)
        # Five Newton-Schulz iterations leave singular values between about 0.7 and 1.2.
        assert values.min() > 0.5
        assert values.max() < 1.6
        # A matrix of its own, with the same gradient, gets the same update.
        first = (0,) * (grads[name].ndim - 2)
        alone = {"only": params[name][first][None]}
        alone_grads = {"only": grads[name][first][None]}
        single = one_update(bc.Muon(learning_rate=1.0, warmup=0.0), alone, alone_grads)
        np.testing.assert_allclose(updates[name][first], single["only"][0], atol=2e-3)


def test_muon_treats_embeddings_norms_and_biases_by_adam():
    params, grads = blocks_and_embedding(0), blocks_and_embedding(1)
    updates = one_update(bc.Muon(learning_rate=0.5, warmup=0.0, clip=1e9), params, grads)
    adam = optax.adam(0.5, b2=0.99, nesterov=True)
    expected, _ = adam.update(grads, adam.init(params), params)
    for name in ("norm", "embedding"):
        np.testing.assert_allclose(updates[name], expected[name], rtol=1e-5, err_msg=name)


def test_adamw_is_optax_adamw_behind_a_clip():
    params, grads = blocks_and_embedding(0), blocks_and_embedding(1)
    optimiser = bc.AdamW(learning_rate=0.1, weight_decay=0.3, warmup=0.0, clip=1e-6)
    norm = float(optax.tree.norm(grads))
    clipped = jax.tree.map(lambda leaf: leaf * 1e-6 / norm, grads)
    adamw = optax.adamw(0.1, b1=0.9, b2=0.99, weight_decay=0.3)
    expected, _ = adamw.update(clipped, adamw.init(params), params)
    found = one_update(optimiser, params, grads)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, err_msg=name)
        # So small a gradient feels Adam's epsilon: without the clip the step is another.
        assert np.abs(value + 0.1 * 0.3 * params[name]).max() < 0.0999


@pytest.mark.parametrize("make", [bc.AdamW, bc.Muon])
def test_weight_decay_shrinks_every_parameter(make):
    params = blocks_and_embedding(0)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates = one_update(make(learning_rate=0.1, weight_decay=0.5, warmup=0.0), params, nothing)
    for name, value in updates.items():
        np.testing.assert_allclose(value, -0.05 * params[name], rtol=1e-5, err_msg=name)


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (bc.AdamW, {"learning_rate": 0.0}, "learning_rate: expected a positive number for AdamW"),
        (bc.Muon, {"learning_rate": -1.0}, "learning_rate: expected a positive number for Muon"),
        (bc.Muon, {"learning_rate": float("inf")}, "learning_rate: expected a positive number"),
        (bc.AdamW, {"weight_decay": -0.1}, "weight_decay: expected zero or a positive number"),
        (bc.AdamW, {"b1": 1.0}, "b1: expected a number from 0 up to 1, got 1.0"),
        (bc.AdamW, {"b2": -0.5}, "b2: expected a number from 0 up to 1, got -0.5"),
        (bc.Muon, {"momentum": 1.5}, "momentum: expected a number from 0 up to 1, got 1.5"),
        (bc.Muon, {"warmup": 1.0}, "warmup: expected a share from 0 up to 1, got 1.0"),
        (bc.AdamW, {"clip": float("nan")}, "clip: expected a positive norm, got nan"),
        (bc.AdamW, {"schedule": "step"}, "schedule: expected 'constant', 'cosine' or 'linear'"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(
    make, settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a user has no checker
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(**settings)
