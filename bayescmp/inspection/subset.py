"""As many sequences of a recording as an instrument needs, without loss of their law."""

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Int

from bayescmp._types import Key
from bayescmp.inspection.recording import Recording

MOST_SEQUENCES = 256
"""Drawn sequences that are looked at, at most."""

FEWEST_SEQUENCES = 16
"""Drawn sequences that are looked at however long they are, where there are as many."""

MOST_ROWS = 2**13
"""Questions that are looked at, where that is no fewer sequences than the above."""


MOST_FOR_HEADS = 512
"""Drawn sequences that single heads are looked at on: their writes have few components."""


def take_for_heads(recording: Recording) -> Recording:
    """Keep as many sequences as single heads need.

    Args:
        recording: Recording of any size.

    Returns:
        The first of drawn sequences; all where every one is listed.
    """
    if recording.is_exhaustive:
        return recording
    return recording.cut(slice(0, MOST_FOR_HEADS))


def take_subset(recording: Recording, *, key: Key) -> Recording:
    """Keep as many sequences as directions and variances need.

    Args:
        recording: Recording of any size.
        key: Typed key of the draw.

    Returns:
        Every sequence with its exact weight where few are listed; where many are, sequences
        drawn by their probability, which count the same; of drawn ones the first.
    """
    num = min(MOST_SEQUENCES, max(FEWEST_SEQUENCES, MOST_ROWS // recording.counts.shape[1]))
    if not recording.is_exhaustive:
        return recording.cut(slice(0, num))
    if recording.counts.size <= MOST_ROWS:
        return recording
    chance = recording.sequence_weights
    return _pick(recording, make_generator(key).choice(chance.size, num, p=chance))


def make_generator(key: Key) -> np.random.Generator:
    """Return NumPy's generator for a key.

    Args:
        key: Typed key.

    Returns:
        The generator; the same for the same key.
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def _pick(recording: Recording, chosen: Int[np.ndarray, " sequence"]) -> Recording:
    """Return some sequences, all of the same weight."""
    evaluation = recording.evaluation
    some = replace(
        evaluation,
        batch=jax.tree.map(lambda leaf: leaf[chosen], evaluation.batch),
        log_p=evaluation.log_p[chosen],
        weights=None,
    )
    return replace(
        recording,
        evaluation=some,
        belief={site: values[chosen] for site, values in recording.belief.items()},
        log_q=recording.log_q[chosen],
        streams=recording.streams[:, chosen],
        writes=None if recording.writes is None else recording.writes[:, :, chosen],
    )
