"""Expected coverage: how often what comes lies in the sets that a predictor would name."""

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

POINTS = 100.0
"""Percentage points in one."""

SHOWN_BY_PLACE = 2
"""Kinds of sets whose error is drawn by place; the last kind is there as a warning only."""

LEVEL = 0.05
"""P-value at or below which a position is ringed."""


def plot_coverage(tree: xr.DataTree) -> Figure:
    """Draw coverage minus level for every kind of set, in the band of a calibrated predictor.

    Reads ``/coverage/coverage``, its ``band`` and ``exact_coverage``.

    Args:
        tree: A comparison with the group ``/coverage``.

    Returns:
        One panel for each kind of set: the first seed with its band, other seeds faintly.

    Raises:
        ValueError: The tree has no ``/coverage/coverage``.
    """
    regions = read_labels(tree, "/coverage/coverage", "region")
    space = label_space([DRAWN, EXACT])
    with house_style():
        room = Room(1.05)
        figure, panels = stacked_panels([room] * len(regions), left=0.62, right=space)
        for index, (panel, region) in enumerate(zip(panels, regions, strict=True)):
            title_panel(panel, f"Coverage minus level, points: {region}")
            _draw_region(panel, tree, index, space)
        panels[-1].set_xlabel("level, %")
    return figure


def plot_coverage_by_position(tree: xr.DataTree) -> Figure:
    """Draw the coverage error at every position, for sets whose error says where to look.

    Reads ``/coverage/error_by_position``, ``exact_error_by_position`` and ``p_by_position``.

    Args:
        tree: A comparison with the group ``/coverage``.

    Returns:
        One panel for highest-density sets and one for the learnt reference, means over seeds;
        rings mark positions that are off in the first seed.

    Raises:
        ValueError: The tree has no ``/coverage/error_by_position``.
    """
    places = read_places(tree, "/coverage/error_by_position", "position")
    figure, panels = _draw_places(tree, "position", "p_by_position", places, Room(1.1))
    for panel in panels:
        count_axis(panel, places, "")
    panels[-1].set_xlabel(POSITION_LABEL)
    return figure


def plot_coverage_streams(tree: xr.DataTree) -> Figure:
    """Draw the coverage error through the logit lens at every place of the residual stream.

    Reads ``/coverage/error_by_stream``, ``exact_error_by_stream`` and ``p_value_by_stream``.

    Args:
        tree: A comparison with the group ``/coverage`` of networks that can be traced.

    Returns:
        One panel for highest-density sets and one for the learnt reference, means over seeds;
        rings mark places that are off in the first seed, each tested by itself.

    Raises:
        ValueError: The tree has no ``/coverage/error_by_stream``.
    """
    streams = read_labels(tree, "/coverage/error_by_stream", "stream")
    places = np.arange(len(streams), dtype=float)
    room = Room(1.1, below=0.75)
    figure, panels = _draw_places(tree, "stream", "p_value_by_stream", places, room)
    for panel in panels:
        stream_axis(panel, streams)
    return figure


def _draw_places(
    tree: xr.DataTree, by: str, p_name: str, places: Float[np.ndarray, " place"], room: Room
) -> tuple[Figure, list[Axes]]:
    """Draw errors along one axis, a panel for each kind of set that says where to look."""
    regions = read_labels(tree, f"/coverage/error_by_{by}", "region")[:SHOWN_BY_PLACE]
    names = (f"error_by_{by}", f"exact_error_by_{by}", p_name)
    values = [read_values(tree, f"/coverage/{name}", "region", "seed", by) for name in names]
    space = label_space([DRAWN, EXACT])
    with house_style():
        figure, panels = stacked_panels([room] * len(regions), left=0.62, right=space)
        for index, (panel, region) in enumerate(zip(panels, regions, strict=True)):
            title_panel(panel, f"Coverage error, points: {region}")
            drawn, exact = values[0][index].mean(axis=0), values[1][index].mean(axis=0)
            panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
            _draw_pair(panel, places, (drawn, exact), np.stack((drawn, exact)), space)
            ring_places(panel, places, drawn, values[2][index, 0] <= LEVEL)  # NaN is not
    return figure, panels


def _draw_region(panel: Axes, tree: xr.DataTree, region: int, space: float) -> None:
    """Draw the curves of one kind of set."""
    dims = ("region", "seed", "nominal")
    drawn, exact, band = (
        POINTS * read_values(tree, f"/coverage/{name}", *dims)[region]
        for name in ("coverage", "exact_coverage", "band")
    )
    levels = read_places(tree, "/coverage/coverage", "nominal")
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    shade_band(panel, levels, -band[0], band[0])
    for other in drawn[1:]:
        panel.plot(
            levels, other - levels, color=LIGHT["rung-2"], linewidth=0.8, alpha=0.4, label=DRAWN
        )
    shown = np.stack([*(drawn - levels), band[0]])
    _draw_pair(panel, levels, (drawn[0] - levels, exact[0] - levels), shown, space)
    panel.set_xlim(0.0, 100.0)
    value_axis(panel.xaxis)


def _draw_pair(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    pair: tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]],
    shown: Float[np.ndarray, "line place"],
    space: float,
) -> None:
    """Draw what was seen on drawn outcomes and what the exact law says, with their names."""
    drawn, exact = pair
    draw_drawn(panel, places, drawn)
    draw_exact(panel, places, exact)
    reach = 1.15 * max(1.0, float(np.nanmax(np.abs(np.stack([*shown, exact])))))
    panel.set_ylim(-reach, reach)
    value_axis(panel.yaxis, most=4)
    name_pair(panel, places, drawn, exact, space)
