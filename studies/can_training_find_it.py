"""Can training find the weights that make a transformer pass messages?

Question: A transformer whose weights are set by hand does belief propagation on any tree in its
prompt, a round in each block. Started there, a little beside it, or at random, and trained on
samples: does it stay, come back, or find the way by itself; and is what it finds the same
network, the same rounds, or only the same answers?

Expectation: answers are learned and the weights are not. A constructed start stays nearly exact;
a perturbed one learns answers again without coming nearer to the construction; a random one of
the same shape learns answers, too, as far from the construction as it began. A practical
transformer goes for the exact answer in its middle blocks rather than for rounds, and errs more
on larger trees than it was trained on.

What would refute it: constructed starts that end above 0.001 bits; perturbed ones that end above
0.01 bits, or nearer to the construction than they began; random ones that end above 0.01 bits, or
nearer than nine tenths of the distance at which they began; practical blocks on the side of the
rounds; or larger trees that are no harder than those of training.

Trees have their own shape and tables for each sequence, and a field on every variable: evidence
is soft, since evidence that is certain has log weights of minus 80 in the prompt, which noise of
a hundredth on every weight turns into an error of nats. Every network has room for the largest
trees. Seen in training are trees of few variables; ``larger`` ones are as shallow as four blocks
can be exact on, ``deeper`` ones are not. Sigmoids build the softplus of a message to 1e-8; of
``relu``, ``gelu`` and ``swiglu`` eight units for each are fitted by least squares, which are wrong
by about 0.01 nats. Distances to the construction are what is left after scales, order of heads
and units, and turns of the stream are removed (``bc.layers.weight_distance``); the practical
transformer, of another shape, has none.

The group ``/starts`` of the results holds every start's figures for each seed. The network that the
other groups describe is the practical one.

Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063, section on learning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import equinox as eqx
import jax
import numpy as np
import xarray as xr

import bayescmp as bc
from bayescmp.models import GaussianCouplings, RandomTrees
from bayescmp.networks import constructed

Activation = Literal["sigmoid", "relu", "gelu", "swiglu"]
Objective = Literal["rao_blackwell", "sampled"]
Start = Literal["constructed", "perturbed", "random"]
STARTS: tuple[Start, ...] = get_args(Start)
TASKS = ("seen", "larger", "deeper")
PRACTICAL = "practical"

EXACT: Objective = "rao_blackwell"
SAMPLED: Objective = "sampled"


@dataclass(frozen=True)
class Config:
    """What to run; the default is sized for fifteen minutes on two cores."""

    num_variables: int = 6
    """Most variables of a tree, and rows that every network has room for."""
    seen: int = 4
    """Most variables of a tree in training."""
    num_rounds: int = 4
    """Blocks: one set of weights, applied so often."""
    coupling: float = 1.5
    """Standard deviation of couplings, in nats."""
    activations: tuple[Activation, ...] = ("sigmoid", "relu", "gelu", "swiglu")
    sampled: tuple[Activation, ...] = ("relu",)
    """Activations that are trained on drawn outcomes as well as on exact laws."""
    num_units: int = 8
    """Fitted units for each softplus."""
    noise: float = 0.03
    """Size of a perturbation, in units of each array's root mean square."""
    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 1e-4
    """Of constructed and perturbed starts. Ten times as much moves Adam away from weights that
    are already right."""
    random_steps: int = 1_500
    random_learning_rate: float = 1e-3
    random_scale: float = 0.3
    """What random weights are multiplied with. The construction has no norm, and without this
    the usual random weights begin with answers that are off by tens of bits."""
    practical_steps: int = 1_500
    seeds: int = 5
    eval_sequences: int = 1_024
    instruments: tuple[str, ...] = ("rounds",)
    """What looks inside the practical networks; ``rounds`` is needed."""
    audits: tuple[str, ...] = ()
    """What audits them from outside; ``--audit`` names all."""


PRESETS = {
    "quick": Config(
        activations=("relu",),
        sampled=(),
        num_variables=4,
        seen=3,
        steps=20,
        batch_size=16,
        practical_steps=50,
        random_steps=20,
        eval_sequences=64,
        seeds=2,
    ),
    "default": Config(),
    "paper": Config(
        steps=10_000,
        random_steps=50_000,
        practical_steps=50_000,
        sampled=Config().activations,
    ),
}

