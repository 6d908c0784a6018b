"""The table of ``/interventions``: parts taken away or replaced, against the counterfactual."""

from bayescmp.results.vocabulary import Dimension, Group

DIMENSIONS: dict[str, Dimension] = {}
"""Axes that only this group has."""

GROUP = Group("parts taken away or replaced, against the exact counterfactual", required=False)
"""Its variables and attributes."""
