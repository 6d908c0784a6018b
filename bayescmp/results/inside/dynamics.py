"""The table of ``/dynamics``: the inside over the checkpoints of training."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("the inside over the checkpoints of training", required=False)
"""Its variables and attributes."""
