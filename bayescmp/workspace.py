"""The folder that one run writes to: what is in it, and who may write there.

A run's folder holds ``config.json`` (what was asked for), ``checkpoints/``,
``results.nc``, ``report.html`` and ``claims.json``. Nothing in it is ever replaced by
the outcome of a different run, and one process at a time works in it.
"""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bayescmp.files import write_atomically
from bayescmp.run_record import RunRecord, describe_differences

try:
    import fcntl
except ImportError:  # Windows has no flock; a folder is then not locked.
    fcntl = None

_LOCK = ".lock"
_UNFINISHED_CONFIG = ".config.json.*.tmp"
_CODE_CHANGED = (
    "bayescmp: note: the study file or bayescmp changed since this run began; "
    "its checkpoints are used as they are"
)
_NO_LOCKS_HERE = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}

RunState = Literal["fresh", "unfinished", "complete"]
"""What a run's folder holds: nothing, a part of this run, or all of it."""


class FolderInUseError(ValueError):
    """Another process works in the folder."""


@dataclass(frozen=True)
class Workspace:
    """A run's output folder, or none for a run that keeps nothing on disk.

    Args:
        folder: Where the run's files go; None writes nothing.
        resume: Whether to go on from the checkpoints that are there.
        progress: Whether to show progress on the terminal.
        seeds: Indices of the seeds to train; None trains all that the configuration asks for.

    Example:
        >>> Workspace(Path("runs/coin")).checkpoint_path(0).name
        'seed_0.ckpt'
    """

    folder: Path | None = None
    resume: bool = False
    progress: bool = False
    seeds: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.seeds is None:
            return
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected different indices from 0 up, got {self.seeds}")

    def seed_indices(self, count: int) -> tuple[int, ...]:
        """Return which of a configuration's seeds to train.

        Args:
            count: Number of seeds that the configuration asks for.

        Returns:
            The indices in :attr:`seeds`, or all of ``0 .. count - 1``.

        Raises:
            ValueError: If an index in :attr:`seeds` is not below ``count``.

        Example:
            >>> Workspace().seed_indices(3), Workspace(seeds=(2,)).seed_indices(3)
            ((0, 1, 2), (2,))
        """
        if self.seeds is None:
            return tuple(range(count))
        if max(self.seeds) >= count:
            raise ValueError(f"seeds: expected indices below {count}, got {self.seeds}")
        return self.seeds

    def checkpoint_path(self, seed: int) -> Path | None:
        """Return where the checkpoint of one training seed is kept.

        Args:
            seed: Index of the training seed, 0 .. seeds - 1.

        Returns:
            The path, whose folder exists once the workspace is open; None without a folder.
        """
        folder = self.checkpoint_folder
        return None if folder is None else folder / f"seed_{seed}.ckpt"

    @property
    def checkpoint_folder(self) -> Path | None:
        """Where the checkpoints go; None without a folder."""
        return None if self.folder is None else self.folder / "checkpoints"

    @property
    def results_path(self) -> Path | None:
        """Where the results go; None without a folder."""
        return None if self.folder is None else self.folder / "results.nc"

    @property
    def report_path(self) -> Path | None:
        """Where the report goes; None without a folder."""
        return None if self.folder is None else self.folder / "report.html"

    @property
    def claims_path(self) -> Path | None:
        """Where the judged claims go; None without a folder."""
        return None if self.folder is None else self.folder / "claims.json"

    def has_checkpoints(self) -> bool:
        """Return whether there is a checkpoint to resume from."""
        folder = self.checkpoint_folder
        return folder is not None and any(folder.glob("seed_*.ckpt"))

    @contextmanager
    def opened(self, record: RunRecord) -> Iterator[RunState]:
        """Hold the folder for one run and write ``config.json`` into it.

        The lock goes with the process: a killed run leaves the folder free.

        Args:
            record: What the run is about to do.

        Yields:
            What the folder holds of this run: ``"complete"`` means that results are
            there and nothing needs to be done.

        Raises:
            ValueError: If the folder holds something else, a different run, or a part
                of this run while :attr:`resume` is off.
            FolderInUseError: If another process uses it.
            OSError: If the folder cannot be written.
        """
        if self.folder is None:
            yield "fresh"
            return
        _refuse_foreign(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(self.folder):
            state, record = _examine(self, self.folder, record)
            if state != "complete":
                if record.earlier and self.progress:
                    print(_CODE_CHANGED, file=sys.stderr)
                _set_aside_outputs(self.folder)
                write_atomically(self.folder / "config.json", record.to_json().encode())
                (self.folder / "checkpoints").mkdir(exist_ok=True)
            yield state


def _set_aside_outputs(folder: Path) -> None:
    """Clear the way for new outputs: keep earlier results under another name."""
    results = folder / "results.nc"
    if results.exists():
        os.replace(results, folder / "results.earlier.nc")
    for made_from_results in ("report.html", "claims.json"):
        (folder / made_from_results).unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """Raise unless the folder is absent, empty, or the folder of a run."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: expected a folder, got the file {str(folder)!r}")
    if not folder.exists() or _read_record(folder) is not None:
        return
    others = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name != _LOCK and not entry.match(_UNFINISHED_CONFIG)
    )
    if others:
        raise ValueError(
            f"out: expected an empty folder or one of an earlier run, but {str(folder)!r} "
            f"holds {others[0]!r} and no config.json; choose another folder with --out"
        )


def _read_record(folder: Path) -> RunRecord | None:
    """Read the record of the run in a folder, None where there is none."""
    path = folder / "config.json"
    if not path.exists():
        return None
    try:
        return RunRecord.from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"out: {str(path)!r} is {error}; choose another folder with --out"
        ) from error


def _examine(workspace: Workspace, folder: Path, record: RunRecord) -> tuple[RunState, RunRecord]:
    """Decide what the folder holds of a run, and the record to keep of it."""
    found = _read_record(folder)
    if found is None:
        return "fresh", record
    changed = describe_differences(found, record, code_too=not workspace.resume)
    if changed:
        raise ValueError(
            f"out: {str(folder)!r} holds a different run: {changed}; "
            f"choose another folder with --out"
        )
    same_code = (found.version, found.source) == (record.version, record.source)
    if same_code and (folder / "results.nc").exists():
        return "complete", found
    if workspace.has_checkpoints() and not workspace.resume:
        raise ValueError(
            f"out: {str(folder)!r} holds this run, unfinished; go on from its checkpoints "
            f"with --resume, or choose another folder with --out"
        )
    past = {"version": found.version, "source": found.source}
    earlier = found.earlier if same_code else (*found.earlier, past)
    return "unfinished", replace(record, earlier=earlier)


@contextmanager
def hold_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock file, which the operating system frees when we die.

    Args:
        folder: An existing folder.
        wait: Whether to wait for another holder instead of refusing.

    Yields:
        Nothing, while the lock is held.

    Raises:
        FolderInUseError: If another process holds it and nobody waits.
    """
    with (folder / _LOCK).open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise FolderInUseError(
                    f"out: {str(folder)!r} is in use by another process ({holder}); "
                    f"wait for it, or choose another folder with --out"
                ) from error
            except OSError as error:
                if error.errno not in _NO_LOCKS_HERE:
                    raise
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
