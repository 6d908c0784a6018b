"""Standard errors and confidence intervals of a mean over independent runs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a mean; NumPy floats, or arrays for several entries.

    Example:
        >>> interval = mean_interval(np.array([0.3]))  # one run says nothing about the next
        >>> float(interval.mean), float(interval.low), float(interval.high)
        (0.3, -inf, inf)
    """

    mean: np.float64 | Float[np.ndarray, "*entry"]
    """Average of the values, in their unit."""
    low: np.float64 | Float[np.ndarray, "*entry"]
    """Lower end, in the unit of the values."""
    high: np.float64 | Float[np.ndarray, "*entry"]
    """Upper end, in the unit of the values."""
    level: float
    """Probability that such an interval covers the mean of normal values."""
    num: int
    """Number of independent values, seeds as a rule."""


def mean_interval(
    values: Float[Array, "seed *entry"] | Float[np.ndarray, "seed *entry"], level: float = 0.95
) -> Interval:
    """Compute Student's confidence interval of the mean over the first axis.

    ``mean +- t_{n-1}((1 + level) / 2) s / sqrt(n)`` with the unbiased variance
    ``s^2``. It covers as stated if the values are independent and nearly normal.

    Args:
        values: One value for each seed, in any unit, with any further axes.
        level: Coverage asked for, between 0 and 1.

    Returns:
        Interval in float64. With fewer than two values it is infinitely wide,
        since nobody knows the spread; with a NaN or an infinity among the values
        its ends are NaN.

    Raises:
        ValueError: If there is no axis to average or the level is not inside (0, 1).

    Example:
        >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]), 0.95)
        >>> round(float(interval.low), 3), round(float(interval.high), 3)
        (-0.484, 4.484)
    """
    from scipy.special import stdtrit  # 0.1 s to import, and only needed here

    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    if values.ndim == 0:
        raise ValueError("values: expected a first axis of seeds, got a single number")
    table = np.asarray(values, dtype=np.float64)
    num = table.shape[0]
    if num < 2:
        mean = table[0] if num else np.full(table.shape[1:], np.nan)[()]
        unbounded = np.full(table.shape[1:], np.inf)[()]
        return Interval(mean, -unbounded, unbounded, level, num)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is the documented NaN
        mean = table.mean(axis=0)
        half_width = stdtrit(num - 1, 0.5 * (1.0 + level)) * standard_error(table, axis=0)
        return Interval(mean, mean - half_width, mean + half_width, level, num)


def standard_error(
    values: Float[Array, "*entry"] | Float[np.ndarray, "*entry"], axis: int
) -> np.floating | Float[Array, "*rest"] | Float[np.ndarray, "*rest"]:
    """Compute the standard error of a mean of independent values.

    ``s / sqrt(n)`` with the unbiased variance ``s^2``. Works on NumPy arrays, and
    on JAX arrays inside a compiled function.

    Args:
        values: Values in any unit.
        axis: The axis that counts independent values.

    Returns:
        Standard error in the unit of the values; infinite for fewer than two
        values, since nobody knows the spread.

    Raises:
        ValueError: If there is no such axis.

    Example:
        >>> round(float(standard_error(np.array([1.0, 2.0, 3.0]), axis=0)), 4)
        0.5774
    """
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis: expected one of the {values.ndim} axes of values, got {axis}")
    num = values.shape[axis]
    if num < 2:
        return abs(values.sum(axis=axis)) + np.inf  # keeps kind, shape, dtype and NaN
    return values.std(axis=axis, ddof=1) / num**0.5
