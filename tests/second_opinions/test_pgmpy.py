"""Marginals of discrete Bayesian networks against pgmpy.

uv run --with pgmpy pytest tests/second_opinions/test_pgmpy.py -n0
"""

import itertools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayescmp as bc
from bayescmp.models.belief_network import DIAGNOSIS, KNOWLEDGE_BASE, Gate, belief_network

ROUNDING = 1e-5
"""The program's tables are in 32 bits, off by 6e-8 each; up to 7 of them are multiplied, and the
evidence that divides them is as small as 0.01."""

# It warns of its own plans when it is imported.
pytestmark = [pytest.mark.second_opinion, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def pgmpy() -> ModuleType:
    """Return the library, or skip."""
    reason = "pgmpy is missing: uv run --with pgmpy pytest tests/second_opinions"
    return pytest.importorskip("pgmpy", reason=reason)


def chance(gate: Gate, parents: tuple[int, ...]) -> float:
    """Return the probability that a gate is true, by the formula in its documentation."""
    counts = parents if gate.kind == "or" else [1 - parent for parent in parents]
    share = np.prod([1.0 - s for s, c in zip(gate.strengths, counts, strict=True) if c])
    either = (1.0 - gate.leak) * share
    return float(1.0 - either if gate.kind == "or" else gate.leak + either)


def build(gates: tuple[Gate, ...]) -> Any:
    """Return pgmpy's elimination on the same network."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteBayesianNetwork

    network = DiscreteBayesianNetwork([(p, gate.name) for gate in gates for p in gate.parents])
    for gate in gates:
        settings = itertools.product((0, 1), repeat=len(gate.parents))
        true = [chance(gate, parents) for parents in settings]
        table = [[1.0 - p for p in true], true]
        sizes = [2] * len(gate.parents)
        network.add_cpds(TabularCPD(gate.name, 2, table, list(gate.parents), sizes))
    return VariableElimination(network)


@pytest.mark.parametrize("gates", [DIAGNOSIS, KNOWLEDGE_BASE], ids=["diagnosis", "dating"])
def test_each_node_given_those_shown_before(gates: tuple[Gate, ...], pgmpy: ModuleType) -> None:
    del pgmpy
    model, judge = belief_network(gates), build(gates)
    names = [gate.name for gate in reversed(gates)]
    batch = model.sample(3, key=jax.random.key(0))
    found = bc.derive_oracle(model)(batch)
    for number, row in enumerate(np.asarray(batch.outcomes).tolist()):
        for position, name in enumerate(names):
            shown = dict(zip(names[:position], row, strict=False))
            law = judge.query([name], evidence=shown, show_progress=False).values
            ours = jnp.exp(found.log_predictive[number, position])
            np.testing.assert_allclose(ours, law, atol=ROUNDING)
            for other in set(names) - set(shown):
                belief = judge.query([other], evidence=shown, show_progress=False).values
                ours = found.belief[other][number, position]
                np.testing.assert_allclose(ours, belief, atol=ROUNDING)
