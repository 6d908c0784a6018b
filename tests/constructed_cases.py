"""Graphs for networks whose weights pass messages, and their answers, each made once."""

from dataclasses import dataclass
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factor_graphs import Scopes, Tables, chain, complete, cycle, grid
from plain_messages import Round, branching_tree, pass_messages

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.layers.lens import logit_lens
from bayescmp.networks import Transformer
from bayescmp.networks.constructed import message_passing
from bayescmp.records import LayerTrace

TOLERANCE = 1e-6
"""What is promised. Sums of sigmoids are right to 1e-9 each, the other forms to some 1e-15."""

ROUNDS = 6


@dataclass(frozen=True)
class Case:
    """A graph with random tables and evidence; the last variable is observed."""

    scopes: Scopes
    num_values: int = 2
    seed: int = 0

    @property
    def graph(self) -> FactorGraph:
        count = 1 + max(map(max, self.scopes))
        return FactorGraph(self.scopes, (self.num_values,) * count)

    @property
    def numbers(self) -> tuple[Tables, Tables]:
        rng, values = np.random.default_rng(self.seed), self.num_values
        tables = tuple(np.log(rng.uniform(0.05, 1, (values,) * len(s))) for s in self.scopes)
        evidence = [np.log(rng.uniform(0.05, 1, values)) for _ in self.graph.sizes]
        seen = np.arange(values) == rng.integers(values)
        evidence[-1] = np.where(seen, 0.0, -np.inf)
        return tables, tuple(evidence)

    def rows(self, shape: GraphShape) -> GraphRows:
        with jax.enable_x64(True):
            tables, evidence = (tuple(map(jnp.asarray, part)) for part in self.numbers)
            return lay_out(self.graph, shape, tables, evidence)

    def rounds(self, num_rounds: int = ROUNDS) -> list[Round]:
        return pass_messages(self.scopes, *self.numbers, num_rounds)


RNG = np.random.default_rng(0)
PAIRS = {
    "one pair": Case(((1, 0),)),
    "chain": Case(chain(5)),
    "binary tree": Case(branching_tree(RNG, 7, 2, 2)),
    "ternary tree": Case(branching_tree(RNG, 9, 3, 2)),
    "triangle": Case(cycle(3)),
    "square": Case(cycle(4)),
    "K4": Case(complete(4)),
    "grid": Case(grid(3, 3)),
    "two trees": Case(((0, 1), (2, 3))),
    "one pair twice": Case(((0, 1), (1, 0))),
}
TRIPLES = {
    "triples": Case(branching_tree(RNG, 9, 2, 3)),
    "triples and pairs": Case(((2, 0, 1), (1, 3), (3, 4, 5))),
    "loop of triples": Case(((0, 1, 2), (2, 3, 0))),
}
FOUR_VALUES = {
    "tree": Case(branching_tree(RNG, 6, 3, 2), 4),
    "triangle": Case(cycle(3), 4),
    "grid": Case(grid(2, 3), 4),
}
FAMILIES: dict[str, tuple[GraphShape, dict[str, Case]]] = {
    "pairs": (GraphShape(9, 2, num_slots=4), PAIRS),
    "triples": (GraphShape(9, 2, num_slots=3, arity=3), TRIPLES),
    "four values": (GraphShape(6, 4, num_slots=4), FOUR_VALUES),
}
FORMS = [
    *(("pairs", form) for form in ("softplus", "sigmoid", "logsumexp", "softmax")),
    *((family, form) for family in ("triples", "four values") for form in ("logsumexp", "softmax")),
]
EVERY_FORM = pytest.mark.parametrize(("family", "form"), FORMS)


@eqx.filter_jit
def trace(network: Transformer, inputs: jax.Array) -> tuple[LayerTrace, jax.Array]:
    """Return a trace, and the logit lens of the embedding and of each layer."""
    found = network.trace_layers(inputs)
    return found, logit_lens(network, found, jnp.arange(1, inputs.shape[-2]))


def build(shape: GraphShape, num_rounds: int = ROUNDS, **options) -> Transformer:
    with jax.enable_x64(True):
        return message_passing(shape, num_rounds, **options)


def run(network: Transformer, inputs: jax.Array) -> tuple[LayerTrace, np.ndarray]:
    with jax.enable_x64(True):
        found, log_beliefs = trace(network, inputs)
        return jax.tree.map(np.asarray, found), np.exp(np.asarray(log_beliefs))


@cache
def encode(shape: GraphShape, *cases: Case) -> jax.Array:
    with jax.enable_x64(True):
        return jnp.stack([case.rows(shape).encode() for case in cases])


@cache
def answers(family: str, form: str) -> tuple[LayerTrace, np.ndarray]:
    """One network on all graphs of a family, in one call."""
    shape, cases = FAMILIES[family]
    return run(build(shape, form=form, shared=True), encode(shape, *cases.values()))


def beliefs_of(found: np.ndarray, case: Case) -> np.ndarray:
    return found[..., : len(case.graph.sizes), :]
