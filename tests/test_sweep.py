"""A sweep performs what is missing, survives what fails, and merges what is complete."""

import csv
import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import pytest
import xarray as xr
from complaints import raised

import bayescmp.running
import bayescmp.sweep.sweeping
from bayescmp.results.tree import validate_tree
from bayescmp.results.tree_file import load_tree
from bayescmp.running import run_study
from bayescmp.study import Study, StudyConfig, load_study
from bayescmp.sweep.cell import Cell, digest, name_configurations, slug, take_share
from bayescmp.sweep.sweeping import SweepResult, run_sweep
from bayescmp.workspace import hold_lock

FAKE_STUDY = Path(__file__).with_name("fake_study.py")


@pytest.fixture(autouse=True)
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a word in place of the report, whose figures take seconds."""

    def write(tree: xr.DataTree, path: Path) -> None:
        path.write_text("report")

    monkeypatch.setattr(bayescmp.running, "write_report", write)


@pytest.fixture
def quick_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep trees in memory behind their files, which take half a second each."""
    kept: dict[Path, xr.DataTree] = {}

    def save(tree: xr.DataTree, path: Path) -> None:
        validate_tree(tree)
        path.write_text("results")
        kept[path.resolve()] = tree.copy()

    def load(path: Path) -> xr.DataTree:
        return kept[path.resolve()].copy()

    monkeypatch.setattr(bayescmp.running, "save_tree", save)
    monkeypatch.setattr(bayescmp.running, "load_tree", load)
    monkeypatch.setattr(bayescmp.sweep.sweeping, "load_tree", load)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = tmp_path / "mine"
    folder.mkdir()
    return load_study(shutil.copy(FAKE_STUDY, folder / "my_study.py"))


def configs(study: Study, lengths: Sequence[int] = (4, 5)) -> list[StudyConfig]:
    return [dataclasses.replace(study.presets["quick"], length=n) for n in lengths]  # pyright: ignore


def calls(study: Study) -> int:
    path = study.source.with_name("calls")
    return len(path.read_text().splitlines()) if path.exists() else 0


def states(result: SweepResult) -> list[str]:
    return [cell.state for cell in result.cells]


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------- whole sweeps


