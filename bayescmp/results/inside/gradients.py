"""The table of ``/gradients``: gradients of attention against the identities that they obey."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("gradients of attention against the identities that they obey", required=False)
"""Its variables and attributes."""
