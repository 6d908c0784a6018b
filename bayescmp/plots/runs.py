"""Several runs on the same axes: how far each is from exact Bayes, and where."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import INFINITE, POSITION_LABEL, last_finite, mark_infinite, onto
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.layers import LAYER_LABEL, mean_by_layer
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    SMALLEST_SHOWN,
    Band,
    divergence_floor,
    has_variable,
    read_places,
    read_values,
    seed_band,
    supervised_positions,
)

ROW = 0.3
Runs = Mapping[str, xr.DataTree]


@dataclass(frozen=True)
class Curve:
    """One run's mean over seeds along an axis.

    Attributes:
        places: Where each entry stands.
        band: Mean and interval, in bits.
    """

    places: Float[np.ndarray, " place"]
    band: Band


def plot_runs(runs: Runs) -> Figure:
    """Draw the mean KL of each run beside its own best rival.

    Reads ``/divergence/mean_kl`` and ``/ladder/mean_kl`` of every run.

    Args:
        runs: Comparisons by name, at least one.

    Returns:
        A figure with one row for each run: a diamond for the network with its 95 % interval
        over seeds, a circle for the best rung.

    Raises:
        ValueError: If there is no run.

    Example:
        >>> from bayescmp.plots import plot_runs
        >>> figure = plot_runs({"first": tree, "second": tree})
    """
    _require(runs)
    bands = [seed_band(read_values(tree, "/divergence/mean_kl", "seed")) for tree in runs.values()]
    rivals = [read_values(tree, "/ladder/mean_kl", "rung") for tree in runs.values()]
    found = [np.min(rungs[np.isfinite(rungs)], initial=np.inf) for rungs in rivals]
    best = np.where(np.isfinite(found), found, np.nan)
    with house_style():
        names = [shorten(name, 22) for name in runs]
        room = Room(ROW * len(names) + 0.1, below=0.6)
        figure, (panel,) = stacked_panels([room], left=label_space(names, most=1.6), right=0.2)
        title_panel(panel, "Mean KL(exact ‖ network), bit; ○ best rival")
        ends = [np.stack([band.mean, band.low, band.high]) for band in bands]
        span = log_range([*ends, best], _floor(runs))
        log_scale(panel.xaxis, span)
        panel.grid(visible=True, axis="x")
        panel.grid(visible=False, axis="y")
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.set_yticks(range(len(names)), names)
        for row, (name, band, rival) in enumerate(zip(runs, bands, best, strict=True)):
            if band.known:
                ends = np.clip([float(band.low), float(band.high)], span.floor, span.high)
                panel.hlines(row, *ends, color=LIGHT["network"], linewidth=4.5, alpha=0.35)
            _mark(panel, float(rival), row, span, "rival")
            _mark(panel, float(band.mean), row, span, name)
        panel.set_xlabel("← closer to exact Bayes")
    return figure


def plot_runs_divergence(runs: Runs) -> Figure:
    """Draw KL(exact || network) by position, one line for each run.

    Reads ``/divergence/kl`` of every run; positions that are not supervised are left out.

    Args:
        runs: Comparisons by name, at least one.

    Returns:
        A figure of means over seeds with their 95 % intervals, in bits.

    Raises:
        ValueError: If there is no run.

    Example:
        >>> from bayescmp.plots import plot_runs_divergence
        >>> figure = plot_runs_divergence({"first": tree, "second": tree})
    """
    _require(runs)
    curves = {}
    for name, tree in runs.items():
        kl = read_values(tree, "/divergence/kl", "seed", "position")
        kl = np.where(supervised_positions(tree), kl, np.nan)
        curves[name] = Curve(read_places(tree, "/divergence/kl", "position"), seed_band(kl))
    return _draw(runs, curves, "KL(exact ‖ network), bit, logarithmic", POSITION_LABEL)


def plot_runs_layers(runs: Runs) -> Figure:
    """Draw KL(exact || logit lens) by layer, mean over positions, one line for each run.

    Reads ``/layers/kl`` of the runs that have it.

    Args:
        runs: Comparisons by name, at least one of them with the group ``/layers``.

    Returns:
        A figure of means over seeds with their 95 % intervals, in bits.

    Raises:
        ValueError: If no run has the group.

    Example:
        >>> from bayescmp.plots import plot_runs_layers
        >>> figure = plot_runs_layers({"first": tree, "second": tree})
    """
    runs = _with_variable(runs, "/layers/kl")
    curves = {
        name: Curve(read_places(tree, "/layers/kl", "layer"), seed_band(mean_by_layer(tree)))
        for name, tree in runs.items()
    }
    return _draw(runs, curves, "KL(exact ‖ logit lens), bit, logarithmic", LAYER_LABEL)


def plot_runs_training(runs: Runs) -> Figure:
    """Draw the training loss above the entropy floor, one line for each run.

    Reads ``/training/excess`` of the runs that have it; values of zero or less, which the
    noise of drawn outcomes allows, are left out.

    Args:
        runs: Comparisons by name, at least one of them with the group ``/training``.

    Returns:
        A figure of means over seeds, in bits.

    Raises:
        ValueError: If no run has the group.

    Example:
        >>> from bayescmp.plots import plot_runs_training
        >>> figure = plot_runs_training({"first": tree, "second": tree})
    """
    runs = _with_variable(runs, "/training/excess")
    curves = {}
    for name, tree in runs.items():
        mean = read_values(tree, "/training/excess", "seed", "step").mean(axis=0)
        mean = np.where(mean > 0.0, mean, np.nan)
        places = read_places(tree, "/training/excess", "step")
        curves[name] = Curve(places, seed_band(mean[None]))
    title = "Training loss above the entropy floor, bit, logarithmic"
    return _draw(runs, curves, title, "optimiser step", marked=False)


def _mark(panel: Axes, value: float, row: int, span: LogRange, name: str) -> None:
    """Mark a network's mean by a diamond, a rival by a circle, what is infinite by an arrow."""
    if np.isnan(value):
        return
    rival, infinite = name == "rival", bool(np.isposinf(value))
    colour = LIGHT["muted" if rival else "network"]
    panel.plot(
        min(max(value, span.floor), span.high),
        row,
        ">" if infinite else "o" if rival else "D",
        color=colour,
        markerfacecolor="none" if rival else colour,
        markersize=6.0,
        label=INFINITE if infinite else name,
    )


