"""Snapshots: checkpoints that are kept at log-spaced steps, to study how a network learns."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayescmp.networks.network import NetworkLike
from bayescmp.training.checkpoints.checkpoint import read_header
from bayescmp.training.checkpoints.resume import Identity, check_same_run
from bayescmp.training.checkpoints.stored_network import load_network, read_seed

_NAME = re.compile(r"step_(\d+)\.ckpt")


@dataclass(frozen=True)
class Snapshot:
    """A run as it was after some of its steps."""

    step: int
    """Steps done."""
    path: Path
    """A whole checkpoint; a copy of it can be resumed."""

    def network(
        self, seed: int = 0, *, averaged: bool = False, like: NetworkLike | None = None
    ) -> NetworkLike:
        """Read the network.

        Args:
            seed: Which of the networks that were trained together.
            averaged: Whether to take the moving average of the weights.
            like: A network of the same structure; only a network from elsewhere needs it.

        Returns:
            The network after these steps.

        Raises:
            ValueError: As :func:`load_network` does.
        """
        return load_network(self.path, seed, averaged=averaged, like=like)

    def optimiser_arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Read the optimiser's state: moments, counts and what else it keeps.

        Args:
            seed: Which of the networks that were trained together.

        Returns:
            Arrays by their paths.

        Raises:
            ValueError: If the file is damaged, or there is no such seed.
        """
        return read_seed(self.path, "opt_state", seed)


def snapshot_steps(num_steps: int, count: int) -> tuple[int, ...]:
    """Return log-spaced steps: 0, then from 1 on each about the same factor after the last.

    Where whole numbers are too coarse for the factor, steps follow each other one by one
    and the factor for the rest is larger, so that no two are the same.

    Args:
        num_steps: Length of the run; the last of the steps.
        count: How many steps; one alone is the last, none is none. At most
            ``num_steps + 1`` are there.

    Returns:
        Increasing steps.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> snapshot_steps(1000, 6)
        (0, 1, 6, 33, 182, 1000)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps: expected at least 1, got {num_steps}")
    if count < 0:
        raise ValueError(f"count: expected at least 0, got {count}")
    count = min(count, num_steps + 1)
    if count < 3:
        return (0, num_steps)[2 - count :]
    steps = [0, 1]
    for num_left in range(count - 2, 0, -1):
        factor = (num_steps / steps[-1]) ** (1 / num_left)
        steps.append(max(steps[-1] + 1, round(steps[-1] * factor)))
    return tuple(steps)


def snapshot_path(checkpoint: Path, step: int) -> Path:
    """Return the file of a run's snapshot.

    Args:
        checkpoint: File of the run.
        step: Steps done.

    Returns:
        A file in a folder beside the checkpoint; names sort as steps do.

    Example:
        >>> from pathlib import Path
        >>> snapshot_path(Path("run/seed_0.ckpt"), 32).as_posix()
        'run/seed_0.snapshots/step_000000032.ckpt'
    """
    return _folder(checkpoint) / f"step_{step:09d}.ckpt"


def load_snapshots(checkpoint: str | os.PathLike[str]) -> tuple[Snapshot, ...]:
    """Find the snapshots of a run.

    Args:
        checkpoint: File of the run; it may be gone.

    Returns:
        Snapshots in the order of their steps.

    Raises:
        ValueError: If one is damaged, was renamed or belongs to another run.
    """
    path = Path(checkpoint)
    found = _find(path)
    files = [path] if path.exists() else []
    for first in [*files, *(snapshot.path for snapshot in found)][:1]:
        check_snapshots(path, read_header(first)["run"])
    return found


def check_snapshots(checkpoint: Path, identity: Identity) -> None:
    """Check that a run would not mix its snapshots with those of another one.

    Args:
        checkpoint: File of the run.
        identity: Which run it is.

    Raises:
        ValueError: If a snapshot of another run is there, or a damaged one.
    """
    for snapshot in _find(checkpoint):
        check_same_run(snapshot.path, identity)


def _find(checkpoint: Path) -> tuple[Snapshot, ...]:
    """List the snapshots of a checkpoint; what else is in their folder is left alone."""
    folder = _folder(checkpoint)
    if not folder.is_dir():
        return ()
    matches = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
    found = [Snapshot(int(match[1]), path) for path, match in matches if match]
    for snapshot in found:
        step = read_header(snapshot.path)["step"]
        if step != snapshot.step:
            raise ValueError(f"checkpoint {str(snapshot.path)!r} is of step {step}; rename it")
    return tuple(sorted(found, key=lambda snapshot: snapshot.step))


def _folder(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".snapshots")
