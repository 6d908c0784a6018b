"""The table of ``/probes``: what affine probes read from the stream, beside their controls."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("what affine probes read from the stream, beside their controls", required=False)
"""Its variables and attributes."""
