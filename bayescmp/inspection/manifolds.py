"""How values of each block and every stream spread, beside matched nulls and untrained networks."""

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from jaxtyping import Float

from bayescmp.inspection.geometry_record import Controlled, Manifolds
from bayescmp.inspection.heads import control
from bayescmp.inspection.readings import Reading
from bayescmp.inspection.recording import Recording
from bayescmp.layers.manifold import (
    Manifold,
    describe_manifold,
    gaussian_shares,
    participation_ratio,
    permuted_shares,
)

NUM_NULLS = 5
"""Draws of each matched null."""

Pair = tuple[float, float]
"""Share of the first component, and participation ratio."""


def measure_manifolds(
    recording: Recording, readings: Sequence[Reading], rng: np.random.Generator
) -> Manifolds:
    """Describe values and streams at the questions that count.

    Args:
        recording: Recording of the network.
        readings: What the network computes, then what untrained ones do.
        rng: Generator of the nulls.

    Returns:
        All measures with all nulls.
    """
    everything = control(readings, _Description(recording))
    names = [field.name for field in fields(Manifold)]
    measures = {
        name: Controlled(everything.value[:, column], everything.initial[..., column])
        for column, name in enumerate(names)
    }
    places = _places(readings[0])
    return Manifolds(
        names=_names(recording, readings[0]),
        measures=measures,
        gaussian=_by_name(_gaussian(recording, places, rng)),
        permuted=_by_name(
            [
                _mean(lambda rows=rows: permuted_shares(rows, recording.row_weights, rng))
                for rows in places
            ]
        ),
    )


class _Description:
    """The fields of a manifold's description, for every place of a reading."""

    def __init__(self, recording: Recording) -> None:
        self.weights = recording.row_weights
        self.position = np.nonzero(recording.counts)[1].astype(np.float64)
        log_p = recording.rows(recording.evaluation.log_p)
        finite = np.where(np.isneginf(log_p), 0.0, log_p)
        # Rounded, so that laws that are the same but for the order of their outcomes are ties.
        self.entropy = np.round(-np.sum(np.exp(log_p) * finite, axis=-1), 9)

    def __call__(self, reading: Reading) -> Float[np.ndarray, "place field"]:
        return np.array([self._of_place(rows) for rows in _places(reading)])

    def _of_place(self, rows: Float[np.ndarray, "row feature"]) -> list[float]:
        found = describe_manifold(rows, self.weights, self.entropy, self.position)
        return [getattr(found, field.name) for field in fields(found)]


def _gaussian(
    recording: Recording, places: Sequence[np.ndarray], rng: np.random.Generator
) -> list[Pair]:
    """Draw the null of independent normal features once for each size."""
    # Rows of unequal weight are worth as many equal ones as their weights' squares say.
    num_rows = max(2, round(1.0 / float(np.sum(recording.row_weights**2))))
    sizes = [rows.shape[1] for rows in places]
    drawn = {
        size: _mean(lambda size=size: gaussian_shares(num_rows, size, rng))
        for size in sorted(set(sizes))
    }
    return [drawn[size] for size in sizes]


def _mean(draw: Callable[[], np.ndarray]) -> Pair:
    """Average over draws; NaN where nothing varies."""
    shares = [draw() for _ in range(NUM_NULLS)]
    if not all(one.size for one in shares):
        return float("nan"), float("nan")
    first = float(np.mean([one[0] for one in shares]))
    return first, float(np.mean([participation_ratio(one) for one in shares]))


def _by_name(pairs: Sequence[Pair]) -> dict[str, Float[np.ndarray, " place"]]:
    pc1, participation = np.array(pairs).T
    return {"pc1": pc1, "participation": participation}


def _places(reading: Reading) -> list[Float[np.ndarray, "row feature"]]:
    values = [] if reading.values is None else list(reading.values)
    return [*values, *reading.streams]


def _names(recording: Recording, reading: Reading) -> tuple[str, ...]:
    num = 0 if reading.values is None else len(reading.values)
    return (*(f"values {block}" for block in range(1, num + 1)), *recording.stream_names)
