"""The training curve: loss above the entropy floor, and the learning rate."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.scales import log_range, log_scale
from bayescmp.plots.series import (
    divergence_floor,
    read_places,
    read_values,
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
    """Draw the training loss above the entropy floor, one line for each seed.

    Reads ``/training/excess`` and ``/training/learning_rate``. The axis is logarithmic unless
    more than a tenth of the values are zero or less.

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
    logarithmic = excess_is_positive(excess)
    with house_style():
        figure, (upper, lower) = stacked_panels([Room(2.2, below=0.22), Room(0.75)], left=0.62)
        scale = ", logarithmic" if logarithmic else ""
        title_panel(upper, f"Training loss above the entropy floor, bit{scale}")
        if logarithmic:
            span = log_range([excess[excess > 0.0]], divergence_floor(tree))
            log_scale(upper.yaxis, span)
            excess = np.where(excess > 0.0, np.maximum(excess, span.floor), np.nan)
        for values in excess:
            upper.plot(steps, values, color=LIGHT["network"], linewidth=1.0, alpha=0.55)
        count_axis(upper, steps, "")
        title_panel(lower, "Learning rate")
        lower.plot(steps, rate, color=LIGHT["muted"], linewidth=1.3)
        lower.set_ylim(bottom=0.0)
        top = float(np.max(rate[np.isfinite(rate)], initial=0.0))
        if top > 0.0 and math.isfinite(top):
            lower.set_yticks([0.0, top], ["0", f"{top:.2g}"])
        count_axis(lower, steps, "optimiser step")
    return figure
