"""Groups that a study adds to the comparison: their variables as tables."""

import itertools

import xarray as xr

from bayescmp.plots.series import clean_text
from bayescmp.report.blocks import Cell, Fact, FactList, Section, TableBlock
from bayescmp.report.tables import (
    Column,
    label_column,
    make_table,
    number_column,
    seed_column,
)
from bayescmp.report.words import join_words, plural, with_unit
from bayescmp.results.schema import SCHEMA

MOST_VALUES = 20_000
"""A variable with more values than this is named, and not shown."""

SUMMARY = (
    "The study added these groups to the comparison. Figures are means over seeds, with 95 % "
    "intervals below; a mean is infinite where that of one seed is, and a dash stands for what "
    "was not measured."
)


def build_further_sections(tree: xr.DataTree) -> tuple[Section, ...]:
    """Write the section on groups that every comparison need not have.

    Args:
        tree: A comparison, with groups of its own or without.

    Returns:
        One section with a table for each set of axes of each group; none where the tree has no
        groups of its own.
    """
    groups = {
        path: tree[path].to_dataset()
        for path in tree.groups
        if path not in SCHEMA and tree[path].data_vars
    }
    if not groups:
        return ()
    section = Section(
        "further",
        "Further groups",
        paragraphs=(SUMMARY,),
        tables=tuple(
            table for path, group in groups.items() for table in _make_tables(tree, path, group)
        ),
        facts=tuple(_list_meanings(path, group) for path, group in groups.items()),
        points=tuple(
            point for path, group in groups.items() for point in _name_long_ones(path, group)
        ),
    )
    return (section,)


def _make_tables(tree: xr.DataTree, path: str, group: xr.Dataset) -> list[TableBlock]:
    """Put variables with the same axes into one table."""
    by_axes: dict[tuple[str, ...], list[xr.DataArray]] = {}
    for variable in group.data_vars.values():
        if variable.size <= MOST_VALUES:
            by_axes.setdefault(_row_axes(variable), []).append(variable)
    return [
        _by_axes(tree, path, axes, variables) if axes else _one_by_one(tree, path, variables)
        for axes, variables in by_axes.items()
    ]


def _row_axes(variable: xr.DataArray) -> tuple[str, ...]:
    """Return the axes that become rows: all, but numbers are averaged over seeds."""
    axes = tuple(str(axis) for axis in variable.dims)
    return tuple(axis for axis in axes if axis != "seed") if _is_number(variable) else axes


def _is_number(variable: xr.DataArray) -> bool:
    return variable.dtype.kind in "fiu"


def _by_axes(
    tree: xr.DataTree, path: str, axes: tuple[str, ...], variables: list[xr.DataArray]
) -> TableBlock:
    """Make a table with one row for each place, one column for each variable."""
    labels = [[clean_text(str(label)) for label in variables[0][axis].values] for axis in axes]
    rows = list(itertools.product(*labels))
    columns = [
        label_column(clean_text(axis), [row[place] for row in rows])
        for place, axis in enumerate(axes)
    ]
    columns += [_column(tree, variable, axes) for variable in variables]
    return make_table(clean_text(f"{path}, by {join_words(axes)}."), columns)


def _one_by_one(tree: xr.DataTree, path: str, variables: list[xr.DataArray]) -> TableBlock:
    """Make a table with one row for each variable that has no further axes."""
    names, cells = [], []
    for variable in variables:
        _, (cell,) = _column(tree, variable, ())
        names.append(clean_text(str(variable.name)))
        cells.append(Cell(with_unit(cell.text, _units(variable)), cell.note))
    return make_table(
        clean_text(f"{path}."), [label_column("variable", names), (Cell("value"), cells)]
    )


def _column(tree: xr.DataTree, variable: xr.DataArray, axes: tuple[str, ...]) -> Column:
    """Make the column of one variable, its places in the order of the rows."""
    name, units = clean_text(str(variable.name)), _units(variable)
    if not _is_number(variable):
        texts = variable.transpose(*axes).values.ravel()
        return Cell(name), [Cell(clean_text(str(text))) for text in texts]
    if "seed" not in variable.dims:
        values = variable.transpose(*axes).values.astype(float)
        return number_column(tree, name, units, values.ravel())
    values = variable.transpose("seed", *axes).values.astype(float)
    return seed_column(tree, name, units, values.reshape(len(values), -1))


def _units(variable: xr.DataArray) -> str:
    return clean_text(str(variable.attrs.get("units", "1")))


def _list_meanings(path: str, group: xr.Dataset) -> FactList:
    """Say what each variable of a group is."""
    facts = [
        Fact(clean_text(str(name)), clean_text(str(variable.attrs.get("long_name", "–"))))
        for name, variable in group.data_vars.items()
    ]
    return FactList(clean_text(f"What {path} holds"), tuple(facts))


def _name_long_ones(path: str, group: xr.Dataset) -> list[str]:
    """Name the variables that are too long for a page."""
    return [
        clean_text(
            f"{path}/{name} has {plural(variable.size, 'value')}, too many for a page; they are "
            "in the results file."
        )
        for name, variable in group.data_vars.items()
        if variable.size > MOST_VALUES
    ]
