"""Questions to a grounded knowledge base: mass, confidence and error by kind of question."""

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType

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
    write_key,
    write_row,
)
from bayescmp.plots.palette import LIGHT, rung_colour
from bayescmp.plots.scales import log_range
from bayescmp.plots.series import read_labels, read_values

SHOWN: Mapping[str, str] = MappingProxyType(
    {"rao_blackwell": "trained on exact laws", "sampled": "trained on drawn answers"}
)
"""What trained networks are called on the page; others keep their names."""

EXACT = "exact"
"""Name of the predictor that is the reference."""

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "impossible_mass": "impossible\nmass",
        "confidence": "confidence",
        "total_variation": "total\nvariation",
    }
)
"""Variables that are drawn, with their titles in lines."""

FLOOR = 1e-6
"""Distances below this are drawn on the lower edge of their axis."""

LANE = 0.085
"""Height of one predictor's lane, in inches."""

ORDER = (*SHOWN, "constructed", "belief propagation", "priors")
"""Predictors with marks of their own; others take what is left."""

MARKERS = "oD^sv<p"


def plot_grounding(tree: xr.DataTree) -> Figure:
    """Draw what every predictor does with every kind of question to a knowledge base.

    Reads ``/grounding/impossible_mass``, ``confidence`` and ``total_variation``.

    Args:
        tree: A comparison with the group ``/grounding``.

    Returns:
        Three panels that share their rows, one for each kind of question with a lane for each
        predictor: means over seeds with 95 % intervals. Upright lines are exact Bayes where the
        tree has it; its total variation, 0, is not on the logarithmic axis.

    Raises:
        ValueError: The tree has no ``/grounding/impossible_mass``.

    Example:
        >>> "/grounding" in tree.groups  # where it is: plot_grounding(tree)
        False
    """
    path = "/grounding/impossible_mass"
    names, kinds = read_labels(tree, path, "predictor"), read_labels(tree, path, "kind")
    rivals = [name for name in names if name != EXACT]
    marks = mark_predictors(rivals)
    places = np.arange(len(kinds))[:, None] * (len(rivals) + 1.0) + np.arange(len(rivals))
    height = LANE * (float(places.max()) + 1.6)
    with house_style():
        key = [*marks, Mark(EXACT, "|", LIGHT["exact"])] if EXACT in names else marks
        room = Room(height, above=0.46, below=0.3)
        figure, panels = column_panels(3, 3, room, left=1.24, top=key_room(len(key)))
        write_key(figure, key)
        for panel, (measure, title) in zip(panels, MEASURES.items(), strict=True):
            values = read_values(tree, f"/grounding/{measure}", "predictor", "seed", "kind")
            title_column(panel, title)
            share_rows(panel, places.ravel(), [kind for kind in kinds for _ in rivals])
            _draw_measure(panel, places, dict(zip(names, values, strict=True)), marks, measure)
        for row, kind in zip(places, kinds, strict=True):
            write_row(panels[0], float(row.mean()), "\n".join(textwrap.wrap(kind, 16)))
    return figure


def mark_predictors(names: Sequence[str]) -> list[Mark]:
    """Choose how predictors are marked.

    Args:
        names: Names of the predictors.

    Returns:
        Their marks under the names of the page, the same whoever else is there.

    Example:
        >>> [mark.marker for mark in mark_predictors(["constructed", "somebody else"])]
        ['^', '<']
    """
    order = list(dict.fromkeys((*ORDER, *names)))
    marks = {
        name: Mark(
            SHOWN.get(name, name),
            MARKERS[number % len(MARKERS)],
            rung_colour(number + 1) if number else LIGHT["network"],
        )
        for number, name in enumerate(order)
    }
    return [marks[name] for name in names]


def _draw_measure(
    panel: Axes,
    places: Float[np.ndarray, "kind predictor"],
    values: Mapping[str, Float[np.ndarray, "seed kind"]],
    marks: Sequence[Mark],
    measure: str,
) -> None:
    """Draw one measure of all predictors, each in its lane."""
    span = None
    if measure == "total_variation":
        rivals = [each.mean(axis=0) for name, each in values.items() if name != EXACT]
        span = log_range(rivals, FLOOR)
        narrow_log_scale(panel, span, most=3)
    else:
        panel.set_xlim(-0.05, 1.05)
        panel.set_xticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
        if EXACT in values:
            _draw_exact(panel, places, values[EXACT].mean(axis=0))
    for edge in places[1:, 0]:
        panel.axhline(edge - 1.0, color=LIGHT["grid"], linewidth=0.7)
    rivals = [each for name, each in values.items() if name != EXACT]
    for lane, (each, mark) in enumerate(zip(rivals, marks, strict=True)):
        draw_marks(panel, places[:, lane], each, mark, span)


def _draw_exact(
    panel: Axes, places: Float[np.ndarray, "kind predictor"], exact: Float[np.ndarray, " kind"]
) -> None:
    """Draw an upright line through all lanes of each kind of question."""
    ends = np.stack([places[:, 0] - 0.5, places[:, -1] + 0.5, np.full(len(places), np.nan)], axis=1)
    panel.plot(np.repeat(exact, 3), ends.ravel(), color=LIGHT["exact"], linewidth=1.3, label=EXACT)
