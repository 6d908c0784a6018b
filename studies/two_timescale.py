"""Does it help to train the value matrix ten times faster, or any matrix, or everything?

Question: A published attention head learns a noisy chain of 8 symbols faster if the values
alone learn ten times faster ("EM-like": 430 steps to where plain gradient descent ends after
1,000). What becomes of that on sequences never seen before, beside the same factor on other
matrices and on all of them, a learning rate chosen for each arm, and Adam?

Expectation: the gain is there, and it is one of step size. The same factor on other matrices,
and on everything, gains more; once each arm has its own best rate, fast values gain nothing of
note, in steps or in operations, and Adam gains more than they do.

What would refute it: fast values that save less than half of the steps to where plain descent
ends; that save more than another fast matrix, or than everything fast; or that, each at its
best rate, save half of the steps or operations, or more of the steps than Adam does.

Sequences are drawn afresh at every step, so that the loss before a step is one on held-out
data; a step reads about as many symbols as the published one, whose single sequence came back
every time. Inputs are tokens, symbols that are misread now and then, in place of vectors with
Gaussian noise; the next reading is asked. One head, no feed-forward part. Without momentum,
everything fast at one rate is plain descent at ten times the rate: where both have their best
rate they differ by rounding, which alone decides whether one ends where the other does.

The group ``/arms`` of the results holds every arm's figures and learning curves for each seed,
per step, per operation and per second; the report shows them under "Further groups". No claim is
judged on seconds, which depend on what else the machine does. The network that the other groups
describe is the one with fast values at the common rate. A best rate at an end of the rates that
were tried (``/arms/best_rate``) may not be the best there is.

Source: Agarwal, Dalal and Misra, arXiv 2512.22473.
"""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
import xarray as xr

import bayescmp as bc
from bayescmp.models import LabelledChain

Cost = Literal["step", "operation", "second"]
"""What is spent."""

ARMS = {
    "plain": (),
    "values": ("value",),
    "output matrix": ("out",),
    "queries and keys": ("query", "key"),
    "everything": ("*",),
}
"""Patterns of what learns ten times faster, by the name of the arm; Adam is one more."""

ADAM = "Adam"

RIVALS = {
    "output_saves_more": "output matrix",
    "attention_saves_more": "queries and keys",
    "everything_saves_more": "everything",
    "adam_saves_more": ADAM,
}
"""Arms that are held against fast values, by the name of the difference."""

COSTS: tuple[Cost, ...] = ("step", "operation", "second")
NO_CLIP = 1e6
"""A norm that no gradient here has."""

SMOOTHED = 20
"""Steps over which the loss is averaged before it is held against the target."""

POINTS = 24
"""Points of each learning curve that the results keep, evenly spaced in the logarithm of steps."""


@dataclass(frozen=True)
class Config:
    """What to run; the default is sized for some minutes on two cores."""

    num_symbols: int = 8
    self_transition: float = 0.3
    accuracy: float = 0.9
    """Chance that a symbol is read as what it is."""
    length: int = 32
    model_size: int = 20
    steps: int = 1_000
    batch_size: int = 64
    factor: float = 10.0
    arms: tuple[str, ...] = (*ARMS, ADAM)
    """What is compared; plain and values are needed, and claims on others need those."""
    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    """Rates of gradient descent that are tried, the common one first."""
    adam_rates: tuple[float, ...] = (0.01, 0.03)
    seeds: int = 5
    eval_sequences: int = 2_048
    windows: tuple[int, ...] = (1, 2)
    """Last readings that the rivals of the comparison know."""


PRESETS = {
    "quick": Config(
        steps=30,
        batch_size=16,
        length=6,
        learning_rates=(0.1,),
        arms=("plain", "values"),
        seeds=2,
        eval_sequences=128,
        windows=(1,),
    ),
    "default": Config(),
    "paper": Config(
        length=256,
        steps=5_000,
        learning_rates=(0.1, 0.03, 0.3, 1.0, 3.0, 10.0),
        adam_rates=(0.01, 0.001, 0.003, 0.03, 0.1),
    ),
}

CLAIMS = (
    bc.Claim(
        "At one rate, fast values save more than half the steps of plain descent",
        "/arms/values_save",
        0.5,
        "above",
    ),
    bc.Claim(
        "At one rate, a fast output matrix saves more steps than fast values",
        "/arms/output_saves_more",
        0.0,
        "above",
    ),
    bc.Claim(
        "At one rate, fast queries and keys save more steps than fast values",
        "/arms/attention_saves_more",
        0.0,
        "above",
    ),
    bc.Claim(
        "At one rate, everything fast saves more steps than fast values",
        "/arms/everything_saves_more",
        0.0,
        "above",
    ),
    bc.Claim(
        "With the best rate for each, fast values save less than half the steps",
        "/arms/values_save_tuned",
        0.5,
        "below",
    ),
    bc.Claim(
        "With the best rate for each, fast values save less than half the operations",
        "/arms/values_save_operations_tuned",
        0.5,
        "below",
    ),
    bc.Claim(
        "With the best rate for each, Adam saves more steps than fast values",
        "/arms/adam_saves_more_tuned",
        0.0,
        "above",
    ),
)


