"""Geometry beside its nulls: heads, manifolds and the similarity of places in the stream."""

from collections.abc import Sequence

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
    house_style,
    stacked_panels,
    title_panel,
    value_axis,
)
from bayescmp.plots.divergence import draw_band, last_finite
from bayescmp.plots.heat import draw_heat, draw_heat_key
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.series import has_variable, read_labels, read_values, seed_band
from bayescmp.results.tree import read_attribute

GROUP = "/geometry"

HEAD_MEASURES: dict[str, str] = {
    "token_key_cosine": "Keys of tokens: mean |cosine|",
    "key_column_cosine": "Columns of the key matrix: mean |cosine|",
    "attention_entropy": "Attention entropy of questions, bit",
    "spent_mass": "Attention on spent evidence",
    "alignment": "CKA of the head's output with exact",
}
"""Measures of heads that are drawn, with their titles."""

NETWORK, UNTRAINED, CHANCE, EVEN = "network", "untrained", "chance", "even"


def plot_heads(tree: xr.DataTree) -> Figure:
    """Draw every measure of every head beside untrained networks and chance, first seed.

    Reads the measures of heads in ``/geometry``. Heads of different seeds have nothing to do
    with each other, so seeds are not averaged.

    Args:
        tree: A comparison with the group ``/geometry``.

    Returns:
        One panel for each measure: a mark for each head, a bar of two standard deviations
        around the mean of untrained networks, and a line at chance or at even attention.

    Raises:
        ValueError: The tree has no ``/geometry/alignment``.

    Example:
        >>> plot_heads(tree.drop_nodes([path for path in ["/geometry"] if path in tree.groups]))
        Traceback (most recent call last):
        ValueError: tree: expected the variable /geometry/alignment, got a tree without it
    """
    blocks, heads = (read_labels(tree, f"{GROUP}/alignment", dim) for dim in ("block", "head"))
    names = [name for name in HEAD_MEASURES if has_variable(tree, f"{GROUP}/{name}")]
    with house_style():
        space = label_space([UNTRAINED, CHANCE])
        rooms = [Room(0.95, below=0.1) for _ in names[:-1]]
        figure, panels = stacked_panels([*rooms, Room(0.95)], right=space)
        for name, panel in zip(names, panels, strict=True):
            title_panel(panel, HEAD_MEASURES[name])
            _draw_heads(panel, tree, name, len(heads), space)
            panel.set_xticks([])
        _name_blocks(panels[-1], blocks, len(heads))
    return figure


