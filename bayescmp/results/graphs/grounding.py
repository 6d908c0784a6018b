"""The table of ``/grounding``: what is answered where a knowledge base has no posterior."""

from bayescmp.results.vocabulary import Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "predictor": Dimension("who answers", start=None),
    "kind": Dimension("kind of question", start=None),
}
"""Axes that only this group has."""

_KIND = ("seed", "predictor", "kind")
_SEED = ("seed",)


def _of_training(name: str, whose: str) -> dict[str, Variable]:
    """Return what claims may name of networks trained in one way."""
    meanings = {
        "mass": "impossible mass, all questions",
        "seen_mass": "impossible mass, kinds of question seen in training",
        "unseen_mass": "impossible mass, contradictions not seen in training",
        "unseen_confidence": "confidence, contradictions not seen in training",
        "held_out_error": "total variation, combinations not seen in training",
        "error": "total variation, other questions with a posterior",
    }
    return {
        f"{name}_{each}": Variable(_SEED, "1", f"{meaning}; {whose}")
        for each, meaning in meanings.items()
    }


GROUP = Group(
    "questions to a grounded knowledge base, some of them without a posterior",
    {
        "impossible_mass": Variable(_KIND, "1", "probability given to answers that are impossible"),
        "confidence": Variable(_KIND, "1", "larger of the probabilities of no and yes"),
        "sure": Variable(_KIND, "1", "share of questions with a confidence of 0.9 or more"),
        "total_variation": Variable(_KIND, "1", "total variation distance to the exact law"),
        "count": Variable(("seed", "kind"), "1", "questions that each mean is over", "int"),
        "constructed_tree_error": Variable(
            _SEED, "1", "largest error of the constructed network on a tree"
        ),
        "constructed_loop_error": Variable(
            _SEED, "1", "total variation of the constructed network where loops are"
        ),
        "constructed_contradictory_mass": Variable(
            _SEED, "1", "impossible mass, constructed, contradictory facts"
        ),
        "constructed_contradictory_confidence": Variable(
            _SEED, "1", "confidence, constructed, contradictory facts"
        ),
        "propagation_misses": Variable(
            _SEED, "1", "share of contradictions belief propagation misses, with loops"
        ),
        "propagation_tree_misses": Variable(
            _SEED, "1", "share of contradictions belief propagation misses, on a tree"
        ),
        **_of_training("trained", "trained on exact laws"),
        **_of_training("sampled", "trained on drawn answers"),
    },
    required=False,
)
"""Its variables."""
