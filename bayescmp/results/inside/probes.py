"""The table of ``/probes``: what affine probes read from the stream, beside their controls."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "probe_target": Dimension("what is read: a belief or what follows from it", start=None),
    "probe_place": Dimension("place in the residual stream, or all of them", start=None),
    "probe_control": Dimension("what a read-out is held against", start=None),
    "probe_draw": Dimension("network of the same shape that nobody trained"),
}
"""Axes that only this group has."""

_SCORE = ("seed", "probe_target", "probe_place")
_CONTROL = ("seed", "probe_target", "probe_control", "probe_place")
_DRAW = ("seed", "probe_target", "probe_draw", "probe_place")


def _score(name: str, unit: str, what: str, *, required: bool) -> dict[str, Variable]:
    """Describe one kind of score, its interval and its controls, none of which stands alone."""
    return {
        name: Variable(_SCORE, unit, what, required=required),
        f"{name}_low": Variable(
            _SCORE, unit, f"lower end over sequences: {what}", required=required
        ),
        f"{name}_high": Variable(
            _SCORE, unit, f"upper end over sequences: {what}", required=required
        ),
        f"control_{name}": Variable(_CONTROL, unit, f"of each control: {what}", required=required),
        f"initial_{name}": Variable(
            _DRAW, unit, f"of each network that nobody trained: {what}", required=required
        ),
    }


GROUP = Group(
    "what affine probes read from the stream, beside their controls",
    {
        **_score("r_squared", "1", "share of the target's variance that is read", required=True),
        **_score("kl", "bit", "KL divergence from exact to decoded law", required=False),
        "p_value": Variable(
            _SCORE, "1", "chance of reading as much from one more network that nobody trained"
        ),
        "penalty": Variable(_SCORE, "1", "ridge penalty, as a share of the mean eigenvalue"),
        "rank": Variable(
            ("seed", "probe_place"), "1", "directions in which the features vary", "int"
        ),
        "num_features": Variable(("probe_place",), "1", "features that are read from", "int"),
        "num_columns": Variable(("probe_target",), "1", "numbers that are read", "int"),
        "meaning": Variable(("probe_target",), "1", "what the target is, in words", "str"),
    },
    {
        "judged": Attribute("text", "on which rows read-outs were fitted and judged"),
        "wrong_prior": Attribute("text", "rival with another prior, or empty"),
        "floor": Attribute("number", "share of the uniform law in what is decoded"),
        "notes": Attribute("json", "list: what limits the figures"),
    },
    required=False,
)
"""Its variables and attributes."""
