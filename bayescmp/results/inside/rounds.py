"""The table of ``/rounds``: blocks of a network against rounds of belief propagation."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "round": Dimension("rounds of messages with cavity, from none on: evidence alone"),
    "round_lens": Dimension(
        "lens: the network's own read-out, or fitted to each law that it is held against",
        start=None,
    ),
}
"""Axes that only this group has."""

_LAYER = ("seed", "round_lens", "layer")

GROUP = Group(
    "blocks against rounds of belief propagation, on models of factor graphs",
    {
        "kl": Variable(
            (*_LAYER, "round"),
            "bit",
            "mean KL divergence from the beliefs after so many rounds to the lens",
        ),
        "exact_kl": Variable(_LAYER, "bit", "mean KL divergence from the exact law to the lens"),
        "round_exact_kl": Variable(
            ("round",),
            "bit",
            "mean KL divergence from the exact law to the beliefs after so many rounds",
        ),
        "closest": Variable(
            _LAYER, "1", "round whose beliefs are closest, the first of equals", "int"
        ),
        "own_round_kl": Variable(
            ("seed",),
            "bit",
            "mean over blocks: KL divergence from the beliefs after as many rounds to the read-out",
        ),
        "own_exact_kl": Variable(
            ("seed",), "bit", "mean over the same blocks: from the exact law to the read-out"
        ),
        "progress": Variable(
            ("seed",),
            "1",
            "where they stand on the way from the beliefs after as many rounds, 0, to exact, 1",
        ),
        "misfit": Variable(
            ("seed",), "1", "how far they stand from that way, in units of its length"
        ),
    },
    {
        "num_told_apart": Attribute(
            "number", "blocks whose round differs from exact: those that the means are over"
        ),
        "fitting": Attribute("text", "which questions lenses were fitted to and judged on"),
    },
    required=False,
)
"""Its variables and attributes."""
