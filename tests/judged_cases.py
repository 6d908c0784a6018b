"""Judged predictors of drawn sequences, made with NumPy alone: nothing has to be compiled."""

from dataclasses import replace
from functools import cache

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array

import bayescmp as bc
from bayescmp.auditing.judged import Judged
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.records import Batch

LENGTH = 4
NUM_STATES = 3


@cache
def judged_coin(num_sequences: int, seed: int = 0) -> Judged:
    """Return exact laws of tosses of a coin with a uniform bias."""
    rng = np.random.default_rng(seed)
    bias = rng.random((num_sequences, 1))
    tosses = (rng.random((num_sequences, LENGTH)) < bias).astype(np.int32)
    heads = np.cumsum(tosses, axis=1) - tosses
    one = (1.0 + heads) / (2.0 + np.arange(LENGTH))
    model = bc.models.beta_bernoulli(length=LENGTH)
    inputs = np.concatenate([np.zeros_like(tosses[:, :1]), 1 + tosses[:, :-1]], axis=1)
    return _judged(model, inputs, tosses, np.log(np.stack([1.0 - one, one], axis=-1)))


@cache
def judged_hidden(num_sequences: int, seed: int = 0) -> Judged:
    """Return exact laws of one state that is asked again and again, and never shown.

    After every symbol the same state is asked; the symbol shows it with chance 0.6. So the
    questions of one sequence depend on each other as much as they can.
    """
    rng = np.random.default_rng(seed)
    state = rng.integers(0, NUM_STATES, num_sequences)
    emission = np.full((NUM_STATES, NUM_STATES), 0.2) + 0.4 * np.eye(NUM_STATES)
    uniform = rng.random((num_sequences, LENGTH, 1))
    symbols = (uniform > emission[state].cumsum(-1)[:, None, :-1]).sum(-1).astype(np.int32)
    log_p = scipy.special.log_softmax(np.cumsum(np.log(emission).T[symbols], axis=1), axis=-1)
    outcomes = np.repeat(state[:, None], LENGTH, axis=1).astype(np.int32)
    model = bc.models.HiddenMarkov(num_states=NUM_STATES, num_symbols=NUM_STATES, length=LENGTH)
    inputs = np.zeros((num_sequences, model.layout.input_length, model.layout.input_size))
    inputs[:, model.asked_positions, :NUM_STATES] = np.eye(NUM_STATES)[symbols]
    return _judged(model, inputs.astype(np.float32), outcomes, log_p)


def tempered(judged: Judged, temperature: float) -> Judged:
    """Return the same sequences with laws that are too sure, or not sure enough."""
    return replace(judged, log_q=scipy.special.log_softmax(judged.log_q / temperature, axis=-1))


def with_laws(judged: Judged, laws: np.ndarray) -> Judged:
    """Return the same sequences with other laws."""
    with np.errstate(divide="ignore"):  # what is held impossible
        return replace(judged, log_q=np.log(np.broadcast_to(laws, judged.log_q.shape)))


def without_last(judged: Judged) -> Judged:
    """Return the same sequences where the last question does not count and the first only half."""
    supervised = np.ones(judged.outcomes.shape, dtype=bool)
    supervised[:, -1] = supervised[::2, 0] = False
    batch = replace(judged.evaluation.batch, supervised=jnp.asarray(supervised))
    log_q = np.where(supervised[..., None], judged.log_q, np.nan)
    return Judged(judged.subject, replace(judged.evaluation, batch=batch), log_q)


def _judged(model, inputs: np.ndarray, outcomes: np.ndarray, log_p: np.ndarray) -> Judged:
    oracle = bc.derive_oracle(model)
    arrays: list[Array] = [jnp.asarray(one) for one in (inputs, outcomes)]
    batch = Batch(arrays[0], arrays[1], jnp.ones(outcomes.shape, bool), {}, {})
    return Judged(oracle, Evaluation(oracle, batch, log_p), log_p)
