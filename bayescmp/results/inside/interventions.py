"""The table of ``/interventions``: parts taken away or replaced, against the counterfactual."""

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "way": Dimension("what takes the place of a part that is taken away", start=None),
    "part": Dimension("part of a block that is taken away whole", start=None),
    "direction": Dimension("what the removed directions of the stream tell", start=None),
    "steered": Dimension("share of the way to the donor's belief", "%", start=None),
}
"""Axes that only this group has."""

_HEADS = ("seed", "block", "head")
_DAMAGE = "rise of KL(exact || answer)"

GROUP = Group(
    "parts taken away or replaced, against the exact counterfactual",
    {
        "head_damage": Variable(
            ("seed", "way", "block", "head"), "bit", f"{_DAMAGE} without one head", required=False
        ),
        "head_damage_by_position": Variable(
            (*_HEADS, "position"),
            "bit",
            f"{_DAMAGE} with one head's mean in its place, question by question",
            required=False,
        ),
        "head_control": Variable(
            ("seed", "way", "block"),
            "bit",
            f"{_DAMAGE} without as many random directions of the block's heads, mean over draws",
            required=False,
        ),
        "head_control_highest": Variable(
            ("seed", "way", "block"), "bit", "the same, largest of the draws", required=False
        ),
        "head_p_value": Variable(
            _HEADS,
            "1",
            "chance of as much damage, mean in its place, if the head were a draw of its control",
            required=False,
        ),
        "part_damage": Variable(
            ("seed", "way", "part", "block"), "bit", f"{_DAMAGE} without one part of a block"
        ),
        "part_control": Variable(
            ("seed", "way", "part", "block"),
            "bit",
            f"{_DAMAGE} after a change of the same size in random directions, mean over draws",
        ),
        "removal_damage": Variable(
            ("seed", "direction", "stream"),
            "bit",
            f"{_DAMAGE} with the mean in the place of directions that tell something exact",
        ),
        "removal_control": Variable(
            ("seed", "direction", "stream"),
            "bit",
            "the same with as many random directions, mean over draws",
        ),
        "removal_p_value": Variable(
            ("seed", "direction", "stream"),
            "1",
            "chance of as much damage if the directions were random ones",
            required=False,
        ),
        "swap_margin": Variable(
            ("seed", "stream", "position"),
            "bit",
            "KL(own || answer) - KL(counterfactual || answer), donor's stream where it is asked",
        ),
        "swap_margin_before": Variable(
            ("seed", "position"), "bit", "the same for the network's own answer"
        ),
        "swap_margin_donor": Variable(
            ("seed", "position"), "bit", "the same for the network's answer to the donor"
        ),
        "swap_mean": Variable(("seed", "stream"), "bit", "mean of the margin over cases"),
        "swap_mean_before": Variable(("seed",), "bit", "the same for the network's own answer"),
        "swap_mean_donor": Variable(
            ("seed",), "bit", "the same for the network's answer to the donor"
        ),
        "swap_subspace": Variable(
            ("seed", "stream"),
            "bit",
            "mean margin after swapping only the directions that tell the exact probabilities",
        ),
        "swap_control": Variable(
            ("seed", "stream"),
            "bit",
            "mean margin after swapping as many random directions, mean over draws",
        ),
        "swap_stranger": Variable(
            ("seed", "stream"),
            "bit",
            "mean margin after the stream of a stranger is put in, mean over draws",
            required=False,
        ),
        "swap_p_value": Variable(
            ("seed", "stream"),
            "1",
            "chance of as high a mean margin if the donor were one more stranger",
            required=False,
        ),
        "edit_margin": Variable(
            ("seed", "stream", "position"),
            "bit",
            "margin towards a prompt with one other token, its stream put in where that stands",
            required=False,
        ),
        "edit_margin_before": Variable(
            ("seed", "position"), "bit", "the same for the network's own answer", required=False
        ),
        "edit_mean": Variable(
            ("seed", "stream"), "bit", "mean of that margin over cases", required=False
        ),
        "edit_mean_before": Variable(
            ("seed",), "bit", "the same for the network's own answer", required=False
        ),
        "steering_kl": Variable(
            ("seed", "stream", "steered"),
            "bit",
            "KL(steered belief || answer) after moving the stream as beliefs move it",
        ),
        "steering_control": Variable(
            ("seed", "stream", "steered"),
            "bit",
            "the same after a shift of that length in a random direction",
        ),
        "steering_p_value": Variable(
            ("seed", "stream"),
            "1",
            "chance of coming as near, all the way, by a shift in a random direction",
            required=False,
        ),
        "steering_kl_before": Variable(
            ("seed", "steered"), "bit", "the same for the network's own answer"
        ),
    },
    {
        "rank": Attribute("number", "number of directions that tell the exact probabilities"),
        "num_sequences": Attribute("number", "sequences that interventions were made on"),
        "num_controls": Attribute("number", "random changes beside each one"),
        "matched_share": Attribute(
            "number", "share of donors that read the same where the question is asked"
        ),
        "edited_share": Attribute(
            "number", "share of cases with a token that could be another one", required=False
        ),
    },
    required=False,
)
"""Its variables and attributes."""
