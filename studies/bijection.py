"""Does a small transformer reach the exact posterior over a hidden permutation?

Question: A permutation of 20 symbols is shown pair by pair. Published transformers of
2.7 million parameters come within 0.003 to 0.007 bits of the exact entropy after 50,000 to
150,000 steps. How near does a small one come, in distribution and not only in entropy?

Expectation: A transformer of 0.1 million parameters trained against the exact predictive
comes nearer than the published figures, with almost no mass on impossible values.

What would refute it: an entropy error above 0.005 bits, a divergence above 0.003 bits, or
more than 0.1 % of mass on values that are used up, on average over training runs.

Source: Agarwal, Dalal and Misra, arXiv 2512.22471.
"""

from dataclasses import dataclass

import xarray as xr

import bayescmp as bc
from bayescmp.models import Bijection


@dataclass(frozen=True)
class Config:
    """What to run; the default is sized for two cores."""

    size: int = 20
    """Keys, and values, of the bijection."""
    num_layers: int = 2
    model_size: int = 64
    num_heads: int = 4
    steps: int = 3_000
    batch_size: int = 32
    learning_rate: float = 4e-2
    seeds: int = 5
    eval_sequences: int = 4_096
    instruments: tuple[str, ...] = ()
    """What looks inside the networks; ``--inside`` names all."""
    audits: tuple[str, ...] = ()
    """What audits them from outside; ``--audit`` names all."""


PRESETS = {
    "quick": Config(steps=700, eval_sequences=2_048),
    "default": Config(),
    "paper": Config(num_layers=3, steps=20_000, batch_size=256, eval_sequences=16_384),
}

CLAIMS = (
    bc.Claim(
        "The entropy is off by less than 0.005 bits (definition A)",
        "/divergence/entropy_mae_a",
        0.005,
        "below",
    ),
    bc.Claim("The law is off by less than 0.003 bits of KL", "/divergence/mean_kl", 0.003, "below"),
    bc.Claim(
        "Less than 0.1 % of mass lies on impossible values",
        "/divergence/mean_impossible_mass",
        0.001,
        "below",
    ),
    bc.Claim(
        "KL is a hundredth of that of exact inference from the last five pairs",
        "/divergence/mean_kl",
        0.01,
        "below",
        rung="window 5",
    ),
)


def run(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> xr.DataTree:
    """Train the seeds and compare them with the exact posterior."""
    return bc.train_and_compare(
        Bijection(size=config.size),
        bc.TransformerConfig(
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            model_size=config.model_size,
            mlp_size=4 * config.model_size,
        ),
        bc.Training(
            num_steps=config.steps,
            batch_size=config.batch_size,
            num_snapshots=12 if "dynamics" in config.instruments else 0,
            optimiser=bc.Muon(learning_rate=config.learning_rate),
        ),
        seeds=config.seeds,
        key=key,
        workspace=workspace,
        num_sequences=config.eval_sequences,
        instruments=config.instruments,
        audits=config.audits,
    )


if __name__ == "__main__":
    raise SystemExit(bc.study_main("bijection"))
