"""The ladder at a glance: how far the network and every rival are from exact Bayes."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayescmp.plots.axes import (
    FONT_SIZE,
    POINTS,
    WIDTH,
    Room,
    house_style,
    stacked_panels,
    title_panel,
)
from bayescmp.plots.divergence import INFINITE
from bayescmp.plots.labels import label_space, shorten
from bayescmp.plots.numbers import format_number
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    Band,
    divergence_floor,
    oracle_error,
    read_labels,
    read_values,
    seed_band,
)

ROW = 0.225
NETWORK = "network"
LONGEST = 18


def plot_ladder(tree: xr.DataTree) -> Figure:
    """Draw the mean KL of the network and of every rung of the ladder on one logarithmic line.

    Reads ``/divergence/mean_kl`` and ``/ladder/mean_kl``. The network's mark is its mean over
    seeds, with the 95 % interval where there are two seeds or more.

    Args:
        tree: A comparison.

    Returns:
        A figure with one row for each predictor, the closest to exact on top.

    Example:
        >>> figure = plot_ladder(tree)
        >>> figure.savefig("ladder.svg")
    """
    band = seed_band(read_values(tree, "/divergence/mean_kl", "seed"))
    names = [*read_labels(tree, "/ladder/mean_kl", "rung"), NETWORK]
    values = np.append(read_values(tree, "/ladder/mean_kl", "rung"), band.mean)
    order = sorted(range(len(names)), key=lambda row: (np.isnan(values[row]), values[row]))
    with house_style():
        left = label_space([_short(name) for name in names], most=1.35)
        room = Room(ROW * len(names) + 0.1)
        figure, (panel,) = stacked_panels([room], left=left, right=0.92)
        title_panel(panel, "Mean KL(exact ‖ predictor), bit")
        span = log_range([values, band.low, band.high], divergence_floor(tree))
        log_scale(panel.xaxis, span)
        panel.grid(visible=True, axis="x")
        panel.grid(visible=False, axis="y")
        panel.set_ylim(-0.6, len(names) - 0.4)
        panel.spines["left"].set_visible(False)
        order.reverse()
        panel.set_yticks(range(len(names)), [_short(names[index]) for index in order])
        for row, index in enumerate(order):
            is_network = index == len(names) - 1
            _draw_row(panel, row, float(values[index]), span, strong=is_network)
            if is_network:
                _draw_interval(panel, row, band, span)
            _emphasise(panel.get_yticklabels()[row], strong=is_network)
            text = format_number(float(values[index]), digits=2, resolution=oracle_error(tree))
            _emphasise(_write_value(panel, row, text), strong=is_network)
        panel.set_xlabel("← closer to exact Bayes")
    return figure


def _draw_row(panel: Axes, row: int, value: float, span: LogRange, *, strong: bool) -> None:
    """Draw one predictor as a mark on its line."""
    if np.isnan(value):
        return
    place = min(max(value, span.floor), span.high)
    colour = LIGHT["network"] if strong else LIGHT["muted"]
    width = 2.0 if strong else 0.8
    panel.hlines(row, span.low, place, color=colour, linewidth=width, alpha=0.45)
    marker = ">" if np.isposinf(value) else "D" if strong else "o"
    panel.plot(
        place,
        row,
        marker,
        color=colour,
        markersize=6.5 if strong else 4.5,
        clip_on=False,
        label=INFINITE if np.isposinf(value) else None,
    )


def _draw_interval(panel: Axes, row: int, band: Band, span: LogRange) -> None:
    """Draw the network's interval over seeds."""
    if band.known:
        ends = np.clip([float(band.low), float(band.high)], span.floor, span.high)
        panel.hlines(row, *ends, color=LIGHT["network"], linewidth=4.5, alpha=0.35)


def _write_value(panel: Axes, row: int, value: str) -> Text:
    """Write a predictor's figure at the right edge."""
    width = WIDTH * panel.get_position().width
    place = 1.0 + FONT_SIZE / (POINTS * width)
    transform = panel.get_yaxis_transform()
    return panel.text(place, row, value, transform=transform, va="center_baseline")


def _emphasise(text: Text, *, strong: bool) -> None:
    """Set a text in the network's colour and bold, or in ink."""
    text.set_color(LIGHT["network"] if strong else LIGHT["ink"])
    text.set_fontweight("bold" if strong else "normal")


def _short(name: str) -> str:
    """Cut a long name of a rung."""
    return shorten(name, LONGEST)
