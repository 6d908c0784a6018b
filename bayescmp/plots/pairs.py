"""What was seen on drawn outcomes beside what the exact law says: lines that audits share."""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes

from bayescmp.plots.divergence import last_finite
from bayescmp.plots.labels import EndLabel, write_end_labels
from bayescmp.plots.palette import LIGHT

DRAWN, EXACT = "drawn", "exact"
"""Names of the lines: by outcomes that were drawn, and their mean by exact laws."""

DASHES = (4.0, 1.6)
"""How the exact line is broken."""

Line = Float[np.ndarray, " place"]


def draw_drawn(panel: Axes, places: Line, drawn: Line) -> None:
    """Draw a line by drawn outcomes, with a dot at each place where there are few.

    Args:
        panel: The panel.
        places: Where on the x axis.
        drawn: Values, in the unit of the panel.
    """
    panel.plot(
        places,
        drawn,
        color=LIGHT["rung-2"],
        marker="o" if places.size <= 40 else "",
        markersize=3.2,
        linewidth=1.0,
        label=DRAWN,
    )


def draw_exact(panel: Axes, places: Line, exact: Line, marker: str = "") -> None:
    """Draw a line by exact laws.

    Args:
        panel: The panel.
        places: Where on the x axis.
        exact: Values, in the unit of the panel.
        marker: Mark at each place; none by default.
    """
    panel.plot(
        places,
        exact,
        color=LIGHT["network"],
        marker=marker,
        markersize=3.2,
        dashes=DASHES,
        label=EXACT,
    )


def name_pair(panel: Axes, places: Line, drawn: Line, exact: Line, space: float) -> None:
    """Name both lines where they end.

    Args:
        panel: The panel, with its limits already set.
        places: Where on the x axis.
        drawn: Values by drawn outcomes.
        exact: Values by exact laws.
        space: Room on the right of the panel, in inches.
    """
    labels = [
        EndLabel(DRAWN, *last_finite(places, drawn), LIGHT["rung-2"]),
        EndLabel(EXACT, *last_finite(places, exact), LIGHT["network"], strong=True),
    ]
    write_end_labels(panel, labels, space)


def shade_band(panel: Axes, places: Line, low: Line, high: Line) -> None:
    """Shade what a calibrated predictor's curve stays inside.

    Args:
        panel: The panel.
        places: Where on the x axis.
        low: Lower limits.
        high: Upper limits.
    """
    panel.fill_between(
        places, low, high, color=LIGHT["rung-0"], alpha=0.2, linewidth=0.0, label="band"
    )


def ring_places(
    panel: Axes,
    places: Line,
    heights: Line,
    off: Bool[np.ndarray, " place"],
    size: float = 8.0,
) -> None:
    """Ring the places that are off.

    Args:
        panel: The panel.
        places: Where on the x axis.
        heights: Where on the y axis.
        off: Which of them.
        size: Diameter of a ring, in points.
    """
    panel.plot(
        places[off],
        heights[off],
        "o",
        markerfacecolor="none",
        markeredgecolor=LIGHT["ink"],
        markersize=size,
        label="off",
    )


def stream_axis(panel: Axes, streams: list[str], *, named: bool = True) -> None:
    """Make the x axis count places in the residual stream.

    Args:
        panel: The panel.
        streams: Names of the places.
        named: Whether they are written.
    """
    panel.set_xlim(-0.3, len(streams) - 0.7)
    texts = streams if named else [""] * len(streams)
    panel.set_xticks(range(len(streams)), texts, rotation=40, ha="right", rotation_mode="anchor")
