"""Bins of continuous outcomes, against SciPy far out in both tails."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from complaints import raised
from scipy import integrate, stats

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
