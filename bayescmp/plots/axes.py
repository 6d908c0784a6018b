"""Panels, scales and labels that every figure shares."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib.style
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bayescmp.plots.palette import LIGHT

WIDTH = 4.5
"""Width of every figure, in inches: 324 points, so that one point is one pixel on a phone."""

FONT_SIZE = 9.5
"""Size of all text in figures, in points."""

POINTS = 72.0

SHOWN_DPI = 110
"""Dots per inch of a figure that a notebook shows."""

TITLE_RISE = 0.1
"""Distance of a title from the panel below it, in inches."""

STYLE: dict[str, object] = {
    "font.size": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "axes.edgecolor": LIGHT["axis"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["axis"],
    "ytick.color": LIGHT["axis"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw in the project's style, whatever the caller's matplotlib settings are."""
    with matplotlib.style.context(STYLE, after_reset=True):
        yield


@dataclass(frozen=True)
class Room:
    """Room for one panel of a figure, in inches.

    Attributes:
        height: Height of the panel itself.
        above: Space for its title.
        below: Space for tick labels and the x label.
    """

    height: float
    above: float = 0.34
    below: float = 0.46


KEY_ROOM = Room(0.11, above=0.06, below=0.28)
"""Room for the key of a heat map."""


class ShownFigure(Figure):
    """A figure that Jupyter displays without pyplot or any set-up.

    matplotlib registers a display for figures once its inline backend is active, which
    means global state; a figure that draws itself needs none.
    """

    def _repr_png_(self) -> bytes:
        """Draw the figure on white, as IPython asks for it."""
        buffer = io.BytesIO()
        with house_style():
            settings = {"dpi": SHOWN_DPI, "facecolor": "white", "pad_inches": 0.05}
            self.savefig(buffer, format="png", bbox_inches="tight", **settings)
        return buffer.getvalue()


def stacked_panels(
    rooms: Sequence[Room], *, left: float = 0.56, right: float = 0.14
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels one below the other.

    Args:
        rooms: Room for each panel, from top to bottom.
        left: Space on the left of the panels, in inches.
        right: Space on the right of the panels, in inches.

    Returns:
        The figure and its panels.
    """
    total = sum(room.above + room.height + room.below for room in rooms)
    figure = ShownFigure(figsize=(WIDTH, total))
    panels, top = [], total
    for room in rooms:
        bottom = top - room.above - room.height
        box = (left / WIDTH, bottom / total, (WIDTH - left - right) / WIDTH, room.height / total)
        panels.append(figure.add_axes(box))
        top = bottom - room.below
    return figure, panels


def title_panel(panel: Axes, text: str) -> None:
    """Write what a panel shows above its upper left corner, flush with the figure's edge.

    The text becomes the panel's label too, by which a page names the values it shows.

    Args:
        panel: The panel.
        text: Quantity and unit.
    """
    figure = panel.get_figure(root=True)
    if figure is None:
        raise ValueError("panel: expected axes that belong to a figure, got axes without one")
    box = panel.get_position()
    rise = TITLE_RISE / figure.get_size_inches()[1]
    panel.set_label(text)
    figure.text(0.004, box.y1 + rise, text, ha="left", va="bottom", color=LIGHT["ink"])


def value_axis(axis: Axis, most: int = 5) -> None:
    """Give a linear axis round ticks that do not depend on the caller's settings.

    Args:
        axis: The x or y axis of a panel.
        most: The most intervals between ticks.
    """
    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))


def count_axis(panel: Axes, positions: Float[np.ndarray, " position"], label: str) -> None:
    """Make the x axis count whole numbers over the range of ``positions``.

    Args:
        panel: The panel.
        positions: Places on the axis, in order.
        label: What is counted.
    """
    low, high = (float(end(positions)) if positions.size else 0.0 for end in (np.min, np.max))
    pad = 0.03 * (high - low) if high > low else 0.5
    panel.set_xlim(low - pad, high + pad)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.set_xlabel(label)
