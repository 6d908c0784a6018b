"""Message passing with practical activations, and noise on weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import small_config, small_transformer

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.networks import perturb
from bayescmp.networks.constructed import fit_softplus, fitted_message_passing

CHAIN = FactorGraph(((0, 1), (1, 2)), (2, 2, 2))
SHAPE = GraphShape(3, 2, num_slots=2)
NUM_ROUNDS = 2


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0.0),
    "gelu": lambda z: np.asarray(jax.nn.gelu(jnp.asarray(z))),
    "swiglu": lambda z: z * sigmoid(z),
}


@pytest.mark.parametrize("form", ACTIVATIONS)
def test_error_of_a_fit_is_the_largest_there_is(form):
    fit = fit_softplus(form, 12)
    z = np.linspace(-20.0, 20.0, 997)
    with jax.enable_x64(True):
        units = ACTIVATIONS[form](fit.slope * (z[:, None] - fit.shifts)) / fit.slope
    errors = np.abs(units @ fit.weights - np.log1p(np.exp(z)))
    assert errors.max() <= fit.error * 1.001  # points that the fit has seen, and others
    assert errors.max() >= 0.9 * fit.error
    assert fit_softplus(form, 24).error < 0.5 * fit.error


@pytest.mark.parametrize("form", ACTIVATIONS)
def test_beliefs_are_wrong_by_no_more_than_messages_may_be(form):
    rng = np.random.default_rng(0)
    tables = tuple(jnp.asarray(rng.normal(0.0, 1.5, (2, 2))) for _ in range(2))
    fields = tuple(jnp.asarray(rng.normal(size=2)) for _ in range(3))
    with jax.enable_x64(True):
        network = fitted_message_passing(SHAPE, NUM_ROUNDS, form=form, shared=True)
        rows = jax.tree.map(
            lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x,
            lay_out(CHAIN, SHAPE, tables, fields),
        )
        trace = eqx.filter_jit(type(network).trace_layers)(network, rows.encode())
        logits = np.asarray(network.read_out(trace.resid_post))[:, 1:]
        exact = np.asarray(propagate_rows(rows, NUM_ROUNDS).log_beliefs)[1:]
    odds = (logits[..., 1] - logits[..., 0]) - (exact[..., 1] - exact[..., 0])
    # A message is the difference of two softpluses, and passes on less than the whole error of
    # each that it is made of: two rounds and two slots make four messages at most.
    assert np.abs(odds).max() < 4 * 2 * fit_softplus(form).error
    assert network.config.activation == form


def test_forms_are_checked():
    with pytest.raises(ValueError, match="num_units: expected at least 2, got 1"):
        fit_softplus("relu", 1)


def test_noise_is_as_large_as_said_and_by_key():
    network = small_transformer(small_config(2, 2, 8, 12))
    key = jax.random.key(0)
    moved, again = (perturb(network, 0.5, key=key) for _ in range(2))
    for old, new, same in zip(*map(jax.tree.leaves, (network, moved, again)), strict=True):
        np.testing.assert_array_equal(new, same)
        if old.size > 100:
            ratio = np.std(new - old) / np.sqrt(np.mean(np.square(old)))
            # The standard deviation of n normal numbers varies by 1 / sqrt(2 n) of itself.
            assert ratio == pytest.approx(0.5, rel=5.0 / np.sqrt(2 * old.size))
    unmoved = perturb(network, 0.0, key=key)
    for old, new in zip(*map(jax.tree.leaves, (network, unmoved)), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="size: expected at least 0, got -1"):
        perturb(network, -1.0, key=key)
