"""What training makes of a start: answers and weights before and after, arm by arm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style
from bayescmp.plots.columns import (
    Mark,
    column_panels,
    draw_marks,
    key_room,
    narrow_log_scale,
    share_rows,
    title_column,
    write_heading,
    write_key,
    write_row,
)
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.scales import LogRange, log_range
from bayescmp.plots.series import divergence_floor, read_labels, read_values

USUAL = "rao_blackwell"
"""Objective that goes without saying in the names of rows."""

LEAST_DISTANCE = 1e-4
"""Distances below this, in units of random starts', are drawn on the lower edge."""

ROW = 0.165
"""Height of one row, in inches."""

BEFORE = Mark("before training", "o", LIGHT["rung-2"], hollow=True)
AFTER = Mark("after training", "o", LIGHT["network"])


@dataclass(frozen=True)
class ArmRow:
    """One row of the figure.

    Attributes:
        arm: Place of the arm in the tree.
        place: Where on the y axis.
        name: What is written beside it, without its start.
        full: Its whole name.
    """

    arm: int
    place: float
    name: str
    full: str


def plot_starts(tree: xr.DataTree) -> Figure:
    """Draw KL from exact on each task, and distance to the construction, before and after.

    Reads ``/starts/kl``, ``start_kl``, ``distance`` and ``start_distance``.

    Args:
        tree: A comparison with the group ``/starts``.

    Returns:
        Panels that share their rows, one row for each arm, in groups by start: a ring before
        training and a dot after it, means over seeds, on logarithmic axes; bars are 95 % intervals
        of the dots.

    Raises:
        ValueError: The tree has no ``/starts/kl``.

    Example:
        >>> "/starts" in tree.groups  # where it is: plot_starts(tree)
        False
    """
    tasks = read_labels(tree, "/starts/kl", "task")
    headings, rows = arrange_arms(read_labels(tree, "/starts/kl", "arm"))
    before, after = (
        read_values(tree, f"/starts/{name}", "task", "seed", "arm") for name in ("start_kl", "kl")
    )
    far, near = (
        read_values(tree, f"/starts/{name}", "seed", "arm")
        for name in ("start_distance", "distance")
    )
    with house_style():
        room = Room(ROW * (len(rows) + len(headings) + 0.6), below=0.36)
        figure, panels = column_panels(len(tasks) + 1, 2, room, left=1.16, top=key_room(2))
        write_key(figure, (BEFORE, AFTER))
        means = [values.mean(axis=1) for values in (before, after)]
        span = log_range(means, divergence_floor(tree))
        for panel, task, old, new in zip(panels, tasks, before, after, strict=False):
            title_column(panel, f"KL, {task}, bit")
            _draw_pairs(panel, rows, old, new, span)
        title_column(panels[-1], "distance (random: 1)")
        span = log_range([values.mean(axis=0) for values in (far, near)], LEAST_DISTANCE)
        _draw_pairs(panels[-1], rows, far, near, span)
        for panel in panels[::2]:
            _write_rows(panel, headings, rows)
    return figure


def arrange_arms(arms: Sequence[str]) -> tuple[dict[str, float], list[ArmRow]]:
    """Put arms with the same start together, under a heading.

    Args:
        arms: Names of the arms: activation, start and objective with commas between, or any
            other name, which stands below the groups.

    Returns:
        Places of the headings by start, and the rows from top to bottom.

    Example:
        >>> headings, rows = arrange_arms(["relu, random, sampled", "practical"])
        >>> headings, [(row.place, row.name) for row in rows]
        ({'random': 0.0}, [(1.0, 'relu, sampled'), (2.0, 'practical')])
    """
    parts = [arm.split(", ") for arm in arms]
    starts = dict.fromkeys(part[1] for part in parts if len(part) == 3)
    headings: dict[str, float] = {}
    rows: list[ArmRow] = []
    for start in starts:
        headings[start] = float(len(headings) + len(rows))
        for arm, part in enumerate(parts):
            if len(part) == 3 and part[1] == start:
                name = part[0] if part[2] == USUAL else f"{part[0]}, {part[2]}"
                rows.append(ArmRow(arm, float(len(headings) + len(rows)), name, arms[arm]))
    for arm, part in enumerate(parts):
        if len(part) != 3:
            rows.append(ArmRow(arm, float(len(headings) + len(rows)), arms[arm], arms[arm]))
    return headings, rows


def _draw_pairs(
    panel: Axes,
    rows: Sequence[ArmRow],
    before: Float[np.ndarray, "seed arm"],
    after: Float[np.ndarray, "seed arm"],
    span: LogRange,
) -> None:
    """Draw a ring, a dot, and a line between them in every row."""
    order, places = [row.arm for row in rows], np.array([row.place for row in rows])
    narrow_log_scale(panel, span)
    share_rows(panel, places, [row.full for row in rows])
    panel.set_ylim(float(places.max()) + 0.8, -0.5)
    begin, end = (np.clip(x[:, order].mean(axis=0), span.floor, span.high) for x in (before, after))
    panel.hlines(places, begin, end, color=LIGHT["muted"], linewidth=1.0)
    draw_marks(panel, places, before[:, order], BEFORE, span)
    draw_marks(panel, places, after[:, order], AFTER, span)


def _write_rows(panel: Axes, headings: dict[str, float], rows: Sequence[ArmRow]) -> None:
    """Write starts as headings with activations below them, and other arms as headings."""
    for start, place in headings.items():
        write_heading(panel, place, start)
    for row in rows:
        write = write_heading if row.name == row.full else write_row
        write(panel, row.place, row.name)
