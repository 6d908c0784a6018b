"""The logit lens: what every residual stream would predict, held against exact Bayes."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import (
    NETWORK,
    POSITION_LABEL,
    draw_band,
    draw_seeds,
    last_finite,
)
from bayescmp.plots.heat import draw_heat, draw_log_key, log_share
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    divergence_floor,
    read_labels,
    read_places,
    read_values,
    seed_band,
    supervised_positions,
)

LAYER_LABEL = "residual stream (0 = embedding)"


def plot_layers(tree: xr.DataTree) -> Figure:
    """Draw KL(exact || logit lens) by layer and position, and its mean over positions by layer.

    Reads ``/layers/kl`` and, for the level of each rival, ``/ladder/mean_kl``.

    Args:
        tree: A comparison with the group ``/layers``.

    Returns:
        A figure of a heat map (mean over seeds) over a line with its 95 % interval over seeds.

    Raises:
        ValueError: The tree has no ``/layers/kl``.

    Example:
        >>> figure = plot_layers(tree)
        >>> figure.savefig("layers.svg")
    """
    kl = read_values(tree, "/layers/kl", "seed", "layer", "position")
    shown = supervised_positions(tree)
    kl = np.where(shown, kl, np.nan)
    layers = read_places(tree, "/layers/kl", "layer")
    positions = read_places(tree, "/layers/kl", "position")
    names = read_labels(tree, "/ladder/mean_kl", "rung")
    with house_style():
        space = label_space([*names, NETWORK])
        height = min(2.2, max(0.9, 0.24 * layers.size))
        figure, (upper, key, lower) = stacked_panels(
            [Room(height), KEY_ROOM, Room(1.9)], right=space
        )
        mean = kl.mean(axis=0)
        span = log_range([mean], divergence_floor(tree))
        title_panel(upper, "KL(exact ‖ logit lens), bit, mean over seeds")
        _draw_map(upper, key, mean, layers, positions, span)
        title_panel(lower, "Mean over positions, bit, logarithmic")
        per_layer = mean_by_layer(tree)
        _draw_means(lower, tree, per_layer, layers, names, space)
    return figure


def mean_by_layer(tree: xr.DataTree) -> Float[np.ndarray, "seed layer"]:
    """Average KL(exact || logit lens) over the supervised positions.

    Args:
        tree: A comparison with the group ``/layers``.

    Returns:
        Mean of ``/layers/kl``, in bits; NaN where no position is supervised.
    """
    kl = read_values(tree, "/layers/kl", "seed", "layer", "position")
    shown = supervised_positions(tree)
    if not shown.any():
        return np.full(kl.shape[:2], np.nan)
    return kl[:, :, shown].mean(axis=-1)


def plot_layer_rungs(tree: xr.DataTree) -> Figure:
    """Draw KL(rung || logit lens): which rival does each residual stream come closest to?

    Reads ``/layers/rung_kl``, averaged over seeds.

    Args:
        tree: A comparison with the group ``/layers``.

    Returns:
        A heat map with one row for each rung; a dot marks the smallest value of each layer.

    Raises:
        ValueError: The tree has no ``/layers/rung_kl``.

    Example:
        >>> figure = plot_layer_rungs(tree)
        >>> figure.savefig("layer_rungs.svg")
    """
    values = read_values(tree, "/layers/rung_kl", "rung", "layer", "seed").mean(axis=-1)
    layers = read_places(tree, "/layers/rung_kl", "layer")
    names = read_labels(tree, "/layers/rung_kl", "rung")
    names = [shorten(name, 18) for name in names]
    with house_style():
        left = label_space(names, most=1.35)
        figure, (panel, key) = stacked_panels([Room(0.24 * len(names) + 0.1), KEY_ROOM], left=left)
        title_panel(panel, "KL(rival ‖ logit lens), bit, mean over seeds")
        span = log_range([values], divergence_floor(tree))
        draw_heat(panel, values, log_share(span), origin_column=float(layers[0]), upwards=False)
        closest = np.argmin(np.where(np.isnan(values), np.inf, values), axis=0)
        panel.plot(layers, closest, "o", color=LIGHT["ink"], markersize=4.5)
        panel.set_yticks(range(len(names)), names)
        _count_layers(panel, layers)
        draw_log_key(key, span)
    return figure


def _draw_map(
    panel: Axes,
    key: Axes,
    mean: Float[np.ndarray, "layer position"],
    layers: Float[np.ndarray, " layer"],
    positions: Float[np.ndarray, " position"],
    span: LogRange,
) -> None:
    """Draw the heat map of layer by position, with its key."""
    origin = (float(layers[0]), float(positions[0]))
    draw_heat(panel, mean, log_share(span), origin_row=origin[0], origin_column=origin[1])
    count_axis(panel, positions, POSITION_LABEL)
    panel.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
    step = max(1, math.ceil(layers.size / 8))
    panel.set_yticks(layers[::step], [f"{layer:.0f}" for layer in layers[::step]])
    draw_log_key(key, span)


def _draw_means(
    panel: Axes,
    tree: xr.DataTree,
    values: Float[np.ndarray, "seed layer"],
    layers: Float[np.ndarray, " layer"],
    names: list[str],
    space: float,
) -> None:
    """Draw the mean of each layer, with every rung as a level."""
    band, rungs = seed_band(values), read_values(tree, "/ladder/mean_kl", "rung")
    span = log_range([band.mean, rungs], divergence_floor(tree))
    log_scale(panel.yaxis, span)
    _count_layers(panel, layers)
    right = panel.get_xlim()[1]
    labels = []
    for index, (name, value) in enumerate(zip(names, rungs, strict=True)):
        if math.isfinite(value):
            height, colour = max(float(value), span.floor), rung_colour(index)
            panel.axhline(
                height, color=colour, linewidth=1.1, dashes=rung_dashes(index), label=name
            )
            labels.append(EndLabel(name, right, height, colour))
    seeds = read_labels(tree, "/layers/kl", "seed")
    draw_seeds(panel, layers, values, seeds, span)
    draw_band(panel, layers, band, span)
    end = last_finite(layers, np.clip(band.mean, span.floor, span.high))
    labels.append(EndLabel(NETWORK, *end, LIGHT["network"], strong=True))
    write_end_labels(panel, labels, space)


def _count_layers(panel: Axes, layers: Float[np.ndarray, " layer"]) -> None:
    """Label an x axis of residual streams."""
    step = max(1, math.ceil(layers.size / 10))
    panel.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    panel.set_xticks(layers[::step], [f"{layer:.0f}" for layer in layers[::step]])
    panel.set_xlabel(LAYER_LABEL)
