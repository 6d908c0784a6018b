"""Simulation-based calibration: where the truth stands, against uniform, with bands."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.pairs import shade_band
from bayescmp.plots.palette import LIGHT, rung_colour
from bayescmp.plots.series import read_labels, read_values
from bayescmp.results.tree import read_attribute


@dataclass(frozen=True)
class Ranked:
    """Where curves of places stand in a tree."""

    group: str
    quantity: str
    """Name of the axis of curves."""
    level: str
    bin: str


SBC = Ranked("/sbc", "quantity", "sbc_level", "sbc_bin")

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
    names, order = order_quantities(tree, SBC)
    with house_style():
        space = label_space([names[i] for i in order[:NUM_NAMED]], most=1.5)
        figure, panels = stacked_panels([Room(2.1), Room(1.3)], left=0.62, right=space)
        draw_ranked(panels[0], panels[1], tree, SBC, space)
    return figure


def order_quantities(tree: xr.DataTree, ranked: Ranked) -> tuple[list[str], np.ndarray]:
    """Name the curves, and put those with the least p-values in the first seed first.

    Args:
        tree: A comparison with the group.
        ranked: Where the curves stand.

    Returns:
        Short names, and the order.
    """
    labels = read_labels(tree, f"{ranked.group}/difference", ranked.quantity)
    p_values = read_values(tree, f"{ranked.group}/p_value", "seed", ranked.quantity)[0]
    return [shorten(name, 15) for name in labels], np.argsort(p_values, kind="stable")


def draw_ranked(upper: Axes, lower: Axes, tree: xr.DataTree, ranked: Ranked, space: float) -> None:
    """Draw curves of places in their band, and the histogram of the oddest.

    Args:
        upper: Panel of the curves.
        lower: Panel of the histogram.
        tree: A comparison with the group.
        ranked: Where the curves stand.
        space: Room on the right of the panels, in inches.
    """
    names, order = order_quantities(tree, ranked)
    title_panel(upper, "Share of replicates up to a level, minus the level")
    _draw_curves(upper, tree, ranked, names, order, space)
    title_panel(lower, f"Replicates in each cell: {names[order[0]]}")
    _draw_histogram(lower, tree, ranked, int(order[0]))
    for panel in (upper, lower):
        panel.set_xlim(0.0, 1.0)
        panel.set_xlabel("place of the truth in its posterior")
        value_axis(panel.xaxis)
        value_axis(panel.yaxis, most=4)


def _draw_curves(
    panel: Axes,
    tree: xr.DataTree,
    ranked: Ranked,
    names: list[str],
    order: np.ndarray,
    space: float,
) -> None:
    """Draw all curves in the band, the oddest ones in colour."""
    path = f"{ranked.group}/difference"
    levels = read_values(tree, f"{ranked.group}/level", ranked.level)
    low, high = (read_values(tree, f"{path}_{end}", ranked.level) for end in ("low", "high"))
    curves = read_values(tree, path, "seed", ranked.quantity, ranked.level)[0]
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    shade_band(panel, levels, low, high)
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


def _draw_histogram(panel: Axes, tree: xr.DataTree, ranked: Ranked, row: int) -> None:
    """Draw the heights of one quantity's histogram with the band of all heights."""
    dims = ("seed", ranked.quantity, ranked.bin)
    heights = read_values(tree, f"{ranked.group}/height", *dims)[0, row]
    ends = [float(read_attribute(tree, ranked.group, f"height_{end}")) for end in ("low", "high")]
    panel.axhspan(*ends, color=LIGHT["rung-0"], alpha=0.2, linewidth=0.0, label="band")
    panel.bar(_centres(heights), heights, 0.9 / len(heights), color=LIGHT["network"], alpha=0.75)
    panel.set_ylim(0.0, 1.12 * max(float(heights.max()), ends[1]))


def _centres(heights: Float[np.ndarray, " bin"]) -> Float[np.ndarray, " bin"]:
    return (np.arange(len(heights)) + 0.5) / len(heights)
