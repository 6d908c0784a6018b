"""The table of ``/starts``: what training makes of constructed, perturbed and random weights."""

from bayescmp.results.vocabulary import Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "arm": Dimension("activation, start and objective", start=None),
    "task": Dimension("sizes of the trees: as in training, larger, deeper", start=None),
}
"""Axes that only this group has."""

_TASK = ("seed", "arm", "task")
_ARM = ("seed", "arm")
_SEED = ("seed",)

GROUP = Group(
    "networks that pass messages, trained from weights that are set, disturbed or drawn",
    {
        "kl": Variable(_TASK, "bit", "KL divergence from exact to the network, after training"),
        "round_kl": Variable(
            _TASK, "bit", "KL divergence from beliefs after as many rounds as blocks to the network"
        ),
        "progress": Variable(
            _TASK, "1", "where read-outs of blocks stand from their rounds, 0, to exact, 1"
        ),
        "misfit": Variable(_TASK, "1", "how far they stand from that way, in units of its length"),
        "start_kl": Variable(
            _TASK, "bit", "KL divergence from exact to the network, before training"
        ),
        "distance": Variable(_ARM, "1", "distance to the construction, in units of random starts'"),
        "start_distance": Variable(_ARM, "1", "the same before training"),
        "constructed_kl": Variable(_SEED, "bit", "largest kl on seen sizes of constructed starts"),
        "perturbed_kl": Variable(_SEED, "bit", "largest kl on seen sizes of perturbed starts"),
        "perturbed_return": Variable(
            _SEED, "1", "smallest ratio of distances after and before, perturbed starts"
        ),
        "random_kl": Variable(_SEED, "bit", "largest kl on seen sizes of random starts"),
        "random_return": Variable(
            _SEED, "1", "smallest ratio of distances after and before, random starts"
        ),
        "practical_growth": Variable(
            _SEED, "1", "ratio of the practical transformer's kl, larger to seen sizes"
        ),
    },
    required=False,
)
"""Its variables."""
