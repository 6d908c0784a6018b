"""Does a study that trains nothing reach its made-up numbers?

The tests copy this file elsewhere and run the copy by its path. Files beside the copy
decide what goes wrong: ``interrupt``, ``diverge``, ``wait``, and ``kill`` or ``diverge``
with the number of a seed.
"""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from synthetic_tree import synthetic_tree

from bayescmp._types import Key
from bayescmp.results.claims import Claim
from bayescmp.training.loop import TrainingDivergedError
from bayescmp.workspace import Workspace

HERE = Path(__file__).parent
NUM_SEEDS = 5


@dataclass(frozen=True)
class Config:
    """Sizes of the made-up comparison."""

    seeds: int
    length: int = 5
    rungs: tuple[str, ...] = ("uniform", "window 1")


PRESETS = {"quick": Config(seeds=2), "default": Config(seeds=5)}
CLAIMS = (
    Claim("KL to exact is below 0.01 bit", "/divergence/mean_kl", 0.01, "below"),
    Claim("KL to exact is above 0.01 bit", "/divergence/mean_kl", 0.01, "above"),
)


def run(config: Config, *, key: Key, workspace: Workspace) -> xr.DataTree:
    """Make a comparison up, leaving a checkpoint and a count of the calls."""
    seeds = workspace.seed_indices(config.seeds)
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{len(seeds)}\n")
    if (HERE / "interrupt-at-once").exists():
        raise KeyboardInterrupt
    path = workspace.checkpoint_path(seeds[0])
    if path is not None:
        path.write_text("half")
    if (HERE / "interrupt").exists():
        raise KeyboardInterrupt
    if (HERE / f"kill-{seeds[0]}").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if (HERE / "diverge").exists() or (HERE / f"diverge-{seeds[0]}").exists():
        raise TrainingDivergedError("training diverged at step 7:\n  try a lower learning rate")
    if (HERE / "wait").exists():
        (HERE / "waiting").touch()
        time.sleep(60)
    tree = synthetic_tree(num_seeds=NUM_SEEDS, length=config.length, rungs=config.rungs)
    return choose_seeds(tree.drop_nodes("claims"), seeds)


def choose_seeds(tree: xr.DataTree, seeds: tuple[int, ...]) -> xr.DataTree:
    """Take some of the seeds out, with what the attributes say of them."""
    groups = {
        path: group.isel(seed=list(seeds), missing_dims="ignore")
        for path, group in ((path, tree[path].to_dataset()) for path in tree.groups)
    }
    training = groups["/training"].attrs
    seconds = json.loads(training["seconds"])
    training["seconds"] = json.dumps([seconds[seed] for seed in seeds])
    training["flops_total"] *= len(seeds) / len(seconds)
    groups["/"].attrs["seeds"] = json.dumps(seeds)
    return xr.DataTree.from_dict(groups)
