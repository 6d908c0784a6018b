"""Layers of a network against rounds of belief propagation, as heat maps."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, house_style, stacked_panels, title_panel
from bayescmp.plots.heat import draw_heat, draw_log_key, log_share
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.scales import log_range
from bayescmp.plots.series import divergence_floor, read_labels, read_values

ROW = 0.24
"""Height of one layer, in inches."""

EXACT = "exact"


def plot_rounds(tree: xr.DataTree) -> Figure:
    """Draw KL(law || lens) by layer, for the beliefs after each round and for the exact law.

    Reads ``/rounds/kl`` and ``/rounds/exact_kl``, averaged over seeds.

    Args:
        tree: A comparison with the group ``/rounds``.

    Returns:
        A heat map for each lens, with the exact law as its last column; a dot marks the smallest
        value of each layer, the first of equals.

    Raises:
        ValueError: The tree has no ``/rounds/kl``.

    Example:
        >>> "/rounds" in tree.groups  # where it is: plot_rounds(tree)
        False
    """
    to_rounds = read_values(tree, "/rounds/kl", "round_lens", "layer", "round", "seed")
    to_exact = read_values(tree, "/rounds/exact_kl", "round_lens", "layer", "seed")
    values = np.concatenate([to_rounds, to_exact[:, :, None]], axis=2).mean(axis=-1)
    lenses = read_labels(tree, "/rounds/kl", "round_lens")
    layers = read_labels(tree, "/rounds/kl", "layer")
    laws = [*read_labels(tree, "/rounds/kl", "round"), EXACT]
    with house_style():
        height = max(0.9, ROW * len(layers))
        rooms = [*(Room(height) for _ in lenses), KEY_ROOM]
        figure, panels = stacked_panels(rooms)
        span = log_range([values], divergence_floor(tree))
        for panel, lens, table in zip(panels, lenses, values, strict=False):
            title_panel(panel, f"KL(beliefs after a round ‖ {lens}), bit, by residual stream")
            draw_heat(panel, table, log_share(span))
            closest = np.argmin(np.where(np.isnan(table), np.inf, table), axis=1)
            panel.plot(closest, range(len(layers)), "o", color=LIGHT["ink"], markersize=4.5)
            panel.axvline(len(laws) - 1.5, color=LIGHT["muted"], linewidth=0.6)
            panel.set_yticks(range(len(layers)), layers)
            panel.set_xticks(range(len(laws)), laws)
        panels[len(lenses) - 1].set_xlabel("rounds of belief propagation, and exact Bayes")
        draw_log_key(panels[-1], span)
    return figure
