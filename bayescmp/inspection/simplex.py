"""The belief simplex as a stream shows it, beside the exact one and that of untrained networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from bayescmp.inspection.domain_restriction import row_sequences
from bayescmp.inspection.recording import Recording
from bayescmp.layers.simplex import apply_affine, explained_share, fit_affine, simplex_corners

MOST_POINTS = 1_000
"""Points that are kept for drawing."""

Points = Float[np.ndarray, "point plane"]
Streams = Float[np.ndarray, "stream row feature"]


@dataclass(frozen=True)
class Simplex:
    """Beliefs as points of a plane, exact and as an affine map reads them from a stream."""

    target: str
    """Site that the belief is about, or the predictive."""
    exact: Points
    """Where the exact beliefs lie."""
    read: Points
    """Where the beliefs lie that are read from the last stream, on sequences not fitted to."""
    initial: Points
    """The same for the first untrained network; NaN where there is none."""
    corners: Float[np.ndarray, "value plane"]
    """Where certainty of each value lies."""
    r_squared: Float[np.ndarray, " stream"]
    """Share of the belief's variance that is read from each stream, held out."""
    r_squared_initial: Float[np.ndarray, "draw stream"]
    """The same for each untrained network."""


@dataclass(frozen=True)
class _Task:
    """What is to be read, and on which rows."""

    beliefs: Float[np.ndarray, "row value"]
    weights: Float[np.ndarray, " row"]
    fitted: Bool[np.ndarray, " row"]
    judged: Bool[np.ndarray, " row"]


def read_simplex(
    recording: Recording, streams: Streams, initial: Sequence[Streams], target: str | None = None
) -> Simplex:
    """Read beliefs from every stream by an affine map.

    The map is fitted on the first half of drawn sequences and judged on the second; where every
    sequence is weighted exactly, both are all of them.

    Args:
        recording: Recording with exact beliefs.
        streams: Residual streams of the network at the questions that count.
        initial: Those of untrained networks.
        target: Latent site; by default the first whose belief is a law over a few values, or
            else the predictive.

    Returns:
        Points and shares.

    Raises:
        ValueError: If there is no belief about the site, or it is no law over its values.
    """
    name, values = choose_target(recording, target)
    task = _divide(recording, recording.rows(values))
    judged, weights = task.beliefs[task.judged], task.weights[task.judged]
    corners = simplex_corners(judged, weights / weights.sum())
    shown = _thin(judged.shape[0])
    found, read = zip(*(_read(stream, task) for stream in streams), strict=True)
    controls = [[_read(stream, task) for stream in one] for one in initial]
    drawn = judged[shown] @ corners
    return Simplex(
        target=name,
        exact=drawn,
        read=read[-1][shown] @ corners,
        initial=controls[0][-1][1][shown] @ corners if controls else np.full_like(drawn, np.nan),
        corners=corners,
        r_squared=np.array(found),
        r_squared_initial=np.array(
            [[share for share, _ in one] for one in controls], np.float64
        ).reshape(-1, streams.shape[0]),
    )


def choose_target(
    recording: Recording, target: str | None
) -> tuple[str, Float[np.ndarray, "sequence position value"]]:
    """Choose whose belief is drawn.

    Args:
        recording: Recording with exact beliefs.
        target: Latent site, or None for the first that fits.

    Returns:
        Its name and the exact belief, or ``predictive`` and the exact predictive.

    Raises:
        ValueError: If there is no belief about the site, or it is no law over its values.
    """
    if target is None:
        laws = (pair for pair in recording.belief.items() if _is_law(pair[1], recording))
        return next(laws, ("predictive", np.exp(recording.evaluation.log_p)))
    if target == "predictive":
        return target, np.exp(recording.evaluation.log_p)
    if target not in recording.belief:
        known = ", ".join((*recording.belief, "predictive"))
        raise ValueError(f"target: expected one of {known}, got {target!r}")
    if not _is_law(recording.belief[target], recording):
        raise ValueError(
            f"target: expected a site whose belief is one law over its values, got {target!r}"
        )
    return target, recording.belief[target]


def _is_law(belief: Float[np.ndarray, "sequence position value"], recording: Recording) -> bool:
    """Tell whether a belief is one law over two values or more, wherever a question counts."""
    rows = recording.rows(belief)
    sums = rows.sum(axis=1)
    return rows.shape[1] > 1 and bool((rows >= 0.0).all() and (np.abs(sums - 1.0) < 1e-6).all())


def _divide(recording: Recording, beliefs: Float[np.ndarray, "row value"]) -> _Task:
    """Say which rows are fitted to and which are judged."""
    weights = recording.row_weights
    if recording.is_exhaustive:
        every = np.ones(weights.shape, bool)
        return _Task(beliefs, weights, every, every)
    fitted = row_sequences(recording) < recording.counts.shape[0] // 2
    return _Task(beliefs, weights, fitted, ~fitted)


def _read(
    stream: Float[np.ndarray, "row feature"], task: _Task
) -> tuple[float, Float[np.ndarray, "judged_row value"]]:
    """Fit one stream, and return what it explains and what it says on judged rows."""
    fitted = fit_affine(stream[task.fitted], task.beliefs[task.fitted], task.weights[task.fitted])
    read = apply_affine(stream[task.judged], fitted)
    weights = task.weights[task.judged]
    return explained_share(task.beliefs[task.judged], read, weights / weights.sum()), read


def _thin(num_rows: int) -> np.ndarray:
    """Choose evenly spaced rows for drawing."""
    return np.unique(np.linspace(0, num_rows - 1, min(num_rows, MOST_POINTS)).round().astype(int))
