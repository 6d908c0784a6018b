"""What training costs adds up, per step and in all, on every axis of a comparison."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from small_networks import CONFIGS, SHAPE, Table, small_transformer

import bayescmp as bc
from bayescmp.training.costs.accounting import (
    AXES,
    Accounting,
    Axis,
    account,
    learning_curve,
    spent,
)
from bayescmp.training.costs.operations import transformer_flops

ACCOUNTING = Accounting(
    num_steps=4,
    sequences_per_step=8,
    tokens_per_step=56,
    flops_per_step=1e6,
    closed_form=8e5,
    seconds=2.0,
    joules=50.0,
)
TOTALS = {
    "step": 4.0,
    "sequence": 32.0,
    "token": 224.0,
    "operation": 4e6,
    "second": 2.0,
    "joule": 50.0,
}


def made_fit(num_steps: int = 4, **changes) -> bc.Fit:
    """Make the result of a training that never was."""
    config = CONFIGS["learned positions"]
    fields = {
        "network": small_transformer(config),
        "outcome": "completed",
        "training": bc.Training(num_steps=num_steps, batch_size=8),
        "objective": "sampled",
        "loss": np.linspace(1.0, 0.5, num_steps, dtype=np.float32),
        "excess": np.linspace(0.5, 0.1, num_steps, dtype=np.float32),
        "seconds": 2.0,
        "joules": 50.0,
        "flops_per_step": 1e6,
        "tokens_per_step": 8 * SHAPE.max_length,
        "num_devices": 1,
        "num_parameters": 100,
    }
    return bc.Fit(**(fields | changes))


@pytest.mark.parametrize("axis", AXES)
def test_totals_are_what_all_steps_cost(axis: Axis):
    assert ACCOUNTING.total(axis) == TOTALS[axis]
    assert ACCOUNTING.per_step(axis) * 4 == TOTALS[axis]


def test_a_fit_says_what_it_cost():
    fit = made_fit()
    accounting = account(fit)
    closed_form = transformer_flops(CONFIGS["learned positions"], SHAPE, 8)
    assert accounting == replace(ACCOUNTING, closed_form=closed_form)


def test_what_is_not_told_is_unknown_and_the_rest_is_not():
    network = Table.zeros(bc.models.Bijection(3))
    accounting = account(made_fit(network=network, flops_per_step=math.nan, joules=math.nan))
    assert math.isnan(accounting.closed_form)
    unknown = {axis for axis in AXES if math.isnan(accounting.total(axis))}
    assert unknown == {"operation", "joule"}
    assert unknown == {axis for axis in AXES if math.isnan(accounting.per_step(axis))}


def test_a_run_without_steps_has_no_mean_but_a_total():
    accounting = account(made_fit(num_steps=1, loss=np.zeros(0), excess=np.zeros(0)))
    assert (accounting.total("step"), accounting.total("token")) == (0.0, 0.0)
    assert math.isnan(accounting.per_step("second"))
    assert accounting.total("second") == 2.0


@pytest.mark.parametrize("axis", AXES)
def test_a_curve_ends_with_the_total(axis: Axis):
    fit = made_fit()
    x, excess = learning_curve(fit, axis)
    assert x.shape == excess.shape == (4,)
    np.testing.assert_array_equal(excess, fit.excess)
    np.testing.assert_array_equal(x[-1], account(fit).total(axis))
    np.testing.assert_array_equal(np.diff(x), np.repeat(x[0], 3))


def test_measured_costs_are_read_off_the_clock():
    fit = made_fit(clock=np.array([[1.0, 1.5, math.nan], [4.0, 2.0, math.nan]]))
    # A slow first chunk of one step, then three steps in half a second.
    np.testing.assert_allclose(learning_curve(fit, "second")[0], [1.5, 10 / 6, 11 / 6, 2.0])
    assert np.isnan(learning_curve(fit, "joule")[0]).all()
    np.testing.assert_array_equal(learning_curve(fit, "token")[0], [56.0, 112.0, 168.0, 224.0])


def test_the_clock_of_a_run_ends_with_its_costs():
    model = bc.models.Bijection(3)
    fits = bc.fit_seeds(
        [Table.zeros(model), Table.zeros(model)],
        model,
        keys=[jax.random.key(0), jax.random.key(1)],
        training=bc.Training(num_steps=5, batch_size=2, chunk_size=2),
        progress=False,
    )
    for fit in fits:
        assert fit.clock is not None
        np.testing.assert_array_equal(fit.clock[:, 0], [2, 4, 5])
        assert (np.diff(fit.clock[:, 1]) > 0).all()
        assert learning_curve(fit, "second")[0][-1] == fit.clock[-1, 1] == fit.seconds
    assert fits[0].seconds == fits[1].seconds


def test_an_arm_may_lead_on_one_axis_and_trail_on_another():
    large = made_fit(flops_per_step=4e6, seconds=1.0)
    costs = spent({"small": made_fit(), "large": large})
    assert list(costs) == list(AXES)
    np.testing.assert_array_equal(costs["operation"], [4e6, 16e6])
    np.testing.assert_array_equal(costs["second"], [2.0, 1.0])
    np.testing.assert_array_equal(costs["token"], [224.0, 224.0])
    np.testing.assert_array_equal(costs["joule"], [50.0, 50.0])
    assert all(cost.dtype == np.float64 for cost in costs.values())
    assert spent({})["step"].shape == (0,)


@pytest.mark.parametrize("call", [ACCOUNTING.per_step, ACCOUNTING.total])
def test_another_axis_is_refused(call):
    # In tests, annotations are checked before the code is.
    with pytest.raises((TypeCheckError, ValueError), match=r"axis: expected one of 'st|Literal"):
        call("epoch")
