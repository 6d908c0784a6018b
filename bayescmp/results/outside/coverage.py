"""The table of ``/coverage``: how often what comes lies in the sets a predictor would name."""

from bayescmp.results.vocabulary import Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "region": Dimension("order in which sets take outcomes in", start=None),
    "nominal": Dimension("mass that the predictor gives the set", "%", start=None),
}
"""Axes that only this group has; levels of entropy are the same in ``/pit``."""

_REGION = ("seed", "region")
_CURVE = (*_REGION, "nominal")
_PLACE = (*_REGION, "position")
_LEVEL = (*_REGION, "entropy_level")
_STREAM = (*_REGION, "stream")

GROUP = Group(
    "expected coverage of a predictor's sets: highest density, and nearest to a reference (TARP)",
    {
        "coverage": Variable(_CURVE, "1", "share of questions whose outcome lies in the set"),
        "band": Variable(
            _CURVE,
            "1",
            "half the width of the simultaneous 95 % band of a calibrated predictor",
        ),
        "exact_coverage": Variable(
            _CURVE, "1", "chance under the exact law that the outcome lies in the set"
        ),
        "p_value": Variable(
            _REGION, "1", "chance of a coverage as far out at any level, if calibrated"
        ),
        "error": Variable(
            _REGION, "point", "mean over levels of coverage minus level, in percentage points"
        ),
        "error_low": Variable(_REGION, "point", "lower end of its interval over sequences"),
        "error_high": Variable(_REGION, "point", "upper end of its interval over sequences"),
        "exact_error": Variable(_REGION, "point", "the same under the exact law, without labels"),
        "error_by_position": Variable(_PLACE, "point", "coverage error at each position"),
        "exact_error_by_position": Variable(
            _PLACE, "point", "the same under the exact law, without labels"
        ),
        "p_by_position": Variable(
            _PLACE, "1", "p-value of each position, adjusted for all; NaN where not tested"
        ),
        "error_by_entropy": Variable(
            _LEVEL,
            "point",
            "coverage error at each level of exact entropy; NaN where no question has it",
            required=False,
        ),
        "exact_error_by_entropy": Variable(
            _LEVEL, "point", "the same under the exact law, without labels", required=False
        ),
        "p_by_entropy": Variable(
            _LEVEL,
            "1",
            "p-value of each level, adjusted for all; NaN where not tested",
            required=False,
        ),
        "num_by_entropy": Variable(
            _LEVEL, "1", "sequences that have any question there", required=False
        ),
        "entropy_low": Variable(
            ("seed", "entropy_level"), "bit", "least exact entropy of the level", required=False
        ),
        "entropy_high": Variable(
            ("seed", "entropy_level"), "bit", "greatest exact entropy of the level", required=False
        ),
        "error_by_stream": Variable(
            _STREAM,
            "point",
            "coverage error through the logit lens; NaN for the blind reference",
            required=False,
        ),
        "exact_error_by_stream": Variable(
            _STREAM, "point", "the same under the exact law, without labels", required=False
        ),
        "p_value_by_stream": Variable(
            _STREAM,
            "1",
            "chance of a coverage as far out at any level, for calibrated laws of that place",
            required=False,
        ),
        "num_sequences": Variable(_REGION, "1", "sequences that it was judged on", "int"),
    },
    required=False,
)
"""Its variables."""
