"""Belief propagation: exact on trees, and a convergence record that tells on loops."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factor_graphs import (
    Scopes,
    Tables,
    brute_force,
    chain,
    cycle,
    grid,
    random_sizes,
    random_tables,
    random_tree,
)

from bayescmp.exact.graphs.belief_propagation import FactorGraph, Propagation, propagate
from bayescmp.exact.graphs.elimination import marginals, plan_elimination

TOLERANCE = 1e-12
"""Sums of at most some hundred terms of about one, each right to 2e-16."""


def device(tables: Tables, dtype: type = float) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(table, dtype) for table in tables)


def solve_both(
    scopes: Scopes, tables: tuple[Tables, Tables], num_rounds: int, **options: float
) -> tuple[Propagation, np.ndarray, tuple[np.ndarray, ...]]:
    """Return belief propagation, and elimination's log partition and probabilities, in float64."""
    sizes = tuple(len(potential) for potential in tables[1])
    plan, graph = plan_elimination(scopes, sizes), FactorGraph(scopes, sizes)

    @jax.jit
    def both(log_tables: tuple[jax.Array, ...], log_potentials: tuple[jax.Array, ...]):
        rounds = propagate(graph, log_tables, log_potentials, num_rounds=num_rounds, **options)
        return rounds, *marginals(plan, scopes, log_tables, log_potentials)

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, both(*map(device, tables)))


def largest_error(propagation: Propagation, probs: tuple[np.ndarray, ...]) -> float:
    beliefs = map(np.exp, propagation.log_beliefs)
    pairs = zip(beliefs, probs, strict=True)
    return max(np.abs(belief - prob).max() for belief, prob in pairs)


