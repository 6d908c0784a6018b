"""Shift: which of two exact answers a predictor is near, and from which pool size on."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import last_finite
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    divergence_floor,
    read_labels,
    read_places,
    read_values,
    seed_band,
)
from bayescmp.results.tree import read_attribute

ROW = 0.3
LONGEST = 20

MARKS = (
    ("to_training", "D", "from Bayes, training prior"),
    ("to_shifted", "o", "from Bayes, shifted prior"),
)
"""Variables of a row, the mark of each, and what it says."""

BETWEEN = "between the two answers"

POOLED = (("pool_to_pool", "from pool"), ("pool_to_true", "from prior"))
"""Distances by pool size, with their names in the figure."""


def plot_shift(tree: xr.DataTree) -> Figure:
    """Draw the distance of a predictor from two exact answers under every shift.

    Reads ``/shift/to_training``, ``to_shifted`` and ``between``, means over seeds.

    Args:
        tree: A comparison with the group ``/shift``.

    Returns:
        One row for each shift, on a logarithmic line.

    Raises:
        ValueError: The tree has no ``/shift/to_training``.
    """
    names = [shorten(name, LONGEST) for name in read_labels(tree, "/shift/to_training", "shift")]
    rows = {
        name: read_values(tree, f"/shift/{name}", "seed", "shift").mean(axis=0)
        for name in ("to_training", "to_shifted", "between")
    }
    with house_style():
        room = Room(ROW * len(names) + 0.1, above=1.0)
        figure, (panel,) = stacked_panels([room], left=label_space(names, most=1.5))
        span = log_range(list(rows.values()), divergence_floor(tree))
        log_scale(panel.xaxis, span)
        places = np.arange(len(names))[::-1]
        panel.set_yticks(places, names)
        panel.set_ylim(-0.6, len(names) - 0.4)
        panel.grid(visible=False, axis="y")
        panel.grid(visible=True, axis="x")
        _draw_marks(panel, rows, places, span)
        panel.set_xlabel("KL divergence, bit, logarithmic")
        _write_key(panel)
    return figure


def _draw_marks(
    panel: Axes, rows: dict[str, np.ndarray], places: np.ndarray, span: LogRange
) -> None:
    """Draw the marks of every row; infinite distances stand at the right edge."""
    between = np.clip(rows["between"], span.floor, span.high)
    ink = LIGHT["ink"]
    panel.plot(between, places, "|", color=ink, markersize=14.0, mew=1.6, label=BETWEEN)
    for index, (name, mark, text) in enumerate(MARKS):
        values = np.clip(rows[name], span.floor, span.high)
        colour = _colour(index)
        panel.plot(values, places, mark, color=colour, markersize=6.0, clip_on=False, label=text)


def _write_key(panel: Axes) -> None:
    """Say above the panel what each mark is."""
    figure = panel.get_figure(root=True)
    if figure is None:
        return
    top = panel.get_position().y1
    height = figure.get_size_inches()[1]
    keys = [(mark, _colour(i), text) for i, (_, mark, text) in enumerate(MARKS)]
    for row, (mark, colour, text) in enumerate([*keys, ("|", LIGHT["ink"], BETWEEN)]):
        y = top + (0.78 - 0.24 * row) / height
        place = {"transform": figure.transFigure, "clip_on": False}
        panel.plot(0.02, y, mark, color=colour, **place)
        figure.text(0.045, y, text, va="center", color=colour)


def _colour(index: int) -> str:
    return LIGHT["network"] if index == 0 else rung_colour(2)


def plot_pools(tree: xr.DataTree) -> Figure:
    """Draw the distance of networks from two exact answers by the size of their pool.

    Reads ``/shift/pool_to_pool`` and ``/shift/pool_to_true``; the threshold as a line.

    Args:
        tree: A comparison with pools in the group ``/shift``.

    Returns:
        A line for each answer, mean over networks with its 95 % interval.

    Raises:
        ValueError: The tree has no ``/shift/pool_to_pool``.
    """
    sizes = read_places(tree, "/shift/pool_to_pool", "pool")
    bands = [
        seed_band(read_values(tree, f"/shift/{name}", "pool_seed", "pool")) for name, _ in POOLED
    ]
    with house_style():
        space = label_space([text for _, text in POOLED])
        figure, (panel,) = stacked_panels([Room(2.2)], right=space)
        title_panel(panel, "KL(exact ‖ network) on fresh tasks, bit, logarithmic")
        span = log_range([band.mean for band in bands], divergence_floor(tree))
        log_scale(panel.yaxis, span)
        log_scale(panel.xaxis, LogRange(float(sizes[0]) / 1.3, float(sizes[-1]) * 1.3, False))
        panel.set_xlabel("tasks in the pool of training, logarithmic")
        _draw_threshold(panel, tree)
        labels = []
        for index, ((_, text), band) in enumerate(zip(POOLED, bands, strict=True)):
            mean, low, high = (
                np.clip(end, span.floor, span.high) for end in (band.mean, band.low, band.high)
            )
            colour = _colour(index)
            if band.known:
                panel.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0.0)
            style = {"marker": "o", "markersize": 3.6, "dashes": rung_dashes(index)}
            panel.plot(sizes, mean, color=colour, label=text, **style)
            labels.append(EndLabel(text, *last_finite(sizes, mean), colour))
        write_end_labels(panel, labels, space)
    return figure


def _draw_threshold(panel: Axes, tree: xr.DataTree) -> None:
    """Draw where networks cross from one answer to the other, with its interval."""
    if "log2_threshold" not in tree["/shift"].attrs:
        return
    names = ("log2_threshold", "log2_threshold_low", "log2_threshold_high")
    mean, low, high = (float(read_attribute(tree, "/shift", name)) for name in names)
    if not np.isfinite(mean):
        return
    if np.isfinite(low) and np.isfinite(high):
        panel.axvspan(2.0**low, 2.0**high, color=LIGHT["grid"], linewidth=0.0)
    panel.axvline(2.0**mean, color=LIGHT["ink"], linewidth=1.0)
