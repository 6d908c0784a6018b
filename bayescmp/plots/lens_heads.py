"""Lenses up close: what single heads write, and every rival position by position."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_log_key, log_share
from bayescmp.plots.labels import label_space
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.rows import ROW, draw_rows
from bayescmp.plots.scales import log_range
from bayescmp.plots.series import (
    divergence_floor,
    has_variable,
    read_labels,
    read_places,
    read_values,
)

MAPPED = "tuned lens"
"""The lens through which rivals are looked at."""

MAP_ROW = 0.14
"""Height of one place in a heat map, in inches."""


def plot_lens_heads(tree: xr.DataTree) -> Figure:
    """Draw how far what is read from each head's write is from exact, beside untrained heads.

    Reads ``/lenses/head_kl`` and, where there is one, ``/lenses/head_control_kl``.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        A row for each head with a dot for each seed; a bar is the mean over untrained networks.

    Raises:
        ValueError: The tree has no ``/lenses/head_kl``.
    """
    names, own, control = read_lens_heads(tree)
    constant = float(read_values(tree, "/lenses/constant_kl", "seed").mean())
    with house_style():
        room = Room(ROW * len(names) + 0.1)
        figure, (panel,) = stacked_panels([room], left=label_space(names, most=1.35))
        title_panel(panel, "KL(exact ‖ Bayes lens of one head’s write), bit; bar untrained")
        draw_rows(panel, names, [(values, "o", "network") for values in own], control)
        panel.axvline(constant, color=LIGHT["axis"], linewidth=1.0, linestyle=(0, (1.0, 1.6)))
        panel.set_xlabel("dotted: the exact predictive’s own mean")
    return figure


def read_lens_heads(tree: xr.DataTree) -> tuple[list[str], np.ndarray, np.ndarray]:
    """List the heads, with the divergence in each seed and in untrained networks.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        Names; divergences by seed and head; mean over untrained networks, or NaN.
    """
    own = read_values(tree, "/lenses/head_kl", "seed", "block", "head")
    blocks, heads = (read_labels(tree, "/lenses/head_kl", dim) for dim in ("block", "head"))
    names = [f"block {block}, head {head}" for block in blocks for head in heads]
    control = np.full(len(names), np.nan)
    if has_variable(tree, "/lenses/head_control_kl"):
        axes = ("seed", "head_draw", "block", "head")
        drawn = read_values(tree, "/lenses/head_control_kl", *axes)
        control = drawn.mean(axis=(0, 1)).reshape(-1)
    return names, own.reshape(len(own), -1), control


def plot_lens_positions(tree: xr.DataTree) -> Figure:
    """Draw KL(rival || tuned lens) by place in the residual stream and position, for every rival.

    Reads ``/lenses/rung_kl``.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        One heat map for each rival (mean over seeds), with one key.

    Raises:
        ValueError: The tree has no ``/lenses/rung_kl``.
    """
    path = "/lenses/rung_kl"
    index = read_labels(tree, path, "lens").index(MAPPED)
    axes = ("lens", "rung", "stream", "position", "seed")
    values = read_values(tree, path, *axes)[index].mean(axis=-1)
    rungs, streams = (read_labels(tree, path, dim) for dim in ("rung", "stream"))
    positions = read_places(tree, path, "position")
    with house_style():
        room = Room(MAP_ROW * len(streams), below=0.15)
        rooms = [*([room] * (len(rungs) - 1)), Room(MAP_ROW * len(streams)), KEY_ROOM]
        figure, panels = stacked_panels(rooms, left=label_space(streams))
        span = log_range([values], divergence_floor(tree))
        for panel, rung, part in zip(panels, rungs, values, strict=False):
            title_panel(panel, f"KL({rung} ‖ {MAPPED}), bit")
            draw_heat(panel, part, log_share(span), origin_column=float(positions[0]))
            count_axis(panel, positions, POSITION_LABEL if rung == rungs[-1] else "")
            panel.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
            panel.set_yticks(range(len(streams)), streams)
        draw_log_key(panels[-1], span)
    return figure
