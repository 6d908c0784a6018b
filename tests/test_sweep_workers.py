"""Cells in other processes: the same files, and a death costs one cell."""

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest

from bayescmp.study import Study, load_study
from bayescmp.sweep.cell import Cell
from bayescmp.sweep.perform import CellOutcome, error_path, perform_order, write_order
from bayescmp.sweep.processes import perform_in_processes, share_machine
from bayescmp.workspace import hold_lock

FAKE_STUDY = Path(__file__).with_name("fake_study.py")
Jobs = list[tuple[Cell, Path]]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load_study(shutil.copy(FAKE_STUDY, tmp_path / "my_study.py"))


def make_jobs(study: Study, folder: Path, seeds: int) -> Jobs:
    config = dataclasses.replace(study.presets["quick"], length=4, seeds=seeds)  # pyright: ignore
    return [(Cell(study, "a", config, seed), folder / f"seed{seed}") for seed in range(seeds)]


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups")
def test_a_killed_worker_costs_one_cell(study: Study, tmp_path: Path):
    study.source.with_name("kill-0").touch()
    jobs = make_jobs(study, tmp_path / "cells", 3)
    outcomes: list[CellOutcome] = []
    perform_in_processes(jobs, workers=1, report=outcomes.append)
    assert [(outcome.seed, outcome.state) for outcome in outcomes] == [
        (0, "failed"),
        (1, "complete"),
        (2, "complete"),
    ]
    assert outcomes[0].error == "the worker was killed by SIGKILL"
    kept = error_path(jobs[0][1]).read_text()
    assert kept == "the worker was killed by SIGKILL\n\nWhat it wrote is in seed0.log.\n"
    assert (jobs[2][1] / "results.nc").exists()
    assert len(study.source.with_name("calls").read_text().splitlines()) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups")
def test_an_interrupt_reaches_the_workers_and_waits_for_them(study: Study, tmp_path: Path):
    (tmp_path / "wait").touch()
    jobs = make_jobs(study, tmp_path / "cells", 2)
    (tmp_path / "diverge-0").touch()  # the first ends at once, the second waits
    outcomes: list[CellOutcome] = []

    def interrupt(outcome: CellOutcome) -> None:
        outcomes.append(outcome)
        deadline = time.monotonic() + 120
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform_in_processes(jobs, workers=1, report=interrupt)
    assert [(outcome.seed, outcome.state) for outcome in outcomes] == [(0, "failed")]
    with hold_lock(jobs[1][1]):  # the worker is gone
        assert not (jobs[1][1] / "results.nc").exists()
    assert not error_path(jobs[1][1]).exists()


def test_an_order_is_performed_as_the_cell_would_be(study: Study, tmp_path: Path):
    ((cell, folder),) = make_jobs(study, tmp_path / "cells", 1)
    order = write_order(cell, folder)
    assert "\n" not in order
    study.source.write_text(study.source.read_text() + "\n")
    with pytest.raises(ValueError, match="was edited since the sweep began"):
        perform_order(order)
    assert not folder.exists()


def test_a_configuration_that_json_would_change_is_refused(study: Study, tmp_path: Path):
    ((cell, folder),) = make_jobs(study, tmp_path / "cells", 1)
    config = dataclasses.replace(cell.config, length=(5,))  # pyright: ignore
    with pytest.raises(ValueError, match="expected fields that come back from JSON as they were"):
        write_order(dataclasses.replace(cell, config=config), folder)


@pytest.mark.parametrize(("cores", "count"), [(8, 1), (8, 2), (8, 3), (2, 2), (2, 5)])
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, count: int):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shares = [share_machine(slot, count)[0] for slot in range(count)]
    assert set().union(*shares) == set(range(cores))
    assert all(shares)
    if count <= cores:
        assert sum(map(len, shares)) == cores
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_workers_share_the_accelerators(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    given = [share_machine(slot, 3)[1] for slot in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given] == ["4", "6", "4"]
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in given} == {"0.375"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" not in share_machine(0, 3)[1]
