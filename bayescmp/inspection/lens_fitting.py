"""Which questions lenses are fitted to, and the lenses of every place in a residual stream."""

from collections.abc import Iterable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int

from bayescmp._types import Key
from bayescmp.inspection.recording import Recording
from bayescmp.layers.affine_lens import BayesLens, Questions, fit_bayes_lens
from bayescmp.layers.lens import read_streams
from bayescmp.layers.tuned_lens import TunedLens, fit_tuned_lens
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.networks.parts.norms import normalise

BAYES_PRODUCTS = 2**23
"""Products of one evaluation of a Bayes lens on the questions that it is fitted to, at most."""

TUNED_PRODUCTS = 2**24
"""The same for a tuned lens, of which no control is fitted."""

SHARE_FITTED = 0.75
"""Of the sequences to fit on; the penalty is chosen on the others."""


@dataclass(frozen=True)
class Picked:
    """Some of the questions of a recording."""

    rows: Int[np.ndarray, " row"]
    """Which of them, in the order of ``Recording.row_weights``."""
    weights: Float[np.ndarray, " row"]
    """How much each counts; they sum to one."""

    def of(
        self, stream: Float[np.ndarray, "question feature"], law: Float[np.ndarray, "question law"]
    ) -> Questions:
        """Return these rows of a stream and of the law that a lens should give."""
        return Questions(stream[self.rows], law[self.rows], self.weights)


@dataclass(frozen=True)
class Plan:
    """Which questions are fitted to, and on which a penalty is chosen."""

    fitting: Picked
    choosing: Picked


def plan_fitting(recording: Recording, most: int, *, key: Key) -> Plan:
    """Choose the questions that a lens is fitted to.

    Where every sequence is listed, all questions are taken with their exact weights, both to fit
    and to choose a penalty, for nothing is left to generalise to; where there are too many, two
    draws by these weights. Of drawn sequences three quarters are fitted to, and the others
    choose. Every place, and every network with the same sequences, gets the same questions.

    Args:
        recording: What may be fitted to.
        most: Questions to fit to, and questions to choose on, at most.
        key: Typed key of the draws.

    Returns:
        The plan.

    Raises:
        ValueError: If there are too few sequences with questions that count.
    """
    num_rows, weights = len(recording.row_weights), recording.row_weights
    keys = jax.random.split(key)
    if recording.is_exhaustive:
        if num_rows <= most:
            every = Picked(np.arange(num_rows), weights)
            return Plan(every, every)
        draws = (_draw(k, num_rows, most, weights) for k in keys)
        return Plan(*(_evenly(rows) for rows in draws))
    sequence = np.nonzero(recording.counts)[0]
    is_fitted = sequence < int(SHARE_FITTED * recording.streams.shape[1])
    parts = [np.flatnonzero(is_fitted), np.flatnonzero(~is_fitted)]
    if not all(part.size for part in parts):
        raise ValueError(
            "recording: expected questions that count in most sequences, got too few to fit a "
            "lens and to choose its penalty; record more sequences"
        )
    picked = (
        part[_draw(k, part.size, min(part.size, most), None)]
        for k, part in zip(keys, parts, strict=True)
    )
    return Plan(*(_evenly(rows) for rows in picked))


def most_questions(recording: Recording) -> tuple[int, int]:
    """Return how many questions a Bayes lens and a tuned lens are fitted to at most.

    Args:
        recording: What is fitted to.

    Returns:
        As many as keep a fit short; at least a hundred.
    """
    width, num_outcomes = recording.streams.shape[-1], recording.log_q.shape[-1]
    bayes = BAYES_PRODUCTS // (width * num_outcomes)
    tuned = TUNED_PRODUCTS // (width * (width + num_outcomes))
    return max(bayes, 100), max(tuned, 100)


