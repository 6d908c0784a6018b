"""Results as a labelled DataTree: built, validated, saved and loaded by one table.

The table itself is :mod:`bayescmp.results.schema`. Files are netCDF4 and are written through
memory: a file is whole or it is not there, and the same tree always gives the same bytes.
"""

import io
import json
import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayescmp.files import write_atomically
from bayescmp.results.schema import DIMENSIONS, SCHEMA, SCHEMA_VERSION, STORED_TYPES, Group, Kind
from bayescmp.results.validation import attribute_problem, validate_tree

__all__ = [
    "SCHEMA_VERSION",
    "load_tree",
    "make_dataset",
    "make_tree",
    "read_attribute",
    "save_tree",
    "validate_tree",
]

_ACCEPTED = {"float": "fiu", "int": "iu", "bool": "b", "str": "U"}
_ADVICE = "give the results.nc of a bayescmp run, or run the study again"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def make_dataset(
    group: str,
    arrays: Mapping[str, object],
    coords: Mapping[str, object] | None = None,
    attrs: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """Label the plain arrays of one group by the table.

    Args:
        group: Path of a group of the table, such as ``"/divergence"``.
        arrays: Every variable of the group, axes in the table's order and unit; what NumPy
            takes for an array, JAX arrays too. Copied to float64, int64, bool or text.
        coords: Labels of the axes; one mapping may serve all groups. Axes without labels
            count from the table's start (blocks from 1, others from 0); rungs need names.
        attrs: Attributes of the group; what the table calls JSON may be any JSON value, or
            text that is JSON already.

    Returns:
        Dataset with units, meanings and labels filled in, variables in the table's order.

    Raises:
        ValueError: If a name is unknown or missing, or a value does not fit the table.

    Example:
        >>> arrays = {"outcome_value": [[1, 0]], "shown_text": [["heads", "tails"]]}
        >>> make_dataset("/observed_data", arrays)["outcome_value"].dims
        ('sequence', 'position')
    """
    table = _group(group)
    required = {name for name, row in table.variables.items() if row.required}
    _check_names(f"{group} variables", arrays.keys(), table.variables.keys(), required)
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    sizes: dict[str, int] = {}
    for name, row in table.variables.items():
        if name not in arrays:
            continue
        array = _convert(f"{group}/{name}", arrays[name], row.kind)
        if array.ndim != len(row.dims):
            raise ValueError(f"{group}/{name}: expected axes {row.dims}, got shape {array.shape}")
        for dim, size in zip(row.dims, array.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ValueError(f"{group}/{name}: expected {dim} {sizes[dim]}, got {size}")
        data[name] = (row.dims, array)
    dataset = xr.Dataset(data, _labels(sizes, coords or {}), _encode(group, table, attrs or {}))
    for name in data:
        row = table.variables[name]
        dataset[name].attrs = {"long_name": row.long_name, "units": row.units}
    for dim in sizes:
        dataset[dim].attrs = {
            "long_name": DIMENSIONS[dim].long_name,
            "units": DIMENSIONS[dim].units,
        }
    return dataset


def make_tree(groups: Mapping[str, xr.Dataset], attrs: Mapping[str, object]) -> xr.DataTree:
    """Join groups into a valid tree.

    Args:
        groups: Datasets by path, as :func:`make_dataset` makes them; own groups beside those
            of the table are welcome if their variables have ``long_name`` and ``units``.
        attrs: Attributes of the root but ``schema_version``, which is filled in.

    Returns:
        Tree that :func:`validate_tree` accepts, groups in the table's order.

    Raises:
        ValueError: If the tree would not be valid; the message lists every problem.

    Example:
        >>> groups = {path: tree[path].to_dataset() for path in tree.groups if path != "/"}
        >>> attrs = {name: value for name, value in tree.attrs.items() if name != "schema_version"}
        >>> make_tree(groups, attrs).identical(tree)
        True
    """
    root = _encode("/", SCHEMA["/"], {"schema_version": SCHEMA_VERSION, **attrs})
    ordered = [path for path in SCHEMA if path in groups]
    ordered += [path for path in groups if path not in SCHEMA]
    datasets = {"/": xr.Dataset(attrs=root), **{path: groups[path] for path in ordered}}
    tree = xr.DataTree.from_dict(datasets)
    validate_tree(tree)
    return tree


def _group(path: str) -> Group:
    if path not in SCHEMA:
        raise ValueError(f"group: expected one of {', '.join(SCHEMA)}, got {path!r}")
    return SCHEMA[path]


def _check_names(where: str, given: Set[str], known: Set[str], required: Set[str]) -> None:
    unknown, missing = sorted(given - known), sorted(required - given)
    if unknown:
        raise ValueError(f"{where}: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    if missing:
        raise ValueError(f"{where}: expected {', '.join(missing)} too, got none")


def _convert(where: str, values: object, kind: Kind) -> np.ndarray:
    """Copy values to the stored type, refusing a change of kind."""
    array = np.asarray(values)
    if array.dtype.kind in "OT" and all(isinstance(value, str) for value in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind not in _ACCEPTED[kind]:
        raise ValueError(f"{where}: expected {kind}, got {array.dtype}")
    return array.astype(STORED_TYPES[kind])


def _labels(sizes: Mapping[str, int], coords: Mapping[str, object]) -> dict[str, np.ndarray]:
    for dim in coords:
        if dim not in DIMENSIONS:
            raise ValueError(f"coords: expected some of {', '.join(DIMENSIONS)}, got {dim!r}")
    labels = {}
    for dim, size in sizes.items():
        start = DIMENSIONS[dim].start
        if dim not in coords and start is None:
            raise ValueError(f"coords: expected {size} labels for {dim}, got none")
        given = np.asarray(coords.get(dim, np.arange(size) + (start or 0)))
        array = _convert(f"coords {dim}", given, "int" if given.dtype.kind in "iu" else "str")
        if array.shape != (size,) or len(np.unique(array)) != size:
            raise ValueError(f"coords {dim}: expected {size} different labels, got {array}")
        labels[dim] = array
    return labels


def _encode(group: str, table: Group, attrs: Mapping[str, object]) -> dict[str, object]:
    required = {name for name, row in table.attributes.items() if row.required}
    _check_names(f"{group} attributes", attrs.keys(), table.attributes.keys(), required)
    encoded: dict[str, object] = {}
    for name, row in table.attributes.items():
        if name in attrs:
            value = attrs[name]
            if isinstance(value, np.generic):
                value = value.item()
            if row.kind == "json" and not isinstance(value, str):
                value = json.dumps(value, default=_plain)
            if isinstance(value, int) and abs(value) >= 2**63:  # too long for the file
                value = float(value)
            problem = attribute_problem(row, value)
            if problem:
                raise ValueError(f"{group} attribute {name}: {problem}")
            encoded[name] = value
    return encoded


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ValueError(f"attrs: expected JSON values, got {type(value).__name__}")


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


def read_attribute(tree: xr.DataTree, group: str, name: str) -> Any:  # as json.loads
    """Read one attribute, JSON decoded.

    Args:
        tree: Comparison.
        group: Path of the group, ``"/"`` for the root.
        name: Name of the attribute.

    Returns:
        Text, a number, or what the JSON holds.

    Raises:
        ValueError: If there is no such group or attribute.

    Example:
        >>> read_attribute(tree, "/oracle", "certificate")["exact"]
        True
    """
    path = "/" + group.strip("/")
    if path not in tree.groups:
        raise ValueError(f"group: expected one of {', '.join(tree.groups)}, got {group!r}")
    attrs = tree[path].attrs
    if name not in attrs:
        known = ", ".join(str(key) for key in attrs)
        raise ValueError(f"name: expected an attribute of {path} ({known}), got {name!r}")
    row = SCHEMA[path].attributes.get(name) if path in SCHEMA else None
    return json.loads(attrs[name]) if row is not None and row.kind == "json" else attrs[name]
