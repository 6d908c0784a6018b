"""Marginals of Markov networks, of one shape and of many, against pgmpy.

uv run --with pgmpy pytest tests/second_opinions/test_pgmpy_graphs.py -n0
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescmp.exact.graphs.asking import ask_graph
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.named_graph import NamedGraph
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.exact.graphs.two_pass import two_pass

ROUNDING = 1e-10
"""Both sides multiply some ten tables in 64 bits."""

# It warns of its own plans when it is imported.
pytestmark = [pytest.mark.second_opinion, pytest.mark.filterwarnings("ignore")]

LOOP = {("a", "b"): (2, 3), ("b", "c"): (3, 2), ("c", "d"): (2, 2), ("d", "a"): (2, 2)}
PARENTS = np.array([-1, 0, 0, 1, 1])


@pytest.fixture
def pgmpy() -> ModuleType:
    """Return the library, or skip."""
    reason = "pgmpy is missing: uv run --with pgmpy pytest tests/second_opinions"
    return pytest.importorskip("pgmpy", reason=reason)


def judge(tables: Mapping[tuple[str, ...], np.ndarray]) -> Any:
    """Return pgmpy's messages on the junction tree, which are exact on every graph."""
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import BeliefPropagation
    from pgmpy.models import DiscreteMarkovNetwork

    network = DiscreteMarkovNetwork([scope for scope in tables if len(scope) == 2])
    factors = [DiscreteFactor(list(s), list(t.shape), t.ravel()) for s, t in tables.items()]
    network.add_factors(*factors)
    return BeliefPropagation(network)


@pytest.mark.parametrize("evidence", [{}, {"b": 2}, {"a": 1, "c": 0}], ids=str)
def test_a_loop_asked_by_name(evidence: dict[str, int], pgmpy: ModuleType) -> None:
    del pgmpy
    rng = np.random.default_rng(0)
    tables = {scope: rng.uniform(0.05, 1.0, shape) for scope, shape in LOOP.items()}
    found, other = ask_graph(NamedGraph.from_factors(tables), evidence), judge(tables)
    for name in set(found) - set(evidence):
        expected = other.query([name], evidence=evidence, show_progress=False).values
        np.testing.assert_allclose(found[name], expected, atol=ROUNDING)


def test_a_tree_by_two_passes_and_by_messages(pgmpy: ModuleType) -> None:
    del pgmpy
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.05, 1.0, (5, 3, 3))
    pairs = [(f"x{parent}", f"x{child}") for child, parent in enumerate(PARENTS) if child]
    other = judge(dict(zip(pairs, weights[1:], strict=True)))
    seen = np.zeros((5, 3))
    seen[3, 1:] = -np.inf
    with jax.enable_x64(True):
        log_tables = jnp.log(weights)
        log_laws = jax.jit(two_pass)(PARENTS, log_tables, seen)[1]
        graph = FactorGraph(tuple((int(PARENTS[v]), v) for v in range(1, 5)), (3,) * 5)
        shape = GraphShape(num_variables=6, num_values=3, num_slots=3)
        rows = lay_out(graph, shape, tuple(log_tables[1:]), tuple(jnp.asarray(seen)))
        beliefs = propagate_rows(rows, graph.diameter).log_beliefs[-1]
    for variable in (0, 1, 2, 4):
        name = f"x{variable}"
        expected = other.query([name], evidence={"x3": 0}, show_progress=False).values
        np.testing.assert_allclose(np.exp(log_laws[variable]), expected, atol=ROUNDING)
        np.testing.assert_allclose(np.exp(beliefs[variable]), expected, atol=ROUNDING)
