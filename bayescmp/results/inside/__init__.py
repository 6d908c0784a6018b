"""The part of the table that describes the inside of a network, one instrument a file."""

from collections.abc import Mapping
from types import MappingProxyType

from bayescmp.results.inside import (
    dynamics,
    geometry,
    gradients,
    interventions,
    lenses,
    probes,
    rounds,
    walkthrough,
)
from bayescmp.results.vocabulary import Dimension, Group

GROUPS_INSIDE: Mapping[str, Group] = MappingProxyType(
    {
        "/lenses": lenses.GROUP,
        "/probes": probes.GROUP,
        "/geometry": geometry.GROUP,
        "/interventions": interventions.GROUP,
        "/dynamics": dynamics.GROUP,
        "/gradients": gradients.GROUP,
        "/walkthrough": walkthrough.GROUP,
        "/rounds": rounds.GROUP,
    }
)
"""Their groups by path, in the order of the page."""

DIMENSIONS_INSIDE: Mapping[str, Dimension] = MappingProxyType(
    {
        "stream": Dimension(
            "place in the residual stream: embedding, then after each mixer and each block",
            start=None,
        ),
        **lenses.DIMENSIONS,
        **probes.DIMENSIONS,
        **geometry.DIMENSIONS,
        **interventions.DIMENSIONS,
        **dynamics.DIMENSIONS,
        **gradients.DIMENSIONS,
        **walkthrough.DIMENSIONS,
        **rounds.DIMENSIONS,
    }
)
"""Their axes."""
