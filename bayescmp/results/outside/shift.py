"""The table of ``/shift``: predictors on sequences off their training prior."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "shift": Dimension("process that is not the one of training", start=None),
    "shift_position": Dimension("asked outcome of a shifted sequence, in the order of asking"),
    "pool": Dimension("tasks in the pool of training", "task"),
    "pool_seed": Dimension("seed of a network that was trained on a pool"),
}
"""Axes that only this group has."""

_SHIFT = ("seed", "shift")
_PLACE = ("seed", "shift", "shift_position")
_POOL = ("pool", "pool_seed")

_DISTANCES = {
    "to_training": "KL divergence from Bayes under the training prior to the predictor",
    "to_shifted": "KL divergence from Bayes under the shifted prior to the predictor",
    "between": "KL divergence from Bayes under the shifted prior to Bayes under the training prior",
    "difference": "distance from the training prior's answer minus that from the shifted one's",
    "beyond": "distance from the shifted prior's answer beyond the length of training",
}
_ENDS = {"low": "lower end of its interval", "high": "upper end of its interval"}

_VARIABLES: dict[str, Variable] = {
    **{name: Variable(_SHIFT, "bit", text) for name, text in _DISTANCES.items()},
    **{
        f"{name}_{end}": Variable(_SHIFT, "bit", f"{text} over sequences: {name}")
        for name in _DISTANCES
        for end, text in _ENDS.items()
    },
    **{
        f"{name}_by_position": Variable(_PLACE, "bit", f"at each question: {_DISTANCES[name]}")
        for name in ("to_training", "to_shifted", "between")
    },
    "undefined": Variable(_SHIFT, "1", "share of questions without an answer in training's prior"),
    "follows": Variable(_SHIFT, "1", "which prior's answer is nearer", "str"),
    "pool_to_pool": Variable(
        _POOL, "bit", "KL divergence from Bayes over the pool to the network", required=False
    ),
    "pool_to_true": Variable(
        _POOL, "bit", "KL divergence from Bayes under the true prior to the network", required=False
    ),
    "pool_between": Variable(
        ("pool",), "bit", "KL divergence from true Bayes to Bayes over the pool", required=False
    ),
    "pool_threshold": Variable(
        ("pool_seed",),
        "task",
        "pool size from which on a network is nearer to the true prior; infinite if none is",
        required=False,
    ),
}

GROUP = Group(
    "predictors on sequences off their training prior: which of two exact answers they are near",
    _VARIABLES,
    {
        "log2_threshold": Attribute("number", "mean over seeds of log2 of pool_threshold", False),
        "log2_threshold_low": Attribute("number", "lower end of its interval over seeds", False),
        "log2_threshold_high": Attribute("number", "upper end of its interval over seeds", False),
    },
    required=False,
)
"""Its variables and attributes."""
