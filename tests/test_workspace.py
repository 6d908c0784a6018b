"""A run's folder: who may write there, what is refused, what survives."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bayescmp.run_record import RunRecord, describe_differences
from bayescmp.workspace import FolderInUseError, Workspace

RECORD = RunRecord(
    study="coin",
    preset="quick",
    seeds=2,
    config={"seeds": 2, "training": {"steps": 800, "batch_size": 64}},
    key="threefry2x32:[0, 0]",
    version="0.1.0",
    source="abc",
)
HOLD_LOCK = """
import sys, time
from pathlib import Path
from bayescmp.run_record import RunRecord
from bayescmp.workspace import Workspace
record = RunRecord.from_json(Path(sys.argv[2]).read_text())
with Workspace(Path(sys.argv[1])).opened(record):
    print("held", flush=True)
    time.sleep(60)
"""


def run_once(folder: Path, record: RunRecord = RECORD, *files: str) -> None:
    """Open and leave a workspace, putting files there as a run would."""
    with Workspace(folder).opened(record):
        for name in files:
            (folder / name).write_text("x")


def test_a_workspace_without_a_folder_has_no_paths():
    workspace = Workspace()
    with workspace.opened(RECORD) as state:
        assert state == "fresh"
        assert workspace.checkpoint_path(0) is None
        assert workspace.results_path is None
    assert not workspace.has_checkpoints()


def test_opening_makes_the_folder_and_its_record(tmp_path: Path):
    workspace = Workspace(tmp_path / "runs" / "coin")
    with workspace.opened(RECORD) as state:
        assert state == "fresh"
        path = workspace.checkpoint_path(1)
        assert path is not None
        assert path == tmp_path / "runs" / "coin" / "checkpoints" / "seed_1.ckpt"
        assert path.parent.is_dir()
    text = (tmp_path / "runs" / "coin" / "config.json").read_text()
    assert RunRecord.from_json(text) == RECORD


def test_a_workspace_may_name_some_of_the_seeds(tmp_path: Path):
    assert Workspace().seed_indices(3) == (0, 1, 2)
    assert Workspace(seeds=(2, 0)).seed_indices(3) == (2, 0)
    with pytest.raises(ValueError, match=r"seeds: expected indices below 2, got \(2,\)"):
        Workspace(seeds=(2,)).seed_indices(2)
    for seeds in [(), (-1,), (1, 1)]:
        with pytest.raises(ValueError, match="seeds: expected different indices from 0 up"):
            Workspace(seeds=seeds)
    one = dataclasses.replace(RECORD, seed_indices=(1,))
    assert RunRecord.from_json(one.to_json()) == one
    run_once(tmp_path, one, "results.nc")
    with pytest.raises(ValueError, match=r"choice of seeds is \(1,\) there, None here"):
        run_once(tmp_path)


def test_an_interrupted_run_needs_resume_once_it_has_checkpoints(tmp_path: Path):
    run_once(tmp_path)
    with Workspace(tmp_path).opened(RECORD) as state:
        assert state == "unfinished"  # nothing was there to lose
    run_once(tmp_path, RECORD, "checkpoints/seed_0.ckpt")
    with pytest.raises(ValueError, match=r"holds this run, unfinished; .* --resume"):
        run_once(tmp_path)
    with Workspace(tmp_path, resume=True).opened(RECORD) as state:
        assert state == "unfinished"
    assert (tmp_path / "checkpoints" / "seed_0.ckpt").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_complete_run_is_recognised_and_left_alone(tmp_path: Path, resume: bool):
    run_once(tmp_path, RECORD, "checkpoints/seed_0.ckpt", "results.nc", "report.html")
    other_preset = dataclasses.replace(RECORD, preset="custom")  # a name, not a setting
    with Workspace(tmp_path, resume=resume).opened(other_preset) as state:
        assert state == "complete"
    assert (tmp_path / "report.html").exists()
    assert '"preset": "quick"' in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("resume", [False, True])
def test_a_different_run_is_refused_naming_every_field(tmp_path: Path, resume: bool):
    run_once(tmp_path, RECORD, "results.nc")
    config = {"seeds": 3, "training": {"steps": 900, "batch_size": 64}, "width": 64}
    other = dataclasses.replace(RECORD, config=config, key="threefry2x32:[0, 1]")
    workspace = Workspace(tmp_path, resume=resume)
    with (
        pytest.raises(ValueError, match="holds a different run") as refusal,
        workspace.opened(other),
    ):
        pytest.fail("a different run must not start")
    message = str(refusal.value)
    for part in (
        "seeds is 2 there, 3 here",
        "training.steps is 800 there, 900 here",
        "width is 'absent' there, 64 here",
        "key is 'threefry2x32:[0, 0]' there, 'threefry2x32:[0, 1]' here",
        "--out",
    ):
        assert part in message
    assert "batch_size" not in message
    assert (tmp_path / "results.nc").exists()
    assert RunRecord.from_json((tmp_path / "config.json").read_text()) == RECORD


def test_many_differing_fields_are_counted():
    many = dataclasses.replace(RECORD, config={f"field_{i}": i for i in range(20)})
    none = dataclasses.replace(RECORD, config={})
    assert describe_differences(many, none, code_too=True).endswith("and 14 more")
    assert describe_differences(many, many, code_too=True) == ""


@pytest.mark.parametrize(
    ("change", "named"), [({"version": "0.2.0"}, "bayescmp version"), ({"source": "z"}, "edited")]
)
def test_changed_code_is_refused_but_resume_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], named: str
):
    run_once(tmp_path, RECORD, "checkpoints/seed_0.ckpt", "results.nc", "report.html")
    other = dataclasses.replace(RECORD, **change)
    with pytest.raises(ValueError, match=named):
        run_once(tmp_path, other)
    for _ in range(2):
        with Workspace(tmp_path, resume=True, progress=True).opened(other) as state:
            assert state == "unfinished"
        assert "changed since this run began" in capsys.readouterr().err
    assert (tmp_path / "results.earlier.nc").exists()
    assert not (tmp_path / "results.nc").exists()
    assert not (tmp_path / "report.html").exists()
    kept = RunRecord.from_json((tmp_path / "config.json").read_text())
    assert kept.version == other.version
    assert kept.earlier == ({"version": RECORD.version, "source": RECORD.source},)


def test_a_foreign_folder_is_refused_and_stays_as_it_was(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match=r"'thesis\.tex' and no config\.json"):
        run_once(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"model_type": "gpt2"}', "\ud83d"])
def test_somebody_elses_config_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match="not the record of a run"):
        run_once(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(ValueError, match="expected a folder, got the file"):
        run_once(tmp_path / "runs")


def test_leftovers_of_a_run_killed_at_its_start_are_not_foreign(tmp_path: Path):
    (tmp_path / ".lock").write_text("process 1 on host")
    (tmp_path / ".config.json.0a1b2c3d.tmp").write_text("{")
    with Workspace(tmp_path).opened(RECORD) as state:
        assert state == "fresh"


def test_the_lock_is_free_again_after_an_error(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Workspace(tmp_path).opened(RECORD):
        raise ZeroDivisionError
    with Workspace(tmp_path).opened(RECORD) as state:
        assert state == "unfinished"


@pytest.mark.skipif(sys.platform == "win32", reason="no flock on Windows")
def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path):
    record, folder = tmp_path / "record.json", tmp_path / "out"
    record.write_text(RECORD.to_json())
    command = [sys.executable, "-c", HOLD_LOCK, str(folder), str(record)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError, match=re.escape(f"process {holder.pid} on")):
            run_once(folder)
        os.kill(holder.pid, signal.SIGKILL)
    with Workspace(folder).opened(RECORD) as state:
        assert state == "unfinished"


def test_a_record_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run_once(tmp_path)
    before = (tmp_path / "config.json").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run_once(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
    ]
