"""Numbers as text: as many digits as a value carries, and no more.

A value computed against an oracle with an error is printed down to the decimal place of that
error (its *resolution*) and not beyond.
"""

import math

MINUS = "\N{MINUS SIGN}"
INFINITY = "\N{INFINITY}"
SUPERSCRIPTS = str.maketrans(f"-{MINUS}0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
GAP = "\N{NO-BREAK SPACE}"
TIMES = f"{GAP}×{GAP}"
UNKNOWN = "unknown"
SMALLEST_PLAIN = 1e-4
LARGEST_PLAIN = 1e6


def format_number(value: float, *, digits: int = 3, resolution: float = 0.0) -> str:
    r"""Write a number with ``digits`` significant digits, none of them below ``resolution``.

    Args:
        value: The number; NaN and infinities are written as such.
        digits: Significant digits, at least 1.
        resolution: The error of ``value``, in its own unit; 0 where it is exact, infinity
            where nobody knows it, and then the answer is ``unknown``.

    Returns:
        Text such as ``0.00213``, ``2.13 × 10⁻⁵`` or ``< 0.003``.

    Example:
        >>> format_number(0.0021349)
        '0.00213'
        >>> format_number(0.0021349, resolution=0.003)
        '<\xa00.003'
    """
    if not math.isfinite(value):
        return _special(value)
    if math.isinf(resolution):
        return UNKNOWN
    if value == 0.0 and resolution == 0.0:
        return "0"
    if abs(value) < resolution:
        bound = format_number(resolution, digits=1)
        return f"<{GAP}{bound}" if value >= 0 else f">{GAP}{MINUS}{bound}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if 0.99 < value < 1.0:  # a share that must not be rounded to all
        decimals = max(decimals, min(9, 1 - math.floor(math.log10(1.0 - value))))
    return _write(value, _limit_decimals(decimals, resolution), _scale(value))


def format_given(value: float) -> str:
    """Write a number that somebody chose, such as a threshold, as it was chosen.

    Args:
        value: The number.

    Returns:
        Text with up to six significant digits and no trailing zeros; with four where six would
        not do.

    Example:
        >>> format_given(0.005)
        '0.005'
    """
    if not math.isfinite(value) or value == 0.0:
        return _special(value)
    digits = next((d for d in range(1, 7) if float(f"{value:.{d}g}") == value), 4)
    return format_number(value, digits=digits)


def format_interval(
    mean: float, low: float, high: float, *, resolution: float = 0.0
) -> tuple[str, str]:
    """Write a mean and its interval to the digit that the interval's width supports.

    The half width keeps two digits where it begins with 1, 2 or 3, and one otherwise.

    Args:
        mean: Centre of the interval.
        low: Lower end; minus infinity where nobody knows it.
        high: Upper end.
        resolution: The error of the values themselves, in the same unit.

    Returns:
        The mean and the interval, such as ``("0.00213", "[0.00187, 0.00239]")``; the second is
        empty where an end is not finite.

    Example:
        >>> format_interval(0.5, 0.44, 0.56)
        ('0.50', '[0.44, 0.56]')
    """
    if not all(map(math.isfinite, (mean, low, high, resolution))) or high <= low:
        return format_number(mean, resolution=resolution), ""
    if max(abs(mean), abs(low), abs(high)) < resolution:
        return format_number(mean, resolution=resolution), ""
    half = (high - low) / 2.0
    exponent = math.floor(math.log10(half))
    digits = 2 if half < 3.5 * 10.0**exponent else 1
    decimals = _limit_decimals(digits - 1 - exponent, resolution)
    largest = max(abs(mean), abs(low), abs(high))
    decimals = min(decimals, 4 - math.floor(math.log10(largest)))
    scale = _scale(mean if mean != 0.0 else largest)
    centre = _write(mean, decimals, scale)
    ends = [_write(end, decimals, scale, with_scale=False) for end in (low, high)]
    return centre, f"[{ends[0]}, {ends[1]}]" + _power(scale)


def format_count(value: float | int) -> str:
    """Write a whole number with thin groups of three, or a power of ten from ten million on.

    Args:
        value: The count.

    Returns:
        Text such as ``4,096`` or ``1.92 × 10¹³``.
    """
    if not math.isfinite(value):
        return _special(value)
    if abs(value) >= 1e7:
        return format_number(value)
    return f"{round(value):,}".replace("-", MINUS)


def format_duration(seconds: float) -> str:
    """Write a time span in the two largest units that fit.

    Args:
        seconds: The span, in seconds.

    Returns:
        Text such as ``3 min 42 s`` or ``0.42 s``.
    """
    if not math.isfinite(seconds) or seconds < 0:
        return _special(seconds) if not math.isfinite(seconds) else format_number(seconds) + " s"
    if seconds < 59.95:
        return f"{format_number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def power_of_ten(exponent: int) -> str:
    """Write ten to a power with a raised exponent.

    Args:
        exponent: The power.

    Returns:
        Text such as ``10⁻⁵``; ``1`` for an exponent of 0.
    """
    return "1" if exponent == 0 else f"10{str(exponent).translate(SUPERSCRIPTS)}"


def _special(value: float) -> str:
    """Write zero, NaN and the infinities."""
    if value == 0.0:
        return "0"
    if math.isnan(value):
        return "NaN"
    return INFINITY if value > 0 else MINUS + INFINITY


def _limit_decimals(decimals: int, resolution: float) -> int:
    """Return ``decimals``, cut to the decimal place of ``resolution``."""
    if resolution <= 0.0 or not math.isfinite(resolution):
        return decimals
    return min(decimals, -math.floor(math.log10(resolution)))


def _scale(value: float) -> int:
    """Return the power of ten to take out of ``value``, 0 where it reads well as it stands."""
    if value == 0.0 or SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        return 0
    return math.floor(math.log10(abs(value)))


def _power(scale: int) -> str:
    """Write the power of ten that was taken out."""
    return f"{TIMES}{power_of_ten(scale)}" if scale else ""


def _write(value: float, decimals: int, scale: int, *, with_scale: bool = True) -> str:
    """Write ``value`` to a decimal place, with ``10**scale`` taken out."""
    rounded = round(value, decimals) / 10.0**scale
    text = f"{rounded:.{max(decimals + scale, 0)}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", MINUS) + (_power(scale) if with_scale else "")
