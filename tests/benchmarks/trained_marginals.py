"""How near do trained networks come to the exact marginals of small factor graphs? See README.md.

    uv run python tests/benchmarks/trained_marginals.py [--only NAMES] [--seeds N]

The error is the mean absolute one of the probability of value 1, over all variables that are asked:
for two values it is the total variation. Beside it stand the error of always answering one half,
and what was published for the same task.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import bayescmp as bc
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.models.table_laws import Sites
from bayescmp.networks.parts.feed_forward import Activation
from bayescmp.networks.parts.norms import NormName
from bayescmp.predictors import FixedLaw

NUM_SEQUENCES = 4_096
PAIR = FactorGraph(((0, 1),), (2, 2))
DATING = FactorGraph(((0,), (1,), (3,), (0, 1, 2), (3, 2, 4)), (2,) * 5)
"""Lonely, exciting, likes, is liked, date: two conclusions from two premises each."""
CONCLUSIONS = (2, 4)


@dataclass(frozen=True)
class ConditionalTables(bc.models.TableLaw):
    """Each factor is the law of its last variable given the others, with uniform probabilities.

    Source: the dating graph of the public repository gregorycoppola/bayes-learner.
    """

    low: float = 0.05
    high: float = 1.0
    high_prior: float = 0.95
    """Largest probability of a variable without parents."""

    @property
    def site_names(self) -> tuple[str, ...]:
        """All probabilities stand in one site."""
        return ("chance",)

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw the probability of value 1 for each setting of the parents of each variable."""
        sizes = _num_settings(graph)
        highs = np.repeat([self.high if size > 1 else self.high_prior for size in sizes], sizes)
        with numpyro.plate("setting", sum(sizes)):
            chances = numpyro.sample("chance", dist.Uniform(self.low, jnp.array(highs)))
        return {"chance": jnp.asarray(chances)}

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Return ``log p(0 | parents)`` and ``log p(1 | parents)`` for each factor."""
        ends = np.cumsum(_num_settings(graph))[:-1].tolist()
        tables = tuple(
            jnp.stack([jnp.log1p(-chance), jnp.log(chance)], -1).reshape((2,) * len(scope))
            for chance, scope in zip(jnp.split(sites["chance"], ends), graph.scopes, strict=True)
        )
        return tables, tuple(jnp.zeros(size) for size in graph.sizes)

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Check nothing: what is supplied here was drawn."""

    def describe(self) -> str:
        """Return a few words for a title."""
        return f"conditional laws U[{self.low:g}, {self.high:g}]"


def _num_settings(graph: FactorGraph) -> list[int]:
    return [2 ** (len(scope) - 1) for scope in graph.scopes]


@dataclass(frozen=True)
class Arm:
    """One task with the network and the training that reach it."""

    model: bc.models.FactorGraphModel
    config: bc.TransformerConfig
    num_steps: int
    goal: float
    """Largest mean absolute error."""
    published: str
    most_parameters: int
    most_seconds: float
    asked: tuple[int, ...] | None = None
    """Variables that count; None for all."""

    def training(self) -> bc.Training:
        """Return how the network is trained: on exact laws of the variables that are asked."""
        weights = None
        if self.asked is not None:
            weights = tuple(float(v in self.asked) for v in range(len(self.model.names)))
        return bc.Training(
            num_steps=self.num_steps, batch_size=128, position_weights=weights, precision="float32"
        )


@dataclass(frozen=True)
class Result:
    """What one network came to."""

    error: float
    half: float
    """Error of always answering one half."""
    kl: float
    """In bits."""
    num_parameters: int
    seconds: float
    """Training and its compilation."""


def shape(
    num_layers: int,
    model_size: int,
    num_heads: int,
    mlp_size: int,
    *,
    norm: NormName = "none",
    activation: Activation = "gelu",
) -> bc.TransformerConfig:
    """Return the shape of a network that looks both ways.

    Log tables are best read without a norm, which would forget their scale; evidence, whose
    impossible values stand 80 nats below the others, is best read with one.
    """
    return bc.TransformerConfig(
        num_layers=num_layers,
        model_size=model_size,
        num_heads=num_heads,
        mlp_size=mlp_size,
        causal=False,
        positions="none",
        norm=norm,
        activation=activation,
    )


def arms() -> dict[str, Arm]:
    """Return the tasks by name."""
    uniform = bc.models.UniformTables(low=0.05)
    tables = bc.models.FactorGraphModel(PAIR, uniform, evidence_prob=0.0)
    published = bc.models.FactorGraphModel(DATING, ConditionalTables(), evidence_prob=0.0)
    harder = bc.models.FactorGraphModel(DATING, uniform, evidence_prob=0.0)
    seen = bc.models.FactorGraphModel(DATING, uniform, evidence_prob=0.3)
    small, large = shape(2, 16, 2, 64), shape(2, 48, 4, 96)
    largest = shape(3, 48, 8, 192, norm="rms", activation="swiglu")
    limits = 206_000, 600.0
    easier = "0.0033 for its easier form"
    return {
        "two variables, one factor": Arm(tables, small, 2_000, 5e-4, "0.00075", 26_000, 120.0),
        "dating, its conclusions": Arm(
            published, large, 3_000, 1.5e-3, "0.0033", *limits, asked=CONCLUSIONS
        ),
        "dating, all variables, any tables": Arm(harder, large, 3_000, 1.5e-3, easier, *limits),
        "the same with evidence": Arm(seen, largest, 4_500, 1.5e-3, easier, *limits),
    }


def run(arm: Arm, seed: int) -> Result:
    """Train one network and hold it against exact marginals."""
    key_network, key_data, key_test = jax.random.split(jax.random.key(seed), 3)
    oracle = bc.derive_oracle(arm.model)
    clock = time.perf_counter()
    network = bc.build_network(arm.config, arm.model, key=key_network)
    fit = bc.fit(network, arm.model, oracle, training=arm.training(), key=key_data, progress=False)
    seconds = time.perf_counter() - clock
    half = FixedLaw(log_law=jnp.log(jnp.full(2, 0.5)), name="one half")
    tree = bc.compare(fit.network, oracle, key=key_test, num_sequences=NUM_SEQUENCES, ladder=[half])
    asked = slice(None) if arm.asked is None else list(arm.asked)
    error, kl, always = (
        float(tree[name].to_numpy()[0, asked].mean())
        for name in ("/divergence/total_variation", "/divergence/kl", "/ladder/total_variation")
    )
    return Result(error, always, kl, fit.num_parameters, seconds)


def judge(name: str, arm: Arm, results: list[Result]) -> bool:
    """Print what came out beside the goal, and return whether every network met it."""
    first = results[0]
    errors = np.array([result.error for result in results])
    seconds = max(result.seconds for result in results)
    met = (
        errors.max() <= arm.goal
        and first.num_parameters <= arm.most_parameters
        and seconds <= arm.most_seconds
    )
    print(
        f"{name}: error {errors.mean():.6f} (seeds from {errors.min():.6f} to {errors.max():.6f}), "
        f"KL {np.mean([result.kl for result in results]):.1e} bits, "
        f"{first.num_parameters:,} parameters, at most {seconds:.0f} s a network; one half "
        f"{first.half:.4f}, published {arm.published}; goal at most {arm.goal:g}: "
        f"{'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


def main() -> int:
    """Train and judge arm after arm."""
    every = arms()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=";".join(every), help="names of arms, with ; between")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    met = [
        judge(name, every[name], [run(every[name], seed) for seed in range(options.seeds)])
        for name in options.only.split(";")
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
