"""Attention: the patterns of one example, and how spread every head's weights are."""

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    KEY_ROOM,
    TITLE_RISE,
    WIDTH,
    Room,
    ShownFigure,
    count_axis,
    house_style,
    title_panel,
    value_axis,
)
from bayescmp.plots.heat import draw_heat, draw_heat_key, root_of_size
from bayescmp.plots.palette import LIGHT, NUM_RUNG_COLOURS, rung_colour, rung_dashes
from bayescmp.plots.series import (
    read_labels,
    read_places,
    read_values,
)

LEFT = 0.5
RIGHT = 0.08
KEY_TICKS = (0.0, 0.1, 0.25, 0.5, 1.0)


def plot_attention(tree: xr.DataTree) -> Figure:
    """Draw every head's attention weights on one example sequence.

    Reads ``/layers/attention_pattern`` (first seed, first example sequence). One row for each
    block, one column for each head; in each map a row reads, from left to right, where that
    input position attends to. Opacity grows with the square root of the weight.

    Args:
        tree: A comparison with attention patterns.

    Returns:
        A grid of maps with one key.

    Raises:
        ValueError: The tree has no ``/layers/attention_pattern``.

    Example:
        >>> figure = plot_attention(tree)
        >>> figure.savefig("attention.svg")
    """
    path = "/layers/attention_pattern"
    dims = ("block", "head", "input_position", "source_position")
    weights = read_values(tree, path, *dims)
    blocks, heads = (read_labels(tree, path, dim) for dim in ("block", "head"))
    num_blocks, num_heads, num_read, num_source = weights.shape
    with house_style():
        gap = 0.07
        side = (WIDTH - LEFT - RIGHT - gap * (num_heads - 1)) / num_heads
        side = min(side, 1.5)
        top, bottom = 0.58, KEY_ROOM.above + KEY_ROOM.height + KEY_ROOM.below + 0.46
        total = top + num_blocks * (side + gap) + bottom
        figure = ShownFigure(figsize=(WIDTH, total))
        for row in range(num_blocks):
            for column in range(num_heads):
                x, y = LEFT + column * (side + gap), total - top - (row + 1) * side - row * gap
                panel = figure.add_axes((x / WIDTH, y / total, side / WIDTH, side / total))
                draw_heat(panel, weights[row, column], root_of_size, upwards=False)
                _frame(panel, num_read, num_source, corner=row == num_blocks - 1 and column == 0)
                if row == 0:
                    panel.set_title(f"{heads[column]}", pad=3.0, color=LIGHT["muted"])
                if column == 0:
                    panel.set_ylabel(f"block {blocks[row]}", color=LIGHT["ink"], labelpad=4.0)
        figure.text(0.004, 1.0 - 0.1 / total, "Attention weight", va="top", color=LIGHT["ink"])
        figure.text(
            1.0 - RIGHT / WIDTH,
            1.0 - 0.1 / total,
            "one column for each head",
            ha="right",
            va="top",
            color=LIGHT["muted"],
        )
        box = (LEFT / WIDTH, 0.28 / total, 1.0 - (LEFT + RIGHT) / WIDTH, KEY_ROOM.height / total)
        labels = [f"{tick:g}" for tick in KEY_TICKS]
        draw_heat_key(figure.add_axes(box), np.sqrt, KEY_TICKS, labels)
    return figure


def plot_attention_entropy(tree: xr.DataTree) -> Figure:
    """Draw the entropy of every head's attention weights along the sequence, first seed.

    Reads ``/layers/attention_entropy``. Heads of different seeds have nothing to do with each
    other, so seeds are not averaged. The dotted line is the entropy of looking everywhere evenly.

    Args:
        tree: A comparison with attention entropies.

    Returns:
        One panel for each block with a line for each head, in bits.

    Raises:
        ValueError: The tree has no ``/layers/attention_entropy``.

    Example:
        >>> figure = plot_attention_entropy(tree)
        >>> figure.savefig("attention_entropy.svg")
    """
    path = "/layers/attention_entropy"
    entropy = read_values(tree, path, "seed", "block", "head", "input_position")[0]
    places = read_places(tree, path, "input_position")
    blocks, heads = (read_labels(tree, path, dim) for dim in ("block", "head"))
    even = np.log2(np.arange(1, places.size + 1))
    columns = min(len(blocks), 3)
    rows = math.ceil(len(blocks) / columns)
    with house_style():
        panels, figure = _grid(rows, columns, len(blocks), 1.25)
        title_panel(panels[0], "Attention entropy, bit")
        _name_heads(panels[0], heads)
        finite = entropy[np.isfinite(entropy)]
        top = 1.06 * max(float(even[-1]), float(np.max(finite, initial=0.0)), 0.1)
        for index, panel in enumerate(panels):
            panel.plot(places, even, color=LIGHT["exact"], linewidth=1.0, dashes=(1.0, 1.8))
            for head in range(len(heads)):
                panel.plot(
                    places,
                    entropy[index, head],
                    color=rung_colour(head),
                    dashes=rung_dashes(head) if head else (None, None),
                    linewidth=1.2,
                    label=f"head {heads[head]}",
                )
            count_axis(panel, places, "input position" if len(blocks) - index <= columns else "")
            panel.set_ylim(0.0, top)
            value_axis(panel.yaxis, most=3)
            panel.text(0.04, 0.97, f"block {blocks[index]}", transform=panel.transAxes, va="top")
            if index % columns:
                panel.tick_params(labelleft=False)
    return figure


def _grid(rows: int, columns: int, num: int, height: float) -> tuple[list[Axes], Figure]:
    """Make a grid of ``num`` panels that share one scale."""
    room, left, gap = Room(height, above=0.1), 0.34, 0.12
    total = 0.3 + rows * (room.above + room.height + room.below)
    width = (WIDTH - left - 0.1 - gap * (columns - 1)) / columns
    figure, panels = ShownFigure(figsize=(WIDTH, total)), []
    for index in range(num):
        row, column = divmod(index, columns)
        x = left + column * (width + gap)
        y = total - 0.3 - (row + 1) * (room.above + room.height) - row * room.below
        box = (x / WIDTH, y / total, width / WIDTH, room.height / total)
        panels.append(figure.add_axes(box))
    return panels, figure


def _frame(panel: Axes, num_read: int, num_source: int, *, corner: bool) -> None:
    """Give a map a thin frame, and axis labels in the lower left corner of the grid."""
    for spine in panel.spines.values():
        spine.set_visible(True)
        spine.set_color(LIGHT["grid"])
    panel.tick_params(length=0.0, pad=2.0)
    panel.set_yticks([])
    panel.set_xticks([0, num_source - 1] if corner and num_source > 1 else [])
    if corner:
        panel.set_xlabel("attended to", labelpad=1.0)


def _name_heads(panel: Axes, heads: list[str]) -> None:
    """Write the heads' names, each in its colour, at the right of the title line."""
    figure = panel.get_figure(root=True)
    if figure is None:
        return
    shown = heads[:NUM_RUNG_COLOURS]
    y = panel.get_position().y1 + TITLE_RISE / figure.get_size_inches()[1]
    names = [("head", LIGHT["muted"])]
    names += [(head, rung_colour(index)) for index, head in enumerate(shown)]
    for place, (name, colour) in enumerate(reversed(names)):
        x = 0.985 - 0.055 * place
        figure.text(x, y, name, ha="right", va="bottom", color=colour)
