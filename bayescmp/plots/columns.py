"""Panels side by side that share their rows: named once, on the left, and marked in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayescmp.plots.axes import FONT_SIZE, POINTS, TITLE_RISE, WIDTH, Room, ShownFigure
from bayescmp.plots.divergence import INFINITE
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.scales import LogRange, log_scale, log_ticks
from bayescmp.plots.series import seed_band

GAP = 0.17
"""Space between two panels, in inches."""

KEY_ROW = 0.19
"""Height of one row of a key, in inches."""

MARK_SIZE = 4.2
"""Size of a mark, in points."""


@dataclass(frozen=True)
class Mark:
    """How the values of one thing are marked.

    Attributes:
        name: What it is.
        marker: matplotlib's letter of its shape.
        colour: Its colour.
        hollow: Whether the shape is drawn as an outline.
    """

    name: str
    marker: str
    colour: str
    hollow: bool = False

    @property
    def face(self) -> str:
        """Colour inside the shape."""
        return "none" if self.hollow else self.colour


def column_panels(
    num: int, columns: int, room: Room, *, left: float, top: float = 0.0, right: float = 0.1
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels side by side, line by line.

    Args:
        num: Number of panels.
        columns: Panels in a line.
        room: Room for each line of panels, in inches.
        left: Space for the names of rows, in inches.
        top: Space above all panels, in inches.
        right: Space on the right of the panels, in inches.

    Returns:
        The figure and its panels.
    """
    line_height = room.above + room.height + room.below
    total = top + line_height * -(-num // columns)
    width = (WIDTH - left - right - GAP * (columns - 1)) / columns
    figure, panels = ShownFigure(figsize=(WIDTH, total)), []
    for number in range(num):
        line, column = divmod(number, columns)
        x = left + column * (width + GAP)
        y = total - top - line * line_height - room.above - room.height
        panels.append(figure.add_axes((x / WIDTH, y / total, width / WIDTH, room.height / total)))
    return figure, panels


def title_column(panel: Axes, text: str) -> None:
    """Write what a panel shows above its upper left corner; it becomes the panel's label, too.

    Args:
        panel: The panel.
        text: Quantity and unit; may have several lines.
    """
    figure = panel.get_figure(root=True)
    if figure is None:
        raise ValueError("panel: expected axes that belong to a figure, got axes without one")
    box, rise = panel.get_position(), TITLE_RISE / figure.get_size_inches()[1]
    panel.set_label(" ".join(text.split()))
    style = {"ha": "left", "va": "bottom", "linespacing": 1.05}
    figure.text(box.x0, box.y1 + rise, text, color=LIGHT["ink"], **style)


def share_rows(panel: Axes, places: Float[np.ndarray, " row"], names: Sequence[str]) -> None:
    """Let a panel know its rows, from top to bottom; nothing is written.

    Args:
        panel: The panel.
        places: Where the rows are.
        names: Their names in full.
    """
    panel.set_yticks(places, names)
    panel.tick_params(labelleft=False)
    panel.set_ylim(float(np.max(places)) + 0.8, float(np.min(places)) - 0.8)
    panel.spines["left"].set_visible(False)
    panel.grid(visible=False, axis="y")
    panel.grid(visible=True, axis="x")


def write_row(panel: Axes, place: float, text: str) -> None:
    """Write the name of a row, or of several, on the left of a panel.

    Args:
        panel: The panel.
        place: Where, on its y axis.
        text: The name; may have several lines.
    """
    x = -0.5 * FONT_SIZE / (POINTS * WIDTH * panel.get_position().width)
    style = {"ha": "right", "va": "center", "color": LIGHT["muted"], "linespacing": 1.05}
    panel.text(x, place, text, transform=panel.get_yaxis_transform(), **style)


def write_heading(panel: Axes, place: float, text: str) -> None:
    """Write the name of a group of rows at the left edge of the figure.

    Args:
        panel: The panel.
        place: Where, on its y axis.
        text: The name.
    """
    box, transform = panel.get_position(), panel.get_yaxis_transform()
    x = (0.004 - box.x0) / box.width
    panel.text(x, place, text, transform=transform, va="center", color=LIGHT["ink"])


def narrow_log_scale(panel: Axes, span: LogRange, most: int = 4) -> None:
    """Give a narrow panel a logarithmic x axis with few labels, that of its floor among them.

    Args:
        panel: The panel.
        span: Its range.
        most: The most labels.
    """
    log_scale(panel.xaxis, span)
    ticks, labels = log_ticks(span)
    step, first = -(-len(ticks) // most), 0.0
    if span.floored:  # a longer label, to the right of its tick
        width = WIDTH * panel.get_position().width
        first = (len(labels[0]) + 2) * 0.53 * FONT_SIZE / (POINTS * width)
    places = np.log(np.array(ticks) / span.low) / np.log(span.high / span.low)
    for number, place in enumerate(places):
        is_floor = span.floored and number == 0
        if not is_floor and ((len(ticks) - 1 - number) % step or place < first):
            labels[number] = ""
    panel.set_xticks(ticks, labels)
    if span.floored:
        panel.get_xticklabels()[0].set_horizontalalignment("left")


def draw_marks(
    panel: Axes,
    places: Float[np.ndarray, " row"],
    values: Float[np.ndarray, "seed row"],
    mark: Mark,
    span: LogRange | None = None,
) -> None:
    """Mark means over seeds on their rows, solid ones with the 95 % interval of each.

    Args:
        panel: The panel.
        places: Where the rows are.
        values: Values of each seed; rows whose mean is NaN stay empty.
        mark: How they are marked.
        span: Range of a logarithmic axis; None where the axis is linear.
    """
    band = seed_band(values)
    mean, low, high = (_clip(ends, span) for ends in (band.mean, band.low, band.high))
    known = np.isfinite(low) & np.isfinite(high)
    if known.any() and not mark.hollow:
        ends = (places[known], low[known], high[known])
        bars = panel.hlines(*ends, color=mark.colour, alpha=0.35, linewidth=2.8)
        bars.set_label(mark.name)
    infinite = np.isinf(band.mean)
    style = {"color": mark.colour, "markerfacecolor": mark.face, "markersize": MARK_SIZE}
    shown = np.where(infinite, np.nan, mean)
    panel.plot(shown, places, mark.marker, **style, clip_on=False, label=mark.name)
    if infinite.any():
        panel.plot(mean[infinite], places[infinite], ">", **style, clip_on=False, label=INFINITE)


def _clip(values: Float[np.ndarray, " row"], span: LogRange | None) -> Float[np.ndarray, " row"]:
    """Put what lies beyond a logarithmic axis on its ends; NaN stays NaN."""
    return values if span is None else np.clip(values, span.floor, span.high)


def key_room(num: int, columns: int = 2) -> float:
    """Return the height that a key needs, in inches.

    Args:
        num: Number of entries.
        columns: Entries in a line.

    Returns:
        The height.
    """
    return 0.04 + KEY_ROW * -(-num // columns)


def write_key(figure: Figure, marks: Sequence[Mark], columns: int = 2) -> None:
    """Write at the top of a figure what its marks mean.

    Args:
        figure: The figure, with that room above its panels.
        marks: The marks, line by line.
        columns: Entries in a line.
    """
    width, height = figure.get_size_inches()
    for number, mark in enumerate(marks):
        line, column = divmod(number, columns)
        x = (0.08 + column * (width - 0.1) / columns) / width
        y = 1.0 - (0.02 + KEY_ROW * (line + 0.5)) / height
        shape = Line2D([x], [y], marker=mark.marker, color=mark.colour, markersize=MARK_SIZE + 1.0)
        shape.set(linestyle="none", markerfacecolor=mark.face, transform=figure.transFigure)
        figure.add_artist(shape)
        figure.text(x + 0.1 / width, y, mark.name, va="center", color=LIGHT["muted"])
