"""The table of ``/selective``: how often answers are wrong when only the surest are given."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "answered": Dimension("share of questions that is answered, from the surest on"),
    "answering_order": Dimension("whose answers, in which order", start=None),
    "area_gap": Dimension("what is lost: by order, by answers, in total", start=None),
}
"""Axes that only this group has."""

_ORDER = ("seed", "answering_order")
_GAP = ("seed", "area_gap")

GROUP = Group(
    "selective prediction: risk of the surest answers, under the exact law",
    {
        "share": Variable(("answered",), "1", "share of questions that is answered"),
        "risk": Variable((*_ORDER, "answered"), "1", "mean chance that an answer is wrong"),
        "area": Variable(_ORDER, "1", "area under the risk-coverage curve"),
        "area_error": Variable(_ORDER, "1", "its standard error over sequences"),
        "gap": Variable(_GAP, "1", "difference of areas under risk-coverage curves"),
        "gap_low": Variable(_GAP, "1", "lower end of its interval over sequences"),
        "gap_high": Variable(_GAP, "1", "upper end of its interval over sequences"),
    },
    {"level": Attribute("number", "coverage of the intervals over sequences")},
    required=False,
)
"""Its variables and attributes."""