@pytest.mark.parametrize("impossible", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(5))
def test_trees_are_exact_after_as_many_rounds_as_their_diameter(seed: int, impossible: float):
    rng = np.random.default_rng(seed)
    num_variables = int(rng.integers(2, 12))
    scopes, sizes = random_tree(rng, num_variables), random_sizes(rng, num_variables)
    observed = () if impossible else (num_variables - 1,)
    tables = random_tables(rng, scopes, sizes, impossible=impossible, observed=observed)
    graph = FactorGraph(scopes, sizes)
    assert graph.is_tree
    ours, log_total, probs = solve_both(scopes, tables, graph.diameter)
    for belief, prob in zip(ours.log_beliefs, probs, strict=True):
        np.testing.assert_allclose(np.exp(belief), prob, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(ours.log_partition, log_total, rtol=0, atol=TOLERANCE)


def test_one_round_less_than_the_diameter_is_not_enough():
    scopes, sizes = chain(7), (2,) * 7
    tables = random_tables(np.random.default_rng(0), scopes, sizes, observed=(6,))
    graph = FactorGraph(scopes, sizes)
    errors = [
        largest_error(ours, probs)
        for ours, _, probs in (solve_both(scopes, tables, t) for t in range(7))
    ]
    assert graph.diameter == 6
    # News of the last variable reaches the first with the sixth round.
    assert all(late < early for early, late in pairwise(errors))
    assert errors[5] > 1e3 * TOLERANCE
    assert errors[6] < TOLERANCE


def test_the_round_after_the_diameter_changes_nothing():
    scopes, sizes = random_tree(np.random.default_rng(9), 10), (2,) * 10
    tables = random_tables(np.random.default_rng(10), scopes, sizes)
    diameter = FactorGraph(scopes, sizes).diameter
    settled, _, _ = solve_both(scopes, tables, diameter + 1)
    assert settled.converged
    assert settled.residual[diameter - 1] > 1e3 * TOLERANCE
    assert settled.residual[diameter] <= TOLERANCE


def test_without_a_cavity_beliefs_are_wrong_on_trees():
    scopes, sizes = random_tree(np.random.default_rng(1), 8), (2,) * 8
    tables = random_tables(np.random.default_rng(2), scopes, sizes)
    naive, _, probs = solve_both(scopes, tables, 40, cavity=False)
    exact, _, _ = solve_both(scopes, tables, 40)
    assert largest_error(naive, probs) > 0.01
    assert largest_error(exact, probs) < TOLERANCE


@pytest.mark.parametrize("damping", [0.3, 0.7])
def test_damping_slows_down_and_ends_in_the_same_place(damping: float):
    scopes, sizes = random_tree(np.random.default_rng(3), 8), (2, 3, 2, 1, 2, 4, 2, 2)
    tables = random_tables(np.random.default_rng(4), scopes, sizes, impossible=0.1)
    diameter = FactorGraph(scopes, sizes).diameter
    early, _, probs = solve_both(scopes, tables, diameter, damping=damping)
    late, _, _ = solve_both(scopes, tables, 300, damping=damping)
    assert not early.converged
    assert late.converged
    # A share 0.7 of the error is left by each round; 0.7^300 of it is 1e-46.
    assert largest_error(late, probs) < TOLERANCE


def test_the_record_follows_the_tolerance():
    scopes, sizes = cycle(4), (2,) * 4
    tables = random_tables(np.random.default_rng(5), scopes, sizes)
    ours, _, _ = solve_both(scopes, tables, 6)
    last = float(ours.residual[-1])
    assert last > 0.0
    assert solve_both(scopes, tables, 6, tolerance=1.01 * last)[0].converged
    assert not solve_both(scopes, tables, 6, tolerance=0.99 * last)[0].converged
    assert not solve_both(scopes, tables, 0)[0].converged


def test_no_round_leaves_the_evidence_alone():
    scopes, sizes = chain(3), (2, 3, 2)
    log_tables, log_potentials = random_tables(np.random.default_rng(6), scopes, sizes)
    ours, _, _ = solve_both(scopes, (log_tables, log_potentials), 0)
    assert ours.residual.shape == (0,)
    for belief, potential in zip(ours.log_beliefs, log_potentials, strict=True):
        expected = potential - np.logaddexp.reduce(potential)
        np.testing.assert_allclose(belief, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scopes", [(), ((),), ((0,), (0,)), ((1,), ())])
def test_graphs_without_a_tie(scopes: Scopes):
    tables = random_tables(np.random.default_rng(7), scopes, (2, 3))
    log_total, probs = brute_force(scopes, *tables)
    ours, _, _ = solve_both(scopes, tables, 1)
    np.testing.assert_allclose(ours.log_partition, log_total, rtol=0, atol=TOLERANCE)
    for belief, prob in zip(ours.log_beliefs, probs, strict=True):
        np.testing.assert_allclose(np.exp(belief), prob, rtol=0, atol=TOLERANCE)


def test_impossible_evidence_has_no_weight_and_no_law():
    same = np.where(np.eye(2) > 0, 0.0, -np.inf)
    seen = np.array([0.0, -np.inf])
    tables = ((same, same), (seen, np.zeros(2), seen[::-1]))
    ours, log_total, _ = solve_both(chain(3), tables, 2)
    assert np.isneginf(log_total)
    assert np.isneginf(ours.log_partition)
    assert np.isnan(np.stack(ours.log_beliefs)).all()
    possible = ((same, same), (seen, np.zeros(2), seen))
    ours, log_total, _ = solve_both(chain(3), possible, 3)
    np.testing.assert_array_equal(np.stack(ours.log_beliefs), np.stack([seen] * 3))
    assert ours.converged


def test_batched_equals_looped_in_both_precisions():
    scopes, sizes = cycle(4), (2, 3, 2, 2)
    rng = np.random.default_rng(8)
    batch = [random_tables(rng, scopes, sizes, impossible=0.1) for _ in range(3)]
    run = partial(propagate, FactorGraph(scopes, sizes), num_rounds=5, damping=0.2)
    for double, dtype, atol in [(False, np.float32, 1e-5), (True, np.float64, TOLERANCE)]:
        with jax.enable_x64(double):
            on_device = [tuple(device(part, dtype) for part in tables) for tables in batch]
            stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *on_device)
            batched = jax.jit(jax.vmap(run))(*stacked)
            alone = [jax.jit(run)(*tables) for tables in on_device]
            looped = jax.tree.map(lambda *parts: jnp.stack(parts), *alone)
        for ours, expected in zip(jax.tree.leaves(batched), jax.tree.leaves(looped), strict=True):
            assert ours.dtype in (dtype, np.bool_)
            np.testing.assert_allclose(ours, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("scopes", "num_variables", "is_tree", "diameter"),
    [
        ((), 2, True, 0),
        (((0,),), 1, True, 1),
        (chain(5), 5, True, 4),
        ((*chain(5), (0,)), 5, True, 5),
        (tuple((0, i) for i in range(1, 6)), 6, True, 2),
        (((0, 1), (3, 2)), 5, True, 1),
        (((0, 1, 2), (2, 3, 4)), 5, True, 2),
        (((0, 1, 2), (0, 1)), 3, False, 2),
        (((0, 1), (1, 0)), 2, False, 1),
        (cycle(3), 3, False, 2),
        (grid(2, 2), 4, False, 2),
    ],
)
def test_trees_and_diameters(scopes: Scopes, num_variables: int, is_tree: bool, diameter: int):
    graph = FactorGraph(scopes, (2,) * num_variables)
    assert graph.is_tree is is_tree
    assert graph.diameter == diameter
    assert hash(graph) == hash(FactorGraph(scopes, (2,) * num_variables))


GRAPH = FactorGraph(((0, 1),), (2, 2))
TABLE, VECTOR = jnp.zeros((2, 2)), jnp.zeros(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FactorGraph(((0, 0),), (2,)), "scopes: expected different variables"),
        (
            lambda: propagate(GRAPH, (TABLE,), (VECTOR, VECTOR), num_rounds=-1),
            "num_rounds: expected at least 0, got -1",
        ),
        (
            lambda: propagate(GRAPH, (TABLE,), (VECTOR, VECTOR), num_rounds=1, damping=1.0),
            "damping: expected at least 0 and below 1, got 1.0",
        ),
        (
            lambda: propagate(GRAPH, (TABLE,), (VECTOR,), num_rounds=1),
            r"log_potentials: expected sizes \(2, 2\), got \(2,\)",
        ),
        (
            lambda: propagate(GRAPH, (VECTOR,), (VECTOR, VECTOR), num_rounds=1),
            r"log_tables: expected shapes \(\(2, 2\),\), got \(\(2,\),\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        call()
