"""Snapshots fall on log-spaced steps, hold the whole run, and are never mixed with another's."""

import dataclasses
import shutil
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import resumed_run
from resumed_run import MODEL, TRAINING
from small_networks import small_config, transformer_for

import bayescmp as bc
from bayescmp.training.checkpoints import keeping
from bayescmp.training.checkpoints.checkpoint import read_arrays, read_header, save_checkpoint
from bayescmp.training.checkpoints.resume import Identity
from bayescmp.training.checkpoints.snapshots import (
    check_snapshots,
    load_snapshots,
    snapshot_path,
    snapshot_steps,
)

# ----------------------------------------------------------------------- steps


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 59, 1000, 123_457])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 11, 60])
def test_steps_are_as_many_as_there_can_be_from_first_to_last(num_steps: int, count: int):
    steps = snapshot_steps(num_steps, count)
    assert len(steps) == min(count, num_steps + 1)
    assert list(steps) == sorted(set(steps))
    if count:
        assert steps[-1] == num_steps
    if count > 1:
        assert steps[0] == 0


@pytest.mark.parametrize(("num_steps", "count"), [(1000, 6), (10**6, 20), (50_000, 40)])
def test_steps_are_log_spaced_where_whole_numbers_allow(num_steps: int, count: int):
    steps = np.array(snapshot_steps(num_steps, count)[1:])
    gaps = np.diff(steps)
    assert np.all(np.diff(gaps) >= -1), "gaps grow, but for rounding"
    coarse = steps[:-1] >= 100  # rounding to a whole step then changes a factor by 1 % at most
    factors = (steps[1:] / steps[:-1])[coarse]
    np.testing.assert_allclose(factors, factors[0], rtol=0.02)


def test_known_steps():
    assert snapshot_steps(1000, 4) == (0, 1, 32, 1000)
    assert snapshot_steps(8, 5) == (0, 1, 2, 4, 8)
    assert snapshot_steps(3, 100) == (0, 1, 2, 3)


@pytest.mark.parametrize(("num_steps", "count"), [(0, 2), (-1, 2), (5, -1)])
def test_steps_out_of_range_are_refused(num_steps: int, count: int):
    with pytest.raises(ValueError, match=r"^(num_steps: expected at least 1|count: expected)"):
        snapshot_steps(num_steps, count)


def test_names_sort_as_steps_do():
    paths = [snapshot_path(Path("run/seed_0.ckpt"), step) for step in (0, 9, 10, 99_999, 10**8)]
    assert [str(path) for path in paths] == sorted(map(str, paths))
    assert {path.parent for path in paths} == {Path("run/seed_0.snapshots")}


# ---------------------------------------------------------------------- folder


def write(path: Path, step: int, run: Identity) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"state": {"params": {"table": jnp.full((2, 3), step)}}}
    save_checkpoint(path, arrays, {"step": step, "num_seeds": 2, "run": run})


