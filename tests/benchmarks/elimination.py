"""How fast is a marginal in a discrete network, against funsor in NumPyro? See README.md."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.graphs.elimination import eliminate, marginals, plan_elimination

GOAL = 3.0
NUM_NODES = 20
OBSERVED = (17, 18, 19)
ASKED = 10
INSTALL = "funsor is missing: uv run --with funsor python tests/benchmarks/elimination.py"


@dataclass(frozen=True)
class Network:
    """A random Bayesian network; each node has up to ``max_parents`` earlier ones."""

    num_values: int
    parents: tuple[tuple[int, ...], ...]
    tables: tuple[np.ndarray, ...]

    @classmethod
    def draw(cls, num_values: int, max_parents: int, seed: int) -> "Network":
        """Draw parents uniformly and each row of each table from a flat Dirichlet."""
        rng = np.random.default_rng(seed)
        parents = [
            tuple(sorted(rng.choice(node, min(node, count), replace=False).tolist()))
            for node, count in enumerate(rng.integers(1, max_parents + 1, NUM_NODES))
        ]
        ones = np.ones(num_values)
        tables = [
            rng.dirichlet(ones, (num_values,) * len(before)).astype("float32") for before in parents
        ]
        return cls(num_values, tuple(parents), tuple(tables))

    @property
    def scopes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((*before, node) for node, before in enumerate(self.parents))


Query = Callable[[jax.Array], jax.Array]
"""From the observed nodes' values to the asked nodes' probabilities."""


def ours(network: Network, *, all_nodes: bool) -> Query:
    """Plan, and answer by elimination: one node forwards, all nodes with one backward pass."""
    scopes, sizes = network.scopes, (network.num_values,) * NUM_NODES
    plan = plan_elimination(scopes, sizes, keep=() if all_nodes else (ASKED,))
    log_tables = tuple(jnp.log(table) for table in network.tables)

    def query(seen: jax.Array) -> jax.Array:
        values = jnp.arange(network.num_values)
        potentials = [jnp.zeros(network.num_values)] * NUM_NODES
        for node, value in zip(OBSERVED, seen, strict=True):
            potentials[node] = jnp.where(values == value, 0.0, -jnp.inf)
        if all_nodes:
            return jnp.stack(marginals(plan, scopes, log_tables, tuple(potentials))[1])
        return jax.nn.softmax(eliminate(plan, scopes, log_tables, tuple(potentials)))

    return query


def with_funsor(network: Network, *, all_nodes: bool) -> Query:
    """Enumerate in parallel, and differentiate the log density with respect to potentials."""
    from numpyro.contrib.funsor import config_enumerate, enum, log_density

    asked = set(range(NUM_NODES)) - set(OBSERVED) if all_nodes else {ASKED}

    @config_enumerate
    def model(potentials: list[jax.Array], seen: dict[int, jax.Array]) -> None:
        values = []
        for node, before in enumerate(network.parents):
            table = jnp.asarray(network.tables[node])
            probs = table[tuple(values[parent] for parent in before)] if before else table
            law = dist.Categorical(probs=probs)
            values.append(numpyro.sample(f"x{node}", law, obs=seen.get(node)))
            if node in asked:
                numpyro.factor(f"potential{node}", potentials[node][values[node]])

    def query(seen: jax.Array) -> jax.Array:
        def log_evidence(potentials: list[jax.Array]) -> jax.Array:
            observed = dict(zip(OBSERVED, seen, strict=True))
            return log_density(enum(model, -1), (potentials, observed), {}, {})[0]

        probs = jax.grad(log_evidence)([jnp.zeros(network.num_values)] * NUM_NODES)
        return jnp.stack(probs) if all_nodes else probs[ASKED]

    return query


def compare(name: str, times: dict[str, list[float]], unit: str, scale: float) -> float:
    """Print the medians of both sides and return how many times as fast ours is."""
    median = {side: statistics.median(rounds) for side, rounds in times.items()}
    ratio = median["funsor"] / median["bayescmp"]
    parts = (
        f"{side} {scale * median[side]:8.2f} {unit} "
        f"(from {scale * min(rounds):.2f} to {scale * max(rounds):.2f})"
        for side, rounds in times.items()
    )
    print(f"  {name:<36} {', '.join(parts)}: {ratio:.1f} times as fast")
    return ratio


def first_answers(num_values: int, max_parents: int, rounds: int, *, all_nodes: bool) -> float:
    """Time from a network that is new to its answer: planning, tracing, compiling, running."""
    times: dict[str, list[float]] = {"bayescmp": [], "funsor": []}
    for seed in range(rounds):
        network = Network.draw(num_values, max_parents, seed)
        seen = jnp.asarray(np.random.default_rng(seed).integers(num_values, size=len(OBSERVED)))
        answers = []
        for side, make in (("bayescmp", ours), ("funsor", with_funsor)):
            start = time.perf_counter()
            query = jax.jit(make(network, all_nodes=all_nodes))
            answers.append(jax.block_until_ready(query(seen)))
            times[side].append(time.perf_counter() - start)
        check(*answers)
    name = "all marginals" if all_nodes else "one marginal"
    return compare(f"{name} of a new network", times, "s", 1.0)


def repeated_answers(
    num_values: int, max_parents: int, rounds: int, num_seen: int, *, all_nodes: bool
) -> float:
    """Time a compiled query, alternating between the two sides."""
    network = Network.draw(num_values, max_parents, seed=0)
    shape = (num_seen, len(OBSERVED))
    seen = jnp.asarray(np.random.default_rng(0).integers(num_values, size=shape))
    queries = {
        "bayescmp": jax.jit(jax.vmap(ours(network, all_nodes=all_nodes))),
        "funsor": jax.jit(jax.vmap(with_funsor(network, all_nodes=all_nodes))),
    }
    check(*(query(seen) for query in queries.values()))
    times: dict[str, list[float]] = {side: [] for side in queries}
    for _ in range(rounds):
        for side, query in queries.items():
            start = time.perf_counter()
            jax.block_until_ready(query(seen))
            times[side].append(time.perf_counter() - start)
    name = "all marginals" if all_nodes else "one marginal"
    return compare(f"{name}, compiled, {num_seen} at once", times, "ms", 1e3)


def check(first: jax.Array, second: jax.Array) -> None:
    """Hold the two answers against each other, the observed nodes' left out."""
    if first.ndim > 1 and first.shape[-2] == NUM_NODES:
        hidden = np.setdiff1d(np.arange(NUM_NODES), OBSERVED)
        first, second = first[..., hidden, :], second[..., hidden, :]
    difference = float(jnp.abs(first - second).max())
    if not difference <= 1e-5:
        raise SystemExit(f"the answers differ by {difference}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=5, help="new networks in a comparison")
    parser.add_argument("--rounds", type=int, default=31, help="rounds of each compiled query")
    options = parser.parse_args()
    try:
        import funsor
    except ModuleNotFoundError:
        print(INSTALL)
        return 0
    print(f"jax {jax.__version__}, numpyro {numpyro.__version__}, funsor {funsor.__version__}")
    ratios = []
    for num_values, max_parents in ((2, 3), (3, 2), (3, 3)):
        print(f"{NUM_NODES} nodes of {num_values} values, up to {max_parents} parents")
        setting = num_values, max_parents
        ratios.append(first_answers(*setting, options.networks, all_nodes=False))
        first_answers(*setting, options.networks, all_nodes=True)
        for num_seen in (1, 1_000):
            for all_nodes in (False, True):
                repeated_answers(*setting, options.rounds, num_seen, all_nodes=all_nodes)
    met = min(ratios) >= GOAL
    print(
        f"goal: one marginal of a new network at least {GOAL} times as fast; "
        f"{'met' if met else 'missed'} ({min(ratios):.1f})"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
