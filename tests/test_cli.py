"""The command line: what it prints, its exit status, and one line for every error."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
from synthetic_tree import synthetic_tree

from bayescmp.cli import main
from bayescmp.models import REGISTRY
from bayescmp.results.tree_file import save_tree
from bayescmp.summary import summarise

TESTS = Path(__file__).parent
HEAVY = ("jax", "numpyro", "arviz_base", "arviz_stats", "matplotlib", "xarray", "scipy")


@pytest.fixture
def study_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the fake study into an empty folder and go there."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(TESTS / "fake_study.py", tmp_path / "my_study.py"))


def spawn(*args: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own, as a user would."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "bayescmp.cli", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
    )


def expect_error(capsys: pytest.CaptureFixture[str], *args: str, status: int = 1) -> str:
    """Run a command that must fail, and return its one line."""
    assert main(args) == status
    error = capsys.readouterr().err
    assert error.startswith("bayescmp: error: ")
    assert error.count("\n") == 1
    return error


# ------------------------------------------------------------ help and usage


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from bayescmp.cli import main; status = main(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    for command in ("run", "report", "gate", "models", "studies", "certify"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "run, sweep, report, gate, models, studies, certify"),
        (("run",), "STUDY|PATH"),
        (("walk", "x"), "walk"),
        (("run", "x", "--preset", "huge"), "'huge'"),
        (("run", "x", "--seeds", "many"), "--seeds"),
        (("run", "x", "--sedes", "3"), "--sedes"),
        (("report",), "RESULTS"),
        (("gate", "results.nc"), "--claims"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], named: str
):
    assert named in expect_error(capsys, *args, status=2)


def test_the_lists_have_one_line_each(capsys: pytest.CaptureFixture[str]):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(REGISTRY)
    assert all(len(line.split()) > 3 for line in lines)
    assert main(["studies"]) == 0
    assert all(len(line.split()) > 3 for line in capsys.readouterr().out.splitlines())


def test_a_model_is_certified(capsys: pytest.CaptureFixture[str]):
    assert main(["certify", "bijection"]) == 0
    out = capsys.readouterr().out
    assert "largest deviation" in out
    assert out.count("\n") == 1
    assert "did you mean 'bijection'" in expect_error(capsys, "certify", "bijektion")


# ----------------------------------------------------------------------- run


def test_run_ends_with_verdicts_measures_and_the_report(
    study_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["run", str(study_path), "--preset", "quick", "--seeds", "3"]) == 0
    out = capsys.readouterr().out
    assert "inconclusive" in out
    assert "3 of 5 seeds; run with --seeds 5" in out
    assert "KL from exact (bit)" in out
    assert "(window 1)" in out
    assert out.endswith(f"report: {Path('runs/my_study/report.html')}\n")
    files = {path.name for path in Path("runs/my_study").iterdir()}
    assert files >= {"results.nc", "report.html", "claims.json", "config.json", "checkpoints"}
    assert main(["run", str(study_path), "--preset", "quick", "--seeds", "3"]) == 0
    assert "this run is complete" in capsys.readouterr().err
    assert (study_path.parent / "calls").read_text() == "3\n"
    error = expect_error(capsys, "run", str(study_path), "--preset", "quick")
    assert "seeds is 3 there, 2 here" in error


def test_run_takes_another_folder(study_path: Path):
    assert main(["run", str(study_path), "--preset", "quick", "--out", "a/b"]) == 0
    assert Path("a/b/results.nc").exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("run", "bijektion"), "study: expected"),
        (("run", "my_study"), "study: expected"),
        (("run", "./my_studdy.py"), "did you mean 'my_study.py'"),
        (("run", "my_study.py", "--preset", "paper"), "preset: expected one of default, quick"),
        (("run", "my_study.py", "--seeds", "0"), "seeds: expected at least 1, got 0"),
        (("run", "my_study.py", "--out", "."), "and no config.json"),
        (("run", "my_study.py", "--out", "my_study.py"), "expected a folder, got the file"),
        (("run", "broken.py"), "broken.py' does not import: ZeroDivisionError"),
        (("report", "nowhere.nc"), "nowhere.nc"),
        (("report", "my_study.py"), "my_study.py"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    study_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], named: str
):
    study_path.with_name("broken.py").write_text("1 / 0\n")
    assert named in expect_error(capsys, *args)
    assert not Path("runs").exists()


def test_diverged_training_is_one_line_unless_a_traceback_is_asked_for(
    study_path: Path, capsys: pytest.CaptureFixture[str]
):
    study_path.with_name("diverge").touch()
    args = ("run", str(study_path), "--preset", "quick")
    error = expect_error(capsys, *args)
    assert error.endswith("training diverged at step 7: try a lower learning rate\n")
    assert main([*args, "--resume", "--traceback"]) == 1
    error = capsys.readouterr().err
    assert "Traceback (most recent call last)" in error
    assert "my_study.py" in error
    assert error.endswith("try a lower learning rate\n")


def test_an_error_without_advice_names_its_kind_and_the_way_to_its_place(
    study_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = study_path.read_text()
    study_path.write_text(text.replace("    path = workspace", "    1 + 'x'\n    path = workspace"))
    error = expect_error(capsys, "run", "my_study.py", "--preset", "quick")
    assert "TypeError: unsupported operand" in error
    assert "(--traceback shows where)" in error


def test_an_interrupted_run_says_how_to_go_on(study_path: Path, capsys: pytest.CaptureFixture[str]):
    args = ("run", str(study_path), "--preset", "quick")
    study_path.with_name("interrupt-at-once").touch()
    assert "start over" in expect_error(capsys, *args, status=130)
    study_path.with_name("interrupt-at-once").unlink()
    study_path.with_name("interrupt").touch()
    error = expect_error(capsys, *args, status=130)
    assert str(Path("runs/my_study/checkpoints")) in error
    assert "--resume" in error
    study_path.with_name("interrupt").unlink()
    assert "--resume" in expect_error(capsys, *args)
    assert main([*args, "--resume"]) == 0


def test_one_folder_takes_one_process_and_survives_ctrl_c(study_path: Path):
    study_path.with_name("wait").touch()
    first = spawn("run", "my_study.py", "--preset", "quick")
    waiting = study_path.with_name("waiting")
    deadline = time.monotonic() + 60
    while not waiting.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert waiting.exists(), first.communicate()
    second = spawn("run", "my_study.py", "--preset", "quick", "--resume")
    _, error = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"is in use by another process (process {first.pid} on" in error
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=60)
    assert first.returncode == 130
    assert error.splitlines()[-1].startswith("bayescmp: error: interrupted; run the same")
    assert "Traceback" not in error
    study_path.with_name("wait").unlink()
    third = spawn("run", "my_study.py", "--preset", "quick", "--resume")
    out, error = third.communicate(timeout=120)
    assert third.returncode == 0, error
    assert "report: " in out


# --------------------------------------------------------------------- sweep


def test_a_sweep_prints_its_table_and_fails_while_a_cell_does(
    study_path: Path, capsys: pytest.CaptureFixture[str]
):
    args = ("sweep", "my_study.py", "--preset", "quick", "--vary", "length=4", "--seeds", "2")
    study_path.with_name("diverge-1").touch()
    assert main(args) == 1
    said = capsys.readouterr()
    assert said.out.startswith("my_study: 2 cells, results go to runs/my_study-sweep\n")
    assert "1 of 2" in said.out
    assert "custom, seed 1, failed: TrainingDivergedError" in said.out
    assert said.err.splitlines()[-1].startswith("bayescmp: error: 1 of 2 cells are failed")
    study_path.with_name("diverge-1").unlink()
    assert main([*args, "--shard", "2/2"]) == 0
    assert "2 of 2" in capsys.readouterr().out
    assert Path("runs/my_study-sweep/index.html").exists()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--vary", "lenght=4"), "vary: expected one of length, rungs, got 'lenght'; did you mean"),
        (("--vary", "length=four"), "vary: expected a whole number for length, got 'four'"),
        (("--preset", "paper"), "preset: expected one of default, quick, got 'paper'"),
        (("--shard", "5/4"), "shard: expected I/N with I from 1 to N, got 5/4"),
        (("--shard", "quarter"), "shard: expected I/N, such as 1/4, got 'quarter'"),
        (("--workers", "0"), "workers: expected at least 1, got 0"),
        (("--seeds", "0"), "seeds: expected at least 1, got 0"),
        (("--out", "."), "and no sweep.json"),
    ],
)
def test_a_sweep_that_cannot_be_is_told_in_one_line(
    study_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], named: str
):
    assert named in expect_error(capsys, "sweep", "my_study.py", *args)
    assert not study_path.with_name("calls").exists()


# -------------------------------------------------------------------- report


def test_report_is_rebuilt_from_a_file_or_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_tree(synthetic_tree(num_seeds=2), tmp_path / "results.nc")
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"
    assert main(["report", str(tmp_path / "results.nc"), "--out", str(tmp_path / "b.html")]) == 0
    assert (tmp_path / "b.html").read_bytes() == (tmp_path / "report.html").read_bytes()


def test_report_never_overwrites_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "results.nc"
    save_tree(synthetic_tree(num_seeds=2), path)
    before = path.read_bytes()
    assert "out: expected another file" in expect_error(
        capsys, "report", str(path), "--out", str(path)
    )
    assert path.read_bytes() == before
    path.write_bytes(before[:1000])
    assert "results.nc" in expect_error(capsys, "report", str(path))


def test_several_results_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
        save_tree(synthetic_tree(num_seeds=2), Path(name) / "results.nc")
    assert main(["report", "a", "b/results.nc"]) == 0
    assert capsys.readouterr().out == "report: compared.html\n"
    assert "2 runs side by side" in Path("compared.html").read_text()
    assert main(["report", "a", "b", "--out", "both.html"]) == 0
    assert Path("both.html").read_bytes() == Path("compared.html").read_bytes()
    assert "nowhere.nc: no such file" in expect_error(capsys, "report", "a", "nowhere.nc")
    same = ("report", "a", "b", "--out", "b/results.nc")
    assert "out: expected another file than the results" in expect_error(capsys, *same)


def test_the_report_becomes_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = tmp_path / "results.nc"
    save_tree(synthetic_tree(num_seeds=2), results)
    notebook = tmp_path / "report.ipynb"
    assert main(["report", str(results), "--notebook", str(notebook)]) == 0
    assert capsys.readouterr().out == f"notebook: {notebook}\n"
    assert notebook.exists()
    assert not (tmp_path / "report.html").exists()
    args = ("report", str(results), str(results), "--notebook", str(notebook))
    assert "notebook: expected one file of results, got 2" in expect_error(capsys, *args)
    args = ("report", str(results), "--notebook", str(results))
    assert "notebook: expected another file than the results" in expect_error(capsys, *args)


# ---------------------------------------------------------------------- gate


def test_a_gate_tells_its_verdict_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_tree(synthetic_tree(), tmp_path / "results.nc")
    for threshold, status in ((0.01, 0), (1e-6, 3)):
        claims = tmp_path / "claims.toml"
        claims.write_text(
            f'[[claim]]\nstatement = "KL is small"\nmetric = "/divergence/mean_kl"\n'
            f'threshold = {threshold}\ndirection = "below"\n'
        )
        junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
        args = ["gate", str(tmp_path), "--claims", str(claims)]
        assert main([*args, "--junit", str(junit), "--markdown", str(markdown)]) == status
        said = capsys.readouterr()
        assert said.err == ""
        verdict = "refuted" if status else "supported"
        assert said.out.startswith(verdict)
        assert verdict in markdown.read_text()
        assert ("<failure" in junit.read_text()) == bool(status)
        over = ("--junit", str(claims))
        assert "junit: expected another file" in expect_error(capsys, *args, *over)
    claims.write_text(claims.read_text().replace("mean_kl", "mean_lk"))
    error = expect_error(capsys, *args)
    assert "claim 1: metric: expected" in error
    assert "such as /divergence/mean_kl" in error


# ------------------------------------------------------------------- summary


def test_the_summary_sets_the_network_beside_the_best_rung():
    tree = synthetic_tree(num_seeds=5, rungs=("uniform", "window 1"))
    numbers = {
        "/ladder/mean_kl": [0.5, 0.25],
        "/ladder/mean_argmax_agreement": [0.9, 0.1],
        "/ladder/mean_impossible_mass": [math.nan, math.nan],
        "/divergence/mean_kl": [0.125] * 5,
    }
    for path, values in numbers.items():
        array = tree[path]
        assert isinstance(array, xr.DataArray)
        array[:] = values
    rows = {line.split("  ")[0]: line for line in summarise(tree).splitlines()}
    assert re.search(r"0\.125 \[0\.125, 0\.125\] +0\.25 \(window 1\)$", rows["KL from exact (bit)"])
    assert rows["argmax agreement"].endswith("0.9 (uniform)")
    assert rows["impossible mass"].endswith("none")
    one = summarise(synthetic_tree(num_seeds=1).drop_nodes("claims"))
    assert "verdict" not in one
    assert "inf" not in one
