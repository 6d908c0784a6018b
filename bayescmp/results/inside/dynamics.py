"""The table of ``/dynamics``: the inside over the checkpoints of training."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "checkpoint": Dimension("checkpoint of training, by the optimiser steps done", "step", None)
}
"""Axes that only this group has."""

_OVER_TIME = ("seed", "checkpoint")

GROUP = Group(
    "the inside over the checkpoints of training",
    {
        "kl": Variable(_OVER_TIME, "bit", "mean KL divergence from exact to the network"),
        "rung_kl": Variable(
            (*_OVER_TIME, "rung"), "bit", "mean KL divergence from the rung to the network"
        ),
        "lens_kl": Variable(
            (*_OVER_TIME, "stream"), "bit", "mean KL divergence from exact to the logit lens"
        ),
        "attention_change": Variable(
            _OVER_TIME,
            "bit",
            "mean Jensen-Shannon divergence of attention to that of the last checkpoint",
            required=False,
        ),
        "head_change": Variable(
            (*_OVER_TIME, "block", "head"),
            "bit",
            "the same for each head",
            required=False,
        ),
        "mixer_change": Variable(
            _OVER_TIME,
            "1",
            "squared distance of the mixers' output to that of the last checkpoint, over its "
            "squared norm, mean over blocks",
            required=False,
        ),
        "frame_step": Variable(
            ("seed",), "step", "step by which attention, or the mixers' output, has settled"
        ),
        "output_step": Variable(("seed",), "step", "step by which kl has settled"),
        "ratio": Variable(("seed",), "1", "output_step over frame_step"),
        "ratio_low": Variable(("seed",), "1", "lower end of its interval over sequences"),
        "ratio_high": Variable(("seed",), "1", "upper end of its interval over sequences"),
        "straight_ratio": Variable(
            ("seed",), "1", "the ratio if weights went straight from the first to the last"
        ),
    },
    {
        "followed": Attribute("text", "what stands for the frame: attention, or mixer"),
        "share": Attribute("number", "share of a curve's change after which it has settled"),
        "level": Attribute("number", "confidence level of the ratio's interval"),
        "num_sequences": Attribute("number", "sequences that the means are over"),
    },
    required=False,
)
"""Its variables and attributes."""
