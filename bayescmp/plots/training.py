"""The training curve: loss above the entropy floor, and the learning rate."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import NETWORK, last_finite
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import log_range, log_scale
from bayescmp.plots.series import (
    divergence_floor,
    read_labels,
    read_places,
    read_values,
    seed_band,
)


def excess_is_positive(excess: Float[np.ndarray, "seed step"]) -> bool:
    """Return whether an excess loss is positive often enough for a logarithmic axis.

    With drawn outcomes the excess is noisy and may lie below zero.

    Args:
        excess: Training loss above the entropy floor, in bits.

    Returns:
        True where at least nine in ten finite values are above zero.
    """
    finite = excess[np.isfinite(excess)]
    return bool(finite.size) and float(np.mean(finite > 0.0)) >= 0.9


def plot_training(tree: xr.DataTree) -> Figure:
    """Draw the training loss above the entropy floor against the ladder, one line for each seed.

    Reads ``/training/excess``, ``/training/learning_rate`` and ``/ladder/mean_kl``: the expected
    excess of a predictor is its mean KL from exact, so every rung is a level. The axis is
    logarithmic unless more than a tenth of the values are zero or less.

    Args:
        tree: A comparison with the group ``/training``.

    Returns:
        A figure of the excess loss, in bits, over the learning rate.

    Raises:
        ValueError: The tree has no ``/training/excess``.

    Example:
        >>> figure = plot_training(tree)
        >>> figure.savefig("training.svg")
    """
    excess = read_values(tree, "/training/excess", "seed", "step")
    steps = read_places(tree, "/training/excess", "step")
    rate = read_values(tree, "/training/learning_rate", "step")
    seeds = read_labels(tree, "/training/excess", "seed")
    names = read_labels(tree, "/ladder/mean_kl", "rung")
    logarithmic = excess_is_positive(excess)
    with house_style():
        space = label_space([*names, NETWORK])
        rooms = [Room(2.2, below=0.22), Room(0.75)]
        figure, (upper, lower) = stacked_panels(rooms, left=0.62, right=space)
        scale = ", logarithmic" if logarithmic else ""
        title_panel(upper, f"Training loss above the entropy floor, bit{scale}")
        if logarithmic:
            rungs = read_values(tree, "/ladder/mean_kl", "rung")
            span = log_range([excess[excess > 0.0], rungs], divergence_floor(tree))
            log_scale(upper.yaxis, span)
            excess = np.where(excess > 0.0, np.maximum(excess, span.floor), np.nan)
            excess = np.where(np.isfinite(excess), excess, np.nan)
        for seed, values in zip(seeds, excess, strict=True):
            name = f"seed {seed}"
            upper.plot(steps, values, color=LIGHT["network"], linewidth=1.0, alpha=0.55, label=name)
        count_axis(upper, steps, "")
        _draw_levels(upper, tree, names, seed_band(excess).mean, space)
        title_panel(lower, "Learning rate")
        lower.plot(steps, rate, color=LIGHT["muted"], linewidth=1.3, label="learning rate")
        lower.set_ylim(bottom=0.0)
        top = float(np.max(rate[np.isfinite(rate)], initial=0.0))
        if top > 0.0 and math.isfinite(top):
            lower.set_yticks([0.0, top], ["0", f"{top:.2g}"])
        count_axis(lower, steps, "optimiser step")
    return figure


def _draw_levels(
    panel: Axes,
    tree: xr.DataTree,
    names: list[str],
    mean: Float[np.ndarray, " step"],
    space: float,
) -> None:
    """Draw every rung as a level, and name all lines at the right edge."""
    low, high = panel.get_ylim()
    right, labels = panel.get_xlim()[1], []
    rungs = read_values(tree, "/ladder/mean_kl", "rung")
    for index, (name, value) in enumerate(zip(names, rungs, strict=True)):
        if math.isfinite(value) and value <= high:
            height, colour = max(float(value), low), rung_colour(index)
            dashes = rung_dashes(index)
            panel.axhline(height, color=colour, linewidth=1.0, dashes=dashes, label=name)
            labels.append(EndLabel(name, right, height, colour))
    end = last_finite(np.arange(mean.size, dtype=float), mean)[1]
    labels.append(EndLabel(NETWORK, right, end, LIGHT["network"], strong=True))
    write_end_labels(panel, labels, space)
