"""Checkpoints: arrays and a JSON header in one file, never code.

A checkpoint is a NumPy ``.npz`` archive. ``header`` holds JSON text as bytes, and each
leaf of the saved tree is one array named by its path. Archives carry checksums, so a
damaged file is noticed, and nothing in them is ever unpickled.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bayescmp.files import write_atomically

FORMAT = 1
"""Version of the layout of a checkpoint."""


def save_checkpoint(path: Path, tree: PyTree, header: Mapping[str, object]) -> None:
    """Write the arrays of a tree and a header, atomically.

    Args:
        path: File to write or replace.
        tree: Tree whose array leaves are saved.
        header: What JSON can hold; says what the arrays belong to.

    Raises:
        OSError: If the file cannot be written; an earlier one is left as it was.
    """
    text = json.dumps({"format": FORMAT, **header})
    arrays = {name: np.asarray(leaf) for name, leaf in _named_arrays(tree).items()}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(text.encode(), np.uint8), **arrays)
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
    return _read(path)[0]


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
    header, arrays = _read(path)
    wanted = _named_arrays(like)
    missing, extra = sorted(wanted.keys() - arrays.keys()), sorted(arrays.keys() - wanted.keys())
    wrong = sorted(
        name
        for name, leaf in wanted.items()
        if name in arrays
        and (arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype)
    )
    if missing or extra or wrong:
        parts = [("missing", missing), ("extra", extra), ("of another shape or type", wrong)]
        told = "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in parts if names)
        raise ValueError(f"checkpoint {str(path)!r} does not fit this network: {told}")
    leaves = iter([jnp.asarray(arrays[name]) for name in wanted])
    return jax.tree.map(lambda leaf: next(leaves) if _is_array(leaf) else leaf, like), header


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.exists():
        raise ValueError(f"checkpoint: expected a file, found none at {str(path)!r}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"checkpoint {str(path)!r} is damaged or no checkpoint of bayescmp; delete it to "
            "train from the start"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"checkpoint {str(path)!r} has another format; expected {FORMAT}")
    return header, arrays


def _named_arrays(tree: PyTree) -> dict[str, Any]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in paths if _is_array(leaf)}


def _is_array(leaf: object) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
