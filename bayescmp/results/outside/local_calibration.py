"""The table of ``/local_calibration``: in which contexts a predictor is off, and how."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "context": Dimension("group of questions", start=None),
    "aspect": Dimension("what is compared: sureness, or how often some outcomes come", start=None),
}
"""Axes that only this group has."""

_CELL = ("seed", "context", "aspect")
_STREAM = ("seed", "stream")
_STREAM_CELL = (*_STREAM, "context", "aspect")

GROUP = Group(
    "in which contexts a predictor is off, in which direction and how much",
    {
        "gap": Variable(_CELL, "1", "mean of what came minus what was predicted"),
        "gap_low": Variable(_CELL, "1", "lower end of its interval over sequences"),
        "gap_high": Variable(_CELL, "1", "upper end of its interval over sequences"),
        "exact_gap": Variable(_CELL, "1", "the same under the exact law, without labels"),
        "p_value": Variable(
            _CELL, "1", "p-value, adjusted for all contexts and aspects; NaN where not tested"
        ),
        "num_questions": Variable(("seed", "context"), "1", "questions in the group"),
        "map_p_value": Variable(
            ("seed",), "1", "chance of a gap as clear anywhere, if the predictor is calibrated"
        ),
        "features_p_value": Variable(
            ("seed",), "1", "chance that residuals go with features of the context as much"
        ),
        "num_impossible": Variable(
            ("seed",), "1", "how often something came that was held impossible", "int"
        ),
        "agreement": Variable(
            ("seed",), "1", "correlation of gaps with exact gaps; NaN where none differ"
        ),
        "gap_by_stream": Variable(
            _STREAM_CELL,
            "1",
            "gap of what would be answered at each place in the stream",
            required=False,
        ),
        "exact_gap_by_stream": Variable(
            _STREAM_CELL, "1", "the same under the exact law, without labels", required=False
        ),
        "p_value_by_stream": Variable(
            _STREAM_CELL,
            "1",
            "p-value, adjusted for all contexts and aspects of that place; NaN where not tested",
            required=False,
        ),
        "map_p_value_by_stream": Variable(
            _STREAM, "1", "chance of a gap as clear anywhere, for calibrated laws", required=False
        ),
        "features_p_value_by_stream": Variable(
            _STREAM,
            "1",
            "chance that the place's residuals go with features of the context as much",
            required=False,
        ),
    },
    {"level": Attribute("number", "chance of any false place")},
    required=False,
)
"""Its variables and attributes."""
