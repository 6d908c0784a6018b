"""The part of the table that describes audits from outside, one audit a file."""

from collections.abc import Mapping
from types import MappingProxyType

from bayescmp.results.outside import (
    coverage,
    decisions,
    exchangeability,
    local_calibration,
    pit,
    posterior,
    prior_sbc,
    reliability,
    selective,
    shift,
    uncertainty,
)
from bayescmp.results.vocabulary import Dimension, Group

GROUPS_OUTSIDE: Mapping[str, Group] = MappingProxyType(
    {
        "/pit": pit.GROUP,
        "/reliability": reliability.GROUP,
        "/coverage": coverage.GROUP,
        "/local_calibration": local_calibration.GROUP,
        "/uncertainty": uncertainty.GROUP,
        "/selective": selective.GROUP,
        "/decisions": decisions.GROUP,
        "/exchangeability": exchangeability.GROUP,
        "/shift": shift.GROUP,
        **prior_sbc.GROUPS,
        "/posterior": posterior.GROUP,
    }
)
"""Their groups by path, in the order of the page."""

DIMENSIONS_OUTSIDE: Mapping[str, Dimension] = MappingProxyType(
    {
        **pit.DIMENSIONS,
        **reliability.DIMENSIONS,
        **coverage.DIMENSIONS,
        **local_calibration.DIMENSIONS,
        **uncertainty.DIMENSIONS,
        **selective.DIMENSIONS,
        **decisions.DIMENSIONS,
        **exchangeability.DIMENSIONS,
        **shift.DIMENSIONS,
        **prior_sbc.DIMENSIONS,
        **posterior.DIMENSIONS,
    }
)
"""Their axes."""
