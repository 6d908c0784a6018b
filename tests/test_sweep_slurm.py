"""Cells as jobs of a real Slurm; opt in with ``pytest -m slurm``, see docs/sweeps.md."""

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import pytest

from bayescmp.study import Study, load_study
from bayescmp.sweep.resources import SlurmResources
from bayescmp.sweep.sweeping import run_sweep

TESTS = Path(__file__).parent


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load_study(shutil.copy(TESTS / "fake_study.py", tmp_path / "my_study.py"))


@pytest.mark.slurm
@pytest.mark.slow
def test_jobs_write_the_same_files_and_a_killed_one_is_told(
    request: pytest.FixtureRequest, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if "slurm" not in request.config.getoption("-m"):
        pytest.skip("submits jobs; opt in with -m slurm")
    if shutil.which("sbatch") is None:
        pytest.skip("no sbatch; docs/sweeps.md sets up a Slurm of one node")
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    configs = {"a": dataclasses.replace(study.presets["quick"], length=4)}  # pyright: ignore
    study.source.with_name("kill-1").touch()
    study.source.with_name("diverge-2").touch()

    def sweep(executor, folder: str):
        return run_sweep(
            study,
            configs,
            seeds=3,
            out=tmp_path / folder,
            workers=2 if executor == "slurm" else 1,
            executor=executor,
            resources=SlurmResources(minutes=5),
            progress=False,
        )

    first = sweep("slurm", "out")
    assert [cell.state for cell in first.cells] == ["complete", "failed", "failed"]
    assert "ended without a result" in first.cells[1].error
    assert "training diverged at step 7" in first.cells[2].error
    study.source.with_name("kill-1").unlink()
    study.source.with_name("diverge-2").unlink()
    second = sweep("slurm", "out")
    assert second.complete
    here = sweep("processes", "here").trees["a"]
    for path in set(here.groups) - {"/", "/training"}:  # times and devices
        assert second.trees["a"][path].to_dataset().identical(here[path].to_dataset())


def test_without_slurm_the_executor_is_refused(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="expected 'slurm' where there is Slurm, got no command"):
        run_sweep(study, [study.presets["quick"]], seeds=1, out=tmp_path / "out", executor="slurm")


def test_without_submitit_the_extra_is_named(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError) as refusal:
        run_sweep(study, [study.presets["quick"]], seeds=1, out=tmp_path / "out", executor="slurm")
    assert "bayescmp[slurm]" in " ".join(refusal.value.__notes__)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minutes": 0}, "minutes: expected at least 1, got 0"),
        ({"cpus": 0}, "cpus: expected at least 1, got 0"),
        ({"gpus": -1}, "gpus: expected at least 0, got -1"),
        ({"memory_gb": 0.0}, "memory_gb: expected more than 0, got 0"),
    ],
)
def test_impossible_resources_are_refused(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        SlurmResources(**fields)
