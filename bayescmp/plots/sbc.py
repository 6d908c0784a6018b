"""Simulation-based calibration: where the truth stands, against uniform, with bands."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour
from bayescmp.plots.series import read_labels, read_values
from bayescmp.results.tree import read_attribute

NUM_NAMED = 3
"""Curves that are drawn in colour and named, the oddest ones."""


def plot_sbc(tree: xr.DataTree) -> Figure:
    """Draw how far the distribution of the truth's places is from uniform, and a histogram.

    Reads ``/sbc/difference`` with its simultaneous band, ``p_value`` and ``height``.

    Args:
        tree: A comparison with the group ``/sbc``.

    Returns:
        The first seed's curves of all quantities in the band, the three with the least p-values
        named, above the histogram of the one with the least.

    Raises:
        ValueError: The tree has no ``/sbc/difference``.
    """
    names = [shorten(name, 15) for name in read_labels(tree, "/sbc/difference", "quantity")]
    order = np.argsort(read_values(tree, "/sbc/p_value", "seed", "quantity")[0], kind="stable")
    with house_style():
        space = label_space([names[i] for i in order[:NUM_NAMED]], most=1.5)
        figure, panels = stacked_panels([Room(2.1), Room(1.3)], left=0.62, right=space)
        title_panel(panels[0], "Share of replicates up to a level, minus the level")
        _draw_curves(panels[0], tree, names, order, space)
        title_panel(panels[1], f"Replicates in each cell: {names[order[0]]}")
        _draw_histogram(panels[1], tree, int(order[0]))
        for panel in panels:
            panel.set_xlim(0.0, 1.0)
            panel.set_xlabel("place of the truth in its posterior")
            value_axis(panel.xaxis)
            value_axis(panel.yaxis, most=4)
    return figure


def _draw_curves(
    panel: Axes, tree: xr.DataTree, names: list[str], order: np.ndarray, space: float
) -> None:
    """Draw all curves in the band, the oddest ones in colour."""
    levels = read_values(tree, "/sbc/level", "sbc_level")
    low, high = (
        read_values(tree, f"/sbc/difference_{end}", "sbc_level") for end in ("low", "high")
    )
    curves = read_values(tree, "/sbc/difference", "seed", "quantity", "sbc_level")[0]
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    panel.fill_between(
        levels, low, high, color=LIGHT["rung-0"], alpha=0.2, linewidth=0.0, label="band"
    )
    for row in order[NUM_NAMED:]:
        panel.plot(levels, curves[row], color=LIGHT["muted"], linewidth=0.6, label=names[row])
    labels = []
    for number, row in enumerate(order[:NUM_NAMED]):
        colour = LIGHT["network"] if not number else rung_colour(number + 1)
        panel.plot(levels, curves[row], color=colour, label=names[row])
        labels.append(EndLabel(names[row], 1.0, float(curves[row][-1]), colour))
    panel.set_xlim(0.0, 1.0)
    panel.set_ylim(*panel.get_ylim())  # labels are put beside what stands fast
    write_end_labels(panel, labels, space)


def _draw_histogram(panel: Axes, tree: xr.DataTree, row: int) -> None:
    """Draw the heights of one quantity's histogram with the band of all heights."""
    heights = read_values(tree, "/sbc/height", "seed", "quantity", "sbc_bin")[0, row]
    ends = [float(read_attribute(tree, "/sbc", f"height_{end}")) for end in ("low", "high")]
    panel.axhspan(*ends, color=LIGHT["rung-0"], alpha=0.2, linewidth=0.0, label="band")
    panel.bar(_centres(heights), heights, 0.9 / len(heights), color=LIGHT["network"], alpha=0.75)
    panel.set_ylim(0.0, 1.12 * max(float(heights.max()), ends[1]))


def _centres(heights: Float[np.ndarray, " bin"]) -> Float[np.ndarray, " bin"]:
    return (np.arange(len(heights)) + 0.5) / len(heights)
