"""One example sequence: the exact predictive beside the network's."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_heat_key
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import (
    read_places,
    read_values,
    supervised_positions,
)

KEY_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def plot_predictives(tree: xr.DataTree, sequence: int = 0) -> Figure:
    """Draw the exact and the network's predictive of one example sequence, first seed.

    Reads ``/oracle/log_predictive``, ``/network/log_predictive`` and
    ``/observed_data/outcome_value``. Opacity grows with the square root of the probability; dots
    are the outcomes that were drawn.

    Args:
        tree: A comparison.
        sequence: Place of the example, from 0.

    Returns:
        Two maps of outcome by position, with one key.

    Raises:
        ValueError: There is no such example.

    Example:
        >>> figure = plot_predictives(tree, sequence=1)
        >>> figure.savefig("predictives.svg")
    """
    exact = read_values(tree, "/oracle/log_predictive", "sequence", "position", "outcome")
    network = read_values(
        tree, "/network/log_predictive", "seed", "sequence", "position", "outcome"
    )[0]
    if not 0 <= sequence < exact.shape[0]:
        raise ValueError(f"sequence: expected 0 to {exact.shape[0] - 1}, got {sequence}")
    outcomes = read_values(tree, "/observed_data/outcome_value", "sequence", "position")[sequence]
    shown = supervised_positions(tree)
    positions = read_places(tree, "/oracle/log_predictive", "position")
    with house_style():
        height = min(1.9, max(0.7, 0.085 * exact.shape[-1]))
        rooms = [Room(height, below=0.12), Room(height), KEY_ROOM]
        figure, (upper, lower, key) = stacked_panels(rooms, left=0.42)
        for panel, values, name in ((upper, exact, "Exact"), (lower, network, "Network")):
            title_panel(panel, f"{name}: probability of each outcome")
            probability = np.where(shown[:, None], np.exp(values[sequence]), np.nan).T
            draw_heat(panel, probability, np.sqrt, origin_column=float(positions[0]))
            panel.plot(positions[shown], outcomes[shown], "o", color=LIGHT["ink"], markersize=2.2)
            _count_outcomes(panel, exact.shape[-1])
            count_axis(panel, positions, POSITION_LABEL if panel is lower else "")
            panel.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
        upper.tick_params(labelbottom=False)
        draw_heat_key(key, np.sqrt, KEY_TICKS, [f"{tick:g}" for tick in KEY_TICKS])
    return figure


def _count_outcomes(panel: Axes, num_outcomes: int) -> None:
    """Label first and last outcome."""
    panel.set_ylim(-0.5, num_outcomes - 0.5)
    ticks = [0, num_outcomes - 1] if num_outcomes > 1 else [0]
    panel.set_yticks(ticks)
