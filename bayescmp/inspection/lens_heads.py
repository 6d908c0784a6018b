"""The Bayes lens of what every attention head writes, in a network and in untrained ones."""

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.lens_distances import mean_kl
from bayescmp.inspection.lens_fitting import (
    fit_head_lenses,
    most_questions,
    plan_fitting,
    read_head_lens,
)
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.inspection.subset import take_for_heads

NUM_DRAWS = 16
"""Networks with initial weights: many, since some of their heads read much by chance."""

MOST_FITTED = 2**11
"""Questions that the lens of a head is fitted to, at most: it has few numbers to find, and is
fitted in every network with initial weights too."""


def read_heads(recording: Recording, *, key: Key) -> Float[np.ndarray, " head"]:
    """Measure how far what is read from each head's write is from exact.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of the questions that lenses are fitted to.

    Returns:
        Mean KL from the exact predictive to the Bayes lens of each head, in bits.
    """
    part, judged = take_for_heads(recording).split()
    plan = plan_fitting(part, min(MOST_FITTED, most_questions(part)[0]), key=key)
    lenses = enumerate(fit_head_lenses(part, plan))
    return np.array([mean_kl(judged, read_head_lens(judged, lens, head)) for head, lens in lenses])


def read_untrained_heads(
    recording: Recording, num_draws: int, *, key: Key
) -> Float[np.ndarray, "draw head"]:
    """Measure the same in networks of the same shape with initial weights.

    Args:
        recording: A network on held-out sequences.
        num_draws: How many networks.
        key: Typed key, the same as for the network itself.

    Returns:
        One row for each; no rows where the network does not know its configuration.
    """
    few, num_heads = take_for_heads(recording), len(recording.heads)
    num = num_draws if num_heads else 0
    drawn = draw_initial(recording.network, num, key=jax.random.fold_in(key, 1))
    others = (record_on(network, few.evaluation, few.belief) for network in drawn)
    return np.array([read_heads(other, key=key) for other in others]).reshape(-1, num_heads)
