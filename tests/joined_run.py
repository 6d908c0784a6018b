"""Train a small network in this process, alone or together with others; for test_hosts.

    python joined_run.py FOLDER NUM_DEVICES [ADDRESS NUM_PROCESSES PROCESS_ID]

Process ``i`` writes the losses and the weights that it ends with to ``FOLDER/i.npz``.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import bayescmp as bc

FOLDER, NUM_DEVICES, *HOSTS = sys.argv[1:]
jax.config.update("jax_num_cpu_devices", int(NUM_DEVICES))
if HOSTS:
    bc.join_hosts(HOSTS[0], num_processes=int(HOSTS[1]), process_id=int(HOSTS[2]), timeout=240.0)


def main() -> None:
    model = bc.models.Bijection(3)
    config = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=4, mlp_size=6)
    networks = [bc.build_network(config, model, key=jax.random.key(seed)) for seed in range(2)]
    fits = bc.fit_seeds(
        networks,
        model,
        bc.derive_oracle(model),
        keys=[jax.random.key(10), jax.random.key(11)],
        training=bc.Training(num_steps=6, batch_size=8, chunk_size=3, checkpoint_every=3),
        checkpoint=Path(FOLDER) / "run.ckpt",
        progress=False,
    )
    number = jax.process_index()
    weights = np.concatenate(
        [leaf.ravel() for fit in fits for leaf in jax.tree.leaves(fit.network.blocks)]
    )
    np.savez(
        Path(FOLDER) / f"{number}.npz",
        loss=np.stack([fit.loss for fit in fits]),
        weights=weights,
        devices=fits[0].num_devices,
    )


if __name__ == "__main__":
    main()
