"""The table of ``/exchangeability``: do a predictor's laws fit together as one posterior's?"""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "drift_score": Dimension("what drift along true sequences is looked for", start=None),
    "path_score": Dimension("what drift along a predictor's own paths is looked for", start=None),
    "path_start": Dimension("true answers before a path begins", "step"),
}
"""Axes that only this group has."""

_SEED = ("seed",)
_PATH = ("seed", "path_start")
_DRIFT = ("seed", "drift_score")
_PATH_DRIFT = ("seed", "path_start", "path_score")


def _optional(dims: tuple[str, ...], units: str, long_name: str) -> Variable:
    """Describe a variable that is absent where the audit, or this part of it, does not apply."""
    return Variable(dims, units, long_name, required=False)


_ENDS = {"low": "lower end of its interval", "high": "upper end of its interval"}


def _with_interval(
    name: str, dims: tuple[str, ...], units: str, long_name: str
) -> dict[str, Variable]:
    ends = {f"{name}_{end}": _optional(dims, units, text) for end, text in _ENDS.items()}
    return {name: _optional(dims, units, long_name), **ends}


_VARIABLES: dict[str, Variable] = {
    "oracle_gap": Variable(
        _SEED, "1", "largest gap of the oracle itself; NaN where it was not asked"
    ),
    **_with_interval(
        "order_gap", _SEED, "1", "mean total variation between the laws after two orders"
    ),
    "order_gap_allowed": _optional(
        _SEED, "1", "the largest order gap that the distance from exact Bayes allows"
    ),
    "order_kl": _optional(_SEED, "bit", "mean KL divergence between the laws after two orders"),
    **_with_interval(
        "order_spread",
        _SEED,
        "bit",
        "standard deviation of a sequence's log probability over its orders, mean over sequences",
    ),
    "order_gap_by_position": _optional(
        ("seed", "position"), "1", "order gap by the question that is asked; NaN where none was"
    ),
    **_with_interval(
        "step_gap", _SEED, "1", "total variation between the law now and its mean one step later"
    ),
    "step_gap_allowed": _optional(
        _SEED, "1", "the largest step gap that the distance from exact Bayes allows"
    ),
    "step_gap_by_position": _optional(
        ("seed", "position"), "1", "step gap by the question whose answer is averaged over"
    ),
    "untrained_order_gap": _optional(_SEED, "1", "order gap of a network that nobody trained"),
    "untrained_order_spread": _optional(
        _SEED, "bit", "order spread of a network that nobody trained"
    ),
    "untrained_step_gap": _optional(_SEED, "1", "step gap of a network that nobody trained"),
    "drift": _optional(_DRIFT, "1", "mean score along true sequences; zero for exact Bayes"),
    "drift_error": _optional(_DRIFT, "1", "its standard error over sequences"),
    "drift_p_value": _optional(
        _SEED, "1", "chance of drifts as far out if none of them were there"
    ),
    "path_drift": _optional(
        _PATH_DRIFT, "1", "mean score along a predictor's own paths; zero for any posterior"
    ),
    "path_drift_error": _optional(_PATH_DRIFT, "1", "its standard error over contexts"),
    "path_p_value": _optional(_PATH, "1", "chance of drifts as far out if none were there"),
    "path_spread": _optional(_PATH, "1", "variance of the last law over a predictor's own paths"),
    "exact_path_spread": _optional(_PATH, "1", "the same over paths that the oracle draws"),
    **_with_interval("spread_ratio", _PATH, "1", "path spread divided by the oracle's"),
}

GROUP = Group(
    "do a predictor's laws fit together as those of one posterior: order, next step, own paths",
    _VARIABLES,
    {
        "reason": Attribute("text", "why the audit does not apply; absent where it does", False),
        "num_sequences": Attribute("number", "sequences that were put into other orders", False),
        "num_paths": Attribute("number", "paths from each context", False),
    },
    required=False,
)
"""Its variables and attributes."""
