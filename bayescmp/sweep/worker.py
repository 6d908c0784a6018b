"""A process that performs cells: one order a line on its input, one outcome a line back.

Nothing heavy is imported before the process has taken its share of the cores, so that
every thread pool is made for that share. What a cell prints goes to the cell's log.
"""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Perform the cells ordered on standard input until it ends.

    Returns:
        Exit status: 0 at the end of the input, 130 after an interrupt.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _take_cores(sys.argv[1])
    try:
        for line in sys.stdin:
            _write_to(Path(json.loads(line)["folder"]))
            print(perform_on_all_cores(line), file=answers, flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


def _take_cores(cores: str) -> None:
    """Keep to the given cores, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def _write_to(folder: Path) -> None:
    """Send standard output and standard error to the log of a cell."""
    from bayescmp.sweep.perform import log_path

    folder.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def perform_on_all_cores(line: str) -> str:
    """Perform one order on all cores that this process has.

    Args:
        line: What ``write_order`` wrote.

    Returns:
        The outcome, for ``read_outcome``.
    """
    from bayescmp.sweep.perform import perform_order
    from bayescmp.training.devices.cores import use_all_cores

    use_all_cores()
    return perform_order(line)


if __name__ == "__main__":
    sys.exit(main())
