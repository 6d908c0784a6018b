"""Files of the tree: round trip, same bytes, whole or absent, bad ones refused."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic_tree import assert_same, split, synthetic_tree

from bayescmp.files import write_atomically
from bayescmp.results.tree import make_tree, read_attribute
from bayescmp.results.tree_file import load_tree, save_tree


@pytest.fixture(scope="module")
def whole() -> xr.DataTree:
    """Make up a tree of every group; tests copy what they change."""
    return synthetic_tree(num_seeds=2, length=5, num_outcomes=6, num_layers=2, num_heads=2)


def test_round_trip_is_equal_in_values_types_and_attributes(
    whole: xr.DataTree, tmp_path: Path
) -> None:
    groups, attrs = split(whole)
    groups["/observed_data"]["shown_text"][0, 0] = "π ≤ ∞, \N{BLACK HEART SUIT}"
    groups["/observed_data"]["shown_text"][0, 1] = ""
    groups["/divergence"]["supervised"][1] = False
    groups["/divergence"]["kl"][0, :3] = [np.nan, np.inf, -np.inf]
    made = make_tree(groups, {**attrs, "model": "π-Bijection"})
    save_tree(made, tmp_path / "results.nc")
    loaded = load_tree(tmp_path / "results.nc")
    assert_same(loaded, made)
    assert loaded["/divergence/supervised"].dtype == bool
    assert loaded["/observed_data/shown_text"].dtype.kind == "U"
    assert np.isneginf(loaded["/oracle"].to_dataset()["log_predictive"]).any()
    assert type(read_attribute(loaded, "/", "wall_time_s")) is float
    assert type(read_attribute(loaded, "/network", "num_parameters")) is int


def test_the_same_tree_gives_the_same_bytes(whole: xr.DataTree, tmp_path: Path) -> None:
    again = synthetic_tree(num_seeds=2, length=5, num_outcomes=6, num_layers=2, num_heads=2)
    names = ("first.nc", "second.nc", "third.nc")
    save_tree(whole, tmp_path / names[0])
    save_tree(again, tmp_path / names[1])
    save_tree(load_tree(tmp_path / names[0]), tmp_path / names[2])
    first, second, third = ((tmp_path / name).read_bytes() for name in names)
    assert first == second
    assert first == third


def test_the_same_tree_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    save_tree(synthetic_tree(1, 3, 4, 1, 1), tmp_path / "here.nc")
    code = (
        "import sys; from synthetic_tree import synthetic_tree;"
        " from bayescmp.results import tree_file;"
        " tree_file.save_tree(synthetic_tree(1, 3, 4, 1, 1), sys.argv[1])"
    )
    folder = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there.nc")], check=True, env=environment
    )
    assert (tmp_path / "here.nc").read_bytes() == (tmp_path / "there.nc").read_bytes()


def test_invalid_tree_is_not_saved(whole: xr.DataTree, tmp_path: Path) -> None:
    groups, _ = split(whole)
    with pytest.raises(ValueError, match="missing attribute study"):
        save_tree(xr.DataTree.from_dict(groups), tmp_path / "results.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file_and_no_temporary_one(
    whole: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "results.nc"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left on device"):
        save_tree(whole, target)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


def test_interruption_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "claims.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(whole: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a file in an existing folder, got .*nowhere"):
        save_tree(whole, tmp_path / "nowhere" / "results.nc")


@pytest.fixture(scope="module")
def saved(whole: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "results.nc"
    save_tree(whole, path)
    return path.read_bytes()


def refused(path: Path) -> str:
    """Load a bad file and return the one line that says why it was refused."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_tree(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "run the study again" in message
    return message


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "results.nc")
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"CDF\x01", b"{}", b"\x80\x04pickle"])
def test_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.nc"
    path.write_bytes(content)
    assert "not a netCDF4 file" in refused(path)


def test_foreign_netcdf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.nc"
    xr.Dataset({"x": 1.0}).to_netcdf(path, engine="h5netcdf")
    assert "not a file of bayescmp (no schema_version)" in refused(path)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(saved: bytes, tmp_path: Path, share: float) -> None:
    path = tmp_path / "results.nc"
    path.write_bytes(saved[: int(share * len(saved))])
    assert "truncated or damaged" in refused(path)


@pytest.mark.parametrize("place", np.linspace(0.02, 0.98, 13).tolist())
def test_damaged_file_is_refused_or_its_numbers_are_whole(
    saved: bytes, whole: xr.DataTree, tmp_path: Path, place: float
) -> None:
    path = tmp_path / "results.nc"
    at = int(place * len(saved))
    path.write_bytes(
        saved[:at] + bytes(byte ^ 0x5A for byte in saved[at : at + 40]) + saved[at + 40 :]
    )
    try:
        loaded = load_tree(path)
    except ValueError as error:
        message = str(error)
    else:  # the damage lies between the numbers, all of which have checksums
        message = str(path)
        for group in whole.groups:
            for name, array in whole[group].data_vars.items():
                if array.ndim and array.dtype.kind in "fib":
                    np.testing.assert_array_equal(loaded[group].data_vars[name], array)
    assert message.startswith(str(path))
    assert "\n" not in message


def test_other_schema_version_is_refused_with_advice(whole: xr.DataTree, tmp_path: Path) -> None:
    path = tmp_path / "results.nc"
    other = whole.copy()
    other.attrs["schema_version"] = "0.9"
    other.to_netcdf(path, engine="h5netcdf")
    message = refused(path)
    assert "expected schema version 1, got 0.9" in message


def test_file_without_a_group_is_refused(whole: xr.DataTree, tmp_path: Path) -> None:
    path = tmp_path / "results.nc"
    other = whole.copy()
    del other["divergence"]
    other.to_netcdf(path, engine="h5netcdf")
    assert "/divergence: missing group" in refused(path)
