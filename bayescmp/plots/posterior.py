"""An amortised posterior: where truths stand among its draws, and how much its sets hold."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.pairs import shade_band
from bayescmp.plots.palette import LIGHT, rung_colour
from bayescmp.plots.sbc import NUM_NAMED, Ranked, draw_ranked, order_quantities
from bayescmp.plots.series import read_labels, read_places, read_values

RANKED = Ranked("/posterior", "parameter", "posterior_level", "posterior_bin")

POINTS = 100.0
"""Percentage points in one."""


def plot_posterior(tree: xr.DataTree) -> Figure:
    """Draw where truths stand among draws, a histogram, and the coverage of every kind of set.

    Reads ``/posterior/difference`` with its simultaneous band, ``height`` and ``set_coverage``.

    Args:
        tree: A tree with the group ``/posterior``, made from arrays alone or a comparison.

    Returns:
        Curves of all parameters of the first seed, the three oddest named, the histogram of the
        oddest, and coverage minus level.

    Raises:
        ValueError: The tree has no ``/posterior/difference``.
    """
    names, order = order_quantities(tree, RANKED)
    kinds = read_labels(tree, "/posterior/set_coverage", "posterior_set")
    with house_style():
        space = label_space([*(names[i] for i in order[:NUM_NAMED]), *kinds], most=1.5)
        rooms = [Room(2.1), Room(1.3), Room(1.5)]
        figure, panels = stacked_panels(rooms, left=0.62, right=space)
        draw_ranked(panels[0], panels[1], tree, RANKED, space)
        title_panel(panels[2], "Coverage of sets minus level, points")
        _draw_sets(panels[2], tree, kinds, space)
    return figure


def _draw_sets(panel: Axes, tree: xr.DataTree, kinds: list[str], space: float) -> None:
    """Draw coverage minus level; the band is that of the first kind of set."""
    levels = read_places(tree, "/posterior/set_coverage", "nominal")
    dims = ("posterior_set", "nominal")
    low, high = (
        POINTS * read_values(tree, f"/posterior/set_{end}", *dims)[-1] - levels
        for end in ("low", "high")
    )
    coverage = POINTS * read_values(tree, "/posterior/set_coverage", "seed", *dims)[0] - levels
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    shade_band(panel, levels, low, high)
    labels = []
    for number, (kind, row) in enumerate(zip(kinds, coverage, strict=True)):
        colour = LIGHT["network"] if not number else rung_colour(number + 1)
        panel.plot(levels, row, color=colour, label=kind)
        labels.append(EndLabel(kind, float(levels[-1]), float(row[-1]), colour))
    panel.set_xlim(0.0, 100.0)
    reach = 1.1 * max(1.0, float(np.abs(np.stack([*coverage, low, high])).max()))
    panel.set_ylim(-reach, reach)
    panel.set_xlabel("level, %")
    value_axis(panel.xaxis)
    value_axis(panel.yaxis, most=4)
    write_end_labels(panel, labels, space)
