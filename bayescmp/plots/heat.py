"""Heat maps whose opacity carries the value, so that they read on paper and on dark screens."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from bayescmp.plots.palette import HEAT_RED_GREEN_BLUE
from bayescmp.plots.scales import LogRange, log_ticks

FAINTEST = 0.05


class HeatImage(AxesImage):
    """An image of pixels that keeps the values it shows.

    Attributes:
        values: What it shows, in the unit of the panel; its first row is ``origin_row``.
        origin_row: Label of the first row.
        origin_column: Label of the first column.
    """

    def __init__(
        self,
        panel: Axes,
        values: Float[np.ndarray, "row column"],
        origin_row: float,
        origin_column: float,
        *,
        upwards: bool,
    ) -> None:
        rows, columns = values.shape
        left, right = origin_column - 0.5, origin_column + columns - 0.5
        bottom, top = origin_row - 0.5, origin_row + rows - 0.5
        super().__init__(
            panel,
            origin="lower" if upwards else "upper",
            extent=(left, right, bottom, top) if upwards else (left, right, top, bottom),
            interpolation="none",
        )
        self.values = values
        self.origin_row, self.origin_column = origin_row, origin_column


def heat_pixels(
    values: Float[np.ndarray, "row column"], to_share: Callable[[np.ndarray], np.ndarray]
) -> UInt8[np.ndarray, "row column 4"]:
    """Turn values into pixels of one colour, the larger the more opaque; NaN is left clear.

    Args:
        values: What to show, in any unit.
        to_share: Maps values to [0, 1]; shares outside are clipped.

    Returns:
        Red, green, blue and opacity, 0 to 255.
    """
    share = np.clip(to_share(np.asarray(values, dtype=float)), 0.0, 1.0)
    missing = np.isnan(share)
    opacity = np.where(missing, 0.0, FAINTEST + (1.0 - FAINTEST) * np.where(missing, 0.0, share))
    pixels = np.empty((*share.shape, 4), dtype=np.uint8)
    pixels[..., :3] = HEAT_RED_GREEN_BLUE
    pixels[..., 3] = np.round(255.0 * opacity).astype(np.uint8)
    return pixels


def draw_heat(
    panel: Axes,
    values: Float[np.ndarray, "row column"],
    to_share: Callable[[np.ndarray], np.ndarray],
    *,
    origin_row: float = 0.0,
    origin_column: float = 0.0,
    upwards: bool = True,
) -> None:
    """Draw a heat map with one cell for each entry, centred on whole numbers.

    Args:
        panel: The panel.
        values: What to show, in any unit.
        to_share: Maps values to [0, 1].
        origin_row: Label of the first row.
        origin_column: Label of the first column.
        upwards: Whether rows count upwards, as on a plot, or downwards, as in a matrix.
    """
    image = HeatImage(panel, values, origin_row, origin_column, upwards=upwards)
    image.set_data(heat_pixels(values, to_share))
    panel.set_aspect("auto")
    panel.add_image(image)
    image.set_extent(image.get_extent())
    image.set_clip_path(panel.patch)
    panel.grid(visible=False)


def root_of_size(values: np.ndarray) -> np.ndarray:
    """Map weights to the root of their size, which shows small ones; signs are dropped.

    Args:
        values: Weights, negative ones too, as a linear kernel has them.

    Returns:
        Roots of absolute values; NaN stays NaN.
    """
    return np.sqrt(np.abs(values))


def draw_heat_key(
    panel: Axes,
    to_share: Callable[[np.ndarray], np.ndarray],
    ticks: Sequence[float],
    labels: Sequence[str],
) -> None:
    """Draw the key of a heat map as a strip with labelled values below it.

    Args:
        panel: A flat panel to hold the strip.
        to_share: The map that the heat map uses.
        ticks: Values to label, in the unit of the heat map.
        labels: Their labels.
    """
    steps = np.linspace(0.0, 1.0, 64)[None, :]
    panel.imshow(
        heat_pixels(steps, lambda share: share),
        extent=(0.0, 1.0, 0.0, 1.0),
        interpolation="none",
        aspect="auto",
    )
    panel.grid(visible=False)
    panel.set_yticks([])
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    places = [float(place) for place in to_share(np.asarray(ticks, dtype=float))]
    panel.xaxis.set_major_locator(FixedLocator(places))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FixedFormatter(list(labels)))


def log_share(span: LogRange) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map from values to opacity of a logarithmic heat map.

    Args:
        span: Range of the values; those at or below its floor count as the floor.

    Returns:
        A function from values to shares in [0, 1]; NaN stays NaN.
    """
    low, high = np.log10(span.floor if span.floored else span.low), np.log10(span.high)

    def to_share(values: np.ndarray) -> np.ndarray:
        raised = np.maximum(np.asarray(values, dtype=float), 10.0**low)
        return (np.log10(np.minimum(raised, 10.0**high)) - low) / (high - low)

    return to_share


def draw_log_key(panel: Axes, span: LogRange) -> None:
    """Draw the key of a logarithmic heat map.

    Args:
        panel: A flat panel to hold the key.
        span: Range of the values.
    """
    ticks, labels = log_ticks(span)
    draw_heat_key(panel, log_share(span), ticks, labels)
