"""Calibration: do predicted probabilities come true, and do they equal the exact ones?"""

import numpy as np
import xarray as xr

from bayescmp.plots.calibration import plot_calibration
from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.series import read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import make_table, number_column
from bayescmp.report.words import over_seeds, read_optional, resolution


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
    return FigureBlock(
        ident="fig-calibration",
        svg=draw_svg(plot_calibration(tree), "fig-calibration", title, summary),
        title=title,
        variables=("/calibration/predicted", "/calibration/observed", "/calibration/exact"),
        reading="Every probability the network gave to any outcome, in bins. Dots: how often that "
        f"outcome was drawn, with its {percent}interval (entries of one sequence are dependent, "
        "and the interval allows for that). Diamonds: the mean exact probability in the same bin. "
        "On the diagonal, and on zero below, the network is right on average. Marks are the first "
        "seed's; faint dashes below are the other seeds' exact probabilities.",
        data=_make_table(tree),
    )


def _make_table(tree: xr.DataTree) -> TableBlock:
    """List the first seed's bins."""

    def first(name: str) -> np.ndarray:
        return read_values(tree, f"/calibration/{name}", "seed", "bin")[0]

    error = resolution(tree, "1")
    edges = zip(
        read_values(tree, "/calibration/edges_low", "bin"),
        read_values(tree, "/calibration/edges_high", "bin"),
        strict=True,
    )
    observed = []
    for value, low, high in zip(
        first("observed"), first("observed_low"), first("observed_high"), strict=True
    ):
        interval = f"[{format_number(float(low))}, {format_number(float(high))}]"
        filled = np.isfinite(value)
        text = format_number(float(value)) if filled else "–"
        observed.append(Cell(text, interval if filled else ""))
    bins = [Cell(f"{low:.3g} – {high:.3g}") for low, high in edges]
    exact = [
        Cell("–" if np.isnan(value) else format_number(float(value), resolution=error))
        for value in first("exact")
    ]
    return make_table(
        "Reliability of the first seed; a dash marks a bin that nothing fell into.",
        [
            (Cell("bin"), bins),
            number_column(tree, "predicted", "", first("predicted")),
            (Cell("drawn", "frequency, interval"), observed),
            (Cell("exact"), exact),
            (Cell("entries"), [Cell(format_count(float(count))) for count in first("count")]),
        ],
    )
