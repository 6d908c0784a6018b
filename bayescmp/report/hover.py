"""What a figure's marks stand for, read back from matplotlib, for pages that show it on hover."""

import json
import re
from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayescmp.plots.axes import POINTS
from bayescmp.plots.divergence import INFINITE
from bayescmp.plots.heat import HeatImage

Names = dict[float, str]

SERIES = "series:"
"""How the name of a group of an SVG begins that shows one named series."""

MOST_POINTS = 150
"""Points of one line that answer; of more, evenly spaced ones."""

MOST_CELLS = 12_000
"""Heat maps of one figure with more cells than this together do not answer."""


def name_series(figure: Figure) -> None:
    """Give every artist that has a label the name by which a page finds it in the SVG.

    Args:
        figure: A figure; lines, shades and texts of one series share a label.
    """
    artists: list[Artist] = list(figure.texts)
    for panel in figure.axes:
        artists += panel.get_children()
    for artist in artists:
        label = str(artist.get_label())
        if label and not label.startswith("_") and not isinstance(artist, Axis):
            artist.set_gid(f"{SERIES}{label}")


def read_marks(figure: Figure) -> str:
    """List where every mark of a drawn figure lies and what it stands for.

    Args:
        figure: A figure that has been drawn, so that its scales are settled.

    Returns:
        JSON: for each panel its box, its title, whether it is in bits, and its lines and cells
        with their places in the coordinates of the SVG.
    """
    images = [image for panel in figure.axes for image in _heat_maps(panel)]
    with_cells = sum(image.values.size for image in images) <= MOST_CELLS
    panels = [_read_panel(figure, panel, with_cells=with_cells) for panel in figure.axes]
    shown = [panel for panel in panels if panel["lines"] or panel["cells"]]
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _read_panel(figure: Figure, panel: Axes, *, with_cells: bool) -> dict[str, object]:
    """Describe one panel."""
    title = str(panel.get_label()) or panel.get_title()
    title = "" if title.startswith("_") else title.removesuffix(", logarithmic")
    box = panel.get_position()
    width, height = (POINTS * float(inches) for inches in figure.get_size_inches())
    names = (_read_names(panel.xaxis), _read_names(panel.yaxis))
    lines = [_read_line(figure, panel, line, names) for line in panel.get_lines()]
    return {
        "box": _round((box.x0 * width, height - box.y1 * height, box.x1 * width), 1)
        + _round((height - box.y0 * height,), 1),
        "title": title,
        "bits": bool(re.search(r"\bbit\b", title)),
        "x": panel.get_xlabel() or _lowest_label(figure),
        "named": not all(name.startswith("≤") for name in names[1].values()),
        "lines": [line for line in lines if line["points"]],
        "cells": [_read_cells(image, names) for image in _heat_maps(panel) if with_cells],
    }


def _read_line(
    figure: Figure, panel: Axes, line: Line2D, names: tuple[Names, Names]
) -> dict[str, object]:
    """List the finite points of one line that is drawn in the panel's own scales."""
    label = str(line.get_label())
    name = "" if label.startswith("_") else label
    if line.get_transform() != panel.transData:
        return {"name": name, "points": []}
    values = np.column_stack([np.asarray(axis, float) for axis in line.get_data()])
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) > MOST_POINTS:
        values = values[np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).astype(int))]
    places = panel.transData.transform(values) * (POINTS / figure.dpi)
    height = POINTS * float(figure.get_size_inches()[1])
    points = [
        [*_round((x, height - y), 1), _write(names[0], a), _write(names[1], b)]
        for (x, y), (a, b) in zip(places, values, strict=True)
        if np.isfinite((x, y)).all()
    ]
    if name == INFINITE:  # stands at an edge, which is not its value
        named = not all(text.startswith("≤") for text in names[1].values())
        points = [[x, y, "∞", b] if named else [x, y, a, "∞"] for x, y, a, b in points]
    return {"name": name, "points": points}


def _read_cells(image: HeatImage, names: tuple[Names, Names]) -> dict[str, object]:
    """List the values of one heat map, row by row from the top, with the names of its cells."""
    rows, columns = image.values.shape
    labels = [_write(names[1], image.origin_row + row) for row in range(rows)]
    values = [[_short(value) for value in row] for row in image.values]
    if image.origin == "lower":
        labels, values = labels[::-1], values[::-1]
    return {
        "rows": labels,
        "columns": [_write(names[0], image.origin_column + c) for c in range(columns)],
        "values": values,
    }


def _heat_maps(panel: Axes) -> Iterator[HeatImage]:
    """Yield the heat maps of a panel."""
    return (image for image in panel.get_images() if isinstance(image, HeatImage))


def _lowest_label(figure: Figure) -> str:
    """Return the x label that panels above share with the lowest."""
    labels = [panel.get_xlabel() for panel in figure.axes if panel.get_xlabel()]
    return labels[-1] if labels else ""


def _read_names(axis: Axis) -> Names:
    """Return the names of places on an axis whose labels are not just their numbers.

    On a logarithmic axis that is the floor that small values are drawn on, marked ≤.
    """
    places = (float(place) for place in axis.get_majorticklocs())
    texts = (tick.label1.get_text() for tick in axis.get_major_ticks())  # hidden ones, too
    names = {place: text for place, text in zip(places, texts, strict=False) if text}
    if axis.get_scale() == "log":
        return {place: name for place, name in names.items() if name.startswith("≤")}
    return {} if all(_is_number(*pair) for pair in names.items()) else names


def _is_number(place: float, name: str) -> bool:
    """Say whether a label is the number of its place, rounded."""
    found = re.match(r"[-−]?[\d,]*\.?\d+", name)
    if found is None or name.endswith("%"):
        return found is not None
    number = float(found[0].replace("−", "-").replace(",", ""))
    return abs(number - place) <= 0.06 * abs(place)


def _write(names: Names, value: float) -> str | float | None:
    """Write one coordinate: its name, the floor it is drawn on, or the number.

    Where places have names, one without is left empty.
    """
    for place, name in names.items():
        if abs(value - place) <= 1e-9 * abs(place):
            return name
    has_floor = all(name.startswith("≤") for name in names.values())
    return _short(value) if has_floor else ""


def _short(value: float) -> float | str | None:
    """Shorten a number to four digits; NaN is null and infinities are written out."""
    if np.isnan(value):
        return None
    return float(f"{value:.4g}") if np.isfinite(value) else ("∞" if value > 0 else "−∞")


def _round(values: tuple[float, ...], digits: int) -> list[float]:
    """Round coordinates."""
    return [round(float(value), digits) for value in values]
