"""Checkpoints come back as they were, or are refused in one line; they never run code."""

import errno
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescmp.training.checkpoints.checkpoint import (
    load_checkpoint,
    read_arrays,
    read_header,
    save_checkpoint,
)

HEADER = {"step": 7, "model": {"type": "coin", "length": 3}, "note": "Zürich"}


def example_tree() -> dict:
    return {
        "weights": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4),
        "halves": jnp.array([1.5, -2.0], jnp.bfloat16),
        "inside": (jnp.array(3, jnp.int32), None, jnp.array([True, False])),
        "odd": {"a/b": jnp.array([jnp.nan, jnp.inf, -0.0]), "../up": jnp.zeros((0, 2))},
        "not an array": "gelu",
    }


def like(tree: dict) -> dict:
    shapes = eqx.filter_eval_shape(lambda: eqx.filter(tree, eqx.is_array))
    return shapes | {"not an array": "gelu"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "seed_0.ckpt"
    save_checkpoint(path, example_tree(), HEADER)
    return path


def assert_same_bits(left, right) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        if eqx.is_array(one):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        else:
            assert one == other


def refused(path: Path, message: str) -> None:
    """Expect an error of one line that names the file."""
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path, like(example_tree()))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------- round trip


def test_round_trip_keeps_every_bit(saved: Path):
    tree, header = load_checkpoint(saved, like(example_tree()))
    assert_same_bits(tree, example_tree())
    assert header == {"format": 2, **HEADER}
    assert read_header(saved) == header


def test_arrays_are_read_by_name_without_the_tree(saved: Path):
    arrays = read_arrays(saved)
    assert sorted(arrays) == ["halves", "inside.0", "inside.2", "odd.../up", "odd.a/b", "weights"]
    np.testing.assert_array_equal(arrays["weights"], example_tree()["weights"])
    assert sorted(read_arrays(saved, "inside.")) == ["0", "2"]
    assert read_arrays(saved, "none.") == {}


@pytest.mark.skipif(shutil.which("unzip") is None, reason="the machine has no unzip")
def test_people_can_read_the_header(saved: Path):
    shown = subprocess.run(
        ["unzip", "-p", saved, "header.json"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert json.loads(shown) == {"format": 2, **HEADER}
    assert '"note": "Zürich"' in shown.splitlines()[-2], "one field a line, letters as they are"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_header_is_strict_json(tmp_path: Path, number: float):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_checkpoint(tmp_path / "none.ckpt", {}, {"flops": number})
    assert os.listdir(tmp_path) == []


def test_two_arrays_of_one_name_are_refused(tmp_path: Path):
    tree = {"a.b": jnp.zeros(1), "a": {"b": jnp.ones(1)}}
    with pytest.raises(ValueError, match=r"expected arrays of different names, got 'a.b' twice"):
        save_checkpoint(tmp_path / "none.ckpt", tree, {})


def test_saving_twice_replaces_the_file_and_leaves_no_other(saved: Path):
    changed = example_tree() | {"weights": jnp.zeros((3, 4))}
    save_checkpoint(saved, changed, HEADER)
    assert_same_bits(load_checkpoint(saved, changed)[0], changed)
    assert os.listdir(saved.parent) == [saved.name]


# --------------------------------------------------------------------- damage


def test_a_truncated_file_is_refused_wherever_it_ends(saved: Path):
    whole = saved.read_bytes()
    for size in [*range(0, len(whole), 61), len(whole) - 1]:
        saved.write_bytes(whole[:size])
        refused(saved, "is damaged or no checkpoint of bayescmp")


def test_a_changed_byte_is_refused_or_harmless(saved: Path):
    whole = bytearray(saved.read_bytes())
    num_refused = 0
    for place in range(0, len(whole), 7):
        damaged = whole.copy()
        damaged[place] ^= 0xFF
        saved.write_bytes(damaged)
        try:
            tree, _ = load_checkpoint(saved, like(example_tree()))
        except ValueError:
            num_refused += 1
        else:  # a date, say, which nobody reads
            assert_same_bits(tree, example_tree())
    assert num_refused > len(whole) / 7 / 2


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"hello " * 100, pickle.dumps({"a": 1}), b"\x93NUMPY\x01\x00v\x00{}"],
    ids=["empty", "zip's first bytes", "text", "pickle", "broken npy"],
)
def test_a_foreign_file_is_refused(saved: Path, content: bytes):
    saved.write_bytes(content)
    refused(saved, "is damaged or no checkpoint of bayescmp .*; delete it to train from the start")