def _draw(
    key: Key, num: int, num_drawn: int, weights: Float[np.ndarray, " row"] | None
) -> Int[np.ndarray, " drawn"]:
    """Draw rows with replacement by their weights, or without where all weigh the same."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return np.sort(rng.choice(num, num_drawn, replace=weights is not None, p=weights))


def _evenly(rows: Int[np.ndarray, " row"]) -> Picked:
    return Picked(rows, np.full(rows.size, 1.0 / rows.size))


def normalised(
    network: AbstractTracedNetwork, stream: Float[np.ndarray, "*row feature"]
) -> Float[np.ndarray, "*row feature"]:
    """Return what the Bayes lens reads: the stream after the network's last normalisation.

    Args:
        network: Network of the stream.
        stream: Residual stream at any place.

    Returns:
        The stream itself where the network does not normalise before its read-out; in 64 bits.
    """
    norm = getattr(network, "final_norm", None)
    if norm is None:
        return stream.astype(np.float64)
    return np.asarray(_normalise(norm, jnp.asarray(stream)), np.float64)


_normalise = eqx.filter_jit(normalise)


def fit_bayes_lenses(recording: Recording, plan: Plan) -> tuple[BayesLens, ...]:
    """Fit the Bayes lens of every place.

    Args:
        recording: What is fitted to.
        plan: Which of its questions.

    Returns:
        One lens for each place.
    """
    streams = (normalised(recording.network, recording.rows(x)) for x in recording.streams)
    return _fit_each(recording, streams, plan)


def fit_head_lenses(recording: Recording, plan: Plan) -> tuple[BayesLens, ...]:
    """Fit the Bayes lens of what every head writes, by itself and not normalised.

    Args:
        recording: What is fitted to.
        plan: Which of its questions.

    Returns:
        One lens for each head; none where nothing attends.
    """
    heads = (recording.rows(head).astype(np.float64) for head in recording.heads)
    return _fit_each(recording, heads, plan)


def _fit_each(
    recording: Recording, features: Iterable[Float[np.ndarray, "row feature"]], plan: Plan
) -> tuple[BayesLens, ...]:
    """Fit softmax regressions to the exact predictive."""
    law = np.exp(recording.rows(recording.evaluation.log_p))
    return tuple(
        fit_bayes_lens(plan.fitting.of(rows, law), plan.choosing.of(rows, law)) for rows in features
    )


def fit_tuned_lenses(recording: Recording, plan: Plan) -> tuple[TunedLens, ...]:
    """Fit the tuned lens of every place.

    Args:
        recording: What is fitted to.
        plan: Which of its questions.

    Returns:
        One lens for each place.
    """
    law = np.exp(recording.rows(recording.log_q))
    lenses = []
    for place in range(len(recording.streams)):
        rows = recording.stream_rows(place)
        fitting, choosing = (part.of(rows, law) for part in (plan.fitting, plan.choosing))
        lenses.append(fit_tuned_lens(recording.network, fitting, choosing))
    return tuple(lenses)


def read_bayes_lens(
    recording: Recording, lens: BayesLens, place: int
) -> Float[np.ndarray, "sequence position outcome"]:
    """Return what a Bayes lens answers to every question of a recording, in nats."""
    return _read_lens(lens, normalised(recording.network, recording.streams[place]))


def read_head_lens(
    recording: Recording, lens: BayesLens, head: int
) -> Float[np.ndarray, "sequence position outcome"]:
    """Return what a head's Bayes lens answers to every question of a recording, in nats."""
    return _read_lens(lens, recording.heads[head].astype(np.float64))


def _read_lens(
    lens: BayesLens, features: Float[np.ndarray, "sequence position feature"]
) -> Float[np.ndarray, "sequence position outcome"]:
    logits = lens.log_law(features.reshape(-1, features.shape[-1]))
    return logits.reshape(*features.shape[:-1], -1)


def read_out(
    recording: Recording, stream: Float[np.ndarray, "sequence position feature"]
) -> Float[np.ndarray, "sequence position outcome"]:
    """Return what a network answers where a stream were its last one, in nats, in 64 bits."""
    log_law = np.asarray(_read(recording.network, jnp.asarray(stream)), np.float64)
    return scipy.special.log_softmax(log_law, axis=-1)


@eqx.filter_jit
def _read(network: AbstractTracedNetwork, stream: Array) -> Array:
    return read_streams(network, stream)
