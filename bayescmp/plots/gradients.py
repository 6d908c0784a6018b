"""How updates of scores and values lie to the gradients inside attention."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel, value_axis
from bayescmp.plots.dynamics import checkpoint_axis
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.series import read_labels, read_values
from bayescmp.results.tree import read_attribute

KINDS = {
    "routing": "Scores: cosine of the update with routing by advantage",
    "value": "Values: cosine of the update with the gradient, downhill",
}
UPDATE_LABEL = "optimiser steps done after the update"


def plot_alignment(tree: xr.DataTree) -> Figure:
    """Draw the cosine of every update with the gradients inside attention.

    Reads ``/gradients/routing_cosine``, ``value_cosine`` and their controls, averaged over
    seeds; one line for each head, coloured by block. Grey lines are random updates of the same
    size, and the shade holds 95 % of all random directions.

    Args:
        tree: A comparison with the group ``/gradients`` and its alignments.

    Returns:
        A figure of two panels.

    Raises:
        ValueError: The tree has no ``/gradients/routing_cosine``.

    Example:
        >>> "/gradients" in tree.groups  # where it is: plot_alignment(tree)
        False
    """
    with house_style():
        figure, panels = stacked_panels([Room(1.7), Room(1.7)])
        for (kind, title), panel in zip(KINDS.items(), panels, strict=True):
            title_panel(panel, title)
            _draw_kind(panel, tree, kind)
    return figure


def _draw_kind(panel: Axes, tree: xr.DataTree, kind: str) -> None:
    """Draw the lines of one kind of update."""
    axes = ("seed", "update", "block", "head")
    path = f"/gradients/{kind}_cosine"
    cosine, control = (
        read_values(tree, f"/gradients/{kind}_{what}", *axes).mean(axis=0)
        for what in ("cosine", "control")
    )
    steps = np.array([float(label) for label in read_labels(tree, path, "update")])
    places = np.arange(steps.size)
    blocks, heads = (read_labels(tree, path, axis) for axis in ("block", "head"))
    null = read_attribute(tree, "/gradients", f"{kind}_null")
    if np.isfinite(null):
        panel.axhspan(-null, null, color=LIGHT["axis"], alpha=0.3, linewidth=0.0)
    for block, head in np.ndindex(cosine.shape[1:]):
        panel.plot(
            places, control[:, block, head], color=LIGHT["axis"], linewidth=0.8, label="random"
        )
        panel.plot(
            places,
            cosine[:, block, head],
            color=rung_colour(block),
            dashes=rung_dashes(head) if head else (),
            marker="o",
            markersize=2.6,
            label=f"block {blocks[block]}, head {heads[head]}",
        )
    panel.set_ylim(-1.0, 1.0)
    value_axis(panel.yaxis, most=4)
    checkpoint_axis(panel, steps)
    panel.set_xlabel(UPDATE_LABEL)
