"""The table of ``/geometry``: directions of keys, values and streams, beside their nulls."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("directions of keys, values and residual streams, beside their nulls", required=False)
"""Its variables and attributes."""