def test_files_of_numpy_are_refused(tmp_path: Path):
    for name, save in (("one.npy", np.save), ("many.npz", np.savez)):
        save(tmp_path / name, np.zeros(3))
        refused(tmp_path / name, "is damaged or no checkpoint of bayescmp")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    refused(tmp_path / "none.ckpt", "^checkpoint: expected a file, found none at")
    refused(tmp_path, "is damaged or no checkpoint of bayescmp .*directory")


@pytest.mark.parametrize("header", ["[1, 2]", '{"format": 1}', '{"format": 99}', "{}", '"text"'])
def test_another_format_is_refused(tmp_path: Path, header: str):
    path = tmp_path / "other.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", header)
    refused(path, "has another format; expected 2, got .*; read it with the version of bayescmp")


def test_a_header_that_is_no_json_is_refused(tmp_path: Path):
    path = tmp_path / "other.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "{format: 2}")
    refused(path, "is damaged or no checkpoint of bayescmp .JSONDecodeError")


# ------------------------------------------------------------------ misfits


def test_arrays_that_do_not_fit_are_listed(saved: Path):
    wanted = like(example_tree())
    wanted["weights"] = jax.ShapeDtypeStruct((4, 3), jnp.float32)
    wanted["more"] = jax.ShapeDtypeStruct((2,), jnp.float32)
    del wanted["halves"]
    with pytest.raises(ValueError, match="does not fit this network: ") as caught:
        load_checkpoint(saved, wanted)
    told = str(caught.value)
    assert "more is missing; halves is not part of it; " in told
    assert "weights is float32 of shape (3, 4) there and float32 of shape (4, 3) here" in told


def test_another_type_does_not_fit(saved: Path):
    wanted = like(example_tree()) | {"halves": jax.ShapeDtypeStruct((2,), jnp.float16)}
    wanted["weights"] = jax.ShapeDtypeStruct((3, 4), jnp.int32)
    with pytest.raises(ValueError, match=re.escape("is float32 of shape (3, 4) there and int32")):
        load_checkpoint(saved, wanted)


def test_a_long_list_of_misfits_is_cut(saved: Path):
    wanted = {str(number): jax.ShapeDtypeStruct((), jnp.float32) for number in range(9)}
    with pytest.raises(ValueError, match=r"2 is missing; and \d+ more$"):
        load_checkpoint(saved, wanted)


# ------------------------------------------------------------------- no code


class Mark:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_inside_is_never_loaded(tmp_path: Path):
    mark = tmp_path / "ran"
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([Mark(mark)], dtype=object), allow_pickle=True)
    path = tmp_path / "evil.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"format": 2}))
        archive.writestr("weights.npy", member.getvalue())
    refused(path, "damaged or no checkpoint of bayescmp .*Object arrays cannot be loaded")
    assert not mark.exists()
    member.seek(0)
    np.lib.format.read_array(member, allow_pickle=True)
    assert mark.exists(), "the trap itself must work"


def test_an_array_of_objects_is_never_written(tmp_path: Path):
    tree = {"objects": np.array([Mark(tmp_path / "ran")], dtype=object)}
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        save_checkpoint(tmp_path / "none.ckpt", tree, {})
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------ full disk


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(
    saved: Path, call: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = saved.read_bytes()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(saved, {"weights": jnp.ones(3)}, HEADER)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
