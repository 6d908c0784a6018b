"""Scores of every place of a residual stream, with the controls that depend on the place."""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Features:
    """What is read from, with the features of each place side by side."""

    rows: Float[np.ndarray, "row feature"]
    """One row for each question that counts, in the network's own precision."""
    places: Mapping[str, slice]
    """Which of the features are whose."""


def stream_features(recording: Recording) -> Features:
    """Put all places of a residual stream side by side.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Features of each place, and of all of them where they are not too many.
    """
    found = _join(recording, recording.stream_names, tuple(recording.streams))
    num = found.rows.shape[1]
    together = {ALL_PLACES: slice(0, num)} if num <= MOST_FEATURES else {}
    return replace(found, places={**found.places, **together})


def head_features(recording: Recording) -> Features:
    """Put what all attention heads write side by side, each in a basis of its own.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Features of each head; no head where nothing attends.
    """
    return _join(recording, recording.head_names, recording.heads)


def _join(
    recording: Recording,
    names: Sequence[str],
    parts: Sequence[Float[np.ndarray, "sequence position feature"]],
) -> Features:
    """Lay the rows of several places side by side."""
    rows = [recording.rows(part) for part in parts]
    if not rows:
        return Features(np.zeros((len(recording.row_weights), 0), np.float32), {})
    size = rows[0].shape[1]
    places = {name: slice(i * size, (i + 1) * size) for i, name in enumerate(names)}
    return Features(np.concatenate(rows, axis=1), places)


def score_features(features: Features, examples: Examples) -> dict[str, Scores]:
    """Score every place of a network, without further controls.

    Args:
        features: What is read from, on the rows of the examples.
        examples: Targets, and which rows are for what.

    Returns:
        Scores by place.
    """
    if not features.places:
        return {}
    found = design(features.rows, examples)
    return {name: score(found.take(part), examples) for name, part in features.places.items()}


def score_places(
    features: Features, examples: Examples, rng: np.random.Generator
) -> dict[str, PlaceScores]:
    """Score every place of a network, with the controls that depend on the place.

    Args:
        features: What is read from, on the rows of the examples.
        examples: Targets, and which rows are for what.
        rng: Source of shuffled labels and random subspaces.

    Returns:
        Scores by place.
    """
    if not features.places:
        return {}
    drawn = shuffle_rows(examples.positions, examples.weights, rng)
    others = replace(examples, values=examples.values[drawn])
    found, mixed = design(features.rows, examples), design(features.rows, others)
    return {
        name: _score_place(found.take(part), examples, score(mixed.take(part), others), rng)
        for name, part in features.places.items()
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
