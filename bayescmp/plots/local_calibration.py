"""Local calibration: by how much what came differs from what was predicted, context by context."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    KEY_ROOM,
    Room,
    house_style,
    stacked_panels,
    title_panel,
    value_axis,
)
from bayescmp.plots.heat import draw_heat, draw_heat_key
from bayescmp.plots.labels import label_space, shorten
from bayescmp.plots.pairs import ring_places, stream_axis
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import read_labels, read_values

ROW = 0.15
"""Height of one context, in inches."""

MOST_ASPECTS = 2
"""Aspects that are drawn, the first ones."""

DRAWN, EXACT = "drawn, with interval", "exact"
"""Names of the marks."""


def plot_local_calibration(tree: xr.DataTree) -> Figure:
    """Draw the gap between what came and what was predicted in every context.

    Reads ``/local_calibration/gap`` with its interval, ``exact_gap`` and ``p_value``.

    Args:
        tree: A comparison with the group ``/local_calibration``.

    Returns:
        One panel for each of the first aspects, one row for each context that has questions, of
        the first seed; rings mark places that are off, all looked at together.

    Raises:
        ValueError: The tree has no ``/local_calibration/gap``.
    """
    names = read_labels(tree, "/local_calibration/gap", "context")
    aspects = read_labels(tree, "/local_calibration/gap", "aspect")[:MOST_ASPECTS]
    counted = read_values(tree, "/local_calibration/num_questions", "seed", "context")[0] > 0.0
    rows = [name for name, has in zip(names, counted, strict=True) if has]
    short = [shorten(name, 24) for name in rows]
    with house_style():
        room = Room(ROW * len(rows) + 0.1)
        figure, panels = stacked_panels([room] * len(aspects), left=label_space(short, most=1.75))
        for index, (panel, aspect) in enumerate(zip(panels, aspects, strict=True)):
            title_panel(panel, f"Came minus predicted, probability: {aspect}")
            _draw_aspect(panel, tree, index, counted)
            panel.set_yticks(range(len(rows)), short)
            panel.set_ylim(len(rows) - 0.4, -0.6)
            panel.set_xlabel(f"● {DRAWN}   ◇ {EXACT}")
    return figure


def plot_local_calibration_streams(tree: xr.DataTree) -> Figure:
    """Draw the size of the gap in sureness in every context at every place of the stream.

    Reads ``/local_calibration/gap_by_stream`` and ``p_value_by_stream``.

    Args:
        tree: A comparison with the group ``/local_calibration`` of networks that can be traced.

    Returns:
        A heat map, one row for each context that has questions, of the first seed; rings mark
        cells that are off, all contexts and aspects of a place looked at together.

    Raises:
        ValueError: The tree has no ``/local_calibration/gap_by_stream``.
    """
    path, dims = "/local_calibration/gap_by_stream", ("aspect", "seed", "context", "stream")
    counted = read_values(tree, "/local_calibration/num_questions", "seed", "context")[0] > 0.0
    gap = read_values(tree, path, *dims)[0, 0][counted]
    p_value = read_values(tree, "/local_calibration/p_value_by_stream", *dims)[0, 0][counted]
    names, streams = (read_labels(tree, path, dim) for dim in ("context", "stream"))
    short = [shorten(name, 24) for name, has in zip(names, counted, strict=True) if has]
    most = max(float(np.nanmax(np.abs(gap))), 1e-9)
    with house_style():
        rooms = [Room(ROW * len(short) + 0.1, below=0.75), KEY_ROOM]
        figure, (panel, key) = stacked_panels(rooms, left=label_space(short, most=1.75))
        title_panel(panel, "Size of came minus predicted, probability: sureness")
        draw_heat(panel, gap, lambda values: np.abs(values) / most, upwards=False)
        row, column = np.nonzero(p_value <= float(tree["/local_calibration"].attrs["level"]))
        places, heights = column.astype(float), row.astype(float)
        ring_places(panel, places, heights, np.ones(row.size, bool), size=5.0)
        panel.set_yticks(range(len(short)), short)
        stream_axis(panel, streams)
        panel.set_xlim(-0.5, len(streams) - 0.5)
        panel.set_ylim(len(short) - 0.5, -0.5)
        ends = (0.0, 0.5 * most, most)
        draw_heat_key(key, lambda values: values / most, ends, [f"{end:.2g}" for end in ends])
    return figure


def _draw_aspect(panel: Axes, tree: xr.DataTree, aspect: int, counted: np.ndarray) -> None:
    """Draw one row for each context."""
    names = ("gap", "gap_low", "gap_high", "exact_gap", "p_value")
    gap, low, high, exact, p_value = (
        read_values(tree, f"/local_calibration/{name}", "seed", "aspect", "context")[0, aspect][
            counted
        ]
        for name in names
    )
    level = float(tree["/local_calibration"].attrs["level"])
    places, off = np.arange(gap.size, dtype=float), p_value <= level  # NaN is not
    panel.axvline(0.0, color=LIGHT["axis"], linewidth=1.0)
    panel.hlines(places, low, high, color=LIGHT["rung-2"], linewidth=2.4, alpha=0.4)
    panel.plot(gap, places, "o", color=LIGHT["rung-2"], markersize=3.6, label=DRAWN)
    panel.plot(
        exact,
        places,
        "D",
        markerfacecolor="none",
        markeredgecolor=LIGHT["network"],
        markersize=5.0,
        label=EXACT,
    )
    ring_places(panel, gap, places, off, size=9.0)
    panel.grid(visible=True, axis="x")
    value_axis(panel.xaxis, most=4)
