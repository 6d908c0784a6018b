"""The table of ``/posterior``: whether draws of an amortised posterior are calibrated."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "parameter": Dimension("parameter of the posterior", start=None),
    "posterior_set": Dimension("order in which sets take parameters in", start=None),
    "posterior_level": Dimension("level at which a distribution is looked at"),
    "posterior_bin": Dimension("cell of [0, 1]"),
    "posterior_place": Dimension("simulation at which the local test asks"),
    "posterior_feature": Dimension("number that describes the data"),
}
"""Axes that only this group has."""

_FOUND = ("seed", "parameter")
_SET = ("seed", "posterior_set")
_PLACE = ("seed", "posterior_place")

GROUP = Group(
    "where truths stand among draws of an amortised posterior, and where it is off",
    {
        "p_value": Variable(_FOUND, "1", "exact p-value of the oddest level"),
        "p_value_of_all": Variable(
            ("seed",), "1", "least p-value of any test times their number, at most 1"
        ),
        "coverage_error": Variable(
            _FOUND, "point", "largest gap of shares below a posterior quantile, in hundredths"
        ),
        "interval_error": Variable(
            _FOUND,
            "point",
            "share inside central 90 % intervals minus 90 %, in hundredths; negative: too narrow",
        ),
        "level": Variable(("posterior_level",), "1", "level"),
        "difference": Variable(
            (*_FOUND, "posterior_level"), "1", "share of places up to the level, minus the level"
        ),
        "difference_low": Variable(("posterior_level",), "1", "lower end of the simultaneous band"),
        "difference_high": Variable(
            ("posterior_level",), "1", "upper end of the simultaneous band"
        ),
        "height": Variable((*_FOUND, "posterior_bin"), "1", "places in the cell", "int"),
        "set_coverage": Variable(
            (*_SET, "nominal"), "1", "share of simulations whose truth lies in the set"
        ),
        "set_low": Variable(
            ("posterior_set", "nominal"), "1", "lower end of the simultaneous band of coverage"
        ),
        "set_high": Variable(
            ("posterior_set", "nominal"), "1", "upper end of the simultaneous band of coverage"
        ),
        "set_error": Variable(_SET, "point", "mean over levels of coverage minus level"),
        "set_p_value": Variable(_SET, "1", "p-value of coverage being nominal"),
        "local_p_value": Variable(
            ("seed",), "1", "p-value of the local test over all places", required=False
        ),
        "local_p_value_by_place": Variable(
            _PLACE, "1", "p-value of each place, adjusted for all", required=False
        ),
        "local_shift": Variable(
            (*_PLACE, "parameter"),
            "1",
            "how far truths lie above the posterior, in its standard deviations, by the classifier",
            required=False,
        ),
        "local_width": Variable(
            (*_PLACE, "parameter"),
            "1",
            "how many times as widely truths spread as the posterior says, by the classifier",
            required=False,
        ),
        "local_feature": Variable(
            (*_PLACE, "posterior_feature"), "1", "numbers that describe the data", required=False
        ),
    },
    {
        "num_simulations": Attribute("number", "simulations of each seed"),
        "num_draws": Attribute("number", "draws behind each rank"),
        "coverage": Attribute("number", "chance that a right posterior's curve stays in the band"),
        "noise": Attribute(
            "number", "what coverage_error of a right posterior exceeds one time in twenty"
        ),
        "height_low": Attribute("number", "least height of the simultaneous band"),
        "height_high": Attribute("number", "greatest height of the simultaneous band"),
    },
    required=False,
)
"""Its variables and attributes."""