def _draw(
    runs: Runs, curves: Mapping[str, Curve], title: str, label: str, *, marked: bool = True
) -> Figure:
    """Draw one line for each run on a logarithmic axis."""
    with house_style():
        space = label_space(list(curves), most=1.4)
        figure, (panel,) = stacked_panels([Room(2.6)], left=0.62, right=space)
        title_panel(panel, title)
        span = log_range([curve.band.mean for curve in curves.values()], _floor(runs))
        log_scale(panel.yaxis, span)
        count_axis(panel, np.concatenate([curve.places for curve in curves.values()]), label)
        labels = []
        for index, (name, curve) in enumerate(curves.items()):
            colour, mean = rung_colour(index + 1), curve.band.mean
            heights = onto(mean, span)
            if curve.band.known:
                low, high = (
                    np.clip(end, span.low, span.high) for end in (curve.band.low, curve.band.high)
                )
                panel.fill_between(
                    curve.places, low, high, color=colour, alpha=0.2, linewidth=0.0, label=name
                )
            _draw_line(panel, curve.places, heights, index, name, marked=marked)
            mark_infinite(panel, curve.places, mean, span, colour)
            labels.append(EndLabel(name, *last_finite(curve.places, heights), colour))
        write_end_labels(panel, labels, space)
    return figure


def _draw_line(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    heights: Float[np.ndarray, " place"],
    index: int,
    name: str,
    *,
    marked: bool,
) -> None:
    """Draw the line of one run; the first is unbroken."""
    panel.plot(
        places,
        heights,
        color=rung_colour(index + 1),
        linewidth=1.6,
        dashes=rung_dashes(index) if index else (None, None),
        marker="o" if marked and places.size <= 40 else "",
        markersize=3.0,
        label=name,
    )


def _floor(runs: Runs) -> float:
    """Return the largest error of the runs' oracles, in bits."""
    return max((divergence_floor(tree) for tree in runs.values()), default=SMALLEST_SHOWN)


def _require(runs: Runs) -> None:
    """Refuse a figure of nothing."""
    if not runs:
        raise ValueError("runs: expected at least one comparison, got none")


def _with_variable(runs: Runs, path: str) -> Runs:
    """Return the runs that have a variable, at least one."""
    found = {name: tree for name, tree in runs.items() if has_variable(tree, path)}
    if not found:
        raise ValueError(f"runs: expected one with the variable {path}, got none")
    return found
