"""What affine probes read from single heads, beside heads of networks that nobody trained."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel
from bayescmp.plots.labels import label_space
from bayescmp.plots.rows import ROW, draw_rows
from bayescmp.plots.series import read_labels, read_values


def plot_probe_heads(tree: xr.DataTree) -> Figure:
    """Draw the share of each target's variance that is read from what one head writes.

    Reads ``/probes/head_r_squared`` and ``/probes/head_initial_r_squared``.

    Args:
        tree: A comparison with the group ``/probes``.

    Returns:
        One panel for each target: a row for each head with a dot for each seed, beside a bar for
        the mean of networks that nobody trained.

    Raises:
        ValueError: The tree has no ``/probes/head_r_squared``.
    """
    names, own, initial = read_probe_heads(tree)
    targets = read_labels(tree, "/probes/head_r_squared", "probe_target")
    with house_style():
        rooms = [Room(ROW * len(names) + 0.1) for _ in targets]
        figure, panels = stacked_panels(rooms, left=label_space(names, most=1.35))
        for panel, target, values, control in zip(panels, targets, own, initial, strict=True):
            title_panel(panel, f"{target}: R² of what one head writes; bar untrained")
            draw_rows(panel, names, [(seed, "o", "network") for seed in values], control)
            panel.set_xlim(min(0.0, float(np.nanmin(values))), 1.02)
    return figure


def read_probe_heads(tree: xr.DataTree) -> tuple[list[str], np.ndarray, np.ndarray]:
    """List the heads, with what is read from each in every seed and in untrained networks.

    Args:
        tree: A comparison with the group ``/probes``.

    Returns:
        Names; shares by target, seed and head; mean over networks that nobody trained by target
        and head.
    """
    path = "/probes/head_r_squared"
    own = read_values(tree, path, "probe_target", "seed", "block", "head")
    axes = ("probe_target", "seed", "probe_head_draw", "block", "head")
    initial = read_values(tree, "/probes/head_initial_r_squared", *axes).mean(axis=(1, 2))
    blocks, heads = (read_labels(tree, path, dim) for dim in ("block", "head"))
    names = [f"block {block}, head {head}" for block in blocks for head in heads]
    return names, own.reshape(*own.shape[:2], -1), initial.reshape(len(initial), -1)
