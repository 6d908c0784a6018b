"""Is a transformer with written-down weights belief propagation, and is a trained one?

Question: A published construction is to make each layer of a transformer one round of belief
propagation, exact on trees; loops are said to do no harm, and training to find the same thing.
Which of this holds when it is run, and what do trained networks do on graphs with loops, where
belief propagation and Bayes differ?

Expectation: weights can be written down that are exact on trees, layer by layer, to rounding;
the published ones are not these, and answer worse than "always one half". Loopy propagation is
right on the published tables and wrong with strong couplings. Trained networks approach the
exact answer: they repeat little of belief propagation's errors where these are large.

What would refute it: an error of the construction above 1e-6 on a tree, or a layer that differs
by as much from as many rounds; a published construction that is exact, or better than one half;
loopy propagation that is right at strong couplings; trained networks that are nearer to it than
to the exact answer, or repeat more than half of its errors.

Three claims are the published ones, with thresholds of their own, and are expected to fail: that
the construction as published is exact on trees, that whole beliefs may be passed in place of
messages that leave out what their receiver said, and that loops do no harm at strong couplings.

The group ``/construction`` holds, for two variables and one factor, a chain of three, and trees
whose structure is drawn, the construction as published and five repairs, one at a time: the first
number that is not what is claimed, and the distance from exact marginals and from both kinds of
propagation. ``/loops`` holds loopy propagation on six graphs, from the published tables to strong
couplings. ``/following`` holds networks trained on the complete graph of four variables, tables
and evidence in the prompt, each at one size of couplings; the network that the other groups
describe is the one at the strongest. A seed is a set of drawn graphs in the first two groups, a
training run in the third.

Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063; Murphy, Weiss and Jordan,
"Loopy belief propagation for approximate inference", UAI 1999.
"""

from dataclasses import dataclass

import jax
import xarray as xr

import bayescmp as bc
from bayescmp.models import (
    FactorGraphModel,
    RandomTrees,
    SignCouplings,
    UniformTables,
    graph_structures,
)


@dataclass(frozen=True)
class Config:
    """What to run; the default is sized for some minutes on two cores."""

    tree_sizes: tuple[int, ...] = (2, 8, 32)
    """Most variables of the random trees on which the construction is checked."""
    published_trees: int = 8
    """Most variables of the random trees on which the published one is; 0 leaves the chain of
    three alone."""
    num_graphs: int = 100
    """Graphs of each kind that a seed draws."""
    loop_graphs: tuple[str, ...] = ("triangle", "square", "6-cycle", "two loops", "K4", "3x3 grid")
    loop_couplings: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    """Couplings on which loopy propagation is checked, in nats, from weak to strong."""
    couplings: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Couplings on which networks are trained, in nats, from weak to strong."""
    field_scale: float = 0.5
    """Standard deviation of the fields, in nats."""
    rounds: tuple[int, ...] = (1, 2, 3, 100)
    """Rounds of belief propagation that trained networks are held against."""
    num_layers: int = 3
    model_size: int = 64
    num_heads: int = 4
    steps: int = 2_000
    batch_size: int = 64
    learning_rate: float = 2e-2
    seeds: int = 5
    eval_sequences: int = 2_048


PRESETS = {
    "quick": Config(
        tree_sizes=(4,),
        published_trees=0,
        num_graphs=50,
        loop_graphs=("K4",),
        loop_couplings=(0.1, 1.0),
        couplings=(1.0,),
        rounds=(100,),
        num_layers=2,
        model_size=32,
        steps=150,
        batch_size=32,
        seeds=2,
        eval_sequences=256,
    ),
    "default": Config(),
    "paper": Config(
        tree_sizes=(2, 8, 16, 32),
        num_graphs=500,
        steps=20_000,
        batch_size=256,
        eval_sequences=8_192,
    ),
}

CLAIMS = (
    bc.Claim(
        "The construction is exact on trees, with as many layers as the diameter",
        "/construction/largest_tree_error",
        1e-6,
        "below",
    ),
    bc.Claim(
        "Each layer of the construction is one round of propagation, on loops too",
        "/construction/largest_layer_error",
        1e-6,
        "below",
    ),
    bc.Claim(
        "Published: the construction as published is exact on trees",
        "/construction/published_error",
        1e-6,
        "below",
    ),
    bc.Claim(
        "The construction as published is worse than always one half",
        "/construction/published_excess",
        0.0,
        "above",
    ),
    bc.Claim(
        "Published: whole beliefs in place of cavity messages are exact on trees",
        "/construction/naive_error",
        1e-6,
        "below",
    ),
    bc.Claim(
        "On the published tables loopy propagation is off by less than 0.005",
        "/loops/published_error",
        0.005,
        "below",
    ),
    bc.Claim(
        "Published: loops do no harm (off by less than 0.005 at the strongest couplings)",
        "/loops/strong_error",
        0.005,
        "below",
    ),
    bc.Claim(
        "At the strongest couplings trained networks are nearer to exact than to propagation",
        "/following/margin",
        0.0,
        "above",
    ),
    bc.Claim(
        "At the strongest couplings they repeat less than half of propagation's errors",
        "/following/strongest_slope",
        0.5,
        "below",
    ),
)


def published_cases(config: Config) -> dict[str, bc.AbstractOracle]:
    """Return the published graphs, which have no evidence, and trees and K4, which have."""
    tables = UniformTables(low=0.05)
    size = config.published_trees
    three = FactorGraphModel(graph_structures.chain(3), tables, evidence_prob=0.0)
    models: dict[str, FactorGraphModel | RandomTrees] = {"chain of 3": three}
    if size:
        two = FactorGraphModel(graph_structures.chain(2), tables, evidence_prob=0.0)
        trees = RandomTrees(size, law=tables)
        models = {"two variables": two, **models, f"trees of 2 to {size}": trees}
        models["K4"] = loopy(config, config.couplings[-1])
    return {name: bc.derive_oracle(model) for name, model in models.items()}


def loopy(config: Config, coupling: float) -> FactorGraphModel:
    """Return the task of trained networks: four variables, all tied to each other."""
    law = SignCouplings(strength=coupling, field_scale=config.field_scale)
    return FactorGraphModel(graph_structures.complete(4), law)


def check_weights(config: Config, keys: list[bc.Key]) -> xr.Dataset:
    """Hold written-down weights against exact marginals, for each seed's graphs."""
    trees = {str(size): bc.derive_oracle(RandomTrees(size)) for size in config.tree_sizes}
    cases = published_cases(config)
    found = [
        bc.inspection.check_construction(trees, cases, num_graphs=config.num_graphs, key=key)
        for key in keys
    ]
    return bc.inspection.construction_group(found, [name for name in cases if name != "K4"])


