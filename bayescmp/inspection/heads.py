"""Measures of every attention head, beside those of untrained networks and of even attention."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from bayescmp.inspection.geometry_record import Controlled
from bayescmp.inspection.readings import Reading
from bayescmp.inspection.recording import Recording
from bayescmp.layers.key_frame import mean_abs_cosine, random_cosine
from bayescmp.layers.sharpening import (
    Marks,
    even_attention,
    open_sources,
    spent_sources,
    uses_up,
)
from bayescmp.layers.similarity import centre_within, linear_cka

Measure = Callable[[Reading], Float[np.ndarray, "*place"]]


def mark_sources(recording: Recording) -> Float[np.ndarray, "mark position source_position"]:
    """Mark spent and open source positions of every question.

    Args:
        recording: Recording.

    Returns:
        Ones and zeros, the spent ones first.
    """
    layout, num_inputs = recording.oracle.model.layout, _num_inputs(recording)
    asked = layout.asked_positions
    spent: Marks = spent_sources(asked, num_inputs)
    return np.stack([spent, open_sources(asked, num_inputs, len(layout.query))]).astype(float)


def measure_heads(recording: Recording, readings: Sequence[Reading]) -> dict[str, Controlled]:
    """Measure every head of a network and of untrained ones.

    Args:
        recording: Recording of the network.
        readings: What the network computes, then what untrained ones do.

    Returns:
        Measures by name; those that do not apply are left out.
    """
    first = readings[0]
    measures: dict[str, Measure] = {}
    if first.token_keys is not None:
        measures["token_key_cosine"] = lambda one: mean_abs_cosine(there(one.token_keys))
    if first.columns is not None:
        measures["key_column_cosine"] = lambda one: mean_abs_cosine(there(one.columns))
    if first.entropy is not None:
        measures["attention_entropy"] = lambda one: there(one.entropy)
        if has_spent(recording):
            measures["spent_mass"] = lambda one: there(one.mass)[0]
            measures["open_mass"] = lambda one: there(one.mass)[1]
    measures["alignment"] = _Alignment(recording)
    return {name: control(readings, measure) for name, measure in measures.items()}


def control(readings: Sequence[Reading], measure: Measure) -> Controlled:
    """Measure a network, and the untrained ones.

    Args:
        readings: What the network computes, then what untrained ones do.
        measure: From one reading to numbers.

    Returns:
        Both.
    """
    values = np.stack([np.asarray(measure(one), np.float64) for one in readings])
    return Controlled(np.asarray(values[0]), values[1:])


def there(array: np.ndarray | None) -> np.ndarray:
    """Return an array of a reading that the network's own reading has.

    Args:
        array: The array.

    Returns:
        The same.

    Raises:
        ValueError: If it is not there.
    """
    if array is None:
        raise ValueError("readings: expected the same arrays for untrained networks, got fewer")
    return array


def has_spent(recording: Recording) -> bool:
    """Tell whether showing an outcome rules it out, as far as the recording goes.

    Args:
        recording: Recording.

    Returns:
        True for the bijection and others that draw without replacement.
    """
    if not recording.oracle.model.layout.reveal:
        return False
    outcomes = np.asarray(recording.evaluation.batch.outcomes)
    return uses_up(recording.evaluation.log_p, outcomes, recording.counts)


def measure_even(recording: Recording) -> dict[str, float]:
    """Return what attention that looks at its whole past evenly has of the measures.

    Args:
        recording: Recording.

    Returns:
        Entropy in nats, and masses where showing an outcome rules it out.
    """
    asked = recording.oracle.model.layout.asked_positions
    window = getattr(getattr(recording.network, "config", None), "window", None)
    even = even_attention(asked, _num_inputs(recording), window)
    spent, open_ = mark_sources(recording)
    by_question = {"attention_entropy": np.log((even > 0).sum(axis=1))}
    if has_spent(recording):
        by_question |= {"spent_mass": (even * spent).sum(1), "open_mass": (even * open_).sum(1)}
    places = np.nonzero(recording.counts)[1]
    weights = recording.row_weights
    return {name: float(weights @ values[places]) for name, values in by_question.items()}


def measure_chance(reading: Reading) -> dict[str, float]:
    """Return the mean absolute cosine of random directions of as many dimensions.

    Args:
        reading: What a network computes.

    Returns:
        The exact mean for each kind of vector that there is.
    """
    arrays = {
        "token_key_cosine": reading.token_keys,
        "key_column_cosine": reading.columns,
        "embedding_cosine": reading.embeddings,
    }
    known = {name: array for name, array in arrays.items() if array is not None}
    return {name: random_cosine(array.shape[-1]) for name, array in known.items()}


class _Alignment:
    """CKA of what each head writes with the exact predictive, both less their position's mean."""

    def __init__(self, recording: Recording) -> None:
        self.weights = recording.row_weights
        self.places = np.nonzero(recording.counts)[1]
        laws = recording.rows(np.exp(recording.evaluation.log_p))
        self.laws = centre_within(laws, self.places, self.weights)

    def __call__(self, reading: Reading) -> Float[np.ndarray, "block head"]:
        return np.array([[self._of_head(head) for head in block] for block in reading.written])

    def _of_head(self, written: Float[np.ndarray, "row feature"]) -> float:
        centred = centre_within(written, self.places, self.weights)
        return linear_cka(centred, self.laws, self.weights)


def _num_inputs(recording: Recording) -> int:
    return recording.evaluation.batch.inputs.shape[1]
