"""The table of ``/uncertainty``: its split, what a predictor expects to learn, and baselines."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "split_of": Dimension("whose epistemic uncertainty: exact, or predictor", start=None),
    "own_question": Dimension("position from which the predictor draws its own future", start=None),
    "prediction_set": Dimension("how outcomes were chosen into a set", start=None),
}
"""Axes that only this group has."""

_POSITION = ("seed", "position")
_SPLIT = ("seed", "split_of")
_QUESTION = ("seed", "own_question")
_SET = ("seed", "prediction_set")

_BY_POSITION = {
    "aleatoric": "mean entropy of the exact law if all latents were known",
    "aleatoric_error": "standard error of aleatoric over sequences",
    "epistemic": "mean information that the latents hold about the outcome",
    "epistemic_error": "standard error of epistemic over sequences",
}
_SHRINKAGE = {
    "shrinkage": "exponent by which epistemic uncertainty falls with observations",
    "shrinkage_low": "lower end of its interval over sequences",
    "shrinkage_high": "upper end of its interval over sequences",
}
_OWN = {
    "own_epistemic": "what the predictor expects its own future to tell of the question",
    "own_error": "its standard error",
    "own_exact": "the same of the exact law, by the same way",
    "own_exact_error": "its standard error",
}
_TEMPERATURE = {
    "temperature": "temperature that suits the log loss on held-out sequences best",
    "temperature_low": "lower end of its interval over sequences",
    "temperature_high": "upper end of its interval over sequences",
    "temperature_p_value": "chance of a score as far out, were the temperature one",
    "coverage_p_value": "chance of own sets covering as badly, were the predictor calibrated",
}

GROUP = Group(
    "the predictor's uncertainty: what more data could take away, and recalibrated baselines",
    {
        "entropy": Variable(_POSITION, "bit", "mean entropy of the predictor's law"),
        "excess": Variable(_POSITION, "bit", "mean KL divergence from the exact law to it"),
        **{
            name: Variable(_POSITION, "bit", what, required=False)
            for name, what in _BY_POSITION.items()
        },
        **{name: Variable(_SPLIT, "1", what, required=False) for name, what in _SHRINKAGE.items()},
        **{name: Variable(_QUESTION, "bit", what, required=False) for name, what in _OWN.items()},
        **{name: Variable(("seed",), "1", what) for name, what in _TEMPERATURE.items()},
        "excess_log_loss": Variable(
            ("seed",), "bit", "log loss above the exact one, on sequences that fitted nothing"
        ),
        "tempered_excess_log_loss": Variable(
            ("seed",), "bit", "the same with the fitted temperature"
        ),
        "set_coverage": Variable(_SET, "1", "mean chance that the set holds what comes, exact"),
        "set_coverage_error": Variable(_SET, "1", "its standard error over sequences"),
        "set_size": Variable(_SET, "1", "mean number of outcomes in the set"),
        "set_coverage_by_position": Variable(
            (*_SET, "position"), "1", "chance that the set holds what comes, exact"
        ),
    },
    {
        "how": Attribute("text", "how the split was derived, or why there is none"),
        "futures": Attribute("text", "how the predictor's futures came about, or why not"),
        "level": Attribute("number", "coverage that sets are asked for"),
    },
    required=False,
)
"""Its variables and attributes."""
