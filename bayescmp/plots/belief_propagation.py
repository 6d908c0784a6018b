"""Belief propagation: repairs of the published construction, loops, and what training follows."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel
from bayescmp.plots.labels import label_space
from bayescmp.plots.lines import Line, draw_lines
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_scale
from bayescmp.plots.series import read_labels, read_values

FLOOR, TOP = 1e-17, 1.0
"""Ends of the logarithmic axis of errors: below rounding, and all there is."""

ERROR = "mean absolute error of a marginal"


def plot_construction(tree: xr.DataTree) -> Figure:
    """Draw the error of the published construction, repair by repair.

    Reads ``/construction/stage_error``.

    Args:
        tree: A comparison with the group ``/construction``.

    Returns:
        A line for each kind of graph, mean over seeds, on a logarithmic axis.

    Raises:
        ValueError: The tree has no ``/construction/stage_error``.
    """
    path = "/construction/stage_error"
    stages, cases = read_labels(tree, path, "repair"), read_labels(tree, path, "graph_case")
    values = read_values(tree, path, "seed", "repair", "graph_case")
    rows = [
        Line(case, np.maximum(values[..., number], FLOOR), rung_colour(number), rung_dashes(number))
        for number, case in enumerate(cases)
    ]
    numbers = [str(number) for number in range(len(stages))]
    return _draw(rows, numbers, f"{ERROR}, logarithmic", "repairs made, one by one", is_log=True)


def plot_loops(tree: xr.DataTree) -> Figure:
    """Draw the error of loopy belief propagation, from weak couplings to strong ones.

    Reads ``/loops/error`` and ``/loops/half_error``.

    Args:
        tree: A comparison with the group ``/loops``.

    Returns:
        A line for each graph, mean over seeds, and one for always one half.

    Raises:
        ValueError: The tree has no ``/loops/error``.
    """
    laws = read_labels(tree, "/loops/error", "table_law")
    graphs = read_labels(tree, "/loops/error", "loop_graph")
    values, half = (
        read_values(tree, f"/loops/{name}", "seed", "loop_graph", "table_law")
        for name in ("error", "half_error")
    )
    rows = [
        Line(graph, values[:, number], rung_colour(number), rung_dashes(number))
        for number, graph in enumerate(graphs)
    ]
    rows.append(Line("always one half", half.mean(axis=1), LIGHT["ink"]))
    short = [law.removeprefix("couplings ").removeprefix("entries ") for law in laws]
    return _draw(rows, short, ERROR, "law of the tables: entries, or couplings in nats")


def plot_following(tree: xr.DataTree) -> Figure:
    """Draw the errors of trained networks beside those of belief propagation.

    Reads ``/following/error`` and ``/following/propagation_error``.

    Args:
        tree: A comparison with the group ``/following``.

    Returns:
        Two lines over the size of the couplings, means over seeds.

    Raises:
        ValueError: The tree has no ``/following/error``.
    """
    couplings = read_labels(tree, "/following/error", "coupling")
    rows = [
        Line(text, read_values(tree, f"/following/{name}", "seed", "coupling"), colour)
        for name, text, colour in (
            ("error", "trained network", LIGHT["network"]),
            ("propagation_error", "propagation", rung_colour(2)),
        )
    ]
    return _draw(rows, [f"±{coupling}" for coupling in couplings], ERROR, "couplings in nats")


def _draw(
    lines: Sequence[Line], names: Sequence[str], title: str, under: str, *, is_log: bool = False
) -> Figure:
    """Draw lines over named places."""
    places = np.arange(len(names), dtype=float)
    with house_style():
        space = label_space([line.name for line in lines])
        figure, (panel,) = stacked_panels([Room(2.4)], right=space)
        title_panel(panel, title)
        if is_log:
            log_scale(panel.yaxis, LogRange(FLOOR, TOP, False))
        else:
            panel.set_ylim(bottom=0.0, top=1.1 * max(float(np.nanmax(x.values)) for x in lines))
        panel.set_xticks(places, names)
        panel.set_xlabel(under)
        draw_lines(panel, places, lines, space)
    return figure
