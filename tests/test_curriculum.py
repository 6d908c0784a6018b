"""A curriculum: which questions count at which step."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from place_cases import CHAIN, FEW, ORACLE, chain_network, run

from bayescmp.training.curriculum import Curriculum
from bayescmp.training.gradients import weights_at
from bayescmp.training.problem import pose


def weights_of(step: int, **settings) -> list[float]:
    training = dataclasses.replace(FEW, places=None, **settings)
    problem, _ = pose([chain_network()], CHAIN, ORACLE, training)
    return weights_at(problem, jnp.asarray(step)).tolist()


@pytest.mark.parametrize(
    ("start", "steps", "count", "expected"),
    [(1, 6, 4, (0, 2, 4, 6)), (2, 3, 4, (0, 0, 2, 3)), (1, 1, 3, (0, 1, 1)), (3, 9, 3, (0, 0, 0))],
)
def test_questions_begin_to_count_one_after_the_other(
    start: int, steps: int, count: int, expected: tuple[int, ...]
):
    assert Curriculum(start, steps).first_steps(count) == expected
    for step in range(steps + 3):  # the formula of the docstring
        horizon = min(count, start + (count - start) * step // steps)
        assert sum(first <= step for first in expected) == horizon


@pytest.mark.parametrize(("step", "horizon"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (9, 3)])
def test_a_curriculum_asks_exactly_the_first_questions(step: int, horizon: int):
    assert weights_of(step, curriculum=Curriculum(1, 4)) == [1.0] * horizon + [0.0] * (3 - horizon)
    settings = {"curriculum": Curriculum(1, 4), "horizon": 2, "position_weights": (0.5, 3.0)}
    assert weights_of(step, **settings) == [0.5, 3.0 if step >= 4 else 0.0, 0.0]


def test_a_curriculum_trains_as_its_horizon_does_and_nobody_stops_on_easy_questions():
    short = run(training=dataclasses.replace(FEW, places=None, horizon=1, stop_below=10.0))
    assert short.num_steps == 2
    settings = dataclasses.replace(FEW, places=None, stop_below=10.0, curriculum=Curriculum(1, 4))
    grown = run(training=settings)
    assert grown.num_steps == 6
    np.testing.assert_array_equal(grown.loss[:2], short.loss)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"curriculum": Curriculum(4, 5)},
            "curriculum: expected start of at most 3, the questions that count in the end, got 4",
        ),
        (
            {"curriculum": Curriculum(3, 5), "horizon": 2},
            "curriculum: expected start of at most 2, the questions that count in the end, got 3",
        ),
        (
            {"curriculum": Curriculum(1, 5), "position_weights": (0.0, 1.0, 1.0)},
            "curriculum: expected to start with a question of positive weight, got weights (0.0,) "
            "for the first 1",
        ),
    ],
)
def test_a_curriculum_that_does_not_fit_is_refused(settings: dict, told: str):
    with pytest.raises(ValueError, match=r".") as caught:
        pose([chain_network()], CHAIN, None, dataclasses.replace(FEW, places=None, **settings))
    assert str(caught.value) == told
