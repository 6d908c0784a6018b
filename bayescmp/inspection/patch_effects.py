"""Where changes of the residual stream do more than random changes, and more than untrained ones.

Directions that tell the exact answer lie where the stream varies most, so that taking them away
costs more than taking random ones away even in a network that nobody trained, where the answer
moves with them by chance. Both controls are therefore needed, and the larger p-value counts.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.effect import Effect, exceedance
from bayescmp.inspection.evidence_edits import edit_evidence
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.intervention_cases import choose_cases
from bayescmp.inspection.patch_rows import DIRECTIONS
from bayescmp.inspection.patching import Patches, patch
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.inspection.subset import make_generator, take_for_heads
from bayescmp.inspection.telling_directions import fit_directions

NUM_UNTRAINED = 6
"""Networks with initial weights whose streams are changed in the same ways."""

Gains = dict[str, Float[np.ndarray, "*direction stream"]]
"""What each kind of change does, place by place; large values speak for an effect."""


def patch_untrained(recording: Recording, num_sequences: int, *, key: Key) -> tuple[Patches, ...]:
    """Change the residual stream of networks with initial weights in the same ways.

    They are changed on fewer sequences than the network itself, which can only widen the spread.

    Args:
        recording: A network on held-out sequences.
        num_sequences: Sequences to intervene on, at most.
        key: Typed key of the networks, questions and donors.

    Returns:
        What the changes do in each; none where the network does not know its configuration.
    """
    keys = jax.random.split(key, 4)
    few, found = take_for_heads(recording), []
    for network in draw_initial(recording.network, NUM_UNTRAINED, key=keys[0]):
        other = record_on(network, few.evaluation, few.belief)
        cases = choose_cases(other, num_sequences, key=keys[1])
        edits = edit_evidence(cases, make_generator(keys[2]))
        directions = fit_directions(other.split()[0], key=keys[3])
        found.append(patch(cases, edits, directions, 1, key=keys[3]))
    return tuple(found)


def list_candidates(
    own: Patches, untrained: Sequence[Patches], names: Sequence[str]
) -> tuple[Effect, ...]:
    """Hold every change at every place against both of its controls.

    Args:
        own: What the changes do in the network.
        untrained: The same in networks with initial weights.
        names: Names of the places.

    Returns:
        One for each change and place, in nats; none where there are no untrained networks.
    """
    if not untrained:
        return ()
    gains, others = _gains(own), [_gains(one) for one in untrained]
    beside, p_values = _beside(own), _p_values(own)
    found = []
    for kind, values in gains.items():
        drawn = np.stack([other[kind] for other in others])
        for place in np.argwhere(np.isfinite(values)):
            at = tuple(place.tolist())
            p_untrained = exceedance(float(values[at]), drawn[(slice(None), *at)])
            what = kind if len(at) == 1 else f"without {_TOLD[at[0]]}"
            found.append(
                Effect(
                    where=f"{names[at[-1]]}: {what}",
                    value=float(values[at]),
                    control=float(beside[kind][at]),
                    p_value=max(p_untrained, float(p_values[kind][at])),
                )
            )
    return tuple(found)


_TOLD = tuple(
    "the key frame" if name == "key frame" else f"what tells the {name}" for name in DIRECTIONS
)


def _gains(one: Patches) -> Gains:
    """Return damage, the rise of the margin, and how much nearer to the donor's belief."""
    return {
        "removal": one.removals.damage,
        "swap": one.swaps.mean_after - one.swaps.mean_before,
        "steering": one.steerings.before[-1] - one.steerings.after[:, -1],
    }


def _beside(one: Patches) -> Gains:
    """Return what random changes of the same kind do, mean over draws."""
    return {
        "removal": one.removals.controls.mean(axis=-1),
        "swap": one.swaps.strangers.mean(axis=-1) - one.swaps.mean_before,
        "steering": one.steerings.before[-1] - one.steerings.turned.mean(axis=-1),
    }


def _p_values(one: Patches) -> Gains:
    """Return the chance that one more random change would do as much."""
    return {
        "removal": one.removals.p_values(),
        "swap": one.swaps.p_values(),
        "steering": one.steerings.p_values(),
    }
