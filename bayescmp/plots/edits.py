"""Where a token of evidence is read: another token's stream put in where it stands."""

import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import KEY_ROOM, Room, count_axis, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_heat_key
from bayescmp.plots.labels import label_space
from bayescmp.plots.numbers import format_number
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.rows import ROW, draw_rows, linear_share
from bayescmp.plots.series import read_labels, read_places, read_values


def plot_edits(tree: xr.DataTree) -> Figure:
    """Draw margins towards a prompt with one other token, whose stream is put in at each place.

    Reads ``/interventions/edit_margin`` and its means, averaged over seeds.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        A heat map of place by position over a row of dots, one for each place.

    Raises:
        ValueError: The tree has no ``/interventions/edit_margin``.
    """
    path = "/interventions/edit_margin"
    margin = read_values(tree, path, "seed", "stream", "position").mean(axis=0)
    names, positions = read_labels(tree, path, "stream"), read_places(tree, path, "position")
    mean = read_values(tree, "/interventions/edit_mean", "seed", "stream").mean(axis=0)
    before = float(read_values(tree, "/interventions/edit_mean_before", "seed").mean())
    height = ROW * len(names) + 0.1
    with house_style():
        rooms = [Room(height), KEY_ROOM, Room(height)]
        figure, (upper, key, lower) = stacked_panels(rooms, left=label_space(names, most=1.35))
        title_panel(upper, "Margin towards the prompt with another token, bit")
        to_share, ticks = linear_share(margin)
        draw_heat(upper, margin, to_share, origin_column=float(positions[0]), upwards=False)
        count_axis(upper, positions, POSITION_LABEL)
        upper.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
        upper.set_yticks(range(len(names)), names)
        draw_heat_key(key, to_share, ticks, [format_number(tick, digits=2) for tick in ticks])
        title_panel(lower, "Mean, bit")
        draw_rows(lower, names, [(mean, "o", "network")], 0.0 * mean)
        lower.axvline(before, color=LIGHT["axis"], linewidth=1.0, linestyle=(0, (1.0, 1.6)))
        lower.set_xlabel("dotted: the network’s own answer")
    return figure
