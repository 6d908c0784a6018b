"""The inside over the checkpoints of training: what settles first, phases, and the lens."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    KEY_ROOM,
    Room,
    house_style,
    stacked_panels,
    title_panel,
    value_axis,
)
from bayescmp.plots.divergence import last_finite
from bayescmp.plots.heat import draw_heat, draw_log_key, log_share
from bayescmp.plots.labels import EndLabel, label_space, shorten, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour
from bayescmp.plots.scales import log_range
from bayescmp.plots.series import divergence_floor, has_variable, read_labels, read_values

EXACT = "exact"
STEP_LABEL = "optimiser steps done"
MOST_TICKS = 7


def plot_settling(tree: xr.DataTree) -> Figure:
    """Draw which share of its change each of attention and output has still to make.

    Reads ``/dynamics/kl`` and ``/dynamics/attention_change``, or ``mixer_change``; one line for
    each seed. Thin verticals stand where each seed's curve has settled.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        A figure of one panel.

    Raises:
        ValueError: The tree has no ``/dynamics/kl``.

    Example:
        >>> "/dynamics" in tree.groups  # where it is: plot_settling(tree).savefig("settling.svg")
        False
    """
    steps = read_steps(tree)
    followed = "attention" if has_variable(tree, "/dynamics/attention_change") else "mixers"
    curves = {
        followed: read_frame(tree),
        "output": read_values(tree, "/dynamics/kl", "seed", "checkpoint"),
    }
    settled = {
        followed: read_values(tree, "/dynamics/frame_step", "seed"),
        "output": read_values(tree, "/dynamics/output_step", "seed"),
    }
    with house_style():
        space = label_space(list(curves))
        figure, (panel,) = stacked_panels([Room(2.2)], right=space)
        title_panel(panel, "Change still to come, as a share of the whole")
        panel.set_ylim(-0.25, 1.25)
        checkpoint_axis(panel, steps)
        panel.axhline(0.1, color=LIGHT["axis"], linewidth=0.8, dashes=(4.0, 2.0))
        labels = []
        for (name, values), colour in zip(
            curves.items(), (rung_colour(2), LIGHT["network"]), strict=True
        ):
            shares = remaining(values)
            for row, step in zip(shares, settled[name], strict=True):
                panel.plot(
                    np.arange(steps.size), np.clip(row, -0.25, 1.25), color=colour, label=name
                )
                if np.isfinite(step):
                    place = np.interp(np.log1p(step), np.log1p(steps), np.arange(steps.size))
                    panel.axvline(place, color=colour, linewidth=0.7, alpha=0.6)
            end = last_finite(np.arange(steps.size, dtype=float), shares[0])
            labels.append(EndLabel(name, *end, colour, strong=name == "output"))
        value_axis(panel.yaxis, most=4)
        write_end_labels(panel, labels, space)
    return figure


def plot_phases(tree: xr.DataTree) -> Figure:
    """Draw KL(rival || network) over training: which explanation is the network nearest to?

    Reads ``/dynamics/rung_kl`` and ``/dynamics/kl``, averaged over seeds.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        A heat map with one row for each rung and one for exact; a dot marks the nearest.

    Raises:
        ValueError: The tree has no ``/dynamics/rung_kl``.

    Example:
        >>> "/dynamics" in tree.groups  # where it is: plot_phases(tree).savefig("phases.svg")
        False
    """
    names, values = read_explanations(tree)
    return _draw_map(
        tree, values.mean(axis=0), names, "KL(rival ‖ network), bit, mean over seeds", mark=True
    )


def plot_lens_dynamics(tree: xr.DataTree) -> Figure:
    """Draw KL(exact || logit lens) by place in the residual stream over training.

    Reads ``/dynamics/lens_kl``, averaged over seeds.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        A heat map with one row for each place, the embedding on top.

    Raises:
        ValueError: The tree has no ``/dynamics/lens_kl``.

    Example:
        >>> "/dynamics" in tree.groups  # where it is: plot_lens_dynamics(tree)
        False
    """
    values = read_values(tree, "/dynamics/lens_kl", "seed", "stream", "checkpoint").mean(axis=0)
    names = read_labels(tree, "/dynamics/lens_kl", "stream")
    return _draw_map(tree, values, names, "KL(exact ‖ logit lens), bit, mean over seeds")


def read_steps(tree: xr.DataTree) -> Float[np.ndarray, " checkpoint"]:
    """Return the optimiser steps done at each checkpoint.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        Steps.
    """
    return np.array([float(label) for label in read_labels(tree, "/dynamics/kl", "checkpoint")])


def read_frame(tree: xr.DataTree) -> Float[np.ndarray, "seed checkpoint"]:
    """Return the distance of attention, or of the mixers' output, to the last checkpoint's.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        Distances, in bits for attention.
    """
    name = "attention" if has_variable(tree, "/dynamics/attention_change") else "mixer"
    return read_values(tree, f"/dynamics/{name}_change", "seed", "checkpoint")


def read_explanations(
    tree: xr.DataTree,
) -> tuple[list[str], Float[np.ndarray, "seed explanation checkpoint"]]:
    """Return every rung, and exact, with the divergence from it to the network.

    Args:
        tree: A comparison with the group ``/dynamics``.

    Returns:
        Names, and KL in bits.
    """
    rungs = read_values(tree, "/dynamics/rung_kl", "seed", "rung", "checkpoint")
    exact = read_values(tree, "/dynamics/kl", "seed", "checkpoint")
    names = read_labels(tree, "/dynamics/rung_kl", "rung")
    return [*names, EXACT], np.concatenate([rungs, exact[:, None]], axis=1)


def remaining(curves: Float[np.ndarray, "seed checkpoint"]) -> Float[np.ndarray, "seed checkpoint"]:
    """Return which share of its whole change each curve has still to make.

    Args:
        curves: Curves.

    Returns:
        One at the first checkpoint, zero at the last; NaN where nothing has changed.
    """
    change = curves[:, :1] - curves[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(change != 0.0, (curves - curves[:, -1:]) / change, np.nan)


def checkpoint_axis(panel: Axes, steps: Float[np.ndarray, " checkpoint"]) -> None:
    """Label some of the checkpoints, which stand at 0, 1, 2 and so on, with their steps.

    Args:
        panel: The panel.
        steps: Step of each checkpoint.
    """
    every = max(1, -(-(steps.size - 1) // (MOST_TICKS - 1)))
    places = list(range(steps.size - 1, -1, -every))[::-1]
    panel.set_xticks(places, [f"{steps[place]:,.0f}" for place in places])
    panel.set_xlim(-0.5, steps.size - 0.5)
    panel.set_xlabel(STEP_LABEL)


def _draw_map(
    tree: xr.DataTree,
    values: Float[np.ndarray, "row checkpoint"],
    names: list[str],
    title: str,
    *,
    mark: bool = False,
) -> Figure:
    """Draw a heat map over checkpoints, with a dot on the least value of each if asked."""
    names = [shorten(name, 18) for name in names]
    with house_style():
        left = label_space(names, most=1.35)
        figure, (panel, key) = stacked_panels([Room(0.24 * len(names) + 0.1), KEY_ROOM], left=left)
        title_panel(panel, title)
        span = log_range([values], divergence_floor(tree))
        draw_heat(panel, values, log_share(span), upwards=False)
        if mark:
            nearest = np.argmin(np.where(np.isnan(values), np.inf, values), axis=0)
            panel.plot(np.arange(values.shape[1]), nearest, "o", color=LIGHT["ink"], markersize=4.5)
        panel.set_yticks(range(len(names)), names)
        checkpoint_axis(panel, read_steps(tree))
        draw_log_key(key, span)
    return figure
