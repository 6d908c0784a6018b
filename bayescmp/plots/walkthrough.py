"""One sequence, token by token: every place in the stream beside the exact law, and attention."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    KEY_ROOM,
    WIDTH,
    Room,
    ShownFigure,
    count_axis,
    house_style,
    stacked_panels,
    title_panel,
)
from bayescmp.plots.divergence import POSITION_LABEL
from bayescmp.plots.heat import draw_heat, draw_heat_key, root_of_size
from bayescmp.plots.labels import label_space, shorten
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import (
    clean_text,
    has_variable,
    read_array,
    read_labels,
    read_places,
    read_values,
)

KEY_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)

MOST_PLACES = 13
"""Places in the stream that are drawn; of more, the embedding and evenly chosen blocks."""

MOST_ENTRIES = 24
"""A belief about more values than this is not drawn."""

MOST_NAMED = 12
"""Input positions whose tokens are written out beside an attention map."""

HIGHEST = 8.0
"""Height of all attention maps together, in inches."""


def plot_walkthrough(tree: xr.DataTree) -> Figure:
    """Draw what every place in the residual stream would answer, beside the exact law.

    Reads ``/walkthrough/exact_predictive``, ``lens_predictive`` (first seed) and, where they are
    there, ``exact_belief`` and ``outcome_value``. One strip of outcome by position for each
    place, the exact law on top and the stream rising towards it; dots are the outcomes that
    were drawn. Opacity grows with the square root of the probability.

    Args:
        tree: A comparison with the group ``/walkthrough``.

    Returns:
        Strips with one key.

    Raises:
        ValueError: The tree has no ``/walkthrough``.
    """
    strips = _strips(tree)
    positions = read_places(tree, "/walkthrough/exact_predictive", "position")
    with house_style():
        left = label_space(list(strips), most=1.15)
        heights = [min(0.42, max(0.2, 0.035 * strip.shape[1])) for strip in strips.values()]
        rooms = [Room(height, above=0.03, below=0.03) for height in heights]
        rooms[0] = Room(heights[0], below=0.03)
        rooms[-1] = Room(heights[-1], above=0.03)
        figure, (*panels, key) = stacked_panels([*rooms, KEY_ROOM], left=left)
        title_panel(panels[0], "Probability of each value; value 0 is the lowest row of a strip")
        for panel, (name, strip) in zip(panels, strips.items(), strict=True):
            _draw_strip(panel, name, strip, positions, last=panel is panels[-1])
        if has_variable(tree, "/walkthrough/outcome_value"):
            outcomes = read_values(tree, "/walkthrough/outcome_value", "position")
            shown = np.isfinite(strips["exact"]).all(axis=1)
            exact = panels[list(strips).index("exact")]
            ink = LIGHT["ink"]
            exact.plot(
                positions[shown], outcomes[shown], "o", color=ink, markersize=2.0, clip_on=False
            )
        draw_heat_key(key, np.sqrt, KEY_TICKS, [f"{tick:g}" for tick in KEY_TICKS])
    return figure


def plot_walkthrough_attention(tree: xr.DataTree) -> Figure:
    """Draw every head's attention weights on the sequence of the walkthrough, first seed.

    Reads ``/walkthrough/attention``. One row of maps for each block, one column for each head;
    in each map a row reads, from left to right, where that input position attends to. Opacity
    grows with the square root of the size of the weight.

    Args:
        tree: A comparison with the group ``/walkthrough`` of a network that attends.

    Returns:
        A grid of maps with one key.

    Raises:
        ValueError: The tree has no ``/walkthrough/attention``.
    """
    path = "/walkthrough/attention"
    dims = ("seed", "block", "head", "input_position", "source_position")
    weights = np.abs(read_values(tree, path, *dims)[0])
    blocks, heads = (read_labels(tree, path, dim) for dim in ("block", "head"))
    reads = read_texts(tree, "/walkthrough/reads")
    names = [shorten(text, 10) for text in reads] if len(reads) <= MOST_NAMED else []
    with house_style():
        left, gap = 0.3 + label_space(names, most=0.95), 0.07
        side = (WIDTH - left - 0.08 - gap * (len(heads) - 1)) / len(heads)
        side = min(side, 1.6, HIGHEST / len(blocks))
        total = 0.58 + len(blocks) * (side + gap) + 0.87
        figure = ShownFigure(figsize=(WIDTH, total))
        for row, column in np.ndindex(len(blocks), len(heads)):
            x, y = left + column * (side + gap), total - 0.58 - (row + 1) * (side + gap)
            panel = figure.add_axes((x / WIDTH, y / total, side / WIDTH, side / total))
            draw_heat(panel, weights[row, column], root_of_size, upwards=False)
            corner = row == len(blocks) - 1 and column == 0
            _frame(panel, names if column == 0 and side >= 0.13 * len(names) else [], corner=corner)
            if row == 0:
                panel.set_title(f"head {heads[column]}", pad=3.0, color=LIGHT["muted"])
            if column == 0:
                panel.set_ylabel(f"block {blocks[row]}", color=LIGHT["ink"], labelpad=4.0)
        figure.text(0.004, 1.0 - 0.1 / total, "Attention weight", va="top", color=LIGHT["ink"])
        box = (left / WIDTH, 0.28 / total, 0.97 - left / WIDTH, KEY_ROOM.height / total)
        draw_heat_key(figure.add_axes(box), np.sqrt, KEY_TICKS, [f"{t:g}" for t in KEY_TICKS])
    return figure


def read_texts(tree: xr.DataTree, path: str) -> list[str]:
    """Read a variable that holds text along one axis.

    Args:
        tree: A comparison.
        path: Path of the variable.

    Returns:
        The texts, each fit for one line.
    """
    return [clean_text(str(text)) for text in read_array(tree, path).values]


def shown_places(names: list[str]) -> list[int]:
    """Choose which places in the residual stream are shown.

    Args:
        names: All of them, in the order of computation.

    Returns:
        All places; or, where these are many, the embedding and evenly chosen blocks.

    Example:
        >>> shown_places(["embedding", "mixer 1", "block 1"])
        [0, 1, 2]
    """
    if len(names) <= MOST_PLACES:
        return list(range(len(names)))
    blocks = list(range(0, len(names), 2))  # mixers stand between
    picked = np.linspace(0, len(blocks) - 1, min(MOST_PLACES, len(blocks)))
    return [blocks[round(index)] for index in picked]


def _strips(tree: xr.DataTree) -> dict[str, Float[np.ndarray, "position value"]]:
    """Gather what is drawn, from the top: belief, exact predictive, then the stream downwards."""
    strips = {}
    if has_variable(tree, "/walkthrough/exact_belief"):
        belief = read_values(tree, "/walkthrough/exact_belief", "position", "belief_entry")
        if belief.shape[1] <= MOST_ENTRIES:
            strips["belief"] = belief
    strips["exact"] = read_values(tree, "/walkthrough/exact_predictive", "position", "outcome")
    path = "/walkthrough/lens_predictive"
    lens = read_values(tree, path, "seed", "stream", "position", "outcome")[0]
    names = read_labels(tree, path, "stream")
    return strips | {names[place]: lens[place] for place in reversed(shown_places(names))}


def _draw_strip(
    panel: Axes,
    name: str,
    strip: Float[np.ndarray, "position value"],
    positions: Float[np.ndarray, " position"],
    *,
    last: bool,
) -> None:
    """Draw one map of value by position with its name on the left."""
    draw_heat(panel, strip.T, np.sqrt, origin_column=float(positions[0]))
    panel.set_yticks([])
    exact = name in ("belief", "exact")
    panel.set_ylabel(
        shorten(name, 13),
        rotation=0,
        ha="right",
        va="center",
        color=LIGHT["ink" if exact else "muted"],
        fontweight="bold" if exact else "normal",
    )
    count_axis(panel, positions, POSITION_LABEL if last else "")
    panel.set_xlim(positions[0] - 0.5, positions[-1] + 0.5)
    panel.tick_params(labelbottom=last)


def _frame(panel: Axes, names: list[str], *, corner: bool) -> None:
    """Give a map a thin frame, the tokens on its left, and labels in the grid's corner."""
    for spine in panel.spines.values():
        spine.set_visible(True)
        spine.set_color(LIGHT["grid"])
    panel.tick_params(length=0.0, pad=2.0)
    panel.set_yticks(range(len(names)), names)
    panel.set_xticks([])
    if corner:
        panel.set_xlabel("attended to", labelpad=1.0)
