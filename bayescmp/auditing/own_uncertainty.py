"""A predictor's own epistemic uncertainty: what it expects its own future to teach it.

After ``s_t`` the predictor draws the rest of the sequence from its own laws, step by step, and
is asked the question of step ``t`` at the very end: ``H(q(y | s_t)) - E H(q(y | s_t, future))``
is what it expects to learn by then. For an exact predictive that is the information which so
many observations hold, no more than the epistemic part, and it grows towards it with the
horizon. A predictor that is no posterior may expect to learn less than nothing.

It needs steps that may change places, so that the question can be put off to the end.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int

from bayescmp._types import Key
from bayescmp.auditing.asking import (
    ask_about,
    first_sites,
    why_not_exchangeable,
    why_not_rewritable,
)
from bayescmp.auditing.judged import Judged
from bayescmp.comparison.evaluation import Subject
from bayescmp.generative import AbstractGenerativeModel

NUM_SEQUENCES = 16
"""Sequences that are gone on with."""

NUM_FUTURES = 16
"""Futures of each."""

NUM_PLACES = 3
"""Positions from which they start."""


@dataclass(frozen=True)
class OwnEpistemic:
    """What predictor and exact law expect their own futures to teach them, in nats.

    Every number is a mean over the same few sequences; its standard error is over sequences and
    holds the error of few futures, too.
    """

    places: Int[np.ndarray, " place"]
    """Positions of the questions."""
    own: Float[np.ndarray, " place"]
    """What the predictor expects to learn by the last position."""
    own_error: Float[np.ndarray, " place"]
    """Standard error."""
    exact: Float[np.ndarray, " place"]
    """The same of the exact law, by the same way; NaN where that cannot be asked often."""
    exact_error: Float[np.ndarray, " place"]
    """Standard error."""


def measure_own(
    judged: Judged,
    *,
    key: Key,
    num_sequences: int = NUM_SEQUENCES,
    num_futures: int = NUM_FUTURES,
    num_places: int = NUM_PLACES,
) -> OwnEpistemic | str:
    """Measure what a predictor expects its own future to teach it about a question.

    Args:
        judged: Predictor on drawn sequences.
        key: Typed key of the futures.
        num_sequences: Sequences that are gone on with, at least two.
        num_futures: Futures of each, at least one.
        num_places: Positions from which they start, from the first to the last but one.

    Returns:
        The measurement, or why there is none, in one line.

    Raises:
        ValueError: If there are fewer than two sequences, or no future or place.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=16)
        >>> own = measure_own(judged, key=jax.random.key(1))
        >>> own.places, bool(abs(own.own[0] - own.exact[0]) < 4 * own.own_error[0])
        (array([0, 1, 2]), True)
    """
    if num_sequences < 2 or num_futures < 1 or num_places < 1:
        raise ValueError(
            "num_sequences: expected at least 2 and one future and place, got "
            f"{(num_sequences, num_futures, num_places)}"
        )
    model, oracle = judged.evaluation.model, judged.evaluation.oracle
    why_not = why_not_rewritable(judged.subject, model) or why_not_exchangeable(model)
    if why_not is None and model.length < 2:
        why_not = "there is no later step"
    if why_not is not None:
        return f"no futures of its own: {why_not}"
    num = min(num_sequences, len(judged.log_q))
    places = np.unique(np.linspace(0, model.length - 2, num_places).round().astype(int))
    sites = first_sites(judged.evaluation, num)
    own = _learn(judged.subject, model, sites, judged.log_q[:num], places, num_futures, key)
    if why_not_rewritable(oracle, model) is None:
        exact = _learn(oracle, model, sites, judged.log_p[:num], places, num_futures, key)
    else:
        exact = np.full_like(own, np.nan)
    return OwnEpistemic(places, *own, *exact)


def _learn(
    subject: Subject,
    model: AbstractGenerativeModel,
    sites: dict[str, Array],
    log_q: Float[np.ndarray, "sequence position outcome"],
    places: Int[np.ndarray, " place"],
    num_futures: int,
    key: Key,
) -> Float[np.ndarray, "two place"]:
    """Return mean and standard error of what is expected to be learnt, for each place."""
    now = scipy.special.entr(np.exp(log_q)).sum(axis=-1)
    repeated = {name: jnp.repeat(x, num_futures, axis=0) for name, x in sites.items()}
    learnt = []
    for place in places:
        order = np.append(np.delete(np.arange(model.length), place), place)
        put_off = {
            site.name: repeated[site.name][:, order]
            for site in (*model.layout.query, model.layout.outcome)
        }
        start = jnp.asarray(place)
        later = _go_on(
            subject, model, {**repeated, **put_off}, start, jax.random.fold_in(key, int(place))
        )
        after = np.asarray(later, np.float64).reshape(len(now), num_futures).mean(axis=1)
        learnt.append(now[:, place] - after)
    rows = np.array(learnt)
    return np.stack([rows.mean(axis=1), rows.std(axis=1, ddof=1) / np.sqrt(rows.shape[1])])


@eqx.filter_jit
def _go_on(
    subject: Subject,
    model: AbstractGenerativeModel,
    sites: dict[str, Array],
    start: Int[Array, ""],
    key: Key,
) -> Float[Array, " sequence"]:
    """Draw the steps from one on, and return the entropy of the answer to the last question."""
    asked, last = model.layout.outcome, model.length - 1

    def step(position: Array, values: Array) -> Array:
        log_q = ask_about(subject, model, {**sites, asked.name: values})[:, position]
        drawn = jax.random.categorical(jax.random.fold_in(key, position), log_q)
        return values.at[:, position].set((drawn + asked.lowest).astype(values.dtype))

    values = jax.lax.fori_loop(start, last, step, sites[asked.name])
    law = jnp.exp(ask_about(subject, model, {**sites, asked.name: values})[:, last])
    return jax.scipy.special.entr(law).sum(axis=-1)
