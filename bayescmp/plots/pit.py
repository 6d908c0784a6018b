"""Transforms of outcomes against the uniform distribution, with bands that hold everywhere."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
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
from bayescmp.plots.pairs import (
    DRAWN,
    EXACT,
    draw_drawn,
    draw_exact,
    name_pair,
    ring_places,
    shade_band,
    stream_axis,
)
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import read_labels, read_places, read_values


def plot_pit(tree: xr.DataTree) -> Figure:
    """Draw how far the distribution of transforms is from uniform, over all and by position.

    Reads ``/pit/difference`` with its band, ``exact_difference``, and both distances by position.

    Args:
        tree: A comparison with the group ``/pit``.

    Returns:
        The curve of the first seed in its simultaneous band, other seeds faintly, above the
        greatest distance at each position; rings mark positions that are off.

    Raises:
        ValueError: The tree has no ``/pit/difference``.
    """
    with house_style():
        space = label_space([DRAWN, EXACT])
        figure, (upper, lower) = stacked_panels([Room(1.9), Room(1.3)], left=0.62, right=space)
        title_panel(upper, "Share of transforms up to a level, minus the level")
        _draw_curves(upper, tree, space)
        title_panel(lower, "Greatest distance from uniform, by position")
        places = read_places(tree, "/pit/distance_by_position", "position")
        _draw_distances(lower, tree, "position", places, space)
        _ring_positions(lower, tree, places)
        count_axis(lower, places, POSITION_LABEL)
    return figure


def plot_pit_streams(tree: xr.DataTree) -> Figure:
    """Draw how far transforms through the logit lens are from uniform at each place.

    Reads ``/pit/distance_by_stream`` and ``/pit/exact_distance_by_stream``.

    Args:
        tree: A comparison with the group ``/pit`` of networks that can be traced.

    Returns:
        A line by drawn outcomes and one by exact laws; means over seeds.

    Raises:
        ValueError: The tree has no ``/pit/distance_by_stream``.
    """
    streams = read_labels(tree, "/pit/distance_by_stream", "stream")
    with house_style():
        space = label_space([DRAWN, EXACT])
        figure, (panel,) = stacked_panels([Room(1.5, below=0.75)], left=0.62, right=space)
        title_panel(panel, "Greatest distance from uniform, by place")
        places = np.arange(len(streams), dtype=float)
        _draw_distances(panel, tree, "stream", places, space)
        stream_axis(panel, streams)
    return figure


def _draw_curves(panel: Axes, tree: xr.DataTree, space: float) -> None:
    """Draw the differences from uniform with the first seed's band."""
    names = ("difference", "exact_difference", "band_low", "band_high")
    drawn, exact, low, high = (read_values(tree, f"/pit/{n}", "seed", "pit_level") for n in names)
    levels = read_places(tree, "/pit/difference", "pit_level") / 100.0
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    shade_band(panel, levels, low[0], high[0])
    for other in drawn[1:]:
        panel.plot(levels, other, color=LIGHT["rung-2"], linewidth=0.8, alpha=0.4, label=DRAWN)
    panel.plot(levels, drawn[0], color=LIGHT["rung-2"], label=DRAWN)
    draw_exact(panel, levels, exact[0])
    panel.set_xlim(0.0, 1.0)
    panel.set_xlabel("level")
    value_axis(panel.xaxis)
    value_axis(panel.yaxis)
    name_pair(panel, levels, drawn[0], exact[0], space)


def _draw_distances(
    panel: Axes, tree: xr.DataTree, by: str, places: Float[np.ndarray, " place"], space: float
) -> None:
    """Draw the greatest distances along one axis, mean over seeds."""
    drawn, exact = (
        read_values(tree, f"/pit/{name}_by_{by}", "seed", by).mean(axis=0)
        for name in ("distance", "exact_distance")
    )
    draw_drawn(panel, places, drawn)
    draw_exact(panel, places, exact, marker="D")
    most = np.nanmax(np.concatenate([drawn, exact, [0.01]]))
    panel.set_ylim(0.0, 1.1 * float(most))
    value_axis(panel.yaxis, most=3)
    name_pair(panel, places, drawn, exact, space)


def _ring_positions(panel: Axes, tree: xr.DataTree, places: Float[np.ndarray, " place"]) -> None:
    """Ring the positions that are off in the first seed."""
    off = read_values(tree, "/pit/off_by_position", "seed", "position")[0] > 0.0
    heights = read_values(tree, "/pit/distance_by_position", "seed", "position").mean(axis=0)
    ring_places(panel, places, heights, off)
