"""One line over seeds with its interval and a name at its end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bayescmp.plots.labels import EndLabel, write_end_labels
from bayescmp.plots.series import seed_band


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        name: What it shows.
        values: One series for each seed; gaps where it is NaN.
        colour: Colour of line and name.
        dashes: On and off lengths in line widths; none for a whole line.
    """

    name: str
    values: Float[np.ndarray, "seed place"]
    colour: str
    dashes: tuple[float, ...] = ()


def draw_lines(
    panel: Axes, places: Float[np.ndarray, " place"], lines: Sequence[Line], space: float
) -> None:
    """Draw means over seeds with the 95 % interval of each, and a name at every end.

    Args:
        panel: The panel; its limits are set by what is drawn.
        places: Places on the x axis.
        lines: What to draw; values that are not finite are left out.
        space: Room on the right for names, in inches.
    """
    labels = []
    for line in lines:
        band = seed_band(line.values)
        if band.known:
            panel.fill_between(
                places, band.low, band.high, color=line.colour, alpha=0.18, linewidth=0.0
            )
        pattern = line.dashes or (None, None)
        panel.plot(places, band.mean, color=line.colour, dashes=pattern, marker="o", markersize=2.4)
        finite = np.flatnonzero(np.isfinite(band.mean))
        if finite.size:
            last = finite[-1]
            end = float(band.mean[last])
            labels.append(EndLabel(line.name, float(places[last]), end, line.colour))
    panel.set_ylim(panel.get_ylim())  # settles them, as labels need it
    write_end_labels(panel, labels, space)
