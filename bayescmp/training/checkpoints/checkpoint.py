"""Checkpoints: arrays and a JSON header in one file, never code.

A checkpoint is a zip archive. ``header.json`` says what it belongs to, for people as well
(``unzip -p FILE header.json`` shows it), and each array of the saved tree is one ``.npy``
member named by its path. Members carry checksums, so a damaged file is noticed, and nothing
in them is ever unpickled.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bayescmp.files import write_atomically

FORMAT = 2
"""Version of the layout of a checkpoint."""

_HEADER = "header.json"
_SUFFIX = ".npy"
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a file that is no whole checkpoint can raise."""


def save_checkpoint(path: Path, tree: PyTree, header: Mapping[str, object]) -> None:
    """Write the arrays of a tree and a header, atomically.

    Args:
        path: File to write or replace.
        tree: Tree whose array leaves are saved.
        header: What JSON can hold; says what the arrays belong to.

    Raises:
        ValueError: If two arrays have the same name, or the header holds an infinite number.
        OSError: If the file cannot be written; an earlier one is left as it was.
    """
    buffer = io.BytesIO()
    text = json.dumps({"format": FORMAT, **header}, indent=1, ensure_ascii=False, allow_nan=False)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_HEADER, text + "\n")
        for name, leaf in _named_arrays(tree).items():
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(leaf), allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a checkpoint.

    Args:
        path: Checkpoint.

    Returns:
        The header that was saved.

    Raises:
        ValueError: If the file is missing, damaged or no checkpoint.
    """
    return _read(path, prefix=None)[0]


def read_arrays(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """Read arrays of a checkpoint by name, without knowing the tree.

    Args:
        path: Checkpoint.
        prefix: How the names begin, for instance ``state.params.``.

    Returns:
        Arrays by the rest of their names; types that NumPy does not know are plain bytes.

    Raises:
        ValueError: If the file is missing, damaged or no checkpoint.
    """
    return _read(path, prefix=prefix)[1]


def load_checkpoint(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read the arrays of a tree back.

    Args:
        path: Checkpoint.
        like: Tree of the same structure, arrays or ``jax.ShapeDtypeStruct``s.

    Returns:
        The tree with the saved arrays, and the header.

    Raises:
        ValueError: If the file is damaged, or its arrays do not fit the tree.
    """
    header, arrays = _read(path, prefix="")
    return fit_arrays(path, arrays, like), header


def fit_arrays(path: Path, arrays: Mapping[str, np.ndarray], like: PyTree) -> PyTree:
    """Put arrays into a tree by their names.

    Args:
        path: Where they come from, for messages.
        arrays: Arrays by name.
        like: Tree whose arrays have these names, shapes and types.

    Returns:
        The tree with the arrays.

    Raises:
        ValueError: If they do not fit.
    """
    wanted = _named_arrays(like)
    found = {name: _restore_type(array, wanted.get(name)) for name, array in arrays.items()}
    if problems := _list_problems(found, wanted):
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        told = "; ".join(problems[:3]) + more
        raise ValueError(f"checkpoint {str(path)!r} does not fit this network: {told}")
    leaves = iter([jnp.array(found[name]) for name in wanted])
    return jax.tree.map(lambda leaf: next(leaves) if _is_array(leaf) else leaf, like)


def _read(path: Path, *, prefix: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the header, and the arrays whose names begin with a prefix."""
    if not path.exists():
        raise ValueError(f"checkpoint: expected a file, found none at {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            arrays = {} if prefix is None else _read_members(archive, prefix)
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"checkpoint {str(path)!r} is damaged or no checkpoint of bayescmp ({reason}); "
            "delete it to train from the start"
        ) from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"checkpoint {str(path)!r} has another format; expected {FORMAT}, got {found!r}; "
            "read it with the version of bayescmp that wrote it, or train anew"
        )
    return header, arrays


def _read_members(archive: zipfile.ZipFile, prefix: str) -> dict[str, np.ndarray]:
    names = [name for name in archive.namelist() if name != _HEADER and name.startswith(prefix)]
    return {
        name.removeprefix(prefix).removesuffix(_SUFFIX): _read_array(archive, name)
        for name in names
    }


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    # Reading a member whole is what verifies its checksum.
    return np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)


def _restore_type(array: np.ndarray, like: Any) -> np.ndarray:
    """Undo that types which NumPy does not know, bfloat16 say, are saved as plain bytes."""
    if array.dtype.kind != "V" or like is None or array.dtype.itemsize != like.dtype.itemsize:
        return array
    return array.view(like.dtype)


def _list_problems(found: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> list[str]:
    """Say for each array that does not fit what is wrong with it."""
    missing = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    extra = [f"{name} is not part of it" for name in found.keys() - wanted.keys()]
    wrong = [
        f"{name} is {found[name].dtype} of shape {found[name].shape} there and "
        f"{leaf.dtype} of shape {leaf.shape} here"
        for name, leaf in wanted.items()
        if name in found and (found[name].shape, found[name].dtype) != (leaf.shape, leaf.dtype)
    ]
    return sorted(missing) + sorted(extra) + wrong


def _named_arrays(tree: PyTree) -> dict[str, Any]:
    """Return the arrays of a tree by their paths."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    named: dict[str, Any] = {}
    for path, leaf in paths:
        if not _is_array(leaf):
            continue
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name in named:
            raise ValueError(f"tree: expected arrays of different names, got {name!r} twice")
        named[name] = leaf
    return named


def _is_array(leaf: object) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
