"""The table of ``/loops``: belief propagation on graphs with loops, against exact marginals."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "loop_graph": Dimension("graph with loops", start=None),
    "table_law": Dimension("law of the tables, from weak to strong couplings", start=None),
}
"""Axes that only this group has."""

_LOOP = ("seed", "loop_graph", "table_law")

GROUP = Group(
    "loopy belief propagation: whether it comes to rest, and how far from exact",
    {
        "error": Variable(_LOOP, "1", "mean absolute error of a marginal, at rest or not"),
        "worst_error": Variable(_LOOP, "1", "the same on the worst of the drawn tables"),
        "kl": Variable(_LOOP, "bit", "mean KL divergence from exact marginals to beliefs"),
        "converged": Variable(_LOOP, "1", "share of tables with which messages come to rest"),
        "half_error": Variable(_LOOP, "1", "mean absolute error of always one half"),
        "published_error": Variable(("seed",), "1", "largest error of a graph, published tables"),
        "published_converged": Variable(("seed",), "1", "least share at rest, published tables"),
        "strong_error": Variable(("seed",), "1", "largest error of a graph, strongest couplings"),
        "strong_converged": Variable(("seed",), "1", "least share at rest, strongest couplings"),
    },
    {"num_rounds": Attribute("number", "rounds of messages, at most")},
    required=False,
)
"""Its variables and attributes."""
