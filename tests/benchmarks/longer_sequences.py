"""What of hidden Markov filtering is kept at 1.5 and 2.5 times the trained length?

    uv run python tests/benchmarks/longer_sequences.py [--only NAMES] [--steps N] [--seeds N]

Every arm trains on 20 symbols alone, apart from "longer at the end", whose last tenth of the
steps is on 50. KL from exact in bits, on the symbols that were never reached in training as
well; beside it the filters that know the matrices and the last one, two and three symbols.
"""

import argparse
import time
from dataclasses import dataclass, replace

import jax
import numpy as np

import bayescmp as bc
from bayescmp.models import HiddenMarkov
from bayescmp.networks.parts.positions import Positions
from bayescmp.predictors import WindowPredictor
from bayescmp.training import Curriculum, RandomPlaces

TRAINED, LENGTHS = 20, (20, 30, 50)
REACH = 5 + LENGTHS[-1]
"""Inputs of the longest sequences: five rows of matrices stand before the symbols."""


@dataclass(frozen=True)
class Arm:
    """One way of training on the shorter sequences."""

    positions: Positions
    places: RandomPlaces | None = None
    curriculum: float | None = None
    """Share of the steps after which all questions count; one counts at first."""
    at_the_end: float = 0.0
    """Share of the steps that are on the longest sequences."""


AFTER = RandomPlaces(REACH, "after_prompt")
SPREAD = RandomPlaces(REACH, "spread")
SHIFT = RandomPlaces(REACH, "shift")
ARMS = {
    "none": Arm("none"),
    "alibi": Arm("alibi"),
    "rotary": Arm("rotary"),
    "sinusoidal": Arm("sinusoidal"),
    "none, curriculum": Arm("none", curriculum=0.5),
    "alibi, curriculum": Arm("alibi", curriculum=0.5),
    "rotary, after prompt": Arm("rotary", AFTER),
    "rotary, spread": Arm("rotary", SPREAD),
    "rotary, spread, curriculum": Arm("rotary", SPREAD, curriculum=0.5),
    "alibi, after prompt": Arm("alibi", AFTER),
    "alibi, spread": Arm("alibi", SPREAD),
    "sinusoidal, shift": Arm("sinusoidal", SHIFT),
    "sinusoidal, after prompt": Arm("sinusoidal", AFTER),
    "sinusoidal, spread": Arm("sinusoidal", SPREAD),
    "learned, shift": Arm("learned", SHIFT),
    "learned, after prompt": Arm("learned", AFTER),
    "learned, spread": Arm("learned", SPREAD),
    "none, longer at the end": Arm("none", at_the_end=0.1),
}


def make(length: int) -> HiddenMarkov:
    """Make the model of the papers at some length."""
    return HiddenMarkov(num_states=5, num_symbols=5, length=length)


def train(arm: Arm, num_steps: int, num_seeds: int) -> list[bc.Fit]:
    """Train the networks of one arm."""
    model, longest = make(TRAINED), make(LENGTHS[-1])
    config = bc.TransformerConfig(
        num_layers=2,
        num_loops=3,
        positions=arm.positions,
        num_positions=REACH if arm.positions == "learned" else None,
    )
    last = round(arm.at_the_end * num_steps)
    first = num_steps - last
    training = bc.Training(
        num_steps=first,
        batch_size=32,
        optimiser=bc.Muon(learning_rate=2e-2),
        places=arm.places,
        curriculum=Curriculum(1, round(arm.curriculum * first)) if arm.curriculum else None,
        precision="float32",
    )
    keys = jax.random.split(jax.random.key(2), 2 * num_seeds)
    networks = [bc.build_network(config, model, key=key) for key in keys[:num_seeds]]
    fits = train_all(networks, model, training, keys[num_seeds:])
    if last:
        networks = [fit.network for fit in fits]
        fits = train_all(networks, longest, replace(training, num_steps=last), keys[:num_seeds])
    return fits


def train_all(
    networks: list, model: HiddenMarkov, training: bc.Training, keys: jax.Array
) -> list[bc.Fit]:
    """Train networks on one model."""
    oracle = bc.derive_oracle(model)
    fits = bc.fit_seeds(networks, model, oracle, keys=list(keys), training=training, progress=False)
    return list(fits)


def judge(fits: list[bc.Fit], num_sequences: int) -> str:
    """Ask networks at every length; means and ranges over networks, in bits."""
    told = []
    for length in LENGTHS:
        oracle = bc.derive_oracle(make(length))
        trees = [
            bc.compare(fit.network, oracle, key=jax.random.key(3), num_sequences=num_sequences)
            for fit in fits
        ]
        kl = np.array([tree["/divergence/kl"].to_numpy()[0] for tree in trees])
        beyond = kl[:, TRAINED:] if length > TRAINED else kl
        told += [(f"1-{length}", kl.mean(axis=1)), (f"21-{length}", beyond.mean(axis=1))]
    return "  ".join(
        f"{name}: {np.mean(each):.5f} ({np.min(each):.5f}-{np.max(each):.5f})"
        for name, each in told
        if name != f"21-{TRAINED}"
    )


def judge_windows(num_sequences: int) -> None:
    """Print what the filters with a short memory reach."""
    for length in LENGTHS:
        oracle = bc.derive_oracle(make(length))
        rungs = [WindowPredictor(oracle, size) for size in (1, 2, 3)]
        tree = bc.compare(
            rungs[0], oracle, key=jax.random.key(3), num_sequences=num_sequences, ladder=rungs
        )
        kl = tree["/ladder/kl"].to_numpy()
        beyond = kl[:, TRAINED:] if length > TRAINED else kl
        means = kl.mean(axis=1).round(5), beyond.mean(axis=1).round(5)
        print(f"windows 1 to 3, length {length}: all {means[0]} beyond {TRAINED} {means[1]}")


def main() -> None:
    """Train and judge arm after arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=";".join(ARMS), help="names of arms, with ; between")
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=1_024)
    options = parser.parse_args()
    judge_windows(options.sequences)
    for name in options.only.split(";"):
        clock = time.perf_counter()
        fits = train(ARMS[name], options.steps, options.seeds)
        seconds = time.perf_counter() - clock
        print(f"{name}:  {judge(fits, options.sequences)}  ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
