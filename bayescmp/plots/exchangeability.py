"""Exchangeability: gaps by position, and drift along true sequences and along own paths."""

import numpy as np
import xarray as xr
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
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import log_range, log_scale
from bayescmp.plots.series import (
    Band,
    has_variable,
    read_labels,
    read_places,
    read_values,
    seed_band,
)

LEAST_GAP = 1e-7
"""Gaps below this are rounding of 32-bit networks."""

GAPS = (("order_gap_by_position", "other order"), ("step_gap_by_position", "one step ahead"))
"""Variables that are drawn by position, with their names in the figure."""

TWO_ERRORS = 1.96
"""Standard errors on each side of a mean that make a 95 % interval."""

ROW = 0.225

MOST_ROWS = 24
"""Scores that a figure has room for."""

SINGLE = "drift to"
"""How the names of scores begin that look at one outcome."""


def plot_order_gaps(tree: xr.DataTree) -> Figure:
    """Draw how far a predictor's laws are from fitting together, by position.

    Reads ``/exchangeability/order_gap_by_position`` and ``step_gap_by_position``.

    Args:
        tree: A comparison with the group ``/exchangeability``.

    Returns:
        A line for each kind of gap, mean over seeds with its 95 % interval.

    Raises:
        ValueError: The tree has no ``/exchangeability/order_gap_by_position``.
    """
    positions = read_places(tree, "/exchangeability/order_gap_by_position", "position")
    shown = [(n, text) for n, text in GAPS if has_variable(tree, f"/exchangeability/{n}")]
    values = [read_values(tree, f"/exchangeability/{n}", "seed", "position") for n, _ in shown]
    with house_style():
        space = label_space([text for _, text in shown])
        figure, (panel,) = stacked_panels([Room(2.2)], right=space)
        title_panel(panel, "Gap, total variation, logarithmic")
        bands = [seed_band(rows) for rows in values]
        span = log_range([band.mean for band in bands], LEAST_GAP)
        log_scale(panel.yaxis, span)
        count_axis(panel, positions, POSITION_LABEL)
        labels = []
        for index, ((_, text), band) in enumerate(zip(shown, bands, strict=True)):
            heights = np.clip(band.mean, span.floor, span.high)
            _draw_line(panel, positions, band, index, text, (span.floor, span.high))
            labels.append(EndLabel(text, *last_finite(positions, heights), rung_colour(index)))
        write_end_labels(panel, labels, space)
    return figure


def _draw_line(
    panel: Axes,
    positions: np.ndarray,
    band: Band,
    index: int,
    name: str,
    limits: tuple[float, float],
) -> None:
    """Draw one kind of gap with its interval over seeds."""
    mean, low, high = (np.clip(end, *limits) for end in (band.mean, band.low, band.high))
    there, colour = np.isfinite(mean), rung_colour(index)
    if band.known:
        panel.fill_between(
            positions[there], low[there], high[there], color=colour, alpha=0.2, linewidth=0.0
        )
    panel.plot(
        positions[there],
        mean[there],
        color=colour,
        dashes=rung_dashes(index),
        marker="o" if there.sum() <= 40 else "",
        markersize=3.2,
        label=name,
    )


def plot_drift(tree: xr.DataTree) -> Figure:
    """Draw every drift of the first seed, in standard errors.

    Reads ``/exchangeability/drift``, ``path_drift`` and their standard errors.

    Args:
        tree: A comparison with the group ``/exchangeability``.

    Returns:
        A row for each score, with two standard errors on each side of zero as a shade. Where
        there are many outcomes, only the farthest drift to one of them.

    Raises:
        ValueError: The tree has no ``/exchangeability/drift``.
    """
    rows = _choose_drifts(read_drifts(tree))
    with house_style():
        left = label_space([name for name, _ in rows], most=2.0)
        figure, (panel,) = stacked_panels([Room(ROW * len(rows) + 0.1)], left=left)
        title_panel(panel, "Drift of the first seed, in standard errors")
        panel.axvspan(-TWO_ERRORS, TWO_ERRORS, color=LIGHT["grid"], linewidth=0.0)
        panel.axvline(0.0, color=LIGHT["axis"], linewidth=1.0)
        values = np.array([value for _, value in rows])
        places = np.arange(len(rows))[::-1]
        finite = np.isfinite(values)
        panel.plot(
            values[finite],
            places[finite],
            "D",
            color=LIGHT["network"],
            markersize=5.5,
            label="drift",
        )
        panel.set_yticks(places, [name for name, _ in rows])
        panel.set_ylim(-0.6, len(rows) - 0.4)
        far = max(3.0, 1.1 * float(np.abs(values[finite]).max(initial=0.0)))
        panel.set_xlim(-far, far)
        panel.grid(visible=False, axis="y")
        value_axis(panel.xaxis)
        panel.set_xlabel("mean score divided by its standard error")
    return figure


def read_drifts(tree: xr.DataTree) -> list[tuple[str, float]]:
    """Read every drift of the first seed with its name, in standard errors.

    Args:
        tree: A comparison with the group ``/exchangeability``.

    Returns:
        Names and values, along true sequences first; NaN where nothing varies.
    """
    group = "/exchangeability"
    names = read_labels(tree, f"{group}/drift", "drift_score")
    mean, error = (
        read_values(tree, f"{group}/{name}", "seed", "drift_score")[0]
        for name in ("drift", "drift_error")
    )
    rows = [
        (f"{name}, true", _in_errors(*pair)) for name, *pair in zip(names, mean, error, strict=True)
    ]
    if not has_variable(tree, f"{group}/path_drift"):
        return rows
    starts = read_labels(tree, f"{group}/path_drift", "path_start")
    names = read_labels(tree, f"{group}/path_drift", "path_score")
    means, errors = (
        read_values(tree, f"{group}/{name}", "seed", "path_start", "path_score")[0]
        for name in ("path_drift", "path_drift_error")
    )
    for start, mean, error in zip(starts, means, errors, strict=True):
        rows += [
            (f"{name}, own after {start}", _in_errors(*pair))
            for name, *pair in zip(names, mean, error, strict=True)
        ]
    return rows


def _choose_drifts(rows: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Keep the farthest of the drifts to single outcomes, where there are many."""
    if len(rows) <= MOST_ROWS:
        return rows
    single = [row for row in rows if row[0].startswith(SINGLE) and np.isfinite(row[1])]
    farthest = max(single, key=lambda row: abs(row[1]), default=None)
    return [row for row in rows if row is farthest or not row[0].startswith(SINGLE)]


def _in_errors(mean: float, error: float) -> float:
    """Divide a mean by its standard error; NaN where nothing varies."""
    return float(mean / error) if error > 0.0 else float("nan")
