"""Which states of a run are kept on the disk."""

from dataclasses import dataclass
from pathlib import Path

from bayescmp.training.checkpoints.resume import Identity, identify, restore_progress, save_progress
from bayescmp.training.checkpoints.snapshots import check_snapshots, snapshot_path, snapshot_steps
from bayescmp.training.devices.hosts import is_first
from bayescmp.training.problem import Keys, Problem
from bayescmp.training.progress import Progress
from bayescmp.training.settings import Training


@dataclass(frozen=True)
class Keeper:
    """Keeps one run in a checkpoint that is replaced, and in snapshots that are not.

    Of several processes the first one writes, and all read: the folder must be one that
    all of them see.
    """

    path: Path | None
    """File of the checkpoint; None keeps nothing."""
    identity: Identity
    """Which run it is."""
    snapshots: tuple[int, ...]
    """Steps whose states are kept for good."""

    @staticmethod
    def of(path: Path | None, problem: Problem, training: Training, *, keys: Keys) -> "Keeper":
        """Return what keeps a run.

        Args:
            path: File of the checkpoint; None keeps nothing.
            problem: What is trained, and on what.
            training: Settings.
            keys: Root keys of the data.

        Returns:
            The keeper, which has written nothing yet.

        Raises:
            ValueError: If snapshots are asked for without a checkpoint, or another run's
                snapshots lie where they would go.
        """
        count = training.num_snapshots
        if count and path is None:
            raise ValueError(
                f"num_snapshots: expected 0 for a run without a checkpoint file, got {count}"
            )
        identity = identify(problem, training, key=keys)
        if count and path is not None:
            check_snapshots(path, identity)
        return Keeper(path, identity, snapshot_steps(training.num_steps, count))

    def restore(self, start: Progress, problem: Problem) -> Progress:
        """Return where the checkpoint stands, or the start where there is none.

        Args:
            start: The run before its first step.
            problem: What is trained, and on what.

        Returns:
            Where to go on.

        Raises:
            ValueError: If the checkpoint is damaged or belongs to another run.
        """
        if self.path is None or not self.path.exists():
            return start
        return restore_progress(self.path, start, self.identity, problem)

    def save(self, run: Progress) -> None:
        """Replace the checkpoint.

        Args:
            run: Where the run stands.

        Raises:
            OSError: If the file cannot be written; an earlier one is left as it was.
        """
        if self.path is not None and is_first():
            save_progress(self.path, run, self.identity)

    def save_snapshot(self, run: Progress) -> None:
        """Write a snapshot, if this is one of its steps.

        Args:
            run: Where the run stands.

        Raises:
            OSError: If the file cannot be written.
        """
        if self.path is not None and is_first() and run.step in self.snapshots:
            save_progress(snapshot_path(self.path, run.step), run, self.identity)

    def next_stop(self, step: int, training: Training) -> int:
        """Return where the chunk of steps ends that begins at a step.

        Args:
            step: First step of the chunk.
            training: Settings.

        Returns:
            The next multiple of the chunk size, snapshot, or end of the run.
        """
        whole = (step // training.chunk_size + 1) * training.chunk_size
        return min(whole, training.num_steps, *(s for s in self.snapshots if s > step))
