"""Perform cells as an array of Slurm jobs, through submitit.

A job writes the same files as a cell that is performed here. Whether it has ended is read
off its files and Slurm's queue, since not every cluster keeps accounts.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayescmp.sweep.cell import Cell
from bayescmp.sweep.perform import (
    CellOutcome,
    error_path,
    read_outcome,
    record_failure,
    write_order,
)
from bayescmp.sweep.resources import SlurmResources
from bayescmp.sweep.worker import perform_on_all_cores

if TYPE_CHECKING:
    import submitit  # pyright: ignore[reportMissingImports]

_POLL_SECONDS = 2.0
_POLLS_OF_GRACE = 5  # a shared file system may show a job's result late


@dataclass(frozen=True)
class _Submitted:
    """A cell that was handed to Slurm."""

    cell: Cell
    folder: Path
    job: "submitit.Job[str]"


def perform_on_slurm(
    jobs: Sequence[tuple[Cell, Path]],
    *,
    folder: Path,
    resources: SlurmResources,
    workers: int,
    report: Callable[[CellOutcome], None],
) -> None:
    """Submit one job for each cell and wait for all of them.

    Args:
        jobs: Cells with their folders, on a disk that the nodes see.
        folder: Where submitit keeps its files and the jobs' logs.
        resources: What each cell asks for.
        workers: How many jobs may run at a time.
        report: Called with each outcome as it comes.

    Raises:
        ValueError: If there is no Slurm here, or a configuration cannot be sent to a job.
        ImportError: If submitit is not installed.
        KeyboardInterrupt: After Ctrl-C, once the jobs are cancelled.
    """
    orders = [write_order(cell, path) for cell, path in jobs]
    executor = _make_executor(folder, resources, workers)
    for _, path in jobs:
        error_path(path).unlink(missing_ok=True)
    submitted = executor.map_array(perform_on_all_cores, orders)
    waiting = [
        _Submitted(cell, path, job) for (cell, path), job in zip(jobs, submitted, strict=True)
    ]
    try:
        _wait(waiting, report)
    except KeyboardInterrupt:
        for job in submitted:
            job.cancel(check=False)
        raise


def _make_executor(
    folder: Path, resources: SlurmResources, workers: int
) -> "submitit.AutoExecutor":
    """Say to submitit what each job asks for."""
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        error.add_note("(the extra slurm installs it: pip install 'bayescmp[slurm]')")
        raise
    if shutil.which("sbatch") is None:
        raise ValueError("executor: expected 'slurm' where there is Slurm, got no command sbatch")
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    executor.update_parameters(
        name="bayescmp",
        timeout_min=resources.minutes,
        cpus_per_task=resources.cpus,
        slurm_array_parallelism=workers,
    )
    if resources.gpus:
        executor.update_parameters(gpus_per_node=resources.gpus)
    if resources.memory_gb is not None:
        executor.update_parameters(mem_gb=resources.memory_gb)
    if resources.partition is not None:
        executor.update_parameters(slurm_partition=resources.partition)
    return executor


def _wait(waiting: Sequence[_Submitted], report: Callable[[CellOutcome], None]) -> None:
    """Report each job's outcome once it has written one or has left the queue."""
    left = dict.fromkeys((item.job.job_id for item in waiting), 0)
    while left:
        queued = _list_queue()
        for item in waiting:
            name = item.job.job_id
            if name not in left:
                continue
            if item.job.paths.result_pickle.exists():
                report(_read_result(item))
                del left[name]
            elif queued is not None and name not in queued:
                left[name] += 1
                if left[name] >= _POLLS_OF_GRACE:
                    report(_give_up(item, "ended without a result"))
                    del left[name]
        if left:
            time.sleep(_POLL_SECONDS)


def _list_queue() -> set[str] | None:
    """Return the jobs of this user that wait or run; None where Slurm does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.split()) if done.returncode == 0 else None


def _read_result(item: _Submitted) -> CellOutcome:
    """Read what a job returned, or the error that it raised."""
    error = item.job.exception()
    if error is None:
        return read_outcome(item.job.result())
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    traceback_end = [line for line in lines if not line.startswith("You can check")]
    return _give_up(item, f"failed: {traceback_end[-1].strip() if traceback_end else 'no reason'}")


def _give_up(item: _Submitted, what: str) -> CellOutcome:
    """Record that a job brought no outcome."""
    details = f"What it wrote is in {item.job.paths.stdout}\nand {item.job.paths.stderr}.\n"
    error = f"Slurm job {item.job.job_id} {what}"
    return record_failure(item.cell, item.folder, error, details, 0.0)
