"""Scores of every place of a residual stream, with the controls that depend on the place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from bayescmp.inspection.probe_controls import random_basis, shuffle_rows
from bayescmp.inspection.probe_intervals import Interval, intervals
from bayescmp.inspection.probe_results import ALL_PLACES
from bayescmp.inspection.probe_scores import Design, Examples, Score, design, judge, score
from bayescmp.inspection.recording import Recording
from bayescmp.layers.ridge import AffineMap, fit_ridge

NUM_SUBSPACES = 3
"""Random subspaces over which that control is averaged."""

MOST_FEATURES = 2_048
"""Features above which the places are not read all together."""

Scores = tuple[Score, ...]
"""One for each target."""


@dataclass(frozen=True)
class PlaceScores:
    """What is read at one place, one entry for each target."""

    scores: Scores
    intervals: tuple[tuple[Interval, Interval], ...]
    """Of share explained and divergence."""
    shuffled: Scores
    """The same with labels of other sequences."""
    subspace: tuple[tuple[float, float], ...]
    """Share explained and divergence, means over random subspaces of the read-out's rank."""
    num_features: int


def find_places(recording: Recording) -> dict[str, slice]:
    """Return which of the features that ``stack_streams`` puts side by side are whose.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Features of each place, and all of them where they are not too many.
    """
    num, size = len(recording.stream_names), recording.streams.shape[-1]
    places = {
        name: slice(place * size, (place + 1) * size)
        for place, name in enumerate(recording.stream_names)
    }
    return places | ({ALL_PLACES: slice(0, num * size)} if num * size <= MOST_FEATURES else {})


def stack_streams(recording: Recording) -> Float[np.ndarray, "row feature"]:
    """Put all places side by side, one row for each question that counts.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Rows in the network's own precision.
    """
    rows = recording.streams[:, recording.counts]
    return np.moveaxis(rows, 0, 1).reshape(rows.shape[1], -1)


def score_streams(
    recording: Recording, examples: Examples, places: Mapping[str, slice]
) -> dict[str, Scores]:
    """Score every place of a network, without further controls.

    Args:
        recording: A network on the sequences of the examples.
        examples: Targets, and which rows are for what.
        places: Features of each place.

    Returns:
        Scores by place.
    """
    found = design(stack_streams(recording), examples)
    return {name: score(found.take(part), examples) for name, part in places.items()}


def score_places(
    recording: Recording,
    examples: Examples,
    places: Mapping[str, slice],
    rng: np.random.Generator,
) -> dict[str, PlaceScores]:
    """Score every place of a network, with the controls that depend on the place.

    Args:
        recording: A network on the sequences of the examples.
        examples: Targets, and which rows are for what.
        places: Features of each place.
        rng: Source of shuffled labels and random subspaces.

    Returns:
        Scores by place.
    """
    features = stack_streams(recording)
    drawn = shuffle_rows(examples.positions, examples.weights, rng)
    others = replace(examples, values=examples.values[drawn])
    found, mixed = design(features, examples), design(features, others)
    return {
        name: _score_place(found.take(part), examples, score(mixed.take(part), others), rng)
        for name, part in places.items()
    }


def _score_place(
    found: Design, examples: Examples, shuffled: Scores, rng: np.random.Generator
) -> PlaceScores:
    scores = score(found, examples)
    return PlaceScores(
        scores,
        tuple(intervals(one, found, examples, index) for index, one in enumerate(scores)),
        shuffled,
        tuple(_score_subspaces(one, found, examples, i, rng) for i, one in enumerate(scores)),
        found.features.shape[1],
    )


def _score_subspaces(
    own: Score, found: Design, examples: Examples, index: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Read a target from random subspaces of the rank of its read-out.

    A subspace of all directions in which the features vary is no other than the stream.
    """
    full = own.read_out.affine
    rank = max(1, int(np.linalg.matrix_rank(full.coefficients, rtol=1e-9)))
    if rank >= own.read_out.rank:
        return own.r_squared, own.kl
    shares = []
    for _ in range(NUM_SUBSPACES):
        basis = random_basis(len(full.coefficients), rank, rng)
        (inner,) = fit_ridge(*found.project(basis, examples.columns[index]))
        coefficients = basis @ inner.affine.coefficients
        affine = AffineMap(full.feature_mean, full.target_mean, coefficients)
        one = judge(replace(inner, affine=affine), found, examples, index)
        shares.append((one.r_squared, one.kl))
    share, kl = np.mean(shares, axis=0).tolist()
    return share, kl
