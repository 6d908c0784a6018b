"""Sentences and values as text, with their units and the digits they deserve."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.plots.numbers import format_count, format_interval, format_number
from bayescmp.plots.series import (
    LEVEL,
    clean_text,
    oracle_error,
    seed_band,
    without_rounding,
)
from bayescmp.report.blocks import Cell
from bayescmp.results.schema import EVERY_SEQUENCE
from bayescmp.results.tree import read_attribute

NO_INTERVAL = "one seed: no interval"
NAT_PER_BIT = math.log(2.0)


def resolution(tree: xr.DataTree, units: str) -> float:
    """Return the error that the oracle leaves on a value.

    A predictive that is off by e nat in every log probability is off by e / ln 2 bit in a KL
    divergence and by less than e in a probability.

    Args:
        tree: A comparison.
        units: Unit of the value, ``bit``, ``nat`` or ``1``.

    Returns:
        The error in that unit; 0 for an exact oracle, and for other units.
    """
    if units not in ("bit", "nat", "1"):
        return 0.0
    error = oracle_error(tree)
    return error if units == "bit" else error * NAT_PER_BIT


def is_over_every_sequence(tree: xr.DataTree) -> bool:
    """Say whether the figures are means over every sequence, so that no draw blurs them.

    Args:
        tree: A comparison.
    """
    return str(read_optional(tree, "/", "evaluation")).startswith(EVERY_SEQUENCE)


def with_unit(text: str, units: str) -> str:
    """Add a unit to a number written as text.

    Args:
        text: The number.
        units: The unit; ``1`` and the empty text add nothing.

    Returns:
        Number and unit, with a no-break space between.
    """
    return text if units in ("", "1") else f"{text}\N{NO-BREAK SPACE}{units}"


def over_seeds(
    tree: xr.DataTree, values: Float[np.ndarray, " seed"], units: str
) -> tuple[str, str]:
    """Write the mean over seeds and its interval.

    Args:
        tree: The comparison the values come from.
        values: One value for each seed.
        units: Their unit.

    Returns:
        The mean, and the interval in brackets or the reason why there is none.
    """
    values = without_rounding(values, units)
    band = seed_band(values)
    ends = (float(band.mean), float(band.low), float(band.high))
    value, interval = format_interval(*ends, resolution=resolution(tree, units))
    if interval:
        return value, interval
    if band.num < 2:
        return value, NO_INTERVAL
    if not np.all(np.isfinite(values)):
        return value, "not finite: no interval"
    if abs(float(band.mean)) < resolution(tree, units):
        return value, "below the error of the reference"
    return value, "the same for every seed" if np.ptp(values) == 0.0 else "no interval"


def seed_cell(tree: xr.DataTree, values: Float[np.ndarray, " seed"], units: str) -> Cell:
    """Write the mean over seeds with its interval below, as a cell of a table.

    Args:
        tree: The comparison the values come from.
        values: One value for each seed.
        units: Their unit.

    Returns:
        The cell.
    """
    return Cell(*over_seeds(tree, values, units))


def number_cell(tree: xr.DataTree, value: float, units: str) -> Cell:
    """Write one number as a cell of a table.

    Args:
        tree: The comparison the value comes from.
        value: The number.
        units: Its unit.

    Returns:
        The cell.
    """
    shown = float(without_rounding(np.asarray(value), units))
    return Cell(format_number(shown, resolution=resolution(tree, units)))


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun.

    Args:
        count: How many.
        noun: The noun for one.
        nouns: The noun for several, if it takes more than an s.

    Returns:
        Text such as ``5 seeds``.
    """
    return f"{format_count(count)} {noun if count == 1 else nouns or noun + 's'}"


def join_words(words: Sequence[str]) -> str:
    """Join words with commas and a final "and".

    Args:
        words: The words.

    Returns:
        Text such as ``a, b and c``.
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def write_times(ratio: float) -> str:
    """Write a ratio of two distances.

    Args:
        ratio: A positive number.

    Returns:
        Text such as ``3.2 times``; empty where the ratio is not finite.
    """
    if not math.isfinite(ratio) or ratio <= 0.0:
        return ""
    if ratio >= 1e6:
        return f"{format_number(ratio, digits=2)} times"
    if ratio < 10.0:
        return f"{ratio:.1f} times"
    return f"{round(ratio, 1 - math.floor(math.log10(ratio))):,.0f} times"


def level_words() -> str:
    """Return the level of the intervals over seeds, such as ``95 %``."""
    return f"{100 * LEVEL:g}\N{NO-BREAK SPACE}%"


def seeds_words(tree: xr.DataTree) -> str:
    """Say how many seeds there are and which.

    Args:
        tree: A comparison.

    Returns:
        Text such as ``5 (0, 1, 2, 3, 4)``.
    """
    seeds = read_attribute(tree, "/", "seeds")
    listed = [str(seed) for seed in seeds] if isinstance(seeds, list) else [str(seeds)]
    return f"{len(listed)} ({', '.join(listed)})"


def read_text(tree: xr.DataTree, group: str, name: str, otherwise: str = "not recorded") -> str:
    """Read an attribute as one line of text.

    Args:
        tree: A comparison.
        group: Path of the group.
        name: Name of the attribute.
        otherwise: What to say where it is missing or empty.

    Returns:
        The text, fit for one line.
    """
    value = read_optional(tree, group, name)
    return clean_text(str(value)) if value not in (None, "") else otherwise


def read_optional(tree: xr.DataTree, group: str, name: str) -> object:
    """Read an attribute, JSON decoded, or None where it is missing.

    Args:
        tree: A comparison.
        group: Path of the group.
        name: Name of the attribute.

    Returns:
        The value, or None.
    """
    if group not in tree.groups or name not in tree[group].attrs:
        return None
    return read_attribute(tree, group, name)


def flatten(value: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Turn nested JSON into dotted names and values.

    Args:
        value: What the JSON holds.
        prefix: Name of ``value`` itself.

    Yields:
        Dotted name and value as text.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flatten(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list | tuple):
        yield clean_text(prefix), clean_text(", ".join(str(entry) for entry in value) or "none")
    else:
        yield clean_text(prefix), _plain(value)


def _plain(value: object) -> str:
    """Write one JSON value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return clean_text(str(value))
