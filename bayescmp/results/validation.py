"""Hold a DataTree against the one table of what it must contain."""

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr

from bayescmp.results.schema import (
    DIMENSIONS,
    SCHEMA,
    SCHEMA_VERSION,
    STORED_TYPES,
    Attribute,
    Group,
)


def validate_tree(tree: xr.DataTree) -> None:
    """Hold a tree against the table.

    Checked are the groups, variables, axes, kinds, units and attributes that the table asks
    for, that an axis has the same labels in all groups, and that every variable, own ones
    included, has ``long_name`` and ``units``. Numbers are not checked: NaN is allowed.

    Args:
        tree: Comparison, as :func:`make_tree` makes it.

    Raises:
        ValueError: If the tree does not fit; one line that lists every problem.

    Example:
        >>> validate_tree(tree.drop_nodes("ladder"))
        Traceback (most recent call last):
        ValueError: tree: 1 problem(s): /ladder: missing group
    """
    problems = [*_tree_problems(tree), *_axis_problems(tree)]
    if problems:
        raise ValueError(f"tree: {len(problems)} problem(s): {'; '.join(problems)}")


def _tree_problems(tree: xr.DataTree) -> Iterator[str]:
    for path, table in SCHEMA.items():
        if path in tree.groups:
            yield from _group_problems(path, table, tree[path].to_dataset())
        elif table.required:
            yield f"{path}: missing group"
    for path in tree.groups:
        for name, variable in tree[path].to_dataset().variables.items():
            for attribute in ("long_name", "units"):
                if not variable.attrs.get(attribute):
                    yield f"{path.rstrip('/')}/{name}: no {attribute}"
    version = tree.attrs.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        yield f"schema_version: expected {SCHEMA_VERSION}, got {version}"


def _group_problems(path: str, table: Group, dataset: xr.Dataset) -> Iterator[str]:
    for name, row in table.attributes.items():
        if name in dataset.attrs:
            problem = attribute_problem(row, dataset.attrs[name])
            if problem:
                yield f"{path} attribute {name}: {problem}"
        elif row.required:
            yield f"{path}: missing attribute {name}"
    for name, row in table.variables.items():
        if name not in dataset.data_vars:
            if row.required:
                yield f"{path}/{name}: missing variable"
            continue
        variable = dataset[name]
        if variable.dims != row.dims:
            yield f"{path}/{name}: expected axes {row.dims}, got {variable.dims}"
        if variable.dtype.kind != np.dtype(STORED_TYPES[row.kind]).kind:
            yield f"{path}/{name}: expected {row.kind}, got {variable.dtype}"
        if variable.attrs.get("units", row.units) != row.units:
            yield f"{path}/{name}: expected unit {row.units}, got {variable.attrs['units']}"


def attribute_problem(row: Attribute, value: object) -> str | None:
    """Say what is wrong with the value of one attribute, or None.

    Args:
        row: Its row of the table.
        value: As stored: text, a number, or JSON as text.

    Returns:
        What was expected and what came, in words, or None where it fits.
    """
    if row.kind == "number":
        fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        return None if fits else f"expected a number, got {value!r}"
    if not isinstance(value, str) or not value:
        return f"expected text, got {value!r}"
    if row.kind == "json":
        try:
            json.loads(value)
        except ValueError as error:
            return f"expected JSON, got {value[:40]!r} ({error})"
    return None


def _axis_problems(tree: xr.DataTree) -> Iterator[str]:
    first: dict[str, tuple[str, list[object]]] = {}
    for path in SCHEMA:
        dataset = tree[path].to_dataset() if path in tree.groups else xr.Dataset()
        for dim in (str(dim) for dim in dataset.sizes if dim in DIMENSIONS):
            if dim not in dataset.coords:
                yield f"{path}: axis {dim} has no labels"
                continue
            labels = dataset[dim].values.tolist()
            where, known = first.setdefault(dim, (path, labels))
            if labels != known:
                yield f"{path}: expected labels of {dim} as in {where}, got others"
    seeds = tree.attrs.get("seeds")
    if "seed" in first and isinstance(seeds, str) and seeds != json.dumps(first["seed"][1]):
        yield f"attribute seeds: expected {json.dumps(first['seed'][1])}, got {seeds}"
