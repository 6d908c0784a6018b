"""Decisions to answer, ask or retrieve: what they are worth, and what was done instead of what."""

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
from bayescmp.plots.series import read_labels, read_places, read_values

NAMES = {"best_utility": "optimal", "utility": "network", "answer_utility": "only answers"}
"""Names of the lines by variable."""


def plot_decisions(tree: xr.DataTree) -> Figure:
    """Draw the worth of decisions by position, and below it which were taken.

    Reads ``/decisions/utility``, ``best_utility``, ``answer_utility`` and ``share``.

    Args:
        tree: A comparison with the group ``/decisions``.

    Returns:
        Two panels: expected utility over positions, and the share of questions by what was best
        (rows) and what was done (marks; their area is the share).

    Raises:
        ValueError: The tree has no ``/decisions/utility``.
    """
    positions = read_places(tree, "/decisions/utility", "position")
    with house_style():
        space = label_space(list(NAMES.values()))
        figure, (upper, lower) = stacked_panels([Room(2.0), Room(1.3)], left=0.75, right=space)
        title_panel(upper, "Expected utility under the exact law")
        count_axis(upper, positions, POSITION_LABEL)
        value_axis(upper.yaxis)
        roles = (LIGHT["exact"], LIGHT["network"], rung_colour(2))
        lines = [
            Line(
                name,
                read_values(tree, f"/decisions/{variable}", "seed", "position"),
                colour,
                () if variable == "utility" else rung_dashes(index),
            )
            for index, ((variable, name), colour) in enumerate(
                zip(NAMES.items(), roles, strict=True)
            )
        ]
        draw_lines(upper, positions, lines, space)
        title_panel(lower, "Done (across) where best (down): share of questions")
        share = read_values(tree, "/decisions/share", "best_action", "action", "seed").mean(-1)
        actions = read_labels(tree, "/decisions/share", "action")
        down, across = np.indices(share.shape)
        colours = np.where(down == across, LIGHT["network"], rung_colour(2)).ravel()
        lower.scatter(across, down, s=420.0 * share, c=colours, linewidths=0.0, alpha=0.85)
        lower.set_xticks(range(len(actions)), actions)
        lower.set_yticks(range(len(actions)), actions)
        lower.set_xlim(-0.5, len(actions) - 0.5)
        lower.set_ylim(len(actions) - 0.5, -0.5)
        lower.grid(visible=False)
    return figure
