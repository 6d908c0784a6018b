"""One small run, which a test lets finish and a child process does not: it kills itself.

``python resumed_run.py CHECKPOINT writing`` is killed while it writes its second checkpoint,
``... training`` as soon as its first one is there. No handler or ``finally`` runs.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import jax
from small_networks import small_config, transformer_for

import bayescmp as bc
from bayescmp.models import Bijection
from bayescmp.training.loop import Training

MODEL = Bijection(3)
# Chunks of 5 end at 5, 10, 15, ...; checkpoints fall on 10, 20, 30, ...
TRAINING = Training(
    num_steps=200, batch_size=8, chunk_size=5, checkpoint_every=7, optimiser=bc.AdamW()
)


def run(path: Path | None, **changes) -> bc.Fit:
    """Train, from the checkpoint if there is one."""
    network = transformer_for(MODEL, small_config(1, 1, 4, 6))
    settings = {"key": jax.random.key(5), "training": TRAINING, "resume": True} | changes
    oracle = bc.derive_oracle(MODEL)
    return bc.fit(network, MODEL, oracle, checkpoint=path, progress=False, **settings)


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_second_write() -> None:
    """Die with a whole temporary file on the disk, before it gets its name."""
    replace, count = os.replace, 0

    def counted(source, target):
        nonlocal count
        count += 1
        if count == 2:
            kill_myself()
        replace(source, target)

    os.replace = counted


def kill_after_first_checkpoint(path: Path) -> None:
    """Die in the middle of whatever is computed when a first checkpoint appears."""

    def watch() -> None:
        while not path.exists():
            time.sleep(0.001)
        kill_myself()

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    checkpoint = Path(sys.argv[1])
    if sys.argv[2] == "writing":
        kill_at_second_write()
    else:
        kill_after_first_checkpoint(checkpoint)
    run(checkpoint)