@dataclass(frozen=True)
class Curve:
    """What one training run has spent, and how far from exact it then was on new sequences."""

    fit: bc.Fit

    @property
    def kl(self) -> np.ndarray:
        """``KL(exact || network)`` in bits before each step, mean over the last steps."""
        excess = np.asarray(self.fit.excess, float) / math.log(2.0)
        width = min(SMOOTHED, len(excess))
        return np.convolve(excess, np.full(width, 1.0 / width), mode="valid")

    @property
    def final(self) -> float:
        """The last one; infinite where training diverged."""
        return float(self.kl[-1]) if self.fit.outcome == "completed" else math.inf

    def spent(self, target: float) -> list[float]:
        """Return each cost by when a divergence is reached; infinite where it never is."""
        if not math.isfinite(target):
            return [math.nan] * len(COSTS)
        reached = np.flatnonzero(self.kl <= target)
        if reached.size == 0:
            return [math.inf] * len(COSTS)
        step = reached[0] + len(self.fit.excess) - len(self.kl)
        return [float(bc.learning_curve(self.fit, cost)[0][step]) for cost in COSTS]

    def sample(self) -> np.ndarray:
        """Return some points of the curve: divergence in bits, then each cost spent by then.

        Averages end where they stand; NaN from where training diverged on.
        """
        places = np.geomspace(1, len(self.kl), POINTS).round().astype(int) - 1
        steps = places + len(self.fit.excess) - len(self.kl)
        spent = [np.asarray(bc.learning_curve(self.fit, cost)[0])[steps] for cost in COSTS]
        return np.stack([self.kl[places], *spent])


Rates = dict[float, list[Curve]]
"""Curves of each seed by learning rate."""


def chain(config: Config) -> LabelledChain:
    """Return a chain on a circle, nearer symbols likelier, that is misread now and then."""
    num = config.num_symbols
    places = np.arange(num)
    apart = np.abs(places[:, None] - places)
    apart = np.minimum(apart, num - apart)
    near = np.divide(1.0, apart, out=np.zeros((num, num)), where=apart > 0)
    moves = (1.0 - config.self_transition) * near / near.sum(axis=1, keepdims=True)
    moves += config.self_transition * np.eye(num)
    reads = np.full((num, num), (1.0 - config.accuracy) / (num - 1))
    np.fill_diagonal(reads, config.accuracy)
    labelled = reads.T[:, :, None] * moves
    return LabelledChain(labelled, config.length, name=f"noisy chain on a circle of {num}")


def optimisers(config: Config) -> dict[str, list[bc.SGD | bc.Adam]]:
    """Return what is compared: every arm at every rate, the common one first."""
    arms: dict[str, list[bc.SGD | bc.Adam]] = {}
    for arm, patterns in ARMS.items():
        if arm not in config.arms:
            continue
        groups = tuple(bc.ParameterGroup(pattern, config.factor) for pattern in patterns)
        arms[arm] = [
            bc.SGD(rate, momentum=0.0, schedule="constant", warmup=0.0, clip=NO_CLIP, groups=groups)
            for rate in config.learning_rates
        ]
    if ADAM in config.arms:
        arms[ADAM] = [
            bc.Adam(rate, schedule="constant", warmup=0.0, clip=NO_CLIP)
            for rate in config.adam_rates
        ]
    return arms


def train(
    config: Config,
    model: LabelledChain,
    oracle: bc.AbstractOracle,
    *,
    key: bc.Key,
    workspace: bc.Workspace,
) -> dict[str, Rates]:
    """Train every arm at every rate, from the same weights and on the same sequences."""
    indices = workspace.seed_indices(config.seeds)
    pairs = [jax.random.split(jax.random.fold_in(key, index)) for index in indices]
    shape = bc.TransformerConfig(
        num_layers=1, num_heads=1, model_size=config.model_size, mlp_size=0
    )
    networks = [bc.Transformer.for_model(model, shape, key=start) for start, _ in pairs]
    runs: dict[str, Rates] = {}
    for arm, choices in optimisers(config).items():
        for optimiser in choices:
            name = f"{arm}, rate {optimiser.learning_rate:g}"
            path = workspace.checkpoint_path(indices[0])
            fits = bc.fit_seeds(
                networks,
                model,
                oracle,
                keys=[data for _, data in pairs],
                training=bc.Training(
                    num_steps=config.steps, batch_size=config.batch_size, optimiser=optimiser
                ),
                checkpoint=path and path.with_stem(f"{path.stem} {name}".replace(" ", "_")),
                resume=workspace.resume,
                progress=workspace.progress,
                description=name,
                throw=False,
            )
            runs.setdefault(arm, {})[optimiser.learning_rate] = [Curve(fit) for fit in fits]
    return runs


