"""Logs that survive a kill, and what other people's trackers are told."""

import json
import math
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bayescmp.training.loggers import (
    AbstractLogger,
    JsonLinesLogger,
    LogEntry,
    MLflowLogger,
    TensorBoardLogger,
    WandbLogger,
    read_log,
)

ENTRIES = (LogEntry(10, {"loss": 0.7, "excess": 0.1}), LogEntry(20, {"loss": 0.6}))


class Recorder:
    """Takes down every call, with the call shapes that the three trackers document."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.calls.append(("add_scalar", tag, scalar_value, global_step))

    def flush(self) -> None:
        self.calls.append(("flush",))

    def close(self) -> None:
        self.calls.append(("close",))

    def log(self, data: dict, step: int | None = None) -> None:
        self.calls.append(("log", data, step))

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: float,
        timestamp: int | None = None,
        step: int | None = None,
    ) -> None:
        self.calls.append(("log_metric", run_id, key, value, timestamp, step))


def pretend_package(monkeypatch: pytest.MonkeyPatch, name: str, **attributes) -> None:
    """Let an import find a package that is not installed."""
    module = ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


def fill(logger: AbstractLogger) -> None:
    with logger:
        for entry in ENTRIES:
            logger.log(entry.step, entry.values)


# ----------------------------------------------------------------- JSON lines


def test_what_was_logged_is_read(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    fill(JsonLinesLogger(path))
    assert read_log(path) == ENTRIES
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 10, "loss": 0.7, "excess": 0.1}, {"step": 20, "loss": 0.6}]


def test_opening_again_goes_on(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    fill(JsonLinesLogger(path))
    with JsonLinesLogger(path) as logger:
        logger.log(30, {"loss": 0.5})
    assert read_log(path) == (*ENTRIES, LogEntry(30, {"loss": 0.5}))


def test_each_line_is_there_at_once(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with JsonLinesLogger(path) as logger:
        logger.log(10, ENTRIES[0].values)
        assert read_log(path) == ENTRIES[:1]


def test_numbers_that_are_not_finite_come_back(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with JsonLinesLogger(path) as logger:
        logger.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(word: str):
        raise ValueError(f"{word} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    (entry,) = read_log(path)
    assert math.isnan(entry.values["a"])
    assert (entry.values["b"], entry.values["c"]) == (math.inf, -math.inf)


def test_numbers_of_numpy_keep_their_value(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with JsonLinesLogger(path) as logger:
        logger.log(1, {"loss": np.float64(0.1)})
    assert read_log(path) == (LogEntry(1, {"loss": 0.1}),)


@pytest.mark.parametrize("size", range(1, 28))
def test_line_that_was_cut_short_is_left_out(size: int, tmp_path: Path):
    path = tmp_path / "log.jsonl"
    fill(JsonLinesLogger(path))
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"step": 30, "loss": 0.125}\n'[:size])
    assert read_log(path) == ENTRIES
    with JsonLinesLogger(path) as logger:
        assert path.stat().st_size == whole
        logger.log(30, {"loss": 0.5})
    assert read_log(path) == (*ENTRIES, LogEntry(30, {"loss": 0.5}))


def test_resumed_run_replaces_what_it_repeats(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with JsonLinesLogger(path) as logger:
        for step, loss in [(10, 0.9), (20, 0.8), (30, 0.7), (20, 0.5), (40, 0.4)]:
            logger.log(step, {"loss": loss})
        logger.log(40, {"excess": 0.1})
    assert read_log(path) == (
        LogEntry(10, {"loss": 0.9}),
        LogEntry(20, {"loss": 0.5}),
        LogEntry(40, {"loss": 0.4, "excess": 0.1}),
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"PK\x03\x04 an archive", 1),
        (b'{"step": 1}\nnothing\n{"step": 2}\n', 2),
        (b'{"loss": 0.5}\n', 1),
        (b'{"step": 1, "loss": [2]}\n', 1),
        (b'[1, 2]\n{"step": 1}\n', 1),
        (b'{"step": 1}\n\xff\xfe', 2),
    ],
)
def test_file_that_is_no_log_is_refused_and_left_alone(content: bytes, line: int, tmp_path: Path):
    path = tmp_path / "other"
    path.write_bytes(content)
    told = re.escape(f"path: expected a log of steps and numbers, got {path} with ")
    for reads in (read_log, JsonLinesLogger):
        with pytest.raises(ValueError, match=rf"^{told}[^\n]* in line {line}$"):
            reads(path)
    assert path.read_bytes() == content


def test_wrong_names_and_folders_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^path: expected a file in an existing folder, got "):
        JsonLinesLogger(tmp_path / "missing" / "log.jsonl")
    with (
        JsonLinesLogger(tmp_path / "log.jsonl") as logger,
        pytest.raises(ValueError, match=r"^values: expected names other than 'step'"),
    ):
        logger.log(1, {"step": 2.0})
    with pytest.raises(ValueError, match="closed"):
        logger.log(1, {"loss": 2.0})
    assert read_log(tmp_path / "log.jsonl") == ()


# ------------------------------------------------------------------- trackers


def test_tensorboard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writer, folders = Recorder(), []

    def open_writer(folder: str) -> Recorder:
        folders.append(folder)
        return writer

    pretend_package(monkeypatch, "tensorboardX", SummaryWriter=open_writer)
    fill(TensorBoardLogger(tmp_path / "run"))
    assert folders == [os.fspath(tmp_path / "run")]
    assert writer.calls == [
        ("add_scalar", "loss", 0.7, 10),
        ("add_scalar", "excess", 0.1, 10),
        ("flush",),
        ("add_scalar", "loss", 0.6, 20),
        ("flush",),
        ("close",),
    ]


def test_weights_and_biases_is_told_and_not_finished():
    run = Recorder()
    fill(WandbLogger(run))
    assert run.calls == [("log", dict(e.values), e.step) for e in ENTRIES]


def test_mlflow_is_told_and_not_ended():
    client = Recorder()
    fill(MLflowLogger("a1b2", client))
    assert client.calls == [
        ("log_metric", "a1b2", "loss", 0.7, None, 10),
        ("log_metric", "a1b2", "excess", 0.1, None, 10),
        ("log_metric", "a1b2", "loss", 0.6, None, 20),
    ]


def test_mlflow_makes_its_own_client(monkeypatch: pytest.MonkeyPatch):
    client = Recorder()
    pretend_package(monkeypatch, "mlflow", MlflowClient=lambda: client)
    fill(MLflowLogger("a1b2"))
    assert len(client.calls) == 3


@pytest.mark.parametrize(
    ("package", "extra", "make"),
    [("tensorboardX", "tensorboard", TensorBoardLogger), ("mlflow", "mlflow", MLflowLogger)],
)
def test_missing_package_names_the_extra(
    package: str, extra: str, make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=package) as caught:
        make("anything")
    (note,) = caught.value.__notes__
    assert note.endswith(f"needs an optional package: pip install 'bayescmp[{extra}]'")
