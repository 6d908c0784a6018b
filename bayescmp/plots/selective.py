"""Risk-coverage curves: how often answers are wrong when only the surest are given."""

import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.labels import label_space
from bayescmp.plots.lines import Line, draw_lines
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.series import read_labels, read_values

ROLES = {"own": "network", "exact": "exact"}
"""Orders that are drawn in a colour of their own."""


def plot_selective(tree: xr.DataTree) -> Figure:
    """Draw the mean risk of the surest answers over the share that is answered.

    Reads ``/selective/risk`` and ``/selective/share``.

    Args:
        tree: A comparison with the group ``/selective``.

    Returns:
        A panel with a curve for each order of answers, means over seeds.

    Raises:
        ValueError: The tree has no ``/selective/risk``.
    """
    risk = read_values(tree, "/selective/risk", "answering_order", "seed", "answered")
    orders = read_labels(tree, "/selective/risk", "answering_order")
    share = read_values(tree, "/selective/share", "answered")
    with house_style():
        space = label_space(orders)
        figure, (panel,) = stacked_panels([Room(2.4)], right=space)
        title_panel(panel, "Chance that an answer is wrong")
        panel.set_xlim(0.0, 1.02)
        panel.set_xlabel("share of questions answered, the surest first")
        value_axis(panel.xaxis)
        value_axis(panel.yaxis)
        lines = []
        for index, (order, values) in enumerate(zip(orders, risk, strict=True)):
            colour = LIGHT[ROLES[order]] if order in ROLES else rung_colour(index + 2)
            dashes = () if order == "own" else rung_dashes(index)
            lines.append(Line(order, values, colour, dashes))
        draw_lines(panel, share, lines, space)
    return figure
