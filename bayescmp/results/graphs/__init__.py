"""The part of the table that describes inference on factor graphs, one group a file."""

from collections.abc import Mapping
from types import MappingProxyType

from bayescmp.results.graphs import construction, following, grounding, loops, starts
from bayescmp.results.vocabulary import Dimension, Group

GROUPS_GRAPHS: Mapping[str, Group] = MappingProxyType(
    {
        "/construction": construction.GROUP,
        "/loops": loops.GROUP,
        "/following": following.GROUP,
        "/grounding": grounding.GROUP,
        "/starts": starts.GROUP,
    }
)
"""Their groups by path, in the order of the page."""

DIMENSIONS_GRAPHS: Mapping[str, Dimension] = MappingProxyType(
    {
        **construction.DIMENSIONS,
        **loops.DIMENSIONS,
        **following.DIMENSIONS,
        **grounding.DIMENSIONS,
        **starts.DIMENSIONS,
    }
)
"""Their axes."""