def tabulate(runs: dict[str, Rates]) -> xr.Dataset:
    """Return what every arm has spent by where plain descent ends, for each seed.

    At the common rate the end is that of plain descent at that rate; at the best rates it is
    that of plain descent at its best. The best rate of a seed has the least final divergence.
    """
    common = {arm: next(iter(rates.values())) for arm, rates in runs.items()}
    seeds = range(len(common["plain"]))
    best = {
        arm: [min(rates, key=lambda rate, s=seed: rates[rate][s].final) for seed in seeds]
        for arm, rates in runs.items()
    }
    tuned = {arm: [runs[arm][best[arm][seed]][seed] for seed in seeds] for arm in runs}
    axes, further = ("seed", "arm"), ("seed", "arm", "cost")
    table = xr.Dataset(
        coords={"seed": list(seeds), "arm": list(runs), "cost": list(COSTS)},
    )
    for suffix, chosen in (("", common), ("_tuned", tuned)):
        spent = [
            [curves[s].spent(chosen["plain"][s].final) for curves in chosen.values()] for s in seeds
        ]
        final = [[curves[s].final for curves in chosen.values()] for s in seeds]
        table[f"to_target{suffix}"] = (further, np.array(spent))
        table[f"final_kl{suffix}"] = (axes, np.array(final))
    for suffix, chosen in (("", common), ("_tuned", tuned)):
        sampled = np.array([[curves[s].sample() for curves in chosen.values()] for s in seeds])
        table[f"curve_kl{suffix}"] = ((*axes, "point"), sampled[:, :, 0])
        table[f"curve_spent{suffix}"] = ((*further, "point"), sampled[:, :, 1:])
    table["best_rate"] = (axes, np.array([[best[arm][s] for arm in runs] for s in seeds]))
    for suffix in ("", "_tuned"):
        table = table.assign(
            {f"{name}{suffix}": each for name, each in compare_saved(table, suffix).items()}
        )
    return describe(table)


def compare_saved(table: xr.Dataset, suffix: str) -> dict[str, xr.DataArray]:
    """Return what each arm saves of plain descent's costs, and the others beside fast values."""
    spent = table[f"to_target{suffix}"]
    saved = (1.0 - spent / spent.sel(arm="plain", drop=True)).clip(min=0.0)
    every = saved.reindex(arm=[*ARMS, ADAM])  # NaN for arms that were not run
    steps = every.sel(cost="step", drop=True)
    values = steps.sel(arm="values", drop=True)
    return {
        "saved": saved,
        "values_save": values,
        "values_save_operations": every.sel(arm="values", cost="operation", drop=True),
        **{name: steps.sel(arm=arm, drop=True) - values for name, arm in RIVALS.items()},
    }


MEANINGS = {
    "to_target": ("spent by when plain descent's last divergence is reached; infinite: never", "1"),
    "final_kl": ("KL divergence from exact at the end, on new sequences", "bit"),
    "curve_kl": ("KL divergence from exact along training, on new sequences", "bit"),
    "curve_spent": ("steps, operations or seconds spent by then", "1"),
    "saved": ("share of plain descent's cost saved; 0 where its end is never reached", "1"),
    "values_save": ("share of steps that fast values save", "1"),
    "values_save_operations": ("share of operations that fast values save", "1"),
    "output_saves_more": ("share of steps a fast output matrix saves beyond fast values", "1"),
    "attention_saves_more": ("share of steps fast queries, keys save beyond fast values", "1"),
    "everything_saves_more": ("share of steps that everything fast saves beyond fast values", "1"),
    "adam_saves_more": ("share of steps that Adam saves beyond fast values", "1"),
    "best_rate": ("learning rate with the least final divergence", "1"),
    "arm": ("what learns faster", "1"),
    "cost": ("what is spent: steps, operations or seconds", "1"),
    "seed": ("seed of the training run", "1"),
}
"""Meaning and unit of every variable."""


def describe(table: xr.Dataset) -> xr.Dataset:
    """Say what every variable is."""
    for name, variable in table.variables.items():
        text = str(name)
        at = ", each at its best learning rate" if text.endswith("_tuned") else ""
        stem = text.removesuffix("_tuned")
        meaning, units = MEANINGS[stem]
        variable.attrs = {"long_name": meaning + at, "units": units}
    return table


def run(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> xr.DataTree:
    """Train all arms; the comparison itself is that of fast values at the common rate."""
    model = chain(config)
    oracle = bc.derive_oracle(model)
    runs = train(config, model, oracle, key=key, workspace=workspace)
    fits = [curve.fit for curve in next(iter(runs["values"].values()))]
    key_compare, key_ladder = jax.random.split(jax.random.fold_in(key, 2**31 - 1))
    tree = bc.compare(
        [fit.network for fit in fits],
        oracle,
        key=key_compare,
        num_sequences=config.eval_sequences,
        ladder=bc.standard_ladder(oracle, key=key_ladder, windows=config.windows),
        fits=fits,
    )
    tree["/arms"] = xr.DataTree(tabulate(runs))
    return tree


if __name__ == "__main__":
    raise SystemExit(bc.study_main("two_timescale"))