CLAIMS = (
    bc.Claim(
        "A constructed start stays: after training, KL on seen sizes is below 0.001 bits",
        "/starts/constructed_kl",
        0.001,
        "below",
    ),
    bc.Claim(
        "A perturbed start learns the answers again: KL on seen sizes is below 0.01 bits",
        "/starts/perturbed_kl",
        0.01,
        "below",
    ),
    bc.Claim(
        "It does not come back: the distance to the construction is larger than at its start",
        "/starts/perturbed_return",
        1.0,
        "above",
    ),
    bc.Claim(
        "A random start learns the answers, too: KL on seen sizes is below 0.01 bits",
        "/starts/random_kl",
        0.01,
        "below",
    ),
    bc.Claim(
        "It does not come near the construction: nine tenths of the distance at its start are left",
        "/starts/random_return",
        0.9,
        "above",
    ),
    bc.Claim(
        "Blocks of a practical transformer are nearer to the exact law than to their rounds",
        "/rounds/progress",
        0.5,
        "above",
    ),
    bc.Claim(
        "A practical transformer's KL on larger trees is more than twice that on seen sizes",
        "/starts/practical_growth",
        2.0,
        "above",
    ),
)

Figures = dict[str, np.ndarray]
"""Figures of one arm, seeds first."""


