"""How far are constructed networks from the exact marginals of random trees? See README.md."""

import argparse
import sys
import time
from functools import cached_property
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from plain_messages import branching_tree, eliminate_tree

from bayescmp.exact.graphs.elimination import marginals, plan_elimination
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks import Transformer, message_passing
from bayescmp.networks.constructed.updating import Form

GOAL = 1e-6
MOST_VARIABLES = 32
BATCH = 20
"""Trees that are answered in one call."""
SETTINGS: dict[str, tuple[int, int, tuple[Form, ...]]] = {
    "binary, pairs": (2, 2, ("softplus", "sigmoid", "logsumexp", "softmax")),
    "four values, pairs": (4, 2, ("logsumexp", "softmax")),
    "binary, arity 3": (2, 3, ("logsumexp", "softmax")),
    "four values, arity 3": (4, 3, ("logsumexp", "softmax")),
}
"""Values, arity and forms."""


class Tree:
    """A random tree with tables of entries between 0.05 and 1, and a third of it observed."""

    def __init__(self, rng: np.random.Generator, shape: GraphShape, branching: int) -> None:
        """Draw its size, its structure, its tables and its evidence."""
        count, values = int(rng.integers(2, MOST_VARIABLES + 1)), shape.num_values
        scopes = branching_tree(rng, count, branching, shape.arity)
        self.graph = FactorGraph(scopes, (values,) * count)
        draw = lambda axes: jnp.log(jnp.asarray(rng.uniform(0.05, 1.0, (values,) * axes)))  # noqa: E731
        self.tables = tuple(draw(len(scope)) for scope in scopes)
        shown = np.where(rng.random(count) < 1 / 3, rng.integers(values, size=count), -1)
        seen = [np.where(np.arange(values) == x, 0.0, -np.inf) for x in shown]
        self.evidence = tuple(
            draw(1) if x < 0 else jnp.asarray(row) for x, row in zip(shown, seen, strict=True)
        )
        self.rows = lay_out(self.graph, shape, self.tables, self.evidence).encode()

    @cached_property
    def exact(self) -> np.ndarray:
        """Every variable's probabilities, by elimination from the leaves to it."""
        numbers = (tuple(map(np.asarray, part)) for part in (self.tables, self.evidence))
        return np.stack(eliminate_tree(self.graph.scopes, *numbers))

    def check_judge(self) -> None:
        """Hold the judge to the package's own elimination, which is slow to trace."""
        plan = plan_elimination(self.graph.scopes, self.graph.sizes)
        with jax.disable_jit():
            found = marginals(plan, self.graph.scopes, self.tables, self.evidence)
        np.testing.assert_allclose(self.exact, np.stack(found[1]), rtol=0, atol=1e-12)


@eqx.filter_jit
def answer_after_each_layer(network: Transformer, rows: jax.Array) -> jax.Array:
    """Return the logit lens of each layer."""
    stream = network.trace_layers(rows).resid_post[..., 1:, :]
    return jax.nn.softmax(network.read_out(stream), axis=-1)


def largest_errors(form: Form, shape: GraphShape, trees: list[Tree]) -> np.ndarray:
    """Return, for each tree, the largest error after as many layers as its diameter."""
    depth = max(tree.graph.diameter for tree in trees)
    # Entries between 0.05 and 1 make messages of 3 nats at most.
    reach = 4.0 if form == "softmax" else None
    network = message_passing(shape, depth, form=form, shared=True, reach=reach)
    errors = []
    for start in range(0, len(trees), BATCH):
        batch = trees[start : start + BATCH]
        rows = jnp.stack([tree.rows for tree in batch])
        layers = np.asarray(answer_after_each_layer(network, rows))
        for number, tree in enumerate(batch):
            found = layers[tree.graph.diameter - 1, number, : len(tree.evidence)]
            errors.append(np.abs(found - tree.exact).max())
    return np.array(errors)


def main() -> int:
    """Print one line for each setting and form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    failed = False
    for name in args.only:
        values, arity, forms = SETTINGS[name]
        shape = GraphShape(MOST_VARIABLES, values, num_slots=4, arity=arity)
        rng = np.random.default_rng(0)
        trees = [Tree(rng, shape, branching=2 + number % 2) for number in range(args.trees)]
        trees[0].check_judge()
        for form in forms:
            start = time.perf_counter()
            errors = largest_errors(form, shape, trees)
            failed |= bool(errors.max() > GOAL)
            seconds = time.perf_counter() - start
            print(f"{name:<22} {form:<10} {errors.max():.1e}  {seconds:.0f} s", flush=True)
    print(f"goal, at most {GOAL:.0e} everywhere:", "missed" if failed else "met")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