RUN: Identity = {"training": {"type": "Training", "num_steps": 9}}
OTHER: Identity = {"training": {"type": "Training", "num_steps": 8}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with three snapshots, written out of order."""
    checkpoint = tmp_path / "seed_0.ckpt"
    for step in (3, 0, 1):
        write(snapshot_path(checkpoint, step), step, RUN)
    write(checkpoint, 3, RUN)
    return checkpoint


def test_snapshots_come_in_the_order_of_their_steps(folder: Path):
    found = load_snapshots(str(folder))
    assert [snapshot.step for snapshot in found] == [0, 1, 3]
    assert all(snapshot.path == snapshot_path(folder, snapshot.step) for snapshot in found)
    folder.unlink()
    assert load_snapshots(folder) == found


def test_without_a_folder_there_are_no_snapshots(tmp_path: Path):
    assert load_snapshots(tmp_path / "seed_0.ckpt") == ()


def test_other_files_in_the_folder_are_left_alone(folder: Path):
    beside = snapshot_path(folder, 0).parent
    for name in (".step_000000004.ckpt.0a1b2c3d.tmp", "notes.txt", "step_x.ckpt"):
        (beside / name).write_text("mine")
    assert len(load_snapshots(folder)) == 3


def test_a_snapshot_of_another_run_is_refused(folder: Path):
    write(snapshot_path(folder, 2), 2, OTHER)
    told = "belongs to another run: training.num_steps is 8 there and 9 here$"
    with pytest.raises(ValueError, match=told):
        load_snapshots(folder)
    with pytest.raises(ValueError, match=told):
        check_snapshots(folder, RUN)
    folder.unlink()
    with pytest.raises(ValueError, match=r"training.num_steps is 8 there and 9 here"):
        load_snapshots(folder)


def test_the_snapshots_of_another_checkpoint_are_refused(folder: Path):
    write(folder, 3, OTHER)
    with pytest.raises(ValueError, match=r"training.num_steps is 9 there and 8 here"):
        load_snapshots(folder)


def test_a_renamed_or_damaged_snapshot_is_refused(folder: Path):
    source = snapshot_path(folder, 1)
    shutil.copy(source, snapshot_path(folder, 2))
    with pytest.raises(ValueError, match=r"step_000000002.ckpt' is of step 1; rename it$"):
        load_snapshots(folder)
    snapshot_path(folder, 2).write_bytes(source.read_bytes()[:-50])
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        load_snapshots(folder)


# ------------------------------------------------------------------------ runs

# 23 steps in chunks of 5, of which snapshots at 0, 1, 2, 5, 11 and 23 cut some; checkpoints
# fall on whole chunks besides.
KEPT = dataclasses.replace(
    TRAINING, num_steps=23, num_snapshots=6, optimiser=bc.AdamW(), average=0.5
)
STEPS = (0, 1, 2, 5, 11, 23)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bc.Fit]:
    """A run that nothing has interrupted."""
    checkpoint = tmp_path_factory.mktemp("whole") / "seed_0.ckpt"
    return checkpoint, resumed_run.run(checkpoint, training=KEPT)


def assert_same_snapshots(left: Path, right: Path) -> None:
    """Every bit of every snapshot, apart from the clock."""
    ones, others = load_snapshots(left), load_snapshots(right)
    assert [one.step for one in ones] == [other.step for other in others] == list(STEPS)
    for one, other in zip(ones, others, strict=True):
        arrays, expected = read_arrays(one.path), read_arrays(other.path)
        assert arrays.keys() == expected.keys()
        assert len(arrays.pop("clock")) == len(expected.pop("clock"))
        for name, array in arrays.items():
            assert array.tobytes() == expected[name].tobytes(), (one.step, name)
        assert read_header(one.path)["run"] == read_header(other.path)["run"]


def test_snapshots_show_the_network_from_its_start_to_its_end(whole: tuple[Path, bc.Fit]):
    checkpoint, fit = whole
    snapshots = load_snapshots(checkpoint)
    assert tuple(snapshot.step for snapshot in snapshots) == STEPS
    start = transformer_for(MODEL, small_config(1, 1, 4, 6))
    assert eqx.tree_equal(snapshots[0].network(), start)
    assert eqx.tree_equal(snapshots[-1].network(), fit.network)
    assert eqx.tree_equal(snapshots[-1].network(averaged=True), fit.averaged)
    assert not eqx.tree_equal(snapshots[-1].network(), snapshots[-2].network())
    for snapshot in snapshots:
        np.testing.assert_array_equal(
            read_arrays(snapshot.path)["loss"][0], fit.loss[: snapshot.step]
        )


def test_snapshots_hold_the_state_of_the_optimiser(whole: tuple[Path, bc.Fit]):
    first, *_, last = load_snapshots(whole[0])
    arrays = last.optimiser_arrays()
    assert arrays.keys() == first.optimiser_arrays().keys()
    moments = [name for name in arrays if name.endswith("nu.blocks.mixer.query")]
    assert len(moments) == 1
    assert arrays[moments[0]].shape == (1, 4, 4), "layer, feature, heads times size"
    assert np.all(first.optimiser_arrays()[moments[0]] == 0.0)
    assert np.any(arrays[moments[0]] > 0.0)


class Crash(BaseException):
    """The machine goes down."""


@pytest.mark.parametrize("num_writes", range(1, 9))
def test_a_resumed_run_neither_loses_nor_repeats_a_snapshot(
    num_writes: int, whole: tuple[Path, bc.Fit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Six snapshots and three checkpoints: the run dies before each write but the first."""
    save, count = keeping.save_progress, 0

    def crashing(*arguments) -> None:
        nonlocal count
        if count == num_writes:
            raise Crash
        count += 1
        save(*arguments)

    checkpoint = tmp_path / "seed_0.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_progress", crashing)
        with pytest.raises(Crash):
            resumed_run.run(checkpoint, training=KEPT)
    again = resumed_run.run(checkpoint, training=KEPT)
    assert eqx.tree_equal(again.network, whole[1].network)
    assert_same_snapshots(checkpoint, whole[0])


@pytest.mark.parametrize("step", STEPS)
def test_a_copy_of_a_snapshot_can_be_resumed(step: int, whole: tuple[Path, bc.Fit], tmp_path: Path):
    checkpoint = tmp_path / "seed_0.ckpt"
    shutil.copy(snapshot_path(whole[0], step), checkpoint)
    again = resumed_run.run(checkpoint, training=KEPT)
    assert eqx.tree_equal(again.network, whole[1].network)
    np.testing.assert_array_equal(again.loss, whole[1].loss)


def test_a_run_does_not_begin_among_the_snapshots_of_another(
    whole: tuple[Path, bc.Fit], tmp_path: Path
):
    shutil.copytree(snapshot_path(whole[0], 0).parent, tmp_path / "seed_0.snapshots")
    other = dataclasses.replace(KEPT, num_steps=24)
    with pytest.raises(ValueError, match=r"training.num_steps is 23 there and 24 here$"):
        resumed_run.run(tmp_path / "seed_0.ckpt", training=other, resume=False)
