"""Intervals over seeds: SciPy as oracle, coverage, and what nobody can know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayescmp import measures


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("num", [2, 5, 30])
def test_interval_agrees_with_scipy(num: int, level: float) -> None:
    values = np.random.default_rng(num).normal(3.0, 2.0, size=num)
    got = measures.mean_interval(values, level)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    # the same float64 formula; the quantile is good to some 1e-13
    np.testing.assert_allclose([got.low, got.high], [expected.low, expected.high], rtol=1e-10)
    assert got.mean == pytest.approx(values.mean(), rel=1e-14)
    assert (got.level, got.num) == (level, num)
    assert isinstance(got.low, float)


def test_further_axes_are_kept_and_jax_arrays_are_taken() -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    got = measures.mean_interval(jnp.asarray(values))
    single = measures.mean_interval(values[:, 1, 2].astype(np.float64))
    assert np.shape(got.mean) == (2, 3)
    ends = [np.asarray(end)[1, 2] for end in (got.low, got.high)]
    np.testing.assert_allclose(ends, [single.low, single.high], rtol=1e-12)  # same operations


def test_interval_covers_as_stated() -> None:
    num_repeats, level = 4000, 0.9
    got = measures.mean_interval(np.random.default_rng(1).normal(size=(5, num_repeats)), level)
    rate = np.mean((got.low <= 0.0) & (got.high >= 0.0))
    # binomial noise of the rate: 0.0047; five of these. A normal quantile covers 0.825.
    assert abs(rate - level) < 5 * np.sqrt(level * (1 - level) / num_repeats)


def test_fewer_than_two_values_leave_an_infinite_interval() -> None:
    one = measures.mean_interval(np.array([2.0]))
    assert (one.mean, one.low, one.high, one.num) == (2.0, -np.inf, np.inf, 1)
    none = measures.mean_interval(np.zeros((0, 3)))
    assert np.all(np.isnan(none.mean))
    np.testing.assert_array_equal(none.low, np.full(3, -np.inf))
    np.testing.assert_array_equal(none.high, np.full(3, np.inf))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_values_show(bad: float) -> None:
    got = measures.mean_interval(np.array([1.0, bad, 2.0]))
    assert not np.isfinite(got.mean)
    assert np.isnan(got.low)
    assert np.isnan(got.high)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, float("nan")])
def test_bad_level_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level: expected a number between 0 and 1"):
        measures.mean_interval(np.ones(3), level)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_standard_error_agrees_with_scipy_in_both_libraries(axis: int) -> None:
    values = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    expected = stats.sem(values.astype(np.float64), axis=axis)
    plain = measures.standard_error(values, axis)
    compiled = jax.jit(measures.standard_error, static_argnums=1)(jnp.asarray(values), axis)
    np.testing.assert_allclose(plain, expected, rtol=1e-5)  # float32 sums of six squares
    np.testing.assert_allclose(compiled, expected, rtol=1e-5)
    assert isinstance(compiled, jax.Array)


def test_standard_error_of_one_value_is_infinite_and_nan_shows() -> None:
    np.testing.assert_array_equal(measures.standard_error(np.ones((1, 2)), 0), [np.inf, np.inf])
    assert measures.standard_error(jnp.ones(1), 0) == jnp.inf
    assert np.isnan(measures.standard_error(np.array([np.nan]), 0))
    assert np.isnan(measures.standard_error(np.array([1.0, np.nan]), 0))


def test_missing_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="axis: expected one of the 1 axes of values, got 1"):
        measures.standard_error(np.ones(3), 1)