def tasks(config: Config) -> dict[str, RandomTrees]:
    """Return the trees of training, larger ones, and deeper ones."""
    most, law = config.num_variables, GaussianCouplings(scale=config.coupling)

    def trees(fewest: int, largest: int, depth: int | None) -> RandomTrees:
        return RandomTrees(most, law=law, evidence_prob=0.0, sizes=(fewest, largest), depth=depth)

    found = (
        trees(2, config.seen, None),
        trees(config.seen + 1, most, max(1, config.num_rounds // 2)),
        trees(most, most, None),
    )
    return dict(zip(TASKS, found, strict=True))


def construct(config: Config, activation: Activation) -> bc.Transformer:
    """Return the network whose weights are set."""
    shape, num = tasks(config)["seen"].graph_shape, config.num_rounds
    if activation == "sigmoid":
        return constructed.message_passing(shape, num, form="sigmoid", shared=True, reach=12.0)
    return constructed.fitted_message_passing(
        shape, num, form=activation, num_units=config.num_units, shared=True
    )


def begin(config: Config, network: bc.Transformer, start: Start, key: bc.Key) -> bc.Transformer:
    """Return the weights with which training begins."""
    if start == "constructed":
        return network
    if start == "perturbed":
        return bc.networks.perturb(network, config.noise, key=key)
    shape = network.config
    if not isinstance(shape, bc.TransformerConfig):
        raise TypeError(f"network: expected a transformer, got {type(shape).__name__}")
    drawn = shape.build(network.shape, key=key)
    return jax.tree.map(lambda x: config.random_scale * x if eqx.is_array(x) else x, drawn)


def recipe(config: Config, start: Start, objective: Objective) -> bc.Training:
    """Return how a start is trained: gently where the weights are nearly right."""
    by_chance = start == "random"
    rate = config.random_learning_rate if by_chance else config.learning_rate
    return bc.Training(
        num_steps=config.random_steps if by_chance else config.steps,
        batch_size=config.batch_size,
        objective=objective,
        optimiser=bc.Adam(rate),
    )


def train_starts(
    config: Config,
    activation: Activation,
    objective: Objective,
    *,
    key: bc.Key,
    workspace: bc.Workspace,
) -> dict[str, Figures]:
    """Train one activation from every start, and measure what came of it."""
    network = construct(config, activation)
    indices = workspace.seed_indices(config.seeds)
    keys = [jax.random.split(jax.random.fold_in(key, index)) for index in indices]
    arms, chance = {}, np.ones(())
    for start in reversed(STARTS):
        begun = [begin(config, network, start, k) for k, _ in keys]
        ended = train(
            begun,
            tasks(config)["seen"],
            recipe(config, start, objective),
            keys=[k for _, k in keys],
            name=f"{activation} {start} {objective}",
            workspace=workspace,
        )
        before, after = (measure(config, networks, key=key) for networks in (begun, ended))
        far, near = distances(begun, network), distances(ended, network)
        if start == "random":
            chance = far.mean()
        arms[f"{activation}, {start}, {objective}"] = {
            **after,
            "start_kl": before["kl"],
            "distance": near / chance,
            "start_distance": far / chance,
        }
    return dict(reversed(arms.items()))


def train(
    networks: list[bc.Transformer],
    model: RandomTrees,
    training: bc.Training,
    *,
    keys: list[bc.Key],
    name: str,
    workspace: bc.Workspace,
) -> list[bc.Transformer]:
    """Train the networks of all seeds together."""
    path = workspace.checkpoint_path(workspace.seed_indices(len(networks))[0])
    fits = bc.fit_seeds(
        networks,
        model,
        bc.derive_oracle(model),
        keys=keys,
        training=training,
        checkpoint=path and path.with_stem(f"{path.stem} {name}".replace(" ", "_")),
        resume=workspace.resume,
        progress=workspace.progress,
        description=name,
    )
    return trained(fits)


def trained(fits: Sequence[bc.Fit]) -> list[bc.Transformer]:
    """Return the networks of some training runs."""
    return [fit.network for fit in fits if isinstance(fit.network, bc.Transformer)]


def distances(networks: list[bc.Transformer], reference: bc.Transformer) -> np.ndarray:
    """Return how far networks are from a reference, apart from symmetries."""
    return np.array([bc.layers.weight_distance(one, reference).total for one in networks])


def measure(config: Config, networks: list[bc.Transformer], *, key: bc.Key) -> Figures:
    """Measure networks on every task: distance from exact and from rounds, and where between."""
    found = []
    for task in tasks(config).values():
        oracle, num = bc.derive_oracle(task), config.eval_sequences
        first = bc.inspection.record(networks[0], oracle, key=key, num_sequences=num)
        for network in networks:
            seen = bc.inspection.record_on(network, first.evaluation, first.belief)
            rounds = bc.inspection.follow_rounds(seen, key=key, lenses=("read-out",))
            own = rounds.kl[0, -1, config.num_rounds]
            found.append((rounds.exact_kl[0, -1], own, rounds.progress, rounds.misfit))
    table = np.array(found).reshape(len(TASKS), len(networks), -1)
    names = ("kl", "round_kl", "progress", "misfit")
    return {name: table[..., index].T for index, name in enumerate(names)}


def tabulate(arms: dict[str, Figures]) -> xr.Dataset:
    """Lay all figures out, and those that claims are about."""
    axes = {"kl": 3, "round_kl": 3, "progress": 3, "misfit": 3, "start_kl": 3}
    table = xr.Dataset(coords={"arm": list(arms), "task": list(TASKS)})
    for name in ("kl", "round_kl", "progress", "misfit", "start_kl", "distance", "start_distance"):
        parts = [figures[name] for figures in arms.values()]
        dims = ("seed", "arm", "task") if name in axes else ("seed", "arm")
        table[name] = (dims, np.stack(parts, axis=1))
    table = table.assign_coords(seed=range(table.sizes["seed"]))

    def of(name: str, start: Start) -> xr.DataArray:
        chosen = [arm for arm in arms if arm.endswith(f", {start}, {EXACT}")]
        return table[name].sel(arm=chosen)

    practical = table["kl"].sel(arm=PRACTICAL, drop=True)
    table = table.assign(
        constructed_kl=of("kl", "constructed").sel(task="seen", drop=True).max("arm"),
        perturbed_kl=of("kl", "perturbed").sel(task="seen", drop=True).max("arm"),
        perturbed_return=(of("distance", "perturbed") / of("start_distance", "perturbed")).min(
            "arm"
        ),
        random_kl=of("kl", "random").sel(task="seen", drop=True).max("arm"),
        random_return=(of("distance", "random") / of("start_distance", "random")).min("arm"),
        practical_growth=practical.sel(task="larger", drop=True)
        / practical.sel(task="seen", drop=True),
    )
    return describe(table)


MEANINGS = {
    "kl": ("KL divergence from exact to the network, after training", "bit"),
    "round_kl": ("KL divergence from beliefs after as many rounds as blocks to the network", "bit"),
    "progress": ("where read-outs of blocks stand from their rounds, 0, to exact, 1", "1"),
    "misfit": ("how far they stand from that way, in units of its length", "1"),
    "start_kl": ("KL divergence from exact to the network, before training", "bit"),
    "distance": ("distance to the construction, in units of random starts'", "1"),
    "start_distance": ("the same before training", "1"),
    "constructed_kl": ("largest kl on seen sizes of constructed starts", "bit"),
    "perturbed_kl": ("largest kl on seen sizes of perturbed starts", "bit"),
    "perturbed_return": ("smallest ratio of distances after and before, perturbed starts", "1"),
    "random_kl": ("largest kl on seen sizes of random starts", "bit"),
    "random_return": ("smallest ratio of distances after and before, random starts", "1"),
    "practical_growth": ("ratio of the practical transformer's kl, larger to seen sizes", "1"),
    "arm": ("activation, start and objective", "1"),
    "task": ("sizes of the trees: as in training, larger, deeper", "1"),
    "seed": ("seed of the training run", "1"),
}
"""Meaning and unit of every variable."""


def describe(table: xr.Dataset) -> xr.Dataset:
    """Say what every variable is."""
    for name, variable in table.variables.items():
        meaning, units = MEANINGS[str(name)]
        variable.attrs = {"long_name": meaning, "units": units}
    return table


def run(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> xr.DataTree:
    """Train the practical transformer and every start."""
    keys = jax.random.split(key, 3)
    arms: dict[str, Figures] = {}
    wanted: dict[Objective, tuple[Activation, ...]]
    wanted = {EXACT: config.activations, SAMPLED: config.sampled}
    for objective, activations in wanted.items():
        for activation in activations:
            own = jax.random.fold_in(keys[0], len(arms))
            arms |= train_starts(config, activation, objective, key=own, workspace=workspace)
    tree, practical = train_practical(config, key=keys[1], workspace=workspace)
    figures = measure(config, practical, key=keys[2])
    nothing = np.full(len(practical), np.nan)
    arms[PRACTICAL] = {
        **figures,
        "start_kl": np.full_like(figures["kl"], np.nan),
        "distance": nothing,
        "start_distance": nothing,
    }
    tree["/starts"] = xr.DataTree(tabulate(arms))
    return tree


def train_practical(
    config: Config, *, key: bc.Key, workspace: bc.Workspace
) -> tuple[xr.DataTree, list[bc.Transformer]]:
    """Train a transformer of the usual shape from random weights, and compare it with exact."""
    model = tasks(config)["seen"]
    oracle = bc.derive_oracle(model)
    shape = bc.TransformerConfig(
        num_layers=config.num_rounds,
        num_heads=4,
        model_size=48,
        mlp_size=192,
        positions="none",
        causal=False,
    )
    indices = workspace.seed_indices(config.seeds)
    pairs = [jax.random.split(jax.random.fold_in(key, index)) for index in indices]
    path = workspace.checkpoint_path(indices[0])
    fits = bc.fit_seeds(
        [bc.Transformer.for_model(model, shape, key=start) for start, _ in pairs],
        model,
        oracle,
        keys=[data for _, data in pairs],
        training=bc.Training(num_steps=config.practical_steps, batch_size=config.batch_size),
        checkpoint=path and path.with_stem(f"{path.stem}_{PRACTICAL}"),
        resume=workspace.resume,
        progress=workspace.progress,
        description=PRACTICAL,
    )
    networks = trained(fits)
    far = jax.random.split(jax.random.fold_in(key, 2**31 - 1), 3)
    tree = bc.compare(networks, oracle, key=far[0], num_sequences=config.eval_sequences, fits=fits)
    if config.audits:
        tree = bc.audit(networks, oracle, key=far[1], audits=config.audits, tree=tree)
    tree = bc.examine(
        networks,
        oracle,
        key=far[2],
        instruments=tuple({*config.instruments, "rounds"}),
        num_sequences=config.eval_sequences,
        tree=tree,
    )
    return tree, networks


if __name__ == "__main__":
    raise SystemExit(bc.study_main("can_training_find_it"))
