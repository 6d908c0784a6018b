"""Colours by role, one set for light paper and one for dark screens.

Figures are drawn in the light set. The report swaps every colour for a CSS variable of the same
role, so that one drawing serves both backgrounds.
"""

from collections.abc import Mapping
from types import MappingProxyType

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "ink": "#1c2025",
        "muted": "#5f6873",
        "axis": "#9aa2ac",
        "grid": "#e4e7eb",
        "network": "#1f5fa9",
        "exact": "#20262c",
        "rung-0": "#6a727d",
        "rung-1": "#86661b",
        "rung-2": "#a24e27",
        "rung-3": "#9b3d62",
        "rung-4": "#6b4d9f",
        "rung-5": "#2a7866",
        "rung-6": "#587619",
        "rung-7": "#785843",
    }
)
"""Role to colour on a white background; each text colour has a contrast of at least 4.5."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        "ink": "#e6e9ed",
        "muted": "#9fa8b3",
        "axis": "#68727e",
        "grid": "#2b323a",
        "network": "#7db3f2",
        "exact": "#dfe4ea",
        "rung-0": "#a4acb7",
        "rung-1": "#d2ac58",
        "rung-2": "#e28f66",
        "rung-3": "#e187a8",
        "rung-4": "#b49de2",
        "rung-5": "#68c0a9",
        "rung-6": "#a6c45e",
        "rung-7": "#c6a48c",
    }
)
"""Role to colour on a near-black background."""

HEAT_RED_GREEN_BLUE: tuple[int, int, int] = (47, 120, 196)
"""The colour of heat maps, between light and dark; its opacity carries the value."""

NUM_RUNG_COLOURS: int = 8
"""How many rungs get a colour of their own before colours repeat."""

DASHES: tuple[tuple[float, ...], ...] = (
    (1.0, 1.6),
    (4.0, 1.6),
    (6.0, 1.5, 1.0, 1.5),
    (2.6, 1.2),
    (8.0, 1.8),
    (4.0, 1.2, 1.0, 1.2, 1.0, 1.2),
    (1.0, 0.9),
    (10.0, 1.5, 2.5, 1.5),
)
"""Dash patterns of the rungs, in line widths, so that no line is told by colour alone."""


def rung_colour(index: int) -> str:
    """Return the colour of the ladder's rung number ``index``.

    Args:
        index: Place of the rung in the DataTree, from 0.

    Returns:
        A colour of the light set, as ``#rrggbb``.
    """
    return LIGHT[f"rung-{index % NUM_RUNG_COLOURS}"]


def rung_dashes(index: int) -> tuple[float, ...]:
    """Return the dash pattern of the ladder's rung number ``index``.

    Args:
        index: Place of the rung in the DataTree, from 0.

    Returns:
        On and off lengths, in line widths.
    """
    return DASHES[index % len(DASHES)]
