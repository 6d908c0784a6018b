"""Tables of numbers: the data behind a figure, row by row."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.plots.numbers import format_interval, format_number
from bayescmp.plots.series import seed_band, without_rounding
from bayescmp.report.blocks import Cell, Row, TableBlock
from bayescmp.report.words import resolution

MOST_ROWS = 200
"""A page shows no more rows than this of one table; the rest stands in the results file."""

Column = tuple[Cell, Sequence[Cell]]
"""Header and cells of one column."""


def make_table(caption: str, columns: Sequence[Column]) -> TableBlock:
    """Put columns side by side, thinned evenly where there are more rows than a page can bear.

    Args:
        caption: What the table shows.
        columns: Columns of the same length; the first one names the rows.

    Returns:
        The table; its caption says how many rows were left out.
    """
    num_rows = len(columns[0][1])
    kept = range(num_rows)
    if num_rows > MOST_ROWS:
        kept = sorted({round(row) for row in np.linspace(0, num_rows - 1, MOST_ROWS)})
        caption += f" {len(kept)} of {num_rows} rows, evenly spaced; all are in the results file."
    rows = tuple(Row(tuple(cells[row] for _, cells in columns)) for row in kept)
    return TableBlock(caption, tuple(header for header, _ in columns), rows)


def label_column(name: str, labels: Sequence[object]) -> Column:
    """Make the column that names the rows.

    Args:
        name: What the rows are.
        labels: Their names.

    Returns:
        The column.
    """
    return Cell(name), [Cell(str(label)) for label in labels]


def number_column(
    tree: xr.DataTree, name: str, units: str, values: Float[np.ndarray, " row"]
) -> Column:
    """Make a column of plain numbers.

    Args:
        tree: The comparison the values come from.
        name: What they are.
        units: Their unit.
        values: One number for each row; NaN is written as a dash.

    Returns:
        The column.
    """
    error, values = resolution(tree, units), without_rounding(values, units)
    return Cell(name, _unit(units)), [
        Cell("–" if np.isnan(value) else format_number(float(value), resolution=error))
        for value in values
    ]


def seed_column(
    tree: xr.DataTree, name: str, units: str, values: Float[np.ndarray, "seed row"]
) -> Column:
    """Make a column of means over seeds with their intervals.

    Args:
        tree: The comparison the values come from.
        name: What they are.
        units: Their unit.
        values: One series for each seed; where all seeds are NaN a dash is written.

    Returns:
        The column.
    """
    values = without_rounding(values, units)
    band, error = seed_band(values), resolution(tree, units)
    cells = []
    for row in range(values.shape[1]):
        if np.all(np.isnan(values[:, row])):
            cells.append(Cell("–"))
            continue
        ends = (float(band.mean[row]), float(band.low[row]), float(band.high[row]))
        cells.append(Cell(*format_interval(*ends, resolution=error)))
    return Cell(name, _unit(units)), cells


def _unit(units: str) -> str:
    """Write the unit for a header; shares have none."""
    return "" if units == "1" else units
