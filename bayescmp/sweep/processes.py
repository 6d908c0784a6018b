"""Perform cells in worker processes: fresh interpreters, each with its share of the machine.

A worker is started as a command and spoken to in lines of text. Nothing is forked or
pickled, the caller's main module is not imported a second time, and a worker that is killed
costs the one cell that it was working on.
"""

import contextlib
import glob
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bayescmp.sweep.cell import Cell
from bayescmp.sweep.perform import (
    CellOutcome,
    log_path,
    read_outcome,
    record_failure,
    write_order,
)

Job = tuple[Cell, Path]
"""A cell and its folder."""


def perform_in_processes(
    jobs: Sequence[Job], *, workers: int, report: Callable[[CellOutcome], None]
) -> None:
    """Perform cells in several processes at a time.

    Args:
        jobs: Cells with their folders.
        workers: Number of processes, at least one.
        report: Called in this thread with each outcome as it comes.

    Raises:
        ValueError: If a configuration cannot be sent to another process.
        KeyboardInterrupt: After Ctrl-C, once the workers have saved their state and ended;
            a second Ctrl-C kills them.
        OSError: If a process cannot be started.
    """
    orders: queue.SimpleQueue[tuple[Job, str]] = queue.SimpleQueue()
    for cell, folder in jobs:
        orders.put(((cell, folder), write_order(cell, folder)))
    crew = [_Worker(slot, workers) for slot in range(min(workers, len(jobs)))]
    done: queue.SimpleQueue[CellOutcome | BaseException] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_keep_busy, args=(worker, orders, done), daemon=True)
        for worker in crew
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            report(outcome)
    except BaseException:
        for worker in crew:
            worker.stop()
        raise
    finally:
        _wait_for(threads, crew)


def _wait_for(threads: Sequence[threading.Thread], crew: Sequence["_Worker"]) -> None:
    """Wait until all workers have ended; interrupted meanwhile, kill them."""
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        for worker in crew:
            worker.kill()
        raise


def _keep_busy(
    worker: "_Worker",
    orders: "queue.SimpleQueue[tuple[Job, str]]",
    done: "queue.SimpleQueue[CellOutcome | BaseException]",
) -> None:
    """Give a worker one order after the other until none is left."""
    try:
        while not worker.stopping:
            try:
                job, order = orders.get_nowait()
            except queue.Empty:
                break
            done.put(worker.perform(job, order))
        worker.finish()
    except BaseException as error:
        done.put(error)


class _Worker:
    """A place for one process at a time; a new one takes the place of a dead one."""

    def __init__(self, slot: int, count: int) -> None:
        """Begin without a process, which is started by the first order."""
        self.stopping = False
        self._starting = threading.Lock()
        self._slot = slot
        self._count = count
        self._process: subprocess.Popen[str] | None = None

    def perform(self, job: Job, order: str) -> CellOutcome:
        """Have one cell performed, and say so where the process dies of it."""
        cell, folder = job
        clock = time.perf_counter()
        with self._starting:
            if self.stopping:
                return CellOutcome(cell.configuration, cell.seed, str(folder), "missing")
            process = self._process = self._process or self._start(log_path(folder))
        answer = _ask(process, order)
        if answer:
            return read_outcome(answer)
        status = _end(process)
        self._process = None
        seconds = time.perf_counter() - clock
        if self.stopping:
            return CellOutcome(cell.configuration, cell.seed, str(folder), "missing")
        log = log_path(folder)
        details = f"What it wrote is in {log.name}.\n"
        return record_failure(cell, folder, _describe_death(status, log), details, seconds)

    def stop(self) -> None:
        """Let the cell at work save its state, and begin no other."""
        with self._starting:
            self.stopping = True
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)

    def finish(self) -> None:
        """Wait for the process to end, which it does when no order can come any more."""
        if self._process is not None:
            _end(self._process)

    def kill(self) -> None:
        """End the process at once."""
        with self._starting:
            self.stopping = True
            if self._process is not None:
                self._process.kill()

    def _start(self, log: Path) -> subprocess.Popen[str]:
        """Start a process in a group of its own, which Ctrl-C on the terminal does not reach."""
        cores, environment = share_machine(self._slot, self._count)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "bayescmp.sweep.worker", ",".join(map(str, cores))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env={**os.environ, **environment},
                process_group=0,
            )


def _ask(process: subprocess.Popen[str], order: str) -> str:
    """Send an order and wait for the answer, which is empty where the process died."""
    if process.stdin is None or process.stdout is None:
        raise OSError("worker: expected pipes to its process, got none")
    try:
        process.stdin.write(order + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return ""
    return process.stdout.readline()


def _end(process: subprocess.Popen[str]) -> int:
    """Close the ways to a process, which ends it, and return its exit status."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # an order that a dead process never read
                pipe.close()
    return process.wait()


def _describe_death(status: int, log: Path) -> str:
    """Say how a worker ended, with the last line that it wrote."""
    if status < 0:
        return f"the worker was killed by {signal.Signals(-status).name}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
    return f"the worker ended with status {status}: {last.strip()}"


# ---------------------------------------------------------------- share of the machine


def share_machine(slot: int, count: int) -> tuple[list[int], Mapping[str, str]]:
    """Return what one of several workers may use.

    Args:
        slot: Number of the worker, 0 .. count - 1.
        count: Number of workers.

    Returns:
        Its cores, at least one, and what its environment has besides that of this process:
        the way to what this process imports, and its accelerator. Workers that share an
        accelerator take even parts of three quarters of its memory.
    """
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    accelerators = _list_accelerators()
    if accelerators:
        sharing = -(-count // len(accelerators))
        environment["CUDA_VISIBLE_DEVICES"] = accelerators[slot % len(accelerators)]
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 / sharing:.3f}"
    return _share(_list_cores(), slot, count), environment


def _share(cores: Sequence[int], slot: int, count: int) -> list[int]:
    """Divide cores as evenly as they go; workers beyond their number double up."""
    if count >= len(cores):
        return [cores[slot % len(cores)]]
    return list(cores[slot * len(cores) // count : (slot + 1) * len(cores) // count])


def _list_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _list_accelerators() -> list[str]:
    """Return the NVIDIA devices that this process may use, without starting JAX."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(index) for index in range(len(glob.glob("/dev/nvidia[0-9]*")))]
