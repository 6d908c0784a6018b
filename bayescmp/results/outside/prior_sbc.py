"""The tables of ``/prior_sbc``, ``/posterior_sbc`` and ``/sbc``: where the truth stands.

The first two are laid out as ArviZ and simuk lay them out, so that ArviZ's plots of a group with
that name work on the tree as it is: one variable, the axes ``chain`` and ``draw`` in front, and
places in [0, 1] and not whole ranks, since those look miscalibrated to a test of continuous
uniformity. What was found stands in ``/sbc``.
"""

from collections.abc import Mapping

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "chain": Dimension("one check, of one seed; ArviZ's name"),
    "draw": Dimension("replicate: latents and data drawn from the model; ArviZ's name"),
    "quantity": Dimension("latent, or function of latents and data", start=None),
    "sbc_level": Dimension("level at which a distribution is looked at"),
    "sbc_bin": Dimension("cell of [0, 1]"),
}
"""Axes that only these groups have."""

_PLACE = Variable(
    ("chain", "draw", "quantity"), "1", "place of the truth in its posterior, uniform where right"
)
_FOUND = ("seed", "quantity")

GROUP = Group(
    "where true values stand in their posteriors; replicates of the prior",
    {"pit": _PLACE},
    required=False,
)
"""Places of replicates of the prior."""

POSTERIOR_GROUP = Group(
    "where true values stand in their posteriors; replicates that begin as observed",
    {"pit": _PLACE},
    required=False,
)
"""Places of replicates given an observation."""

FOUND_GROUP = Group(
    "what simulation-based calibration found",
    {
        "p_value": Variable(_FOUND, "1", "exact p-value of the oddest level"),
        "p_value_of_all": Variable(
            ("seed",), "1", "least p-value of any quantity times their number, at most 1"
        ),
        "coverage_error": Variable(
            _FOUND, "point", "largest gap of shares below a posterior quantile, in hundredths"
        ),
        "interval_error": Variable(
            _FOUND,
            "point",
            "share inside central 90 % intervals minus 90 %, in hundredths; negative: too narrow",
        ),
        "level": Variable(("sbc_level",), "1", "level"),
        "difference": Variable(
            (*_FOUND, "sbc_level"), "1", "share of places up to the level, minus the level"
        ),
        "difference_low": Variable(("sbc_level",), "1", "lower end of the simultaneous band"),
        "difference_high": Variable(("sbc_level",), "1", "upper end of the simultaneous band"),
        "height": Variable((*_FOUND, "sbc_bin"), "1", "places in the cell", "int"),
        "least_ess": Variable(
            ("seed",), "1", "effective draws that 95 % of replicates exceed; NaN without chains"
        ),
        "worst_r_hat": Variable(
            ("seed",), "1", "split R-hat that 5 % of replicates exceed; NaN without chains"
        ),
    },
    {
        "how": Attribute("text", "where the posterior comes from"),
        "position": Attribute("number", "question at which it was asked for, from 0"),
        "num_observed": Attribute(
            "number", "questions observed alike in all replicates; 0: replicates of the prior"
        ),
        "replicates": Attribute(
            "text", "where replicates come from: model, or posterior under test", required=False
        ),
        "num_replicates": Attribute("number", "replicates of each seed"),
        "num_draws": Attribute("number", "draws behind each rank; 0 where laws are exact"),
        "thinning": Attribute("number", "every how many draws of a chain one was kept, at most"),
        "coverage": Attribute("number", "chance that a right posterior's curve stays in the band"),
        "noise": Attribute(
            "number", "what coverage_error of a right posterior exceeds one time in twenty"
        ),
        "height_low": Attribute("number", "least height of the simultaneous band"),
        "height_high": Attribute("number", "greatest height of the simultaneous band"),
    },
    required=False,
)
"""P-values, errors and curves."""

GROUPS: Mapping[str, Group] = {
    "/sbc": FOUND_GROUP,
    "/prior_sbc": GROUP,
    "/posterior_sbc": POSTERIOR_GROUP,
}
"""Groups by path."""
