"""Reliability: predicted probabilities against frequencies and against exact probabilities."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import (
    read_array,
    read_values,
)
from bayescmp.results.schema import EVERY_SEQUENCE

Bins = Float[np.ndarray, " bin"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """One seed's reliability, bins with entries only.

    Attributes:
        predicted: Mean predicted probability.
        observed: Frequency of the outcome.
        low: Lower end of the frequency's interval.
        high: Upper end of the frequency's interval.
        exact: Mean exact probability.
    """

    predicted: Bins
    observed: Bins
    low: Bins
    high: Bins
    exact: Bins


def read_reliability(tree: xr.DataTree, seed: int) -> ReliabilityCurve:
    """Read one seed's reliability curve, without empty bins.

    Args:
        tree: A comparison.
        seed: Place of the seed, from 0.

    Returns:
        The curve; probabilities.
    """
    names = ("predicted", "observed", "observed_low", "observed_high", "exact")
    rows = [read_values(tree, f"/calibration/{name}", "seed", "bin")[seed] for name in names]
    filled = np.isfinite(rows[0]) & np.isfinite(rows[4])
    return ReliabilityCurve(*(row[filled] for row in rows))


def plot_calibration(tree: xr.DataTree) -> Figure:
    """Draw the reliability diagram, and below it the same as deviations from the diagonal.

    Reads ``/calibration/predicted``, ``observed`` with its interval, and ``exact``. Bars and
    marks are the first seed's; the other seeds' deviations from exact are drawn faintly.

    Args:
        tree: A comparison.

    Returns:
        A figure of two panels over the predicted probability.

    Example:
        >>> figure = plot_calibration(tree)
        >>> figure.savefig("calibration.svg")
    """
    num_seeds = read_array(tree, "/calibration/predicted").sizes["seed"]
    curves = [read_reliability(tree, seed) for seed in range(num_seeds)]
    with house_style():
        figure, (upper, lower) = stacked_panels([Room(2.3), Room(1.35)], left=0.62)
        title_panel(upper, "Probability that came true")
        upper.plot((0, 1), (0, 1), color=LIGHT["axis"], linewidth=1.0)
        _draw_curve(upper, curves[0], np.zeros_like(curves[0].predicted))
        upper.set_ylim(-0.03, 1.03)
        whole = str(tree.attrs.get("evaluation", "")).startswith(EVERY_SEQUENCE)
        _write_key(upper, "over every sequence" if whole else "drawn outcomes, with interval")
        title_panel(lower, "The same, minus the predicted probability")
        lower.axhline(0.0, color=LIGHT["axis"], linewidth=1.0)
        for curve in curves[1:]:
            error = curve.exact - curve.predicted
            lower.plot(
                curve.predicted, error, "_", color=LIGHT["network"], alpha=0.45, label="other seeds"
            )
        _draw_curve(lower, curves[0], curves[0].predicted)
        for panel in (upper, lower):
            panel.set_xlim(-0.03, 1.03)
            panel.set_xlabel("predicted probability")
            value_axis(panel.xaxis)
            value_axis(panel.yaxis)
    return figure


def _draw_curve(panel: Axes, curve: ReliabilityCurve, base: Bins) -> None:
    """Draw frequencies with their intervals and exact probabilities, each minus ``base``."""
    panel.vlines(
        curve.predicted,
        curve.low - base,
        curve.high - base,
        color=LIGHT["rung-2"],
        linewidth=3.2,
        alpha=0.4,
        label="drawn",
    )
    panel.plot(
        curve.predicted,
        curve.observed - base,
        "o",
        color=LIGHT["rung-2"],
        markersize=4.0,
        zorder=3,
        label="drawn",
    )
    panel.plot(
        curve.predicted,
        curve.exact - base,
        "D",
        markerfacecolor="none",
        markeredgecolor=LIGHT["network"],
        markeredgewidth=1.3,
        markersize=7.0,
        zorder=4,
        label="exact",
    )


def _write_key(panel: Axes, dots: str) -> None:
    """Say in the upper left corner what each mark is."""
    rows = (
        (0.93, "o", LIGHT["rung-2"], dots),
        (0.83, "D", LIGHT["network"], "exact probability"),
    )
    for height, marker, colour, text in rows:
        panel.plot(
            0.045,
            height,
            marker,
            markersize=4.5 if marker == "o" else 6.5,
            markerfacecolor=colour if marker == "o" else "none",
            markeredgecolor=colour,
            transform=panel.transAxes,
        )
        panel.text(0.085, height, text, transform=panel.transAxes, va="center", color=colour)
