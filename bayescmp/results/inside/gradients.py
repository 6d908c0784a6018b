"""The table of ``/gradients``: how attention is pulled, and how training follows."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "update": Dimension("update between two checkpoints, by the steps done after it", "step", None)
}
"""Axes that only this group has."""

_BLOCK = ("seed", "block")
_HEAD = ("seed", "block", "head")
_UPDATE = ("seed", "update", "block", "head")


def _aligned(what: str) -> dict[str, tuple[str, str]]:
    """Return suffix, unit and meaning of the three variables of one alignment."""
    return {
        "cosine": ("1", f"cosine between the update of {what}"),
        "control": ("1", f"mean cosine of random updates of the same size, of {what}"),
        "p": ("1", f"chance of so large a cosine by a random update, of {what}"),
    }


_KINDS = {
    "routing": "scores and routing by advantage",
    "value": "values and their responsibility-weighted gradients, downhill",
}

GROUP = Group(
    "gradients inside attention, and how updates follow them",
    {
        "score_error": Variable(
            _BLOCK,
            "1",
            "largest error of the identity for scores, over the largest gradient",
            required=False,
        ),
        "value_error": Variable(
            _BLOCK,
            "1",
            "largest error of the identity for values, over the largest gradient",
            required=False,
        ),
        "score_gradient": Variable(
            _HEAD,
            "bit",
            "root mean square over sequences of the norm of the scores' gradient",
            required=False,
        ),
        "value_gradient": Variable(
            _HEAD,
            "bit",
            "root mean square over sequences of the norm of the values' gradient",
            required=False,
        ),
        **{
            f"{kind}_{suffix}": Variable(_UPDATE, units, meaning, required=False)
            for kind, what in _KINDS.items()
            for suffix, (units, meaning) in _aligned(what).items()
        },
    },
    {
        "missing": Attribute("text", "why there is nothing to tell", required=False),
        "objective": Attribute("text", "name of the loss", required=False),
        "num_sequences": Attribute("number", "sequences that are looked at", required=False),
        "num_controls": Attribute("number", "random updates beside each one", required=False),
        "routing_null": Attribute(
            "number",
            "95 % of random directions of scores have a smaller cosine, in absolute value",
            required=False,
        ),
        "value_null": Attribute(
            "number",
            "95 % of random directions of values have a smaller cosine, in absolute value",
            required=False,
        ),
    },
    required=False,
)
"""Its variables and attributes."""
