"""Plug-in rungs against trying every setting."""

from itertools import product

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from rungs import EXACT, all_laws, laws, oracle_of
from scipy import special

import bayescmp as bc
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.predictors import PlugIn


def best_by_hand(
    prior: np.ndarray, step_laws: np.ndarray, outcomes: np.ndarray, uses_prior: bool
) -> np.ndarray:
    """Try every setting in turn; ``step_laws[setting, outcome]`` holds at every step."""
    law = np.zeros((len(outcomes), step_laws.shape[1]))
    for t in range(len(outcomes)):
        scores = [
            (p if uses_prior else 1.0) * np.prod(laws[outcomes[:t]])
            for p, laws in zip(prior, step_laws, strict=True)
        ]
        best = [laws for s, laws in zip(scores, step_laws, strict=True) if s > max(scores) - 1e-12]
        law[t] = np.mean(best, axis=0)
    return law


@pytest.mark.parametrize("kind", ["maximum likelihood", "maximum a posteriori"])
def test_plug_in_equals_trying_every_setting(kind):
    """The urn does not matter where the labels are spoiled: three settings tie there."""
    model, batch = cases.build("urns"), cases.first("urns", 64)
    found = laws(PlugIn(oracle_of(model), kind), batch)
    settings = list(product(range(3), range(2)))
    step_laws = np.array([np.full(3, 1 / 3) if s else np.array(cases.URNS[u]) for u, s in settings])
    spoiled = (1 - cases.SPOILED, cases.SPOILED)
    prior = np.array([cases.URN_PRIOR[u] * spoiled[s] for u, s in settings])
    for sequence in range(64):
        outcomes = np.asarray(batch.outcomes[sequence])
        expected = best_by_hand(prior, step_laws, outcomes, kind == "maximum a posteriori")
        np.testing.assert_allclose(found[sequence], expected, rtol=1e-6, atol=1e-12)


def test_plug_in_likelihood_of_a_coin_is_the_frequency():
    model = beta_bernoulli(length=4, heads=3.0)
    batch = model.batch_from_sites({"token": jnp.array([[1, 0, 0, 1]])})
    rung = PlugIn(oracle_of(model), "maximum likelihood")
    assert rung.name == "plug-in ML"
    np.testing.assert_allclose(laws(rung, batch)[0, :, 1], [0.5, 1.0, 0.5, 1 / 3], rtol=EXACT)


# Posterior parameters of ones and zeros, and where the density is greatest.
MODES = {
    "inside": (3.0, 2.0, 2.0 / 3.0),
    "all tie": (1.0, 1.0, 0.5),
    "only ones": (2.0, 1.0, 1.0),
    "only zeros": (0.5, 1.5, 0.0),
    "both ends": (0.5, 0.5, 0.5),
    "the steeper end": (0.4, 0.5, 0.0),
    "one end": (1.0, 0.5, 1.0),
}


@pytest.mark.parametrize(("heads", "tails", "mode"), MODES.values(), ids=MODES)
def test_plug_in_posterior_of_a_coin_is_the_mode(heads: float, tails: float, mode: float):
    model = beta_bernoulli(length=1, heads=heads, tails=tails)
    batch = model.batch_from_sites({"token": jnp.array([[0]])})
    rung = PlugIn(oracle_of(model), "maximum a posteriori")
    np.testing.assert_allclose(laws(rung, batch)[0, 0, 1], mode, rtol=EXACT)
    if heads != tails:  # the judge: a fine grid away from the ends
        grid = np.linspace(1e-6, 1 - 1e-6, 100_001)
        density = special.xlogy(heads - 1, grid) + special.xlog1py(tails - 1, -grid)
        assert abs(grid[np.argmax(density)] - mode) < 2e-5


def test_both_kinds_of_plug_in_differ_by_the_prior():
    model, batch = cases.build("chain"), cases.first("chain", 64)
    oracle = oracle_of(model)
    kinds = "maximum likelihood", "maximum a posteriori"
    likelihood, posterior = all_laws(tuple(PlugIn(oracle, kind) for kind in kinds), batch)
    # Nothing is known after one token: the mean of all against the likeliest, 1/2.
    stays, tokens = np.array(cases.STAYS), np.asarray(batch.outcomes[:, 0])
    rows = np.arange(64)
    np.testing.assert_allclose(likelihood[rows, 1, tokens], stays.mean(), rtol=1e-6)
    np.testing.assert_allclose(posterior[rows, 1, tokens], 0.5, rtol=1e-6)


def test_plug_in_refuses_what_has_no_best_setting():
    def uniform_bias(length: int) -> None:
        bias = numpyro.sample("bias", dist.Uniform(0.1, 0.9))
        numpyro.sample("token", dist.Bernoulli(bias).expand([length]))

    model = bc.GenerativeModel(uniform_bias, outcome="token", length=3)
    filtering = bc.derive_oracle(HiddenMarkov(2, 2, length=3))
    engine = EnumerationEngine(model.program, model.layout)  # over quadrature nodes
    oracle = bc.Oracle(model=model, engine=engine, certificate=filtering.certificate)
    message = raised(ValueError, lambda: PlugIn(oracle))
    assert "finitely many values to choose the best from, got continuous ['bias']" in message
    assert "a latent site" in raised(ValueError, lambda: PlugIn(filtering))
    cards = bc.derive_oracle(Bijection(size=20))
    assert "joint settings" in raised(ValueError, lambda: PlugIn(cards))


def test_plug_in_of_the_bijection_averages_over_agreeing_permutations():
    """All permutations that agree tie, so that both kinds of plug-in are exact."""
    model = Bijection(size=4)
    batch = eqx.filter_jit(model.sample)(16, key=jax.random.key(6))
    oracle = oracle_of(model)
    found, exact = all_laws((PlugIn(oracle), oracle), batch)
    np.testing.assert_allclose(found, exact, atol=EXACT)
