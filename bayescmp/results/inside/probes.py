"""The table of ``/probes``: what affine probes read from the stream, beside their controls."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "probe_target": Dimension("what is read: a belief or what follows from it", start=None),
    "probe_place": Dimension("place in the residual stream, or all of them", start=None),
    "probe_control": Dimension("what a read-out is held against", start=None),
    "probe_draw": Dimension("network of the same shape that nobody trained"),
    "probe_head_draw": Dimension("the same, for what heads write"),
}
"""Axes that only this group has."""

_PLACE = ("probe_place",)
_HEAD = ("block", "head")


def _score(
    name: str, unit: str, what: str, place: tuple[str, ...], *, required: bool
) -> dict[str, Variable]:
    """Describe one kind of score, its interval and its controls, none of which stands alone."""
    axes = ("seed", "probe_target")

    def variable(further: tuple[str, ...], text: str) -> Variable:
        return Variable((*axes, *further, *place), unit, text, required=required)

    head = "head_" if place == _HEAD else ""
    text = f"from what one head writes: {what}" if head else what
    return {
        f"{head}{name}": variable((), text),
        f"{head}{name}_low": variable((), f"lower end over sequences: {text}"),
        f"{head}{name}_high": variable((), f"upper end over sequences: {text}"),
        f"{head}control_{name}": variable(("probe_control",), f"of each control: {text}"),
        f"{head}initial_{name}": variable(
            (f"probe_{head}draw",), f"of each network that nobody trained: {text}"
        ),
    }


_SHARE = "share of the target's variance that is read"
_DIVERGENCE = "KL divergence from exact to decoded law"
_CHANCE = "chance of reading as much from one more network that nobody trained"
_SCORE = ("seed", "probe_target", "probe_place")
_HEAD_SCORE = ("seed", "probe_target", "block", "head")

GROUP = Group(
    "what affine probes read from the stream, beside their controls",
    {
        **_score("r_squared", "1", _SHARE, _PLACE, required=True),
        **_score("kl", "bit", _DIVERGENCE, _PLACE, required=False),
        "p_value": Variable(_SCORE, "1", _CHANCE),
        "penalty": Variable(_SCORE, "1", "ridge penalty, as a share of the mean eigenvalue"),
        **_score("r_squared", "1", _SHARE, _HEAD, required=False),
        **_score("kl", "bit", _DIVERGENCE, _HEAD, required=False),
        "head_p_value": Variable(_HEAD_SCORE, "1", _CHANCE, required=False),
        "head_penalty": Variable(
            _HEAD_SCORE, "1", "ridge penalty, as a share of the mean eigenvalue", required=False
        ),
        "rank": Variable(
            ("seed", "probe_place"), "1", "directions in which the features vary", "int"
        ),
        "num_features": Variable(("probe_place",), "1", "features that are read from", "int"),
        "num_columns": Variable(("probe_target",), "1", "numbers that are read", "int"),
        "meaning": Variable(("probe_target",), "1", "what the target is, in words", "str"),
    },
    {
        "judged": Attribute("text", "on which rows read-outs were fitted and judged"),
        "wrong_prior": Attribute("text", "rival with another prior, or none"),
        "floor": Attribute("number", "share of the uniform law in what is decoded"),
        "notes": Attribute("json", "list: what limits the figures"),
    },
    required=False,
)
"""Its variables and attributes."""
