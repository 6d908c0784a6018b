"""The table of ``/walkthrough``: one sequence, token by token, beside the exact belief."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("one sequence, token by token, beside the exact belief", required=False)
"""Its variables and attributes."""
