"""The table of ``/walkthrough``: one sequence, token by token, beside the exact belief."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "belief_entry": Dimension("value of a latent site, by the site's name", start=None),
}
"""Axes that only this group has."""

GROUP = Group(
    "one sequence, token by token, beside the exact belief",
    {
        "reads": Variable(("input_position",), "1", "what the network reads, as text", "str"),
        "asked_at": Variable(
            ("position",), "1", "input position at which the question is answered", "int"
        ),
        "outcome_value": Variable(
            ("position",),
            "1",
            "outcome of the question; absent where sequences are listed without any",
            "int",
            required=False,
        ),
        "exact_predictive": Variable(
            ("position", "outcome"), "1", "exact probability of each outcome"
        ),
        "exact_belief": Variable(
            ("position", "belief_entry"),
            "1",
            "exact probability of each value of each latent site",
            required=False,
        ),
        "lens_predictive": Variable(
            ("seed", "stream", "position", "outcome"),
            "1",
            "probability of each outcome, logit lens; the network's own at the last stream",
        ),
        "lens_kl": Variable(
            ("seed", "stream", "position"), "bit", "KL divergence from exact to the logit lens"
        ),
        "attention": Variable(
            ("seed", "block", "head", "input_position", "source_position"),
            "1",
            "attention weights; absent where the network does not attend",
            required=False,
        ),
    },
    {"which": Attribute("text", "which sequence it is, in words")},
    required=False,
)
"""Its variables and attributes."""
