"""The table of ``/lenses``: what each place in the residual stream would answer, by lenses."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("what each place in the residual stream would answer, by lenses", required=False)
"""Its variables and attributes."""
