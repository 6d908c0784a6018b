"""Does a study that trains nothing reach its made-up numbers?

The tests copy this file elsewhere and run the copy by its path. Files beside the copy
decide what goes wrong: ``interrupt``, ``diverge`` and ``wait``.
"""

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
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{config.seeds}\n")
    if (HERE / "interrupt-at-once").exists():
        raise KeyboardInterrupt
    path = workspace.checkpoint_path(0)
    if path is not None:
        path.write_text("half")
    if (HERE / "interrupt").exists():
        raise KeyboardInterrupt
    if (HERE / "diverge").exists():
        raise TrainingDivergedError("training diverged at step 7:\n  try a lower learning rate")
    if (HERE / "wait").exists():
        (HERE / "waiting").touch()
        time.sleep(60)
    tree = synthetic_tree(num_seeds=config.seeds, length=config.length, rungs=config.rungs)
    return tree.drop_nodes("claims")
