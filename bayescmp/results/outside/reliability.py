"""The table of ``/reliability``: what probabilities turn out to mean."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "forecast": Dimension("predicted probability at which curves are read, in hundredths"),
    "reliability_curve": Dimension("over all outcomes, or the likeliest ones", start=None),
    "against": Dimension("what forecasts are held against: outcomes, exact law", start=None),
    "score_part": Dimension("score and its parts", start=None),
    "calibration_kind": Dimension("mean over classes, or the likeliest outcome", start=None),
    "calibration_estimator": Dimension("estimator of the calibration error", start=None),
    "entropy_level": Dimension("level of exact entropy, from the least to the greatest"),
}
"""Axes of this group; levels of entropy are the same in ``/pit``."""

_CURVE = ("seed", "reliability_curve", "forecast")
_LEVEL = ("seed", "entropy_level")


def _tests(place: tuple[str, ...]) -> dict[str, Variable]:
    """Return what outcomes drawn from the laws themselves tell."""
    dims = ("seed", *place)
    return {
        "brier_null": Variable(
            dims, "1", "mean miscalibration of outcomes drawn from the laws themselves, Brier score"
        ),
        "log_null": Variable(
            dims, "bit", "mean miscalibration of outcomes drawn from the laws themselves, log score"
        ),
        "brier_p_value": Variable(dims, "1", "p-value of miscalibration in the Brier score"),
        "log_p_value": Variable(dims, "1", "p-value of miscalibration in the log score"),
    }


def _scores(place: tuple[str, ...], *, required: bool) -> dict[str, Variable]:
    """Return decomposed scores and calibration errors."""
    parts = ("seed", "against", "score_part", *place)
    errors = ("seed", "calibration_kind", "calibration_estimator", *place)
    kinds = ("seed", "calibration_kind", *place)
    rows = {
        "brier": (parts, "1", "Brier score and its parts, summed over outcomes"),
        "log": (parts, "bit", "log score of each outcome against the rest and its parts, summed"),
        "error": (errors, "1", "calibration error against outcomes"),
        "exact_error": (errors, "1", "the same against exact probabilities"),
        "error_gap": (errors, "1", "calibration error against outcomes minus the exact one"),
        "squared": (kinds, "1", "mean square calibration error against outcomes, less its bias"),
        "exact_squared": (kinds, "1", "mean square calibration error against exact probabilities"),
    }
    table = {name: Variable(*row, required=required) for name, row in rows.items()}
    num = Variable(
        ("seed", *place), "1", "questions, each of another sequence", "int", required=required
    )
    return {**table, "num": num}


def _suffixed(suffix: str, rows: dict[str, Variable]) -> dict[str, Variable]:
    return {f"{name}{suffix}": row for name, row in rows.items()}


GROUP = Group(
    "what predicted probabilities turn out to mean, by isotonic regression",
    {
        "curve": Variable(_CURVE, "1", "isotonic regression of outcomes on forecasts"),
        "exact_curve": Variable(_CURVE, "1", "that of exact probabilities on forecasts"),
        "curve_low": Variable(
            _CURVE, "1", "lower limit of the band of calibrated forecasts, at all of them together"
        ),
        "curve_high": Variable(_CURVE, "1", "upper limit of that band"),
        **_scores((), required=True),
        **_tests(()),
        **_suffixed("_by_position", _scores(("position",), required=True)),
        **_suffixed("_by_position", _tests(("position",))),
        **_suffixed("_by_entropy", _scores(("entropy_level",), required=True)),
        **_suffixed("_by_entropy", _tests(("entropy_level",))),
        **_suffixed("_by_stream", _scores(("stream",), required=False)),
        "entropy_low": Variable(_LEVEL, "bit", "least exact entropy of the level"),
        "entropy_high": Variable(_LEVEL, "bit", "greatest exact entropy of the level"),
    },
    {
        "coverage": Attribute("number", "chance of a whole curve inside its band, if calibrated"),
        "num_bins": Attribute("number", "equally wide bins of binned errors"),
        "num_draws": Attribute("number", "sets of outcomes drawn from the laws themselves"),
    },
    required=False,
)
"""Its variables and attributes."""
