"""Calibration: do predicted probabilities come true, and do they equal the exact ones?"""

import numpy as np
import xarray as xr

from bayescmp.plots.calibration import plot_calibration
from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.series import has_variable, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, make_table, number_column
from bayescmp.report.words import (
    is_over_every_sequence,
    over_seeds,
    read_optional,
    resolution,
)


def build_calibration_section(tree: xr.DataTree) -> Section:
    """Write the section on calibration.

    Args:
        tree: A comparison.

    Returns:
        The section: a reliability diagram with the expected calibration errors.
    """
    observed = _write_error(tree, "/calibration/ece")
    exact = _write_error(tree, "/calibration/exact_ece")
    summary = (
        f"The expected calibration error is {observed} against drawn outcomes and {exact} against "
        "exact probabilities, which no draw blurs."
    )
    if is_over_every_sequence(tree):
        summary = (
            f"The expected calibration error is {exact}. Every sequence was weighted by its exact "
            "probability, so frequencies are exact probabilities and have no interval."
        )
    return Section(
        ident="calibration",
        title="Calibration",
        paragraphs=(
            summary,
            "Calibration is weaker than being right: a rival that knows only the position can be "
            "perfectly calibrated. It is a check, not a ranking.",
        ),
        figures=(_draw_calibration(tree, summary),),
    )


def _write_error(tree: xr.DataTree, path: str) -> str:
    """Write a calibration error with its interval over seeds."""
    value, interval = over_seeds(tree, read_values(tree, path, "seed"), "1")
    return f"{value} {interval}" if interval.startswith("[") else f"{value} ({interval})"


def _draw_calibration(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the reliability diagram."""
    title = "Predicted probabilities against what happened and against exact ones"
    level = read_optional(tree, "/calibration", "level")
    percent = f"{100 * float(level):g} % " if isinstance(level, int | float) else ""
    dots = (
        f"Dots: how often that outcome was drawn, with its {percent}interval (entries of one "
        "sequence are dependent, and the interval allows for that)."
    )
    if is_over_every_sequence(tree):
        dots = "Dots: how often that outcome comes over every sequence, known exactly."
    return FigureBlock(
        ident="fig-calibration",
        svg=draw_svg(plot_calibration(tree), "fig-calibration", title, summary),
        title=title,
        variables=("/calibration/predicted", "/calibration/observed", "/calibration/exact"),
        reading=f"Every probability the network gave to any outcome, in bins. {dots} "
        "Diamonds: the mean exact probability in the same bin. "
        "On the diagonal, and on zero below, the network is right on average. Marks are the first "
        "seed's; faint dashes below are the other seeds' exact probabilities.",
        data=_make_table(tree),
    )


def _make_table(tree: xr.DataTree) -> TableBlock:
    """List the first seed's bins."""
    error = resolution(tree, "1")
    edges = zip(
        read_values(tree, "/calibration/edges_low", "bin"),
        read_values(tree, "/calibration/edges_high", "bin"),
        strict=True,
    )
    bins = [Cell(f"{low:.3g} – {high:.3g}") for low, high in edges]
    exact = [
        Cell("–" if np.isnan(value) else format_number(float(value), resolution=error))
        for value in _first(tree, "exact")
    ]
    return make_table(
        "Reliability of the first seed; a dash marks a bin that nothing fell into.",
        [
            (Cell("bin"), bins),
            number_column(tree, "predicted", "", _first(tree, "predicted")),
            *_frequency_columns(tree),
            (Cell("exact"), exact),
            *_entry_columns(tree),
        ],
    )


def _frequency_columns(tree: xr.DataTree) -> list[Column]:
    """List the first seed's frequencies; over every sequence they are the exact ones."""
    if is_over_every_sequence(tree):
        return []
    rows = zip(
        *(_first(tree, name) for name in ("observed", "observed_low", "observed_high")), strict=True
    )
    cells: list[Cell] = [
        Cell(format_number(value), f"[{format_number(low)}, {format_number(high)}]")
        if np.isfinite(value)
        else Cell("–")
        for value, low, high in (map(float, row) for row in rows)
    ]
    return [(Cell("drawn", "frequency, interval"), cells)]


def _entry_columns(tree: xr.DataTree) -> list[Column]:
    """List how many probabilities fell into each bin, and their weight where they have one."""
    columns: list[Column] = [
        (Cell("entries"), [Cell(format_count(float(n))) for n in _first(tree, "count")])
    ]
    if has_variable(tree, "/calibration/weight"):
        cells = [Cell(format_number(float(weight))) for weight in _first(tree, "weight")]
        columns.append((Cell("expected", "in one sequence"), cells))
    return columns


def _first(tree: xr.DataTree, name: str) -> np.ndarray:
    """Read the first seed's bins."""
    return read_values(tree, f"/calibration/{name}", "seed", "bin")[0]
