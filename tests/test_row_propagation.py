"""Rounds on rows of one shape against rounds on the graph itself."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised
from factor_graphs import Scopes, Tables, cycle, grid, random_sizes, random_tables, random_tree

from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.row_propagation import RowPropagation, propagate_rows

TOLERANCE = 1e-12
"""Sums of at most some hundred terms of about one, each right to 2e-16."""

ROUNDS = 5
SHAPE = GraphShape(num_variables=9, num_values=4, num_slots=6, arity=4)
"""Room for every case, and too much of it for each."""

RNG = np.random.default_rng(0)
CASES: dict[str, tuple[Scopes, tuple[int, ...], float]] = {
    "tree of wide factors": (random_tree(RNG, 8), random_sizes(RNG, 8), 0.0),
    "tree with zeros": (random_tree(RNG, 6), (2, 3, 2, 4, 2, 2), 0.1),
    "cycle": (cycle(4), (2, 3, 2, 2), 0.0),
    "grid": (grid(2, 3), (2,) * 6, 0.0),
    "one pair twice": (((0, 1), (1, 0)), (2, 2), 0.0),
    "three in a factor, two in another": (((2, 0, 1), (0, 1), (1,)), (2, 2, 3), 0.0),
    "nothing tied": (((0,),), (2, 3), 0.0),
}


def device(tables: Tables) -> tuple[jax.Array, ...]:
    return tuple(map(jnp.asarray, tables))


def tables_of(name: str) -> tuple[FactorGraph, tuple[Tables, Tables]]:
    """Draw tables; factors of one variable are part of its evidence, as they are in rows."""
    scopes, sizes, impossible = CASES[name]
    # In this seed no case is impossible as a whole.
    rng = np.random.default_rng(3)
    tables, evidence = random_tables(rng, scopes, sizes, impossible=impossible)
    weights = list(evidence)
    for scope, table in zip(scopes, tables, strict=True):
        if len(scope) == 1:
            weights[scope[0]] = weights[scope[0]] + table
    ties = [(s, t) for s, t in zip(scopes, tables, strict=True) if len(s) > 1]
    graph = FactorGraph(tuple(scope for scope, _ in ties), sizes)
    return graph, (tuple(table for _, table in ties), tuple(weights))


def rows_of(name: str, shape: GraphShape = SHAPE) -> GraphRows:
    scopes, sizes, impossible = CASES[name]
    tables = random_tables(np.random.default_rng(3), scopes, sizes, impossible=impossible)
    return lay_out(FactorGraph(scopes, sizes), shape, *map(device, tables))


def run_all(names: tuple[str, ...], **options: float) -> RowPropagation:
    """Propagate on several cases in one compiled call."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(rows_of, names))
    run = partial(propagate_rows, num_rounds=ROUNDS, **options)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(stacked))


@pytest.mark.parametrize(
    ("options", "names", "when"),
    [
        ({}, tuple(CASES), (3,)),
        ({}, ("grid",), (2, ROUNDS)),
        ({"cavity": False}, ("cycle",), (ROUNDS,)),
        ({"damping": 0.4}, ("cycle",), (ROUNDS,)),
    ],
    ids=["all", "every round", "naive", "damped"],
)
def test_rows_of_any_structure_equal_the_graph_itself(
    options: dict[str, float], names: tuple[str, ...], when: tuple[int, ...]
):
    with jax.enable_x64(True):
        ours = run_all(names, **options)
        for number, name in enumerate(names):
            graph, tables = tables_of(name)
            for rounds in when:
                run = jax.jit(partial(propagate, graph, num_rounds=rounds, **options))
                expected = jax.tree.map(np.asarray, run(*map(device, tables)))
                for v, law in enumerate(expected.log_beliefs):
                    found = ours.log_beliefs[number, rounds, v]
                    np.testing.assert_allclose(
                        np.exp(found[: len(law)]), np.exp(law), rtol=0, atol=TOLERANCE
                    )
                    assert np.isneginf(found[len(law) :]).all()
                if "zeros" not in name:  # where a first message changes to none at all
                    changes = ours.residual[number, :rounds]
                    np.testing.assert_allclose(expected.residual, changes, rtol=0, atol=TOLERANCE)
        assert ours.converged[-1] == (changes[-1] <= 1e-5)


def test_padding_changes_nothing_and_says_nothing():
    tight, wide = GraphShape(6, 2, num_slots=3), GraphShape(8, 3, num_slots=5, arity=3)
    with jax.enable_x64(True):
        run = jax.jit(partial(propagate_rows, num_rounds=ROUNDS))
        small, large = (run(rows_of("grid", shape)) for shape in (tight, wide))
    np.testing.assert_allclose(
        large.log_beliefs[:, :6, :2], small.log_beliefs, rtol=0, atol=TOLERANCE
    )
    np.testing.assert_allclose(
        large.messages[:, :6, :3, :2], small.messages, rtol=0, atol=TOLERANCE
    )
    np.testing.assert_allclose(large.residual, small.residual, rtol=0, atol=TOLERANCE)
    assert np.isneginf(large.log_beliefs[:, 6:]).all()
    assert not large.messages[:, 6:].any()
    assert not large.messages[:, :, 3:].any()


def test_messages_are_those_of_each_factor_in_its_slot():
    """On a chain of two: the message is the other's evidence through the table."""
    table, seen = np.log([[4.0, 1.0], [2.0, 3.0]]), np.log([0.3, 0.7])
    shape = GraphShape(2, 2, num_slots=1)
    graph = FactorGraph(((0, 1),), (2, 2))
    rows = lay_out(graph, shape, (jnp.asarray(table),), (jnp.zeros(2), jnp.asarray(seen)))
    found = np.exp(jax.jit(propagate_rows, static_argnums=1)(rows, 1).messages)
    expected = np.exp(table) @ np.exp(seen)
    np.testing.assert_allclose(found[0], 0.5)
    np.testing.assert_allclose(found[1, 0, 0], expected / expected.sum(), rtol=1e-6)


def test_impossible_evidence_has_no_law_once_it_is_known():
    same = jnp.where(jnp.eye(2) > 0, 0.0, -jnp.inf)
    seen = jnp.array([0.0, -jnp.inf])
    graph = FactorGraph(((0, 1), (1, 2)), (2, 2, 2))
    rows = lay_out(
        graph, GraphShape(4, 2, num_slots=2), (same,) * 2, (seen, jnp.zeros(2), seen[::-1])
    )
    beliefs = jax.jit(propagate_rows, static_argnums=1)(rows, 2).log_beliefs
    assert np.isfinite(np.exp(beliefs[0])).all()  # nobody has heard of it
    assert np.isnan(beliefs[1:, :3]).all()
    assert np.isneginf(beliefs[:, 3]).all()


def test_what_is_refused():
    rows = rows_of("cycle")
    message = raised(ValueError, lambda: propagate_rows(rows, -1))
    assert message == "num_rounds: expected at least 0, got -1"
    message = raised(ValueError, lambda: propagate_rows(rows, 1, damping=1.0))
    assert message == "damping: expected at least 0 and below 1, got 1.0"
