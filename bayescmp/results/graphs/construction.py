"""The table of ``/construction``: constructed networks, and the published one with its repairs."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "tree_size": Dimension("most variables of a random tree", start=None),
    "graph_case": Dimension("kind of graph", start=None),
    "repair": Dimension("last repair of the construction as published", start=None),
}
"""Axes that only this group has."""

_STAGE = ("seed", "repair", "graph_case")
_CASE = ("seed", "graph_case")

GROUP = Group(
    "networks whose weights are written down: exact on trees, and the published ones beside them",
    {
        "tree_error": Variable(
            ("seed", "tree_size"), "1", "largest error of a marginal after the last layer"
        ),
        "layer_error": Variable(
            _CASE, "1", "largest difference of a layer from as many rounds of belief propagation"
        ),
        "stage_error": Variable(_STAGE, "1", "mean absolute error against exact marginals"),
        "stage_largest": Variable(_STAGE, "1", "largest error against exact marginals"),
        "stage_naive": Variable(_STAGE, "1", "mean distance from propagation of whole beliefs"),
        "stage_cavity": Variable(_STAGE, "1", "mean distance from propagation with cavities"),
        "half_error": Variable(_CASE, "1", "mean absolute error of always one half"),
        "place": Variable(
            ("repair", "graph_case"), "1", "first number that is not what is claimed", "str"
        ),
        "largest_tree_error": Variable(("seed",), "1", "largest error of a marginal on any tree"),
        "largest_layer_error": Variable(("seed",), "1", "largest layer_error on any graph"),
        "published_error": Variable(
            ("seed",), "1", "mean error of the construction as published, on trees"
        ),
        "published_excess": Variable(
            ("seed",), "1", "mean error of the construction as published beyond always one half"
        ),
        "naive_error": Variable(("seed",), "1", "mean error of whole beliefs, on random trees"),
    },
    {"published": Attribute("text", "what is claimed of the construction as published")},
    required=False,
)
"""Its variables and attributes."""
