"""Checks of numbers that describe a model; each message is one line."""

import math
from numbers import Integral


def require_at_least(name: str, value: int, least: int) -> None:
    """Raise unless a whole number is large enough.

    Args:
        name: Argument, for the message.
        value: Number that came.
        least: Smallest number that will do.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is smaller.
    """
    if not isinstance(value, Integral):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def require_positive(name: str, value: float) -> None:
    """Raise unless a number is positive and finite.

    Args:
        name: Argument, for the message.
        value: Number that came.

    Raises:
        ValueError: If it is not.
    """
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name}: expected a positive number, got {value}")


def require_inside(name: str, value: float, low: float, high: float) -> None:
    """Raise unless a number lies strictly between two others.

    Args:
        name: Argument, for the message.
        value: Number that came.
        low: Lower bound, not allowed itself.
        high: Upper bound, not allowed itself.

    Raises:
        ValueError: If it does not.
    """
    if not low < value < high:
        raise ValueError(f"{name}: expected a number between {low:g} and {high:g}, got {value}")


def require_law(name: str, law: tuple[float, ...]) -> None:
    """Raise unless numbers are not negative and sum to one.

    Args:
        name: Argument, for the message.
        law: Probabilities.

    Raises:
        ValueError: If they are no law.
    """
    if not law or min(law) < 0.0 or abs(math.fsum(law) - 1.0) > 1e-9:
        raise ValueError(f"{name}: expected probabilities that sum to one, got {law}")
