"""Directions of the residual stream that tell the exact answers, fitted by ridge regression."""

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.frame_directions import fit_frame
from bayescmp.inspection.recording import Recording
from bayescmp.layers.directions import leading_directions
from bayescmp.layers.moments import gather_moments
from bayescmp.layers.ridge import decompose

PENALTY = 1e-3
"""Ridge of the fitted directions, as a share of the mean variance of a feature."""


@dataclass(frozen=True)
class Directions:
    """What a ridge fitted to other sequences finds at each place of the stream."""

    entropy: Float[np.ndarray, "stream feature 1"]
    """The direction that tells the exact entropy."""
    predictive: Float[np.ndarray, "stream feature rank"]
    """The directions that tell the exact probabilities."""
    encoder: Float[np.ndarray, "stream outcome feature"]
    """How the stream moves with the exact probabilities."""
    frame: tuple[Float[np.ndarray, "feature rank"] | None, ...]
    """The directions along which the next block's keys differ; None where none reads the place."""


def fit_directions(recording: Recording, *, key: Key) -> Directions:
    """Fit directions of the residual stream to the exact answers, and to keys, at each place.

    ``entropy`` and ``predictive`` are the leading left singular vectors of the ridge
    regressions from the stream to the exact entropy and to the exact probabilities;
    ``encoder`` is the ridge regression from probabilities to the stream.

    Args:
        recording: Sequences to fit to.
        key: Typed key of the sequences for keys.

    Returns:
        The directions.
    """
    p = np.exp(recording.rows(recording.evaluation.log_p))
    entropy = scipy.special.entr(p).sum(axis=-1, keepdims=True)
    width = recording.streams.shape[-1]
    rank = max(1, min(p.shape[-1] - 1, width // 2))
    weights = recording.row_weights
    found: tuple[list[np.ndarray], ...] = ([], [], [])
    for place in range(recording.streams.shape[0]):
        x = recording.stream_rows(place)
        found[0].append(leading_directions(_ridge(x, entropy, weights), 1))
        found[1].append(leading_directions(_ridge(x, p, weights), rank))
        found[2].append(_ridge(p, x, weights))
    frame = fit_frame(recording, rank, key=key)
    entropy_axis, predictive, encoder = (np.stack(each) for each in found)
    return Directions(entropy_axis, predictive, encoder, frame)


def _ridge(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the coefficients of a ridge regression."""
    spectrum = decompose(gather_moments(x, y, weights))
    return spectrum.read_out(PENALTY, slice(None)).affine.coefficients
