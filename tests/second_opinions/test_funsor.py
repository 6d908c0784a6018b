"""Marginals of discrete Bayesian networks against NumPyro's enumeration with funsor.

uv run --with funsor pytest tests/second_opinions/test_funsor.py -n0
"""

from dataclasses import replace
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayescmp as bc
from bayescmp.models.belief_network import DIAGNOSIS, KNOWLEDGE_BASE, Gate, belief_network

ROUNDING = 1e-5
"""Both sides are in 32 bits, off by 6e-8 each; up to 7 tables are multiplied, and the evidence
that divides them is as small as 0.01."""

# Beside a gate that is certain, funsor's derivative is NaN: 0.99 stands for its strengths of 1.
NOISY_BASE = tuple(
    replace(gate, strengths=tuple(min(s, 0.99) for s in gate.strengths)) for gate in KNOWLEDGE_BASE
)

pytestmark = [pytest.mark.second_opinion, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def funsor() -> ModuleType:
    """Return NumPyro's part that needs it, or skip."""
    pytest.importorskip(
        "funsor", reason="funsor is missing: uv run --with funsor pytest tests/second_opinions"
    )
    return pytest.importorskip("numpyro.contrib.funsor")


def marginals(
    funsor: ModuleType, gates: tuple[Gate, ...], seen: dict[str, int]
) -> dict[str, np.ndarray]:
    """Differentiate the log evidence with respect to a log weight of every value."""
    hidden = [gate.name for gate in gates if gate.name not in seen]

    @funsor.config_enumerate
    def program(weights: dict[str, jax.Array]) -> None:
        values: dict[str, jax.Array] = {}
        for gate in gates:
            rows = [values[parent] for parent in gate.parents]
            grid = jnp.indices((2,) * len(rows)).reshape(len(rows), 2 ** len(rows)).T
            cells = [dict(zip(gate.parents, cell, strict=True)) for cell in grid]
            table = jnp.stack([jnp.exp(gate.log_law(cell)) for cell in cells])
            table = table.reshape(*(2,) * len(rows), 2)
            law = dist.Categorical(probs=table[tuple(rows)] if rows else table)
            values[gate.name] = numpyro.sample(gate.name, law, obs=seen.get(gate.name))
            if gate.name in hidden:
                numpyro.factor(f"weight {gate.name}", weights[gate.name][values[gate.name]])

    def log_evidence(weights: dict[str, jax.Array]) -> jax.Array:
        return funsor.log_density(funsor.enum(program, -1), (weights,), {}, {})[0]

    found = jax.grad(log_evidence)({name: jnp.zeros(2) for name in hidden})
    return {name: np.asarray(x) for name, x in found.items()}


@pytest.mark.parametrize("gates", [DIAGNOSIS, NOISY_BASE], ids=["diagnosis", "dating"])
def test_marginals_given_what_was_shown(gates: tuple[Gate, ...], funsor: ModuleType) -> None:
    model = belief_network(gates)
    names = [gate.name for gate in reversed(gates)]
    batch = model.sample(1, key=jax.random.key(0))
    found = bc.derive_oracle(model)(batch)
    row = np.asarray(batch.outcomes)[0].tolist()
    for position in (0, 1, 3):
        seen = dict(zip(names[:position], row, strict=False))
        theirs = marginals(funsor, gates, seen)
        ours = np.exp(found.log_predictive[0, position])
        np.testing.assert_allclose(ours, theirs[names[position]], atol=ROUNDING)
        for name, law in theirs.items():
            np.testing.assert_allclose(found.belief[name][0, position], law, atol=ROUNDING)
