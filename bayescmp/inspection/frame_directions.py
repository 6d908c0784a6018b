"""The key frame of a residual stream: the directions along which the next block's keys differ."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.subset import take_subset
from bayescmp.layers.directions import shared_directions
from bayescmp.layers.interventions import read_activations
from bayescmp.layers.keys import project_keys
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork

MOST_SEQUENCES = 64
"""Sequences whose keys are looked at, at every input position, where sequences were drawn."""


def fit_frame(
    recording: Recording, rank: int, *, key: Key
) -> tuple[Float[np.ndarray, "feature rank"] | None, ...]:
    """Find the directions along which the keys differ that the next block makes of a stream.

    At each input position both are taken less their mean over sequences, so that what is the
    same for every sequence has no part.

    Args:
        recording: Sequences to fit to.
        rank: How many directions at most.
        key: Typed key of the sequences that are drawn, where too many are listed.

    Returns:
        An orthonormal basis for each place, with columns of zeros where keys differ along fewer
        directions; None where no block attends to what stands there.
    """
    network, num_places = recording.network, len(recording.stream_names)
    if not isinstance(network, AbstractResidualNetwork):
        return (None,) * num_places
    if not isinstance(network.blocks.mixer, Attention):
        return (None,) * num_places
    some = take_subset(recording, key=key)
    some = some if some.is_exhaustive else some.cut(slice(0, MOST_SEQUENCES))
    streams = read_activations(network, some.evaluation.batch.inputs).streams
    depth, num = network.config.depth, network.config.num_layers
    readers = [(place + 1) // 2 for place in range(num_places)]
    found = []
    for reader, stream in zip(readers, np.asarray(streams), strict=True):
        if reader == depth:
            found.append(None)
            continue
        keys = np.asarray(project_keys(network, reader % num, jnp.asarray(stream)))
        joined = np.moveaxis(keys, 1, 2).reshape(*stream.shape[:2], -1)
        found.append(_share(stream, joined, some.sequence_weights, rank))
    return tuple(found)


def _share(
    stream: np.ndarray, keys: np.ndarray, weights: Float[np.ndarray, " sequence"], rank: int
) -> Float[np.ndarray, "feature rank"]:
    """Return the directions that a stream shares with keys, within each input position."""
    by_row = np.repeat(weights, stream.shape[1])

    def centre(values: np.ndarray) -> np.ndarray:
        wide = values.astype(np.float64)
        return (wide - np.tensordot(weights, wide, (0, 0))).reshape(len(by_row), -1)

    return shared_directions(centre(stream), centre(keys), by_row, rank)
