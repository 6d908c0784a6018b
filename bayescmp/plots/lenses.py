"""Lenses: what every place of the residual stream would answer, held against exact Bayes."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_log_key, log_share
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    divergence_floor,
    has_variable,
    read_labels,
    read_places,
    read_values,
    seed_band,
)

CONTROL = "untrained"
"""Name of the line of networks with initial weights."""

ROW = 0.17
"""Height of one place in a heat map, in inches."""

MAPPED = "tuned lens"
"""The lens whose nearest rivals are drawn: it neither knows the exact predictive nor suffers
from a basis other than the read-out's."""


def plot_lenses(tree: xr.DataTree) -> Figure:
    """Draw KL(exact || lens) by place in the residual stream and position, for every lens.

    Reads ``/lenses/kl``.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        One heat map for each lens (mean over seeds), with one key.

    Raises:
        ValueError: The tree has no ``/lenses/kl``.
    """
    kl = read_values(tree, "/lenses/kl", "lens", "stream", "position", "seed").mean(axis=-1)
    lenses, streams = (read_labels(tree, "/lenses/kl", dim) for dim in ("lens", "stream"))
    positions = read_places(tree, "/lenses/kl", "position")
    with house_style():
        room = Room(ROW * len(streams), below=0.2)
        last = Room(ROW * len(streams))
        rooms = [*([room] * (len(lenses) - 1)), last, KEY_ROOM]
        figure, panels = stacked_panels(rooms, left=label_space(streams))
        span = log_range([kl], divergence_floor(tree))
        for panel, lens, values in zip(panels, lenses, kl, strict=False):
            title_panel(panel, f"KL(exact ‖ {lens}), bit")
            draw_heat(panel, values, log_share(span), origin_column=float(positions[0]))
            count_axis(panel, positions, POSITION_LABEL if lens == lenses[-1] else "")
            panel.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
            panel.set_yticks(range(len(streams)), streams)
        draw_log_key(panels[-1], span)
    return figure


def plot_lens_means(tree: xr.DataTree) -> Figure:
    """Draw the mean KL(exact || lens) by place in the residual stream, beside its control.

    Reads ``/lenses/mean_kl`` and, where there is one, ``/lenses/control_kl``.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        A line for each lens with its 95 % interval over seeds, and a thin one for the Bayes lens
        of each network with initial weights.

    Raises:
        ValueError: The tree has no ``/lenses/mean_kl``.
    """
    values = read_values(tree, "/lenses/mean_kl", "lens", "seed", "stream")
    lenses, streams = (read_labels(tree, "/lenses/mean_kl", dim) for dim in ("lens", "stream"))
    control = np.zeros((0, len(streams)))
    if has_variable(tree, "/lenses/control_kl"):
        control = read_values(tree, "/lenses/control_kl", "seed", "lens_draw", "stream")[0]
    with house_style():
        space = label_space([*lenses, CONTROL])
        figure, (panel,) = stacked_panels([Room(2.2, below=0.75)], right=space)
        title_panel(panel, "Mean KL(exact ‖ lens), bit, logarithmic")
        span = log_range([values.mean(axis=1), control], divergence_floor(tree))
        log_scale(panel.yaxis, span)
        places = np.arange(len(streams), dtype=float)
        panel.set_xlim(-0.3, len(streams) - 0.7)
        panel.set_xticks(places, streams, rotation=40, ha="right", rotation_mode="anchor")
        for line in control:
            heights = np.clip(line, span.floor, span.high)
            panel.plot(places, heights, color=LIGHT["muted"], linewidth=0.6, label=CONTROL)
        labels = [
            _draw_lens(panel, index, name, values[index], span) for index, name in enumerate(lenses)
        ]
        if control.size:
            end = float(np.clip(control.mean(axis=0)[-1], span.floor, span.high))
            labels.append(EndLabel(CONTROL, places[-1], end, LIGHT["muted"]))
        write_end_labels(panel, labels, space)
    return figure


def plot_lens_rungs(tree: xr.DataTree) -> Figure:
    """Draw KL(rung || tuned lens): which rival does each place of the stream come closest to?

    Reads ``/lenses/mean_rung_kl``, and ``/lenses/mean_kl`` for exact Bayes itself.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        A heat map with one row for each rival (mean over seeds); a dot marks the smallest value
        at each place.

    Raises:
        ValueError: The tree has no ``/lenses/mean_rung_kl``.
    """
    index = read_labels(tree, "/lenses/mean_kl", "lens").index(MAPPED)
    rungs = read_values(tree, "/lenses/mean_rung_kl", "lens", "rung", "stream", "seed")[index]
    exact = read_values(tree, "/lenses/mean_kl", "lens", "stream", "seed")[index]
    values = np.concatenate([exact[None], rungs]).mean(axis=-1)
    streams = read_labels(tree, "/lenses/mean_kl", "stream")
    names = ["exact Bayes", *read_labels(tree, "/lenses/mean_rung_kl", "rung")]
    names = [shorten(name, 18) for name in names]
    with house_style():
        rooms = [Room(0.24 * len(names) + 0.1, below=0.75), KEY_ROOM]
        figure, (panel, key) = stacked_panels(rooms, left=label_space(names, most=1.35))
        title_panel(panel, f"KL(rival ‖ {MAPPED}), bit, mean over seeds")
        span = log_range([values], divergence_floor(tree))
        draw_heat(panel, values, log_share(span), upwards=False)
        closest = np.argmin(np.where(np.isnan(values), np.inf, values), axis=0)
        panel.plot(range(len(streams)), closest, "o", color=LIGHT["ink"], markersize=4.5)
        panel.set_yticks(range(len(names)), names)
        panel.set_xticks(range(len(streams)), streams, rotation=40, ha="right")
        draw_log_key(key, span)
    return figure


def _draw_lens(
    panel: Axes, index: int, name: str, values: Float[np.ndarray, "seed stream"], span: LogRange
) -> EndLabel:
    """Draw one lens with its interval over seeds, and return its name at its end."""
    band, colour = seed_band(values), rung_colour(index + 1)
    places = np.arange(values.shape[1], dtype=float)
    mean = np.clip(band.mean, span.floor, span.high)
    if band.known:
        low, high = (np.clip(end, span.low, span.high) for end in (band.low, band.high))
        panel.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0.0, label=name)
    dashes = rung_dashes(index) if index else (None, None)
    panel.plot(places, mean, color=colour, dashes=dashes, marker="o", markersize=3.0, label=name)
    return EndLabel(name, places[-1], float(mean[-1]), colour)