@pytest.mark.usefixtures("quick_files")
def test_a_failed_cell_is_recorded_and_tried_again(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, trouble = tmp_path / "out", study.source.with_name("diverge-1")
    trouble.touch()
    first = run_sweep(study, configs(study), seeds=2, out=out)
    assert states(first) == ["complete", "failed", "complete", "failed"]
    assert [cell.error for cell in first.failed] == [
        "TrainingDivergedError: training diverged at step 7: try a lower learning rate"
    ] * 2
    kept = Path(f"{first.failed[0].folder}.error.txt").read_text()
    assert kept.splitlines()[0] == first.failed[0].error
    assert "Traceback (most recent call last)" in kept
    told = capsys.readouterr().err.splitlines()
    assert told[1].startswith("[2/4] length=4 seed 1: failed (TrainingDivergedError")
    assert (calls(study), len(told)) == (4, 4)
    # No verdict rests on the seeds that are left.
    assert all("claims" not in tree for tree in first.trees.values())
    table = [(row["length"], row["seeds_done"]) for row in read_table(out)]
    assert table == [("4", "1"), ("5", "1")]
    assert "length=4, seed 1, failed: Training" in (out / "summary.md").read_text()

    trouble.unlink()
    second = run_sweep(study, configs(study), seeds=2, out=out)
    assert second.complete
    assert calls(study) == 6  # the two that had failed
    assert not list(out.rglob("*.error.txt"))
    assert "[2/4] complete before" in capsys.readouterr().err
    reports = sorted(out.glob("*/report.html"))
    stamps = [path.stat().st_mtime_ns for path in reports]
    third = run_sweep(study, configs(study), seeds=2, out=out)
    assert third.complete
    assert calls(study) == 6
    assert [path.stat().st_mtime_ns for path in reports] == stamps
    for name, tree in second.trees.items():
        xr.testing.assert_identical(third.trees[name], tree)
        assert tree["claims/verdict"].shape == (2,)


def test_seeds_apart_give_what_one_run_gives(study: Study, tmp_path: Path):
    (config,) = configs(study, [4])
    result = run_sweep(study, {"one": config}, seeds=5, out=tmp_path / "out", progress=False)
    whole = run_study(study, config=dataclasses.replace(config, seeds=5), key=jax.random.key(0))
    merged = result.trees["one"]
    measured = {"/": {"started", "wall_time_s"}, "/training": {"flops_total"}}
    for path in whole.groups:
        left, right = merged[path].to_dataset(), whole[path].to_dataset()
        for name in measured.get(path, set()):
            del left.attrs[name], right.attrs[name]
        if path == "/layers":  # the pattern is that of whichever seed comes first
            left, right = left.drop_vars("attention_pattern"), right.drop_vars("attention_pattern")
        xr.testing.assert_identical(left, right)
    (row,) = result.rows
    assert (row.seeds_done, row.claims, row.supported) == (5, 2, 1)
    (folder,) = (tmp_path / "out").glob("one-*")
    xr.testing.assert_identical(load_tree(folder / "results.nc"), merged)
    claims = json.loads((folder / "claims.json").read_text())["claims"]
    assert [claim["verdict"] for claim in claims] == ["supported", "refuted"]
    assert (folder / "report.html").read_text() == "report"
    assert f'href="{folder.name}/report.html"' in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.usefixtures("quick_files")
def test_more_seeds_and_configurations_reuse_what_is_there(study: Study, tmp_path: Path):
    out = tmp_path / "out"
    (config,) = configs(study, [4])
    run_sweep(study, {"a": config}, seeds=1, out=out, progress=False)
    result = run_sweep(study, {"another name": config}, seeds=2, out=out, progress=False)
    assert result.complete
    assert calls(study) == 2
    assert len(list((out / "cells").iterdir())) == 2
    assert len(list(out.glob("*/report.html"))) == 1


@pytest.mark.usefixtures("quick_files")
def test_shards_share_the_work(study: Study, tmp_path: Path):
    out = tmp_path / "out"
    halves = [
        run_sweep(study, configs(study, [4]), seeds=3, out=out, shard=(i, 2), progress=False)
        for i in (2, 1)
    ]
    assert states(halves[0]) == ["missing", "complete", "missing"]
    assert not halves[0].complete
    assert halves[1].complete
    assert calls(study) == 3
    assert halves[1].rows[0].seeds_done == 3


@pytest.mark.usefixtures("quick_files")
def test_a_cell_in_use_elsewhere_is_left_alone(study: Study, tmp_path: Path):
    out = tmp_path / "out"
    (config,) = configs(study, [4])
    cell = Cell(study, "a", dataclasses.replace(config, seeds=2), 0)
    folder = cell.find_folder(out.resolve() / "cells")
    folder.mkdir(parents=True)
    with hold_lock(folder):
        result = run_sweep(study, {"a": config}, seeds=2, out=tmp_path / "other", progress=False)
        assert result.complete  # the folder of another sweep is none of its business
        out.joinpath("sweep.json").write_text('{"study": "my_study"}')
        result = run_sweep(study, {"a": config}, seeds=2, out=out, progress=False)
    assert states(result) == ["in use", "complete"]
    assert "is in use by another process" in result.cells[0].error
    assert not list(out.rglob("*.error.txt"))


def test_a_damaged_result_is_told_and_kept(study: Study, tmp_path: Path):
    out = tmp_path / "out"
    first = run_sweep(study, configs(study, [4]), seeds=2, out=out, progress=False)
    path = Path(first.cells[1].folder) / "results.nc"
    path.write_bytes(path.read_bytes()[:1000])
    second = run_sweep(study, configs(study, [4]), seeds=2, out=out, progress=False)
    assert states(second) == ["complete", "failed"]
    assert "results.nc: truncated or damaged" in second.cells[1].error
    assert path.stat().st_size == 1000
    assert second.rows[0].seeds_done == 1


@pytest.mark.usefixtures("quick_files")
def test_an_interrupt_stops_the_sweep_and_the_next_goes_on(study: Study, tmp_path: Path):
    out, trouble = tmp_path / "out", study.source.with_name("interrupt")
    trouble.touch()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(study, configs(study, [4]), seeds=2, out=out, progress=False)
    assert calls(study) == 1
    trouble.unlink()
    assert run_sweep(study, configs(study, [4]), seeds=2, out=out, progress=False).complete


# -------------------------------------------------------------- names and digests


def test_a_digest_changes_with_all_that_determines_a_result(study: Study):
    config = study.presets["quick"]
    base = digest(study, config, 0)
    assert digest(study, dataclasses.replace(config, seeds=9), 0) == base
    others = {
        digest(study, config, 1),
        digest(study, config),
        digest(study, dataclasses.replace(config, length=6), 0),  # pyright: ignore
        digest(dataclasses.replace(study, name="other"), config, 0),
    }
    study.source.write_text(study.source.read_text() + "\n")
    others.add(digest(study, config, 0))
    assert len(others - {base}) == 5


def test_configurations_are_called_after_what_differs(study: Study):
    named = name_configurations(study, configs(study), 3)
    assert list(named) == ["length=4", "length=5"]
    assert {config.seeds for config in named.values()} == {3}
    assert list(name_configurations(study, [study.presets["quick"]], 2)) == ["quick"]
    assert slug("a/b: ../c") == "a-b-..-c"
    assert slug("...") == "configuration"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_shares_hold_each_cell_once(count: int):
    cells = list(range(7))
    shares = [take_share(cells, (index, count)) for index in range(1, count + 1)]
    assert sorted(cell for share in shares for cell in share) == cells
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "seeds: expected at least 1, got 0"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"shard": (0, 2)}, "shard: expected I/N with I from 1 to N, got 0/2"),
        ({"shard": (3, 2)}, "shard: expected I/N with I from 1 to N, got 3/2"),
        ({"configs": []}, "configs: expected at least one configuration, got none"),
        ({"configs": "foreign"}, "configs: expected a Config of study my_study, got Record("),
        ({"configs": "twice"}, "configs: expected different ones, got the same as 'a', 'b'"),
        ({"out": "file"}, "out: expected a folder, got the file"),
        ({"out": "foreign"}, "holds 'thesis.tex' and no sweep.json"),
        ({"out": "other"}, "holds a sweep of study 'coin', not of 'my_study'"),
        ({"out": "broken"}, "is not the record of a sweep"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_runs(
    study: Study, tmp_path: Path, change: dict[str, object], message: str
):
    (tmp_path / "file").write_text("")
    files = {"foreign": "thesis.tex", "other": "sweep.json", "broken": "sweep.json"}
    for folder, name in files.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text('{"study": "coin"}' if folder == "other" else "[]")
    quick = study.presets["quick"]
    options: dict = {"configs": [quick], "seeds": 1, "out": "fresh", **change}
    if options["configs"] == "twice":
        options["configs"] = {"a": quick, "b": dataclasses.replace(quick, seeds=7)}
    if options["configs"] == "foreign":
        options["configs"] = [dataclasses.make_dataclass("Record", ["seeds"], frozen=True)(3)]
    options["out"] = tmp_path / options["out"]
    assert message in raised(
        ValueError, lambda: run_sweep(study, options.pop("configs"), **options)
    )
    assert calls(study) == 0
    assert not (tmp_path / "fresh" / "cells").exists()
