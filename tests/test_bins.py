"""Bins of continuous outcomes, against SciPy far out in both tails."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from scipy import integrate, stats

import bayescmp as bc
from bayescmp.exact.reading.bins import log_bin_probs, log_cdf, log_normal_bins


def test_log_cdf_from_the_far_tail_to_the_other():
    z = np.concatenate([-np.geomspace(1e-3, 1e6, 400)[::-1], np.linspace(0.0, 8.0, 50)])
    with jax.enable_x64(True):
        found = np.asarray(log_cdf(jnp.asarray(z)))
    # SciPy's log_ndtr and ours are each good to a few units of rounding of the result.
    np.testing.assert_allclose(found, stats.norm.logcdf(z), rtol=1e-12, atol=1e-15)


def test_log_cdf_in_single_precision():
    z = np.linspace(-40.0, 6.0, 300).astype(np.float32)
    found = np.asarray(log_cdf(jnp.asarray(z)))
    expected = stats.norm.logcdf(z.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_normal_bins_far_from_the_mean():
    edges = np.array([-20.0, -1.0, 0.5, 9.0, 15.0])
    with jax.enable_x64(True):
        found = np.asarray(log_normal_bins(jnp.asarray(edges)))
    bounds = [-np.inf, *edges, np.inf]
    for k in range(6):
        low, high = bounds[k], bounds[k + 1]
        if low >= 0.0:
            low, high = -high, -low
        expected = np.log(stats.norm.cdf(high) - stats.norm.cdf(low))
        np.testing.assert_allclose(found[k], expected, rtol=1e-12)


def test_bins_of_another_law():
    edges = jnp.array([0.5, 2.0])
    with jax.enable_x64(True):
        law = dist.Gamma(jnp.array([2.0, 3.0]), 1.5)
        found = np.exp(np.asarray(log_bin_probs(law, edges, 2)))
    for row, shape in enumerate((2.0, 3.0)):
        density = stats.gamma(shape, scale=1.0 / 1.5).pdf
        expected = [integrate.quad(density, a, b)[0] for a, b in ((0, 0.5), (0.5, 2.0))]
        # float32 parameters of the law: 1e-7 of each probability.
        np.testing.assert_allclose(found[row, :2], expected, rtol=1e-6)


OTHERS = {
    "Poisson": (dist.Poisson(1.7), stats.poisson(1.7)),
    "negative binomial": (dist.NegativeBinomial2(1.7, 2.0), stats.nbinom(2.0, 2.0 / 3.7)),
    "Gamma": (dist.Gamma(2.0, 0.7), stats.gamma(2.0, scale=1.0 / 0.7)),
    "exponential": (dist.Exponential(0.7), stats.expon(scale=1.0 / 0.7)),
    "Beta": (dist.Beta(0.7, 2.0), stats.beta(0.7, 2.0)),
    "Student": (dist.StudentT(4.0, 0.3, 0.5), stats.t(4.0, 0.3, 0.5)),
    "lognormal": (dist.LogNormal(0.3, 0.5), stats.lognorm(0.5, scale=np.exp(0.3))),
    "uniform": (dist.Uniform(-0.5, 0.7), stats.uniform(-0.5, 1.2)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_edges_may_lie_between_values_and_outside_of_all(name: str):
    """A count can be asked about at 0.5, a share at 2: what is impossible has probability zero."""
    edges = np.array([-1.5, -0.3, 0.0, 0.2, 0.5, 1.0, 1.9, 2.0, 3.5])
    law, scipys = OTHERS[name]
    with jax.enable_x64(True):
        found = np.exp(np.asarray(log_bin_probs(law, jnp.asarray(edges), 2)))
    expected = np.diff([0.0, *scipys.cdf(edges), 1.0])
    # Parameters are float32: 1e-7 of the distribution function, which is at most one.
    np.testing.assert_allclose(found, np.tile(expected, (2, 1)), rtol=0.0, atol=1e-6)
    np.testing.assert_array_equal(found[0] > 0.0, expected > 0.0)


def test_a_law_without_a_distribution_function():
    class Strange(dist.Normal):
        pass

    class Without(dist.Distribution):
        support = dist.constraints.real

        def __init__(self):
            super().__init__(batch_shape=(2,))

    message = raised(ValueError, lambda: log_bin_probs(Without(), jnp.array([0.0]), 2))
    assert message.startswith("edges: expected an outcome whose law has a distribution function")
    assert log_bin_probs(Strange(0.0, 1.0), jnp.array([0.0]), 2).shape == (2, 2)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float32])
def test_outcomes_fall_into_the_bins_whose_laws_are_computed(dtype: type):
    edges = (-0.5, 0.0, 0.5, 2.0, 2.5)

    def counts() -> None:
        with numpyro.plate("step", 5):
            numpyro.sample("count", dist.Poisson(2.0))

    layout = bc.GenerativeModel(counts, "count", edges=edges).layout
    values = np.arange(5)
    found = layout.outcome_indices({"count": jnp.asarray(values, dtype)})
    # A value on an edge belongs below it, as in a distribution function.
    np.testing.assert_array_equal(found, np.searchsorted(edges, values))
