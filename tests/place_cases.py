"""Short runs of training on a chain of two hidden states, at random places."""

from pathlib import Path

import jax
from small_networks import small_config, transformer_for

import bayescmp as bc
from bayescmp.models import HiddenMarkov
from bayescmp.training.places import RandomPlaces

CHAIN = HiddenMarkov(num_states=2, num_symbols=2, length=3)  # two rows, then three symbols
KEY = jax.random.key(0)
ORACLE = bc.derive_oracle(CHAIN)
SPREAD = RandomPlaces(12, "spread")
FEW = bc.Training(
    num_steps=7, batch_size=8, chunk_size=2, checkpoint_every=2, optimiser=bc.AdamW(), places=SPREAD
)


def chain_network(kind: str = "rotary", **options):
    return transformer_for(CHAIN, small_config(1, 1, 4, 4, positions=kind, **options))


def run(path: Path | None = None, training: bc.Training = FEW, **settings) -> bc.Fit:
    settings = {"key": KEY, "progress": False} | settings
    return bc.fit(
        chain_network(), CHAIN, ORACLE, training=training, checkpoint=path, resume=True, **settings
    )
