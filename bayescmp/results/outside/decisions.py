"""The table of ``/decisions``: to answer, to ask or to retrieve, and what that is worth."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "action": Dimension("what the predictor does", start=None),
    "best_action": Dimension("what the exact law says to do", start=None),
}
"""Axes that only this group has."""

_POSITION = ("seed", "position")
_UTILITY = "utility"

GROUP = Group(
    "ask, retrieve or answer: decisions in expected utility under the exact law",
    {
        "utility": Variable(_POSITION, _UTILITY, "worth of the predictor's decision"),
        "best_utility": Variable(_POSITION, _UTILITY, "worth of the Bayes-optimal decision"),
        "answer_utility": Variable(
            _POSITION, _UTILITY, "worth of always answering the predictor's likeliest outcome"
        ),
        "regret": Variable(_POSITION, _UTILITY, "what the predictor's decision loses"),
        "regret_error": Variable(_POSITION, _UTILITY, "its standard error over sequences"),
        "share": Variable(
            ("seed", "best_action", "action"), "1", "share of questions decided like that"
        ),
        "mean_regret": Variable(("seed",), _UTILITY, "mean regret over questions"),
        "mean_regret_low": Variable(
            ("seed",), _UTILITY, "lower end of its interval over sequences"
        ),
        "mean_regret_high": Variable(
            ("seed",), _UTILITY, "upper end of its interval over sequences"
        ),
    },
    {
        "utilities": Attribute("json", "object: right, wrong, ask_cost, retrieve_cost"),
        "how": Attribute("text", "what may be retrieved, or why nothing may"),
        "level": Attribute("number", "coverage of the intervals over sequences"),
    },
    required=False,
)
"""Its variables and attributes."""
