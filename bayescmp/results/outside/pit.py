"""The table of ``/pit``: the probability integral transform of a predictor's outcomes."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "pit_level": Dimension("level at which transforms are counted, in hundredths", start=1),
    "entropy_level": Dimension("level of exact entropy, from the least to the greatest"),
}
"""Axes of this group; levels of entropy are the same in ``/reliability``."""


def _curves(suffix: str, place: tuple[str, ...], *, required: bool = True) -> dict[str, Variable]:
    """Return what is said of each curve of one kind."""
    curve = ("seed", *place, "pit_level")
    rows = {
        "difference": Variable(
            curve, "1", "share of transforms at most as large, minus the level", required=required
        ),
        "band_low": Variable(
            curve, "1", "lower limit of the band at all levels together", required=required
        ),
        "band_high": Variable(curve, "1", "upper limit of that band", required=required),
        "exact_difference": Variable(
            curve, "1", "the difference's mean over outcomes, by exact laws", required=required
        ),
        "distance": Variable(
            curve[:-1], "1", "greatest distance from the uniform distribution", required=required
        ),
        "exact_distance": Variable(
            curve[:-1], "1", "greatest distance without any outcome drawn", required=required
        ),
        "p_value": Variable(
            curve[:-1], "1", "p-value of transforms being uniform", required=required
        ),
        "num": Variable(
            curve[:-1], "1", "questions, each of another sequence", "int", required=required
        ),
    }
    return {f"{name}{suffix}": row for name, row in rows.items()}


GROUP = Group(
    "where outcomes fall in the laws that foretold them, by independent questions",
    {
        **_curves("", ()),
        **_curves("_by_position", ("position",)),
        **_curves("_by_entropy", ("entropy_level",)),
        **_curves("_by_stream", ("stream",), required=False),
        "entropy_low": Variable(
            ("seed", "entropy_level"), "bit", "least exact entropy of the level"
        ),
        "entropy_high": Variable(
            ("seed", "entropy_level"), "bit", "greatest exact entropy of the level"
        ),
        "off_by_position": Variable(
            ("seed", "position"),
            "1",
            "whether transforms are not uniform there, all positions looked at together",
            "bool",
        ),
        "dependence": Variable(
            ("seed",), "1", "correlation of successive transforms", required=False
        ),
        "dependence_p_value": Variable(
            ("seed",), "1", "p-value of successive transforms being independent", required=False
        ),
    },
    {"coverage": Attribute("number", "chance of a whole curve inside its band, if calibrated")},
    required=False,
)
"""Its variables and attributes."""
