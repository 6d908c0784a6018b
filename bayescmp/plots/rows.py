"""Named rows of dots beside bars of a control, and linear keys of heat maps."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from bayescmp.plots.axes import value_axis
from bayescmp.plots.palette import LIGHT

ROW = 0.2
"""Height of one row of dots, in inches."""

Values = Float[np.ndarray, " row"]


def draw_rows(
    panel: Axes, names: Sequence[str], rows: Sequence[tuple[Values, str, str]], control: Values
) -> None:
    """Draw dots on named rows, from top to bottom, with bars from zero to the control.

    Args:
        panel: The panel.
        names: Names of the rows.
        rows: Values of one kind of dot, their marker and the name of their colour.
        control: Ends of the bars.
    """
    places = np.arange(len(names))
    panel.barh(places, control, height=0.55, color=LIGHT["grid"])
    for values, marker, colour in rows:
        panel.plot(values, places, marker, color=LIGHT[colour], markersize=4.5)
    name_rows(panel, names)


def name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Name rows from top to bottom, beside a line at zero.

    Args:
        panel: The panel.
        names: Names of the rows.
    """
    panel.axvline(0.0, color=LIGHT["axis"], linewidth=0.8)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_yticks(range(len(names)), names)
    value_axis(panel.xaxis)
    panel.grid(visible=False)


def linear_share(
    values: Float[np.ndarray, "row column"],
) -> tuple[Callable[[np.ndarray], np.ndarray], list[float]]:
    """Return the map from values to opacity, and the ends of its range with zero between.

    Args:
        values: What is shown; NaN is left out.

    Returns:
        The map, and values to label.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(end(finite, initial=0.0)) for end in (np.min, np.max))
    span = high - low if high > low else 1.0
    ticks = sorted({low, 0.0, high}) if high > low else [low, low + span]
    return lambda share: (np.asarray(share, float) - low) / span, ticks
