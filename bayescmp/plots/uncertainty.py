"""Uncertainty by position: what is aleatoric, what more data could take away, and what is error."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    Room,
    count_axis,
    house_style,
    stacked_panels,
    title_panel,
    value_axis,
)
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.labels import label_space
from bayescmp.plots.lines import Line, draw_lines
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.series import has_variable, read_labels, read_places, read_values, seed_band

PARTS = ("aleatoric", "epistemic", "error")
"""Names of the parts of the expected log loss."""


def plot_uncertainty(tree: xr.DataTree) -> Figure:
    """Draw the parts of the expected log loss by position, and what futures are to teach.

    Reads ``/uncertainty/excess`` and, where they are there, ``aleatoric`` and ``epistemic``,
    and ``own_epistemic`` and ``own_exact`` for a panel below.

    Args:
        tree: A comparison with the group ``/uncertainty``.

    Returns:
        One or two panels over positions, in bits.

    Raises:
        ValueError: The tree has no ``/uncertainty/excess``.
    """
    positions = read_places(tree, "/uncertainty/excess", "position")
    names = ("aleatoric", "epistemic", "excess")
    there = [name for name in names if has_variable(tree, f"/uncertainty/{name}")]
    with_futures = has_variable(tree, "/uncertainty/own_epistemic")
    with house_style():
        space = label_space([*PARTS, "network", "exact"])
        rooms = [Room(2.0), Room(1.5)] if with_futures else [Room(2.0)]
        figure, panels = stacked_panels(rooms, right=space)
        title_panel(panels[0], "Parts of the expected log loss, bit")
        lines = [
            Line(
                PARTS[names.index(name)],
                read_values(tree, f"/uncertainty/{name}", "seed", "position"),
                LIGHT["network"] if name == "excess" else rung_colour(index + 2),
                rung_dashes(index) if name == "aleatoric" else (),
            )
            for index, name in enumerate(there)
        ]
        count_axis(panels[0], positions, POSITION_LABEL)
        value_axis(panels[0].yaxis)
        ends = [(float(np.nanmin(x.values)), float(np.nanmax(x.values))) for x in lines]
        top = 1.05 * max(high for _, high in ends)
        panels[0].set_ylim(min(0.0, *(low for low, _ in ends)), top or 1.0)
        draw_lines(panels[0], positions, lines, space)
        if with_futures:
            _draw_futures(tree, figure, space)
    return figure


def _draw_futures(tree: xr.DataTree, figure: Figure, space: float) -> None:
    """Draw what predictor and exact law expect their own futures to tell."""
    panel = figure.axes[1]
    title_panel(panel, "Expected to be learnt by the end, bit")
    places = np.array(
        [float(label) for label in read_labels(tree, "/uncertainty/own_epistemic", "own_question")]
    )
    count_axis(panel, places, POSITION_LABEL)
    value_axis(panel.yaxis)
    lines = []
    for name, label, role in (("own_exact", "exact", "exact"), ("own_epistemic", "network", "")):
        values = read_values(tree, f"/uncertainty/{name}", "seed", "own_question")
        colour = LIGHT[role or "network"]
        error = "own_error" if name == "own_epistemic" else "own_exact_error"
        spread = read_values(tree, f"/uncertainty/{error}", "seed", "own_question")
        half = 1.96 * np.sqrt((spread**2).sum(axis=0)) / len(spread)
        mean = seed_band(values).mean
        panel.vlines(places, mean - half, mean + half, color=colour, alpha=0.4, linewidth=3.2)
        lines.append(Line(label, values, colour, (3.0, 1.5) if role else ()))
    draw_lines(panel, places, lines, space)


def plot_prediction_sets(tree: xr.DataTree) -> Figure:
    """Draw how often sets hold what comes, by position.

    Reads ``/uncertainty/set_coverage_by_position`` and the attribute ``level``.

    Args:
        tree: A comparison with the group ``/uncertainty``.

    Returns:
        A panel with a line for each kind of set, and the level asked for.

    Raises:
        ValueError: The tree has no ``/uncertainty/set_coverage_by_position``.
    """
    path = "/uncertainty/set_coverage_by_position"
    values = read_values(tree, path, "prediction_set", "seed", "position")
    kinds, positions = (
        read_labels(tree, path, "prediction_set"),
        read_places(tree, path, "position"),
    )
    level = float(tree["uncertainty"].attrs["level"])
    with house_style():
        space = label_space(kinds)
        figure, (panel,) = stacked_panels([Room(2.0)], right=space)
        title_panel(panel, "Chance that the set holds what comes")
        panel.axhline(level, color=LIGHT["axis"], linewidth=1.0)
        count_axis(panel, positions, POSITION_LABEL)
        value_axis(panel.yaxis)
        lines = [
            Line(kind, row, rung_colour(index + 2), rung_dashes(index) if index else ())
            for index, (kind, row) in enumerate(zip(kinds, values, strict=True))
        ]
        draw_lines(panel, positions, lines, space)
    return figure
