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
from bayescmp.plots.divergence import POSITION_LABEL, last_finite
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import read_labels, read_places, read_values

DRAWN, EXACT = "drawn", "exact"
"""Names of the lines: by outcomes that were drawn, and their mean by exact laws."""

POINTS = 100.0
"""Percentage points in one."""

SHOWN_BY_POSITION = 2
"""Kinds of sets whose error is drawn by position; the last kind is there as a warning only."""

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
    regions = read_labels(tree, "/coverage/error_by_position", "region")[:SHOWN_BY_POSITION]
    space = label_space([DRAWN, EXACT])
    with house_style():
        figure, panels = stacked_panels([Room(1.1)] * len(regions), left=0.62, right=space)
        for index, (panel, region) in enumerate(zip(panels, regions, strict=True)):
            title_panel(panel, f"Coverage error, points: {region}")
            _draw_positions(panel, tree, index, space)
        panels[-1].set_xlabel(POSITION_LABEL)
    return figure


def _draw_region(panel: Axes, tree: xr.DataTree, region: int, space: float) -> None:
    """Draw the curves of one kind of set."""
    dims = ("region", "seed", "nominal")
    drawn, exact, band = (
        POINTS * read_values(tree, f"/coverage/{name}", *dims)[region]
        for name in ("coverage", "exact_coverage", "band")
    )
    levels = read_places(tree, "/coverage/coverage", "nominal")
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    panel.fill_between(
        levels, -band[0], band[0], color=LIGHT["rung-0"], alpha=0.2, linewidth=0.0, label="band"
    )
    for other in drawn[1:]:
        panel.plot(
            levels, other - levels, color=LIGHT["rung-2"], linewidth=0.8, alpha=0.4, label=DRAWN
        )
    shown = np.stack([*(drawn - levels), band[0]])
    _draw_pair(panel, levels, (drawn[0] - levels, exact[0] - levels), shown, space)
    panel.set_xlim(0.0, 100.0)
    value_axis(panel.xaxis)


def _draw_positions(panel: Axes, tree: xr.DataTree, region: int, space: float) -> None:
    """Draw the errors of one kind of set by position."""
    dims = ("region", "seed", "position")
    drawn, exact, p_value = (
        read_values(tree, f"/coverage/{name}", *dims)[region]
        for name in ("error_by_position", "exact_error_by_position", "p_by_position")
    )
    places = read_places(tree, "/coverage/error_by_position", "position")
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    pair = (drawn.mean(axis=0), exact.mean(axis=0))
    _draw_pair(panel, places, pair, np.stack(pair), space)
    off = p_value[0] <= LEVEL  # NaN is not
    panel.plot(
        places[off],
        drawn.mean(axis=0)[off],
        "o",
        markerfacecolor="none",
        markeredgecolor=LIGHT["ink"],
        markersize=8.0,
        label="off",
    )
    count_axis(panel, places, "")


def _draw_pair(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    pair: tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]],
    shown: Float[np.ndarray, "line place"],
    space: float,
) -> None:
    """Draw what was seen on drawn outcomes and what the exact law says, with their names."""
    drawn, exact = pair
    marker = "o" if places.size <= 40 else ""
    panel.plot(
        places,
        drawn,
        color=LIGHT["rung-2"],
        marker=marker,
        markersize=3.2,
        linewidth=1.0,
        label=DRAWN,
    )
    panel.plot(places, exact, color=LIGHT["network"], dashes=(4.0, 1.6), label=EXACT)
    reach = 1.15 * max(1.0, float(np.nanmax(np.abs(np.stack([*shown, exact])))))
    panel.set_ylim(-reach, reach)
    value_axis(panel.yaxis, most=4)
    labels = [
        EndLabel(DRAWN, *last_finite(places, drawn), LIGHT["rung-2"]),
        EndLabel(EXACT, *last_finite(places, exact), LIGHT["network"], strong=True),
    ]
    write_end_labels(panel, labels, space)
