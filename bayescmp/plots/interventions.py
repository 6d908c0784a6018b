"""What interventions do: heads taken away, streams swapped, directions removed and steered."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    KEY_ROOM,
    Room,
    count_axis,
    house_style,
    stacked_panels,
    title_panel,
)
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_heat_key
from bayescmp.plots.labels import label_space
from bayescmp.plots.numbers import format_number
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.rows import ROW, draw_rows, linear_share, name_rows
from bayescmp.plots.series import has_variable, read_labels, read_places, read_values

LANE = 0.11
"""Height of one of the lanes of a row, where it has several."""


def plot_ablations(tree: xr.DataTree) -> Figure:
    """Draw the damage of taking away every head and every part of a block, beside its controls.

    Reads ``/interventions/head_damage``, ``head_control_highest``, ``part_damage`` and
    ``part_control``, averaged over seeds. Each way has its own lane, and its own bar.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        A figure with one row for each part.

    Raises:
        ValueError: The tree has no ``/interventions/part_damage``.

    Example:
        >>> from bayescmp.plots.interventions import plot_ablations
        >>> figure = plot_ablations(tree) if "/interventions" in tree.groups else None
    """
    names, damage, control = read_ablations(tree)
    places, height = np.arange(len(names)), 1.0 / (len(damage) + 0.5)
    marks = (("|", "muted"), ("o", "network"), ("x", "muted"))
    with house_style():
        left = label_space(names, most=1.35)
        room = Room(LANE / height * len(names) + 0.1)
        figure, (panel,) = stacked_panels([room], left=left)
        title_panel(panel, "Damage, bit; bars: random changes of the same size")
        for way, (marker, colour) in enumerate(marks):
            lane = places + (way - 1) * height
            panel.barh(lane, control[way], height=0.8 * height, color=LIGHT["grid"])
            panel.plot(damage[way], lane, marker, color=LIGHT[colour], markersize=4.0)
        name_rows(panel, names)
        panel.set_xlabel("bit; | zero, ● mean, × another sequence")
    return figure


def read_ablations(
    tree: xr.DataTree,
) -> tuple[list[str], Float[np.ndarray, "way row"], Float[np.ndarray, "way row"]]:
    """List every head and every part of a block, with damage and control.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        Names, and damage and control by way; means over seeds, in bits.
    """
    path = "/interventions/part_damage"
    parts, blocks = read_labels(tree, path, "part"), read_labels(tree, path, "block")
    names = [f"{part} {block}" for part in parts for block in blocks]
    rows = _read_ways(tree, "part_damage", "part", "block")
    limits = _read_ways(tree, "part_control", "part", "block")
    if has_variable(tree, "/interventions/head_damage"):
        labels = read_labels(tree, "/interventions/head_damage", "head")
        names = [f"block {block}, head {head}" for block in blocks for head in labels] + names
        highest = _read_ways(tree, "head_control_highest", "block")
        rows = np.concatenate([_read_ways(tree, "head_damage", "block", "head"), rows], axis=1)
        limits = np.concatenate([np.repeat(highest, len(labels), axis=1), limits], axis=1)
    there = np.isfinite(rows).any(axis=0)
    kept = [name for name, is_there in zip(names, there, strict=True) if is_there]
    return kept, rows[:, there], limits[:, there]


def _read_ways(tree: xr.DataTree, name: str, *axes: str) -> Float[np.ndarray, "way row"]:
    """Read a variable way by way, averaged over seeds, with its other axes in one row."""
    values = read_values(tree, f"/interventions/{name}", "seed", "way", *axes).mean(axis=0)
    return values.reshape(len(values), -1)


def plot_swaps(tree: xr.DataTree) -> Figure:
    """Draw where the stream carries what the evidence implies: margins after swaps.

    Reads ``/interventions/swap_margin`` and the means of swaps, averaged over seeds.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        A heat map of place by position over rows of dots, one for each place.

    Raises:
        ValueError: The tree has no ``/interventions/swap_margin``.

    Example:
        >>> from bayescmp.plots.interventions import plot_swaps
        >>> figure = plot_swaps(tree) if "/interventions" in tree.groups else None
    """
    path = "/interventions/swap_margin"
    margin = read_values(tree, path, "seed", "stream", "position").mean(axis=0)
    names, positions = read_labels(tree, path, "stream"), read_places(tree, path, "position")
    means = [
        read_values(tree, f"/interventions/{name}", "seed", "stream").mean(axis=0)
        for name in ("swap_mean", "swap_subspace", "swap_control")
    ]
    ends = [
        float(read_values(tree, f"/interventions/{name}", "seed").mean())
        for name in ("swap_mean_before", "swap_mean_donor")
    ]
    height = ROW * len(names) + 0.1
    with house_style():
        left = label_space(names, most=1.35)
        figure, (upper, key, lower) = stacked_panels(
            [Room(height), KEY_ROOM, Room(height)], left=left
        )
        title_panel(upper, "Margin towards the counterfactual, bit")
        to_share, ticks = linear_share(margin)
        draw_heat(upper, margin, to_share, origin_column=float(positions[0]), upwards=False)
        count_axis(upper, positions, POSITION_LABEL)
        upper.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
        upper.set_yticks(range(len(names)), names)
        draw_heat_key(key, to_share, ticks, [format_number(tick, digits=2) for tick in ticks])
        title_panel(lower, "Mean, bit: ● whole stream, ◆ telling directions, bar random ones")
        rows = [(means[0], "o", "network"), (means[1], "D", "rung-4")]
        draw_rows(lower, names, rows, means[2])
        for end in ends:
            lower.axvline(end, color=LIGHT["axis"], linewidth=1.0, linestyle=(0, (1.0, 1.6)))
        lower.set_xlabel("dotted: without a swap, and the donor itself")
    return figure


def plot_steering(tree: xr.DataTree) -> Figure:
    """Draw what removing directions costs and how well beliefs are steered, place by place.

    Reads ``/interventions/removal_damage`` and ``steering_kl`` with their controls, averaged
    over seeds.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        A figure of one panel for each direction and one for steering all the way.

    Raises:
        ValueError: The tree has no ``/interventions/removal_damage``.

    Example:
        >>> from bayescmp.plots.interventions import plot_steering
        >>> figure = plot_steering(tree) if "/interventions" in tree.groups else None
    """
    names = read_labels(tree, "/interventions/removal_damage", "stream")
    told = read_labels(tree, "/interventions/removal_damage", "direction")
    damage, control = (
        read_values(tree, f"/interventions/removal_{name}", "seed", "direction", "stream")
        for name in ("damage", "control")
    )
    steered, turned = (
        read_values(tree, f"/interventions/steering_{name}", "seed", "stream", "steered")
        for name in ("kl", "control")
    )
    before = read_values(tree, "/interventions/steering_kl_before", "seed", "steered")
    with house_style():
        left = label_space(names, most=1.35)
        rooms = [Room(ROW * len(names) + 0.1) for _ in range(len(told) + 1)]
        figure, panels = stacked_panels(rooms, left=left)
        for panel, name, row, random in zip(
            panels, told, damage.mean(axis=0), control.mean(axis=0), strict=False
        ):
            title_panel(panel, f"Damage without what tells the {name}, bit; bar random")
            draw_rows(panel, names, [(row, "o", "network")], random)
        title_panel(panels[-1], "KL(donor's belief ‖ steered answer), bit; bar random")
        row, random = (values.mean(axis=0)[:, -1] for values in (steered, turned))
        draw_rows(panels[-1], names, [(row, "o", "network")], random)
        panels[-1].axvline(
            float(before.mean(axis=0)[-1]),
            color=LIGHT["axis"],
            linewidth=1.0,
            linestyle=(0, (1.0, 1.6)),
        )
        panels[-1].set_xlabel("dotted: the network's answer without steering")
    return figure
