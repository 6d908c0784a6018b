"""Results as a labelled DataTree: built and validated by one table.

The table itself is :mod:`bayescmp.results.schema`; :mod:`bayescmp.results.tree_file` saves
and loads trees.
"""

import json
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import xarray as xr

from bayescmp.results.schema import DIMENSIONS, SCHEMA, SCHEMA_VERSION, STORED_TYPES, Group, Kind
from bayescmp.results.validation import attribute_problem, validate_tree

__all__ = [
    "SCHEMA_VERSION",
    "make_dataset",
    "make_tree",
    "read_attribute",
    "validate_tree",
]

_ACCEPTED = {"float": "fiu", "int": "iu", "bool": "b", "str": "U"}


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