def check_loops(config: Config, keys: list[bc.Key]) -> xr.Dataset:
    """Hold loopy propagation against exact marginals, for each seed's tables."""
    most = max(config.rounds)
    found = [
        bc.inspection.check_loops(
            config.loop_graphs,
            config.loop_couplings,
            num_draws=config.num_graphs,
            num_rounds=most,
            key=key,
        )
        for key in keys
    ]
    return bc.inspection.loops_group(found, num_rounds=most)


def train(
    config: Config, coupling: float, *, key: bc.Key, workspace: bc.Workspace
) -> tuple[bc.AbstractOracle, list[bc.Fit]]:
    """Train every seed on graphs with couplings of one size."""
    oracle = bc.derive_oracle(loopy(config, coupling))
    indices = workspace.seed_indices(config.seeds)
    pairs = [jax.random.split(jax.random.fold_in(key, index)) for index in indices]
    shape = bc.TransformerConfig(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        model_size=config.model_size,
        mlp_size=4 * config.model_size,
        positions="none",
        causal=False,
    )
    path = workspace.checkpoint_path(indices[0])
    fits = bc.fit_seeds(
        [bc.Transformer.for_model(oracle.model, shape, key=start) for start, _ in pairs],
        oracle.model,
        oracle,
        keys=[data for _, data in pairs],
        training=bc.Training(
            num_steps=config.steps,
            batch_size=config.batch_size,
            optimiser=bc.Muon(learning_rate=config.learning_rate),
        ),
        checkpoint=path and path.with_stem(f"{path.stem}_coupling_{coupling:g}"),
        resume=workspace.resume,
        progress=workspace.progress,
        description=f"couplings {coupling:g}",
    )
    return oracle, list(fits)


def run(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> xr.DataTree:
    """Check the weights and the loops, train, and ask what the trained networks follow."""
    seeds = workspace.seed_indices(config.seeds)
    # Keys of seeds are folded in from 0 upwards; these lie far from them.
    key_graphs, key_loops, key_compare, key_ask = (
        jax.random.fold_in(key, 2**31 - far) for far in (1, 2, 3, 4)
    )
    runs = {
        coupling: train(config, coupling, key=key, workspace=workspace)
        for coupling in config.couplings
    }
    followed = [
        {
            f"{coupling:g}": bc.inspection.follow_errors(
                fits[place].network,
                oracle,
                config.rounds,
                num_graphs=config.eval_sequences,
                key=key_ask,
            )
            for coupling, (oracle, fits) in runs.items()
        }
        for place in range(len(seeds))
    ]
    oracle, fits = runs[config.couplings[-1]]
    tree = bc.compare(
        [fit.network for fit in fits],
        oracle,
        key=key_compare,
        num_sequences=config.eval_sequences,
        fits=fits,
    )
    for name, table in (
        ("construction", check_weights(config, _fold(key_graphs, seeds))),
        ("loops", check_loops(config, _fold(key_loops, seeds))),
        ("following", bc.inspection.following_group(followed, config.rounds)),
    ):
        tree[f"/{name}"] = xr.DataTree(table)
    return tree


def _fold(key: bc.Key, seeds: tuple[int, ...]) -> list[bc.Key]:
    return [jax.random.fold_in(key, seed) for seed in seeds]


if __name__ == "__main__":
    raise SystemExit(bc.study_main("belief_propagation"))
