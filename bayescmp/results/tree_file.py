"""Results in files: netCDF4, written through memory.

A file is whole or it is not there, and the same tree always gives the same bytes.
"""

import io
import os
from pathlib import Path

import numpy as np
import xarray as xr

from bayescmp.files import write_atomically
from bayescmp.results.schema import SCHEMA_VERSION
from bayescmp.results.validation import validate_tree

_ADVICE = "give the results.nc of a bayescmp run, or run the study again"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def save_tree(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Save a valid tree as netCDF4, all of it or nothing.

    The same tree gives the same bytes. An older file of that name stays whole until the new
    one is on the disk.

    Args:
        tree: Comparison that :func:`validate_tree` accepts.
        path: File to write, ``results.nc`` as a rule.

    Raises:
        ValueError: If the tree is not valid, or the folder does not exist.
        OSError: If the disk is full or the folder cannot be written to.

    Example:
        >>> save_tree(tree, "results.nc")
        >>> load_tree("results.nc").identical(tree)
        True
    """
    validate_tree(tree)
    clean = {node.path: node.to_dataset(inherit=False).drop_encoding() for node in tree.subtree}
    encoding = {
        group: {name: _packing(variable) for name, variable in dataset.variables.items()}
        for group, dataset in clean.items()
    }
    data = xr.DataTree.from_dict(clean).to_netcdf(None, engine="h5netcdf", encoding=encoding)
    write_atomically(path, bytes(data))


def _packing(variable: xr.Variable) -> dict[str, object]:
    if variable.ndim == 0 or variable.size == 0 or variable.dtype.kind == "U":
        return {}
    packing: dict[str, object] = {"zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True}
    return packing | ({"_FillValue": None} if variable.dtype.kind == "f" else {})


def load_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """Load a saved tree into memory.

    Args:
        path: File that :func:`save_tree` wrote.

    Returns:
        Tree equal to the saved one; the file is closed.

    Raises:
        ValueError: If the file is missing, damaged, foreign, or of another schema version.

    Example:
        >>> save_tree(tree, "results.nc")
        >>> load_tree("results.nc")["/divergence/mean_kl"].attrs["units"]
        'bit'
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; {_ADVICE}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {_ADVICE}") from error
    if not data.startswith(_HDF5_SIGNATURE):
        raise ValueError(f"{path}: not a netCDF4 file; {_ADVICE}")
    try:
        tree = _decode(data)
    except Exception as error:  # a damaged file fails in any layer below, in any way
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path}: truncated or damaged ({why}); {_ADVICE}") from error
    version = tree.attrs.get("schema_version")
    if version is None:
        raise ValueError(f"{path}: not a file of bayescmp (no schema_version); {_ADVICE}")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: expected schema version {SCHEMA_VERSION}, got {version}; "
            "read it with the bayescmp that wrote it, or run the study again"
        )
    try:
        validate_tree(tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {_ADVICE}") from error
    return tree


def _decode(data: bytes) -> xr.DataTree:
    """Read every group into memory, with attributes as Python numbers."""
    with xr.open_datatree(
        io.BytesIO(data), engine="h5netcdf", decode_times=False, decode_timedelta=False
    ) as opened:
        datasets = {
            node.path: node.to_dataset(inherit=False).load().drop_encoding()
            for node in opened.subtree
        }
    for dataset in datasets.values():
        dataset.attrs = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in dataset.attrs.items()
        }
    return xr.DataTree.from_dict(datasets)
