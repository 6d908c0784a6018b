"""Two passes over a tree against the list of all settings."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised
from factor_graphs import brute_force

from bayescmp.exact.graphs.two_pass import two_pass

TOLERANCE = 1e-12
"""Some hundred terms of about one, each right to 2e-16."""

NUM, VALUES = 7, 3
ROOM = NUM + 2
"""Each tree stands in two rows more than it needs."""


def random_tree(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Draw a forest with some zeros, in more rows than it has variables."""
    rng = np.random.default_rng(seed)
    num = int(rng.integers(1, NUM + 1))
    parents = np.full(ROOM, -1)
    for v in range(1, num):
        parents[v] = rng.integers(-1, v) if seed % 3 else rng.integers(v)
    zeros = 0.3 * (seed % 2)
    tables = rng.normal(size=(ROOM, VALUES, VALUES))
    tables[rng.random(tables.shape) < zeros] = -np.inf
    potentials = np.full((ROOM, VALUES), -np.inf)
    potentials[:num] = rng.normal(size=(num, VALUES))
    potentials[num - 1, 1:] = -np.inf  # its value is seen
    if seed % 8 == 7 and parents[num - 1] >= 0:
        tables[num - 1, :, 0] = -np.inf  # which cannot be
    parents[num:] = rng.integers(-1, 3, ROOM - num)  # what stands in padding is not read
    return parents, tables, potentials, num


def judge(parents: np.ndarray, tables: np.ndarray, potentials: np.ndarray, num: int):
    scopes = tuple((int(parents[v]), v) for v in range(num) if parents[v] >= 0)
    own = tuple(tables[v] for v in range(num) if parents[v] >= 0)
    return brute_force(scopes, own, tuple(potentials[:num]))


def test_forests_of_all_shapes_in_one_batch_equal_the_sum_over_all_settings():
    cases = [random_tree(seed) for seed in range(24)]
    with jax.enable_x64(True):
        batch = [jnp.asarray(np.stack(part)) for part in list(zip(*cases, strict=True))[:3]]
        log_totals, log_laws = jax.tree.map(np.asarray, jax.jit(jax.vmap(two_pass))(*batch))
    possible = 0
    for case, log_total, log_law in zip(cases, log_totals, log_laws, strict=True):
        expected, probs = judge(*case)
        np.testing.assert_allclose(log_total, expected, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(np.exp(log_law[: case[3]]), probs, rtol=0, atol=TOLERANCE)
        assert np.isneginf(log_law[case[3] :]).all()
        possible += np.isfinite(expected)
    assert 12 <= possible < 24  # some are impossible, and said to be so: NaN on both sides


def test_one_compiled_function_takes_all_structures():
    solve = jax.jit(two_pass)
    for seed in range(3):
        solve(*map(jnp.asarray, random_tree(seed)[:3]))
    assert solve._cache_size() == 1


def test_far_apart_weights_do_not_underflow():
    """The evidence is against each parent by 1,000 nats and more: no linear double holds it."""
    parents, tables = np.array([-1, 0, 1]), np.zeros((3, 2, 2))
    tables[1:] = [[0.0, -1000.0], [-1000.0, 0.0]]
    potentials = np.array([[0.0, 0.0], [0.0, -1500.0], [0.0, -900.0]])
    with jax.enable_x64(True):
        log_total, log_law = jax.jit(two_pass)(parents, tables, potentials)
    # All zero: weight 1. The last alone is one: -1900. All but the first: -1000 - 1500 - 900.
    np.testing.assert_allclose(log_total, 0.0, atol=TOLERANCE)
    np.testing.assert_allclose(log_law[2, 1], -1900.0, rtol=TOLERANCE)
    np.testing.assert_allclose(log_law[0, 1], -1000.0, rtol=TOLERANCE)


def test_laws_are_the_derivatives_of_the_log_sum_and_have_derivatives():
    parents, tables, potentials, num = random_tree(4)
    with jax.enable_x64(True):
        rest = jnp.asarray(tables[:num])

        @jax.jit
        @partial(jax.value_and_grad, has_aux=True)
        def log_total(potentials: jax.Array) -> tuple[jax.Array, jax.Array]:
            return two_pass(parents[:num], rest, potentials)

        @jax.jit
        @jax.value_and_grad
        def first(potentials: jax.Array) -> jax.Array:
            return two_pass(parents[:num], rest, potentials)[1][0, 0]

        point = jnp.asarray(potentials[:num])
        (_, log_law), law = log_total(point)
        np.testing.assert_allclose(law, np.exp(log_law), rtol=0, atol=TOLERANCE)
        slope, step = first(point)[1], 1e-5
        move = np.zeros(point.shape)
        move[0, 1] = step
        # Off by step^2 / 6 of a third derivative, at most 1, and by rounding of 1e-15 / step.
        finite = (first(point + move)[0] - first(point - move)[0]) / (2 * step)
        np.testing.assert_allclose(slope[0, 1], finite, rtol=0, atol=1e-9)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("parents", [[1, 2, 0], [0, 0, 0], [-1, 0, 2], [-1, -2, 0]])
def test_cycles_are_no_trees(parents: list[int]):
    message = raised(
        ValueError, lambda: two_pass(np.array(parents), jnp.zeros((3, 2, 2)), jnp.zeros((3, 2)))
    )
    assert message.startswith("parents: expected -1 or a lower number than the variable's own, got")
    assert message.endswith("a graph with a cycle is no tree")
