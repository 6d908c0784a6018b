"""The table of ``/lenses``: what each place in the residual stream would answer, by lenses."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "lens": Dimension(
        "lens: the network's own read-out, tuned to its answer, fitted to exact Bayes", start=None
    ),
    "lens_draw": Dimension("network with fresh initial weights, the Bayes lens's control"),
    "head_draw": Dimension("the same, for what heads write"),
}
"""Axes that only this group has."""

_MEAN = ("seed", "lens", "stream")
_PLACE = ("seed", "stream")
_HEAD = ("seed", "block", "head")

GROUP = Group(
    "what each place in the residual stream would answer, by lenses",
    {
        "kl": Variable((*_MEAN, "position"), "bit", "KL divergence from the exact law to the lens"),
        "kl_to_output": Variable(
            (*_MEAN, "position"), "bit", "KL divergence from the network's output to the lens"
        ),
        "rung_kl": Variable(
            ("seed", "lens", "rung", "stream", "position"),
            "bit",
            "KL divergence from the rung to the lens",
        ),
        "mean_kl": Variable(_MEAN, "bit", "mean over questions: KL from the exact law to the lens"),
        "mean_kl_low": Variable(_MEAN, "bit", "lower end of its interval over sequences"),
        "mean_kl_high": Variable(_MEAN, "bit", "upper end of its interval over sequences"),
        "mean_kl_to_output": Variable(
            _MEAN, "bit", "mean over questions: KL from the network's output to the lens"
        ),
        "mean_rung_kl": Variable(
            ("seed", "lens", "rung", "stream"),
            "bit",
            "mean over questions: KL from the rung to the lens",
        ),
        "nearest": Variable(_MEAN, "1", "the rung that is nearest, or exact Bayes", "str"),
        "tied": Variable(_MEAN, "1", "others whose distance is within sampling error of it", "str"),
        "penalty": Variable(
            _MEAN,
            "1",
            "ridge penalty chosen, infinite where no fit helped, NaN where nothing is fitted",
        ),
        "constant_kl": Variable(("seed",), "bit", "mean KL from the exact law to its mean law"),
        "control_kl": Variable(
            ("seed", "lens_draw", "stream"),
            "bit",
            "mean KL from the exact law to the Bayes lens of a network with initial weights",
            required=False,
        ),
        "rises": Variable(
            _PLACE,
            "1",
            "whether this place adds more that the Bayes lens reads than at initialisation",
            "bool",
            required=False,
        ),
        "head_kl": Variable(
            _HEAD,
            "bit",
            "mean KL from the exact law to the Bayes lens of what one head writes",
            required=False,
        ),
        "head_control_kl": Variable(
            ("seed", "head_draw", "block", "head"),
            "bit",
            "the same of a network with initial weights",
            required=False,
        ),
        "head_adds": Variable(
            _HEAD,
            "1",
            "whether more is read from what this head writes than at initialisation",
            "bool",
            required=False,
        ),
        "decodable": Variable(
            _PLACE,
            "1",
            "whether the Bayes lens reads more here than at initialisation",
            "bool",
            required=False,
        ),
    },
    {
        "fitting": Attribute("text", "which questions lenses were fitted to and judged on"),
        "level": Attribute(
            "number",
            "chance of any false statement in rises and head_adds together, and in decodable",
        ),
    },
    required=False,
)
"""Its variables and attributes."""
