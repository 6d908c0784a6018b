"""Reliability by isotonic regression, and what scores are made of."""

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
from bayescmp.plots.pairs import DRAWN, EXACT, draw_exact, name_pair, shade_band, stream_axis
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.series import read_labels, read_places, read_values


def plot_reliability(tree: xr.DataTree) -> Figure:
    """Draw what forecasts turned out to mean, minus the forecast, with consistency bands.

    Reads ``/reliability/curve``, ``exact_curve`` and the band.

    Args:
        tree: A comparison with the group ``/reliability``.

    Returns:
        A panel for all outcomes and one for the likeliest; the first seed in its band, which
        holds at all forecasts together, and other seeds' exact curves faintly.

    Raises:
        ValueError: The tree has no ``/reliability/curve``.
    """
    kinds = read_labels(tree, "/reliability/curve", "reliability_curve")
    with house_style():
        space = label_space([DRAWN, EXACT])
        rooms = [Room(1.7) for _ in kinds]
        figure, panels = stacked_panels(rooms, left=0.62, right=space)
        for index, (panel, kind) in enumerate(zip(panels, kinds, strict=True)):
            title_panel(panel, f"What came, minus the forecast: {kind}")
            _draw_curve(panel, tree, index, space)
        panels[-1].set_xlabel("predicted probability")
    return figure


def plot_calibration_errors(tree: xr.DataTree) -> Figure:
    """Draw class-wise calibration errors by position: three estimates and what they estimate.

    Reads ``/reliability/error_by_position`` and ``/reliability/exact_error_by_position``.

    Args:
        tree: A comparison with the group ``/reliability``.

    Returns:
        A line for each estimator against outcomes, and the exact error; means over seeds.

    Raises:
        ValueError: The tree has no ``/reliability/error_by_position``.
    """
    path = "/reliability/error_by_position"
    dims = ("calibration_kind", "calibration_estimator", "seed", "position")
    names = read_labels(tree, path, "calibration_estimator")
    drawn = read_values(tree, path, *dims)[0].mean(axis=1)
    exact = read_values(tree, "/reliability/exact_error_by_position", *dims)[0].mean(axis=1)[0]
    places = read_places(tree, path, "position")
    with house_style():
        space = label_space([*names, EXACT])
        figure, (panel,) = stacked_panels([Room(1.9)], left=0.62, right=space)
        title_panel(panel, "Calibration error, mean over classes")
        panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
        labels = []
        for index, (name, values) in enumerate(zip(names, drawn, strict=True)):
            colour = rung_colour(index + 1)
            panel.plot(places, values, color=colour, dashes=rung_dashes(index), label=name)
            labels.append(EndLabel(name, *last_finite(places, values), colour))
        panel.plot(places, exact, color=LIGHT["network"], linewidth=2.2, label=EXACT)
        labels.append(EndLabel(EXACT, *last_finite(places, exact), LIGHT["network"], strong=True))
        value_axis(panel.yaxis)
        count_axis(panel, places, POSITION_LABEL)
        write_end_labels(panel, labels, space)
    return figure


def plot_reliability_streams(tree: xr.DataTree) -> Figure:
    """Draw what the log score through the logit lens is made of at each place.

    Reads ``/reliability/log_by_stream`` and ``/reliability/exact_error_by_stream``.

    Args:
        tree: A comparison with the group ``/reliability`` of networks that can be traced.

    Returns:
        Miscalibration and discrimination by exact laws, above the exact calibration error;
        means over seeds.

    Raises:
        ValueError: The tree has no ``/reliability/log_by_stream``.
    """
    path = "/reliability/log_by_stream"
    streams = read_labels(tree, path, "stream")
    parts = read_values(tree, path, "against", "score_part", "seed", "stream")[1].mean(axis=1)
    dims = ("calibration_kind", "calibration_estimator", "seed", "stream")
    error = read_values(tree, "/reliability/exact_error_by_stream", *dims)[0].mean(axis=1)[2]
    places = np.arange(len(streams), dtype=float)
    names = ("miscalibration", "discrimination")
    with house_style():
        space = label_space(names)
        rooms = [Room(1.5, below=0.1), Room(1.1, below=0.75)]
        figure, (upper, lower) = stacked_panels(rooms, left=0.62, right=space)
        title_panel(upper, "Parts of the log score by exact laws, bit")
        _draw_parts(upper, places, dict(zip(names, parts[1:3], strict=True)), space)
        title_panel(lower, "Exact calibration error, mean over classes")
        lower.plot(places, error, color=LIGHT["network"], marker="o", markersize=3.2, label=EXACT)
        lower.set_ylim(0.0, 1.1 * float(np.nanmax([*error, 1e-3])))
        value_axis(lower.yaxis, most=3)
        for panel in (upper, lower):
            stream_axis(panel, streams, named=panel is lower)
    return figure


def _draw_parts(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    parts: dict[str, Float[np.ndarray, " place"]],
    space: float,
) -> None:
    """Draw parts of a score; what is infinite is not drawn."""
    labels = []
    for index, (name, values) in enumerate(parts.items()):
        colour, shown = rung_colour(index + 1), np.where(np.isfinite(values), values, np.nan)
        panel.plot(
            places, shown, color=colour, dashes=rung_dashes(index), marker="o", markersize=3.2,
            label=name,
        )  # fmt: skip
        labels.append(EndLabel(name, *last_finite(places, shown), colour))
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    value_axis(panel.yaxis, most=4)
    write_end_labels(panel, labels, space)


def _draw_curve(panel: Axes, tree: xr.DataTree, kind: int, space: float) -> None:
    """Draw one reliability curve as a deviation from the forecast."""
    dims = ("reliability_curve", "seed", "forecast")
    drawn, exact, low, high = (
        read_values(tree, f"/reliability/{name}", *dims)[kind]
        for name in ("curve", "exact_curve", "curve_low", "curve_high")
    )
    forecast = read_places(tree, "/reliability/curve", "forecast") / 100.0
    panel.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
    shade_band(panel, forecast, low[0] - forecast, high[0] - forecast)
    for other in exact[1:]:
        panel.plot(
            forecast, other - forecast, color=LIGHT["network"], alpha=0.35, linewidth=0.8,
            label="other seeds",
        )  # fmt: skip
    panel.plot(forecast, drawn[0] - forecast, color=LIGHT["rung-2"], label=DRAWN)
    draw_exact(panel, forecast, exact[0] - forecast)
    panel.set_xlim(0.0, 1.0)
    value_axis(panel.xaxis)
    value_axis(panel.yaxis)
    name_pair(panel, forecast, drawn[0] - forecast, exact[0] - forecast, space)
