"""Belief propagation as a rung: exact on trees once it has reached everything."""

import cases
import equinox as eqx
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from jax import numpy as jnp

import bayescmp as bc
from bayescmp.models import HiddenMarkov, beta_bernoulli
from bayescmp.predictors.propagation import BeliefPropagation

EXACT = 1e-10
"""Some thousand operations in 64 bits, 2e-16 each."""


def ring(length: int) -> None:
    """Two rows in which each variable below has two parents above: loops everywhere."""
    with numpyro.plate("above", length):
        cause = numpyro.sample("cause", dist.Bernoulli(0.5))
    with numpyro.plate("below", length):
        agree = cause == jnp.roll(cause, 1)
        numpyro.sample("effect", dist.Bernoulli(jnp.where(agree, 0.95, 0.05)))


def answers(model: bc.AbstractGenerativeModel, **options) -> tuple[np.ndarray, ...]:
    """Return exact laws, believed laws and residuals for a few sequences, in 64 bits."""
    with jax.enable_x64(True):
        # Tables too: programs of 32 bits differ in the last of them between devices.
        rung, oracle = BeliefPropagation(model, **options), bc.derive_oracle(model)
        batch = eqx.filter_jit(model.sample)(16, key=jax.random.key(2))
        found = eqx.filter_jit(lambda r, b: (r.log_predictive(b), r.residual(b)))(rung, batch)
        exact = eqx.filter_jit(lambda o, b: o(b).log_predictive)(oracle, batch)
    return np.exp(exact), np.exp(found[0]), np.asarray(found[1])


@pytest.mark.parametrize("model", [HiddenMarkov(num_states=3, num_symbols=2, length=4)])
def test_a_tree_is_exact_after_its_diameter(model):
    rung = BeliefPropagation(model, num_rounds=1)
    assert rung.graph.is_tree
    enough = rung.graph.diameter + 1
    exact, believed, residual = answers(model, num_rounds=enough)
    np.testing.assert_allclose(believed, exact, atol=EXACT)
    assert residual.max() <= EXACT
    assert BeliefPropagation(model, num_rounds=enough).is_exact


def test_too_few_rounds_and_naive_messages_are_wrong():
    model = HiddenMarkov(num_states=3, num_symbols=2, length=4)
    exact, believed, residual = answers(model, num_rounds=1)
    assert np.abs(believed - exact).max() > 0.01
    assert residual.max() > 0.01
    exact, believed, _ = answers(model, num_rounds=12, cavity=False)
    assert np.abs(believed - exact).max() > 0.01


def test_loops_are_labelled_and_wrong():
    model = bc.GenerativeModel(ring, "effect", length=3)
    exact, believed, _ = answers(model, num_rounds=30)
    assert not BeliefPropagation(model, num_rounds=30).is_exact
    assert np.abs(believed - exact).max() > 0.01


def test_one_latent_for_all_is_a_tree():
    model = cases.build("clues")
    exact, believed, _ = answers(model, num_rounds=8)
    np.testing.assert_allclose(believed, exact, atol=EXACT)


def test_what_it_does_not_take():
    message = raised(ValueError, lambda: BeliefPropagation(beta_bernoulli(length=2), 3))
    assert message == "model: expected discrete latents, got the continuous ['bias']"
    message = raised(ValueError, lambda: BeliefPropagation(cases.build("clues"), 0))
    assert message == "num_rounds: expected at least 1, got 0"
    message = raised(ValueError, lambda: BeliefPropagation(cases.build("deck"), 1))
    assert "got one joint draw" in message


def test_names():
    model = cases.build("clues")
    assert BeliefPropagation(model, 3).name == "belief propagation, 3 rounds"
    assert BeliefPropagation(model, 3, cavity=False).name == "naive belief propagation, 3 rounds"
