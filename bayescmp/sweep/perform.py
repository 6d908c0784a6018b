"""Perform one cell and say how it went: in this process, or in another by a line of text."""

import json
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bayescmp.files import write_atomically
from bayescmp.running import config_fields, run_study, study_key
from bayescmp.study import load_study
from bayescmp.sweep.cell import Cell, digest
from bayescmp.sweep.fields import restore_config
from bayescmp.workspace import FolderInUseError, Workspace

State = Literal["complete", "failed", "in use", "missing"]


@dataclass(frozen=True)
class CellOutcome:
    """How a cell stands.

    Example:
        >>> CellOutcome("two layers", 0, "runs/cells/two-layers-seed0-0123456789", "missing").error
        ''
    """

    configuration: str
    """Name of the configuration."""
    seed: int
    """Index of the seed."""
    folder: str
    """Where the cell's files are."""
    state: State
    """``in use``: another process works on it; ``missing``: nobody has done it yet."""
    error: str = ""
    """Why it failed, in one line."""
    seconds: float = 0.0
    """How long the attempt took, start and end included."""


def results_of(folder: Path) -> Path:
    """Return the file whose presence means that a cell is complete."""
    return folder / "results.nc"


def error_path(folder: Path) -> Path:
    """Return where a cell's error is kept: one line, then the traceback."""
    return folder.with_name(f"{folder.name}.error.txt")


def log_path(folder: Path) -> Path:
    """Return where another process writes what a cell prints."""
    return folder.with_name(f"{folder.name}.log")


def inspect_cell(cell: Cell, folder: Path) -> CellOutcome:
    """Say from its files alone how a cell stands.

    Args:
        cell: The cell.
        folder: Its folder, which may not exist.

    Returns:
        ``complete``, ``failed`` with the first line of the error, or ``missing``.
    """
    path = error_path(folder)
    if results_of(folder).exists():
        return CellOutcome(cell.configuration, cell.seed, str(folder), "complete")
    if path.exists():
        error = path.read_text(encoding="utf-8").partition("\n")[0]
        return CellOutcome(cell.configuration, cell.seed, str(folder), "failed", error)
    return CellOutcome(cell.configuration, cell.seed, str(folder), "missing")


def record_failure(
    cell: Cell, folder: Path, error: str, details: str, seconds: float
) -> CellOutcome:
    """Keep why a cell failed beside its folder.

    Args:
        cell: The cell.
        folder: Its folder.
        error: Why, in one line.
        details: The traceback, or where to find more.
        seconds: How long the attempt took.

    Returns:
        The failed outcome.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(error_path(folder), f"{error}\n\n{details}".encode())
    return CellOutcome(cell.configuration, cell.seed, str(folder), "failed", error, seconds)


def perform_cell(cell: Cell, folder: Path, *, progress: bool = False) -> CellOutcome:
    """Train and compare one seed of one configuration, going on from its checkpoint.

    Args:
        cell: The cell.
        folder: Where its files go; held by this process meanwhile.
        progress: Whether to show progress on the terminal.

    Returns:
        How it went. An error of the study is recorded and not raised.

    Raises:
        KeyboardInterrupt: After Ctrl-C, once the training has saved its state.
    """
    clock = time.perf_counter()
    workspace = Workspace(folder, resume=True, progress=progress, seeds=(cell.seed,))
    try:
        key = study_key(cell.config)
        run_study(cell.study, config=cell.config, key=key, workspace=workspace, pages=False)
    except FolderInUseError as error:
        return CellOutcome(cell.configuration, cell.seed, str(folder), "in use", str(error))
    except (Exception, SystemExit) as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        seconds = time.perf_counter() - clock
        return record_failure(cell, folder, message, traceback.format_exc(), seconds)
    error_path(folder).unlink(missing_ok=True)
    seconds = time.perf_counter() - clock
    return CellOutcome(cell.configuration, cell.seed, str(folder), "complete", seconds=seconds)


# ------------------------------------------------------------- between processes


def write_order(cell: Cell, folder: Path) -> str:
    """Put a cell into one line of text, from which another process can perform it.

    Args:
        cell: The cell.
        folder: Where its files go.

    Returns:
        JSON without line breaks.

    Raises:
        ValueError: If the configuration does not come back from JSON as it was.
    """
    fields = config_fields(cell.study, cell.config)
    if restore_config(type(cell.config), fields) != cell.config:
        raise ValueError(
            f"configs: expected fields that come back from JSON as they were, got {cell.config!r}; "
            f"sweep it with workers=1"
        )
    order = {
        "study": str(cell.study.source.resolve()),
        "configuration": cell.configuration,
        "config": fields,
        "seed": cell.seed,
        "folder": str(folder.resolve()),
        "digest": digest(cell.study, cell.config, cell.seed),
    }
    return json.dumps(order)


def perform_order(line: str) -> str:
    """Perform the cell that a line of text describes.

    Args:
        line: What :func:`write_order` wrote.

    Returns:
        The outcome as JSON without line breaks, for :func:`read_outcome`.

    Raises:
        ValueError: If the study cannot be loaded, or was edited since the order was written.
        KeyboardInterrupt: As :func:`perform_cell`.
    """
    order = json.loads(line)
    study = load_study(order["study"])
    config = restore_config(study.config_type, order["config"])
    cell = Cell(study, order["configuration"], config, order["seed"])
    if digest(study, config, cell.seed) != order["digest"]:
        raise ValueError(f"study: {order['study']!r} was edited since the sweep began")
    return json.dumps(asdict(perform_cell(cell, Path(order["folder"]))))


def read_outcome(line: str) -> CellOutcome:
    """Read what :func:`perform_order` returned.

    Args:
        line: JSON of an outcome.

    Returns:
        The outcome.
    """
    return CellOutcome(**json.loads(line))
