"""Draws without replacement: support, normalisation, frequencies and wrong arguments."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import handlers

from bayescmp.distributions import WithoutReplacement

SIZES = [(1, 1), (3, 1), (4, 2), (4, 4)]


@pytest.mark.parametrize(("size", "num_draws"), SIZES)
def test_support_is_listed_once_and_normalises(size, num_draws):
    law = WithoutReplacement(size, num_draws)
    support = law.enumerate_support()
    assert support.shape == (law.support_size, num_draws)
    assert len({tuple(row) for row in support.tolist()}) == math.perm(size, num_draws)
    # gammaln in float32: terms below 4, three of them.
    np.testing.assert_allclose(np.exp(law.log_prob(support)).sum(), 1.0, rtol=1e-5)
    assert bool(law.support(support).all())


@pytest.mark.parametrize(
    "draws", [[0, 0], [1, 4], [-1, 2]], ids=["repeated", "too large", "negative"]
)
def test_impossible_draws_have_probability_zero(draws):
    assert WithoutReplacement(4, 2).log_prob(jnp.array(draws)) == -jnp.inf


def test_support_size_does_not_list_permutations():
    assert WithoutReplacement(30, 30).support_size == math.factorial(30)


def test_frequencies_are_uniform_over_the_support():
    num = 6_000
    draws = np.asarray(WithoutReplacement(4, 2).sample(jax.random.key(0), (num,)))
    counts = np.unique(draws @ [4, 1], return_counts=True)[1]
    assert len(counts) == 12
    assert np.abs(counts - num / 12).max() < 5.0 * np.sqrt(num / 12 * 11 / 12)


def test_plates_repeat_it():
    def program() -> None:
        with numpyro.plate("row", 3):
            numpyro.sample("x", WithoutReplacement(4, 2))

    trace = handlers.trace(handlers.seed(program, jax.random.key(0))).get_trace()
    site = trace["x"]
    assert site["value"].shape == (3, 2)
    np.testing.assert_allclose(
        site["fn"].log_prob(site["value"]), np.full(3, -np.log(12)), rtol=1e-5
    )


def test_it_survives_flattening_and_compiling():
    law = WithoutReplacement(4, 2)
    leaves, structure = jax.tree.flatten(law)
    again = jax.tree.unflatten(structure, leaves)
    assert (again.size, again.num_draws, again.event_shape) == (4, 2, (2,))
    value = jnp.array([3, 1])
    log_prob = jax.jit(lambda law, value: law.log_prob(value))(law, value)
    np.testing.assert_allclose(log_prob, law.log_prob(value), rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "num_draws", "message"),
    [
        (0, 1, r"^size: expected at least 1, got 0$"),
        (3, 0, r"^num_draws: expected 1 to 3 \(the size\), got 0$"),
        (3, 4, r"^num_draws: expected 1 to 3 \(the size\), got 4$"),
    ],
)
def test_wrong_numbers_are_named(size, num_draws, message):
    with pytest.raises(ValueError, match=message):
        WithoutReplacement(size, num_draws)
