"""Logarithmic scales with a stated lower end and plain labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from bayescmp.plots.numbers import power_of_ten


@dataclass(frozen=True)
class LogRange:
    """A logarithmic axis with a stated lower end.

    Attributes:
        floor: Values at or below this are drawn on it.
        high: Upper end of the axis.
        floored: Whether any finite value lay at or below the floor.
    """

    floor: float
    high: float
    floored: bool

    @property
    def low(self) -> float:
        """Lower end of the axis, a little below the floor where something is drawn on it."""
        return self.floor / 1.35 if self.floored else self.floor


def log_range(values: Sequence[Float[np.ndarray, "..."]], floor: float) -> LogRange:
    """Find a logarithmic range for all finite values, not reaching below ``floor``.

    Args:
        values: Everything that is to be drawn on the axis.
        floor: The smallest value worth telling from zero, in the axis's unit.

    Returns:
        The range; from ``floor`` to ten times it where no finite value lies above the floor.
        Where some values lie below ``floor``, they are to be drawn on the range's own floor,
        a power of ten below all others.
    """
    flat = np.concatenate([np.ravel(np.asarray(value, float)) for value in values])
    finite = flat[np.isfinite(flat)]
    above = finite[finite > floor]
    if above.size == 0:
        return LogRange(floor, 10.0 * floor, bool(finite.size))
    smallest, high = float(np.min(above)), float(np.max(above)) * 1.8
    if np.any(finite <= floor):  # stand-ins for zero go to the decade below everything else
        return LogRange(max(10.0 ** math.floor(math.log10(smallest / 1.5)), floor), high, True)
    return LogRange(max(smallest / 1.6, floor), high, False)


def log_scale(axis: Axis, span: LogRange) -> None:
    """Give an axis a logarithmic scale with at most six plain labels.

    Where values are drawn on the floor, the floor's own label says "≤".

    Args:
        axis: The x or y axis of a panel.
        span: Its range.
    """
    low, high = span.low, span.high
    if axis is axis.axes.xaxis:
        axis.axes.set_xscale("log")
        axis.axes.set_xlim(low, high)
    else:
        axis.axes.set_yscale("log")
        axis.axes.set_ylim(low, high)
    ticks, labels = log_ticks(span)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter(labels))


def log_ticks(span: LogRange) -> tuple[list[float], list[str]]:
    """Choose at most seven ticks for a logarithmic axis.

    Args:
        span: Range of the axis.

    Returns:
        Places in rising order and their labels; a floor that is drawn on is labelled "≤".
    """
    first, last = math.ceil(math.log10(span.low) - 1e-9), math.floor(math.log10(span.high))
    step = max(1, math.ceil((last - first + 1) / 6))
    ticks = [10.0**power for power in range(last, first - 1, -step)]
    if len(ticks) < 2:
        ticks = _plain_ticks(span.low, span.high)
    if span.floored:
        ticks = [tick for tick in ticks if tick > 2.0 * span.floor] + [span.floor]
    return sorted(ticks), [_log_label(tick, span) for tick in sorted(ticks)]


def _plain_ticks(low: float, high: float) -> list[float]:
    """Return 1-2-5 ticks for a range of less than a decade."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [lead * 10.0**power for power in powers for lead in (1.0, 2.0, 5.0)]
    return [tick for tick in ticks if low <= tick <= high]


def _log_label(tick: float, span: LogRange) -> str:
    """Write a tick of a logarithmic axis."""
    exponent = math.log10(tick)
    whole = round(exponent)
    if abs(exponent - whole) > 1e-6:
        text = f"{tick:.1g}" if tick >= 1e-3 else f"{tick / 10.0 ** math.floor(exponent):.0f}·"
        text += "" if tick >= 1e-3 else power_of_ten(math.floor(exponent))
    elif -3 <= whole <= 3:
        text = f"{tick:.{max(-whole, 0)}f}"
    else:
        text = power_of_ten(whole)
    return f"≤ {text}" if span.floored and tick == span.floor else text