def _draw_heads(panel: Axes, tree: xr.DataTree, name: str, num_heads: int, space: float) -> None:
    """Draw one measure."""
    own, mean, spread = (
        read_values(tree, f"{GROUP}/{name}{end}", "seed", "block", "head")[0].ravel()
        for end in ("", "_initial", "_initial_sd")
    )
    places = _head_places(own.size // num_heads, num_heads)
    colour = rung_colour(0)
    low, high = mean - 2 * spread, mean + 2 * spread
    panel.vlines(places, low, high, color=colour, linewidth=4.0, alpha=0.4, label=UNTRAINED)
    panel.plot(places, mean, "_", color=colour, markersize=6.0, label=UNTRAINED)
    panel.plot(places, own, "o", color=LIGHT["network"], markersize=4.5, zorder=4, label=NETWORK)
    panel.set_xlim(places[0] - 0.8, places[-1] + 0.8)
    labels = [
        EndLabel(NETWORK, *last_finite(places, own), LIGHT["network"], strong=True),
        EndLabel(UNTRAINED, *last_finite(places, mean), colour),
    ]
    level = read_level(tree, name)
    if level is not None:
        panel.axhline(level[1], color=LIGHT["exact"], linewidth=1.0, dashes=(1.0, 1.8))
        labels.append(EndLabel(level[0], places[-1], level[1], LIGHT["exact"]))
    drawn = np.concatenate([own, high, [0.01 if level is None else level[1]]])
    panel.set_ylim(0.0, 1.12 * float(np.max(drawn, where=np.isfinite(drawn), initial=0.01)))
    value_axis(panel.yaxis, most=3)
    write_end_labels(panel, labels, space)


def read_level(tree: xr.DataTree, name: str) -> tuple[str, float] | None:
    """Return the level that a measure has without any learning, and what it is called.

    Args:
        tree: A comparison with the group ``/geometry``.
        name: Name of the measure.

    Returns:
        Exact mean for random directions, or that of even attention; None where there is none.
    """
    if f"{name}_chance" in tree[GROUP].attrs:
        return CHANCE, float(read_attribute(tree, GROUP, f"{name}_chance"))
    if has_variable(tree, f"{GROUP}/{name}_even"):
        return EVEN, float(read_values(tree, f"{GROUP}/{name}_even", "seed")[0])
    return None


def _head_places(num_blocks: int, num_heads: int) -> Float[np.ndarray, " place"]:
    """Place heads side by side, with a gap between blocks."""
    block, head = np.divmod(np.arange(num_blocks * num_heads), num_heads)
    return block * (num_heads + 1.0) + head


def _name_blocks(panel: Axes, blocks: Sequence[str], num_heads: int) -> None:
    middles = [index * (num_heads + 1.0) + (num_heads - 1) / 2 for index in range(len(blocks))]
    panel.set_xticks(middles, list(blocks))
    panel.set_xlabel("block, its heads side by side")


def plot_manifolds(tree: xr.DataTree) -> Figure:
    """Draw how few directions values and streams lie along, beside every null.

    Reads ``/geometry/pc1`` with its nulls, ``/geometry/entropy_rho`` and ``position_rho``.

    Args:
        tree: A comparison with the group ``/geometry``.

    Returns:
        Share of the first component, above; its rank correlations, below; means over seeds.

    Raises:
        ValueError: The tree has no ``/geometry/pc1``.
    """
    names = read_labels(tree, f"{GROUP}/pc1", "manifold_place")
    places = np.arange(len(names), dtype=float)
    with house_style():
        space = label_space(["with position", UNTRAINED])
        figure, (upper, lower) = stacked_panels(
            [Room(1.6, below=0.1), Room(1.3, below=0.95)], right=space
        )
        title_panel(upper, "Share of the first principal component")
        controls = {
            UNTRAINED: _seed_mean(tree, "pc1_initial"),
            "shuffled": _seed_mean(tree, "pc1_permuted"),
            "Gaussian": _seed_mean(tree, "pc1_gaussian"),
        }
        _draw_lines(upper, places, _by_place(tree, "pc1"), NETWORK, controls, space)
        upper.set_xticks([])
        title_panel(lower, "|Rank correlation| of the first component")
        rivals = {
            "with position": _seed_mean(tree, "position_rho"),
            UNTRAINED: _seed_mean(tree, "entropy_rho_initial"),
        }
        _draw_lines(lower, places, _by_place(tree, "entropy_rho"), "with entropy", rivals, space)
        lower.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
    return figure


def _by_place(tree: xr.DataTree, name: str) -> Float[np.ndarray, "seed place"]:
    return read_values(tree, f"{GROUP}/{name}", "seed", "manifold_place")


def _seed_mean(tree: xr.DataTree, name: str) -> Float[np.ndarray, " place"]:
    return _by_place(tree, name).mean(axis=0)


def _draw_lines(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    own: Float[np.ndarray, "seed place"],
    own_name: str,
    controls: dict[str, Float[np.ndarray, " place"]],
    space: float,
) -> None:
    """Draw the network's measure between 0 and 1 with its controls."""
    panel.set_xlim(places[0] - 0.4, places[-1] + 0.4)
    panel.set_ylim(0.0, 1.02)
    value_axis(panel.yaxis, most=4)
    labels = []
    for index, (name, values) in enumerate(controls.items()):
        colour = rung_colour(index)
        dashes = rung_dashes(index)
        panel.plot(places, values, color=colour, linewidth=1.2, dashes=dashes, label=name)
        labels.append(EndLabel(name, *last_finite(places, values), colour))
    band = seed_band(own)
    draw_band(panel, places, band, name=own_name)
    end = last_finite(places, band.mean)
    labels.append(EndLabel(own_name, *end, LIGHT["network"], strong=True))
    write_end_labels(panel, labels, space)


def plot_similarity(tree: xr.DataTree) -> Figure:
    """Draw debiased CKA between places in the stream, of the network and untrained, side by side.

    Reads ``/geometry/cka_debiased`` and ``/geometry/cka_initial``, averaged over seeds.

    Args:
        tree: A comparison with the group ``/geometry``.

    Returns:
        Two maps with one key.

    Raises:
        ValueError: The tree has no ``/geometry/cka_debiased``.
    """
    paths = (f"{GROUP}/cka_debiased", f"{GROUP}/cka_initial")
    names = read_labels(tree, paths[0], "stream")
    left, top, gap, bottom = label_space(names, most=0.9), 0.36, 0.16, 0.5
    side = (WIDTH - left - gap - 0.1) / 2
    total = top + side + bottom
    with house_style():
        figure = ShownFigure(figsize=(WIDTH, total))
        for column, (path, title) in enumerate(zip(paths, (NETWORK, UNTRAINED), strict=True)):
            mean = read_values(tree, path, "seed", "stream", "other_stream").mean(axis=0)
            x = left + column * (side + gap)
            panel = figure.add_axes((x / WIDTH, bottom / total, side / WIDTH, side / total))
            draw_heat(panel, mean, _share, upwards=False)
            panel.set_xticks([])
            panel.set_yticks(range(len(names)) if column == 0 else [], names if column == 0 else [])
            panel.set_title(title, pad=4.0, color=LIGHT["ink"])
        box = (left / WIDTH, 0.28 / total, 1.0 - (left + 0.1) / WIDTH, KEY_ROOM.height / total)
        ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
        draw_heat_key(figure.add_axes(box), _share, ticks, [f"{tick:g}" for tick in ticks])
    return figure


def _share(values: np.ndarray) -> np.ndarray:
    """Show CKA as it is."""
    return np.asarray(values, dtype=float)
