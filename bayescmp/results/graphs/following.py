"""The table of ``/following``: whether trained networks follow loopy propagation, or Bayes."""

from bayescmp.results.vocabulary import Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "coupling": Dimension("size of the couplings of a graph with loops", "nat", start=None),
    "propagation_rounds": Dimension("rounds of belief propagation that a network is held against"),
}
"""Axes that only this group has."""

_COUPLING = ("seed", "coupling")

GROUP = Group(
    "networks trained on graphs with loops: nearer to belief propagation or to the exact answer",
    {
        "to_exact": Variable(_COUPLING, "bit", "mean KL divergence from exact to the network"),
        "to_propagation": Variable(
            ("seed", "coupling", "propagation_rounds"),
            "bit",
            "mean KL divergence from belief propagation to the network",
        ),
        "between": Variable(
            ("seed", "coupling", "propagation_rounds"),
            "bit",
            "mean KL divergence from exact to belief propagation",
        ),
        "error": Variable(_COUPLING, "1", "mean absolute error of the network's marginals"),
        "propagation_error": Variable(
            _COUPLING, "1", "mean absolute error of belief propagation after the last round"
        ),
        "slope": Variable(
            _COUPLING, "1", "share of belief propagation's errors that the network repeats"
        ),
        "follows": Variable(_COUPLING, "1", "which answer is nearer", "str"),
        "weakest_slope": Variable(("seed",), "1", "slope at the weakest couplings"),
        "strongest_slope": Variable(("seed",), "1", "slope at the strongest couplings"),
        "margin": Variable(
            ("seed",),
            "bit",
            "distance from the nearest propagation less that from exact, strongest couplings",
        ),
    },
    required=False,
)
"""Its variables and attributes."""
