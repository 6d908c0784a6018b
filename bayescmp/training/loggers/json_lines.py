"""A log in a text file, one JSON object a line."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bayescmp.training.loggers.logger import AbstractLogger

_BEGINNING = b'{"step": '
"""Of every line."""


class JsonLinesLogger(AbstractLogger):
    """Appends a line such as ``{"step": 50, "loss": 0.69}`` to a file, and flushes it.

    A line that a kill cut short is removed when the file is opened again. JSON has no word for
    a number that is not finite, so it stands there as ``"nan"``, ``"inf"`` or ``"-inf"``.

    Example:
        >>> with JsonLinesLogger("coin.jsonl") as logger:
        ...     logger.log(50, {"loss": 0.69})
        >>> read_log("coin.jsonl")
        (LogEntry(step=50, values={'loss': 0.69}),)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file to append to it.

        Args:
            path: Log to begin, or to go on with.

        Raises:
            ValueError: If the folder does not exist, or the file is no log.
            OSError: If the file cannot be opened.
        """
        target = Path(path)
        if not target.parent.is_dir():
            raise ValueError(f"path: expected a file in an existing folder, got {target}")
        if target.exists():
            os.truncate(target, _read_entries(target)[1])
        self._file = target.open("ab")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line.

        Args:
            step: Steps of training so far.
            values: Numbers by name.

        Raises:
            ValueError: If a number is called ``step``, or the logger is closed.
            OSError: If the line cannot be written.
        """
        if "step" in values:
            raise ValueError("values: expected names other than 'step', which a line has already")
        plain = {name: _to_json(float(value)) for name, value in values.items()}
        line = json.dumps({"step": int(step)} | plain, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class LogEntry:
    """What was taken down at one step."""

    step: int
    """Steps of training so far."""
    values: Mapping[str, float]
    """Numbers by name."""


def read_log(path: str | os.PathLike[str]) -> tuple[LogEntry, ...]:
    """Read a log, in which steps rise.

    A last line that a kill cut short is left out. A run that was killed and resumed goes back
    some steps, and what it wrote then replaces what stood there before.

    Args:
        path: File of a :class:`JsonLinesLogger`.

    Returns:
        One entry for each step.

    Raises:
        ValueError: If the file is no log, naming the line.
        OSError: If it cannot be read.
    """
    merged: dict[int, dict[str, float]] = {}
    for entry in _read_entries(Path(path))[0]:
        while merged and next(reversed(merged)) > entry.step:
            merged.popitem()
        merged.setdefault(entry.step, {}).update(entry.values)
    return tuple(LogEntry(step, values) for step, values in merged.items())


def _read_entries(path: Path) -> tuple[list[LogEntry], int]:
    """Return the entries of all whole lines, and the size of these lines in bytes."""
    data = path.read_bytes()
    *lines, torn = data.split(b"\n")
    entries = [_parse(line, number, path) for number, line in enumerate(lines, start=1)]
    if not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
        raise ValueError(_complaint(path, len(lines) + 1, torn))
    return entries, len(data) - len(torn)


def _parse(line: bytes, number: int, path: Path) -> LogEntry:
    """Read one line, or say which one cannot be read."""
    try:
        found = json.loads(line)
        step = int(found.pop("step"))
        return LogEntry(step, {name: float(value) for name, value in found.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(_complaint(path, number, line)) from error


def _complaint(path: Path, number: int, line: bytes) -> str:
    return (
        f"path: expected a log of steps and numbers, got {path} with {line[:40]!r} in line {number}"
    )


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)
