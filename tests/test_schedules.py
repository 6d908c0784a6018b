"""Learning rates at known steps, and that optimisers go by them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optimiser_cases import OPTIMISERS

import bayescmp as bc
from bayescmp.training.optimisers import Lion, Optimiser, ScheduleFree, rate

COSINE = 0.5 * (1.0 + np.cos(np.pi * 89.0 / 90.0))
"""The cosine after 89 of 90 steps."""


def rates(optimiser: Optimiser, num_steps: int, steps: list[int]) -> list[float]:
    return [float(rate(optimiser, num_steps)(step)) for step in steps]


@pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize(
    ("schedule", "middle", "last", "end"),
    # Ten steps of warm-up, ninety left: step 55 is half way, step 99 is one before the end.
    [
        ("constant", 1.0, 1.0, 1.0),
        ("linear", 0.5, 1.0 / 90.0, 0.0),
        ("cosine", 0.5, COSINE, 0.0),
        # Falls from step 80 on.
        ("wsd", 1.0, 0.05, 0.0),
    ],
)
@pytest.mark.parametrize("final", [0.0, 0.3])
def test_rate_at_known_steps(
    optimiser: Optimiser, schedule: str, middle: float, last: float, end: float, final: float
):
    falls = schedule != "constant"
    if falls and isinstance(optimiser, ScheduleFree):
        return  # refused, as another test shows
    final = final if falls else 0.0
    settings = {"learning_rate": 2.0, "warmup": 0.1, "schedule": schedule, "final": final}
    # What is left of a falling rate is spread between one and the final share.
    shares = [final + (1.0 - final) * share for share in (middle, last, end)]
    expected = [0.2, 1.0, 2.0, 2.0, *(2.0 * share for share in shares)]
    changed = dataclasses.replace(optimiser, **settings)
    found = rates(changed, 100, [0, 4, 9, 10, 55, 99, 100])
    # A cosine near -1 keeps few digits of its distance from there in 32 bits.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rate_rises_once_and_falls_once():
    found = rates(bc.AdamW(), 200, list(range(200)))
    peak = int(np.argmax(found))
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak + 1 :]) < 0).all()
    assert found[peak] == pytest.approx(1e-3)
    assert min(found) > 0


def test_warmup_stable_decay_has_three_parts():
    optimiser = bc.AdamW(learning_rate=1.0, warmup=0.2, schedule="wsd", cooldown=0.4)
    found = rates(optimiser, 10, list(range(11)))
    expected = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_rate_of_the_shortest_runs_is_positive_and_finite(
    num_steps: int, warmup: float, schedule: str
):
    optimiser = bc.AdamW(learning_rate=1.0, warmup=warmup, schedule=schedule)
    found = rates(optimiser, num_steps, list(range(num_steps)))
    assert all(0 < value <= 1.0 for value in found)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "wsd"])
def test_steps_are_as_long_as_the_rate_says(schedule: str):
    # Lion's step is the learning rate times a sign.
    optimiser = Lion(learning_rate=0.5, warmup=0.2, schedule=schedule)
    transformation = optimiser.build(10)

    @jax.jit
    def run(params):
        def step(state, _):
            updates, state = transformation.update(params, state, params)
            return state, updates["w"][0]

        return jax.lax.scan(step, transformation.init(params), None, length=10)[1]

    lengths = -run({"w": jnp.ones(1)})
    np.testing.assert_allclose(lengths, rates(optimiser, 10, list(range(10))), rtol=1e-6)
