"""The ladder of rival explanations that every network is shown beside."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.all_sequences import is_little_work, list_sequences, reason_to_sample
from bayescmp.exact.chains.filtering import FilterEngine
from bayescmp.exact.conjugacy.conjugate import BetaBernoulliEngine
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.predictors.counts import AddAlphaCounts, why_not_countable
from bayescmp.predictors.graph_propagation import GraphPropagation
from bayescmp.predictors.plug_in import PlugIn, log_num_settings
from bayescmp.predictors.predictor import (
    AbstractPredictor,
    FixedLaw,
    RestartPredictor,
    WindowPredictor,
)
from bayescmp.predictors.step_laws import why_no_step_laws
from bayescmp.records import Batch

WINDOWS = (1, 2, 3, 5)
"""Memory lengths of the window rungs."""

MAX_PLUG_IN_SETTINGS = 1_024
"""Most settings of the latents among which the plug-in rung chooses the best: it has to
answer as fast as the other rungs do."""

ROUNDS_ON_LOOPS = 50
"""Rounds of the last rung for graphs with loops: messages rest by then, or never do."""


def standard_ladder(
    oracle: AbstractOracle,
    *,
    key: Key,
    num_sequences: int = 4_096,
    windows: tuple[int, ...] = WINDOWS,
) -> tuple[AbstractPredictor, ...]:
    """Build the rivals that every network is shown beside.

    ``uniform``; ``best constant``, the one law ``c`` with the least expected
    ``KL(exact || c)``, which is the mean of the exact predictives (over all sequences where
    they are few, and else over drawn ones); ``position only``, the best law at each position,
    likewise; and ``window w``, exact given the last ``w`` steps. Windows that reach over the
    whole sequence are the oracle itself and are left out, and so are all of them where
    summing out what stands before a window would take too long.
    Where outcomes are shown and finite, ``add-one counts`` and ``add-one bigram`` count
    them. ``plug-in MAP`` puts the most probable setting of the latents in place of their
    average, where they have few settings, or are a coin's bias whose posterior mode always
    lies inside: on the border it would exclude what is possible, infinitely far from exact.
    Where the oracle is a forward filter, ``restart w`` is that filter started anew ``w``
    steps ago: the "window" of the published figures, weaker than ``window w``.

    Models that show a graph ask all at once, and have other rivals in place of these:
    ``evidence alone``, ``neighbours alone`` (one round of belief propagation) and half as many
    rounds as the diameter, where these are not yet exact; on loops as many as the diameter and
    :data:`ROUNDS_ON_LOOPS`; and as many as the diameter without a cavity, ``naive``.

    Args:
        oracle: Oracle of the model.
        key: Typed key of the sequences over which the means are taken; other sequences
            than those that a comparison draws.
        num_sequences: How many.
        windows: Memory lengths, in steps.

    Returns:
        The rungs, from the weakest memory to the strongest.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> ladder = standard_ladder(oracle, key=jax.random.key(0), num_sequences=64)
        >>> [rung.name for rung in ladder]
        ['uniform', 'best constant', 'position only', 'add-one counts', 'add-one bigram',
         'window 1', 'window 2']
    """
    model = oracle.model
    means = _mean_predictive(oracle, num_sequences, key)
    laws = {"uniform": np.full(model.num_outcomes, 1.0 / model.num_outcomes), **means}
    fixed = (FixedLaw(log_law=_log_normalised(law), name=name) for name, law in laws.items())
    if isinstance(model, AbstractGraphModel):
        return (*fixed, *_propagation(model))
    # Before the last question stand length - 1 revealed outcomes, or length queries.
    whole = model.length - 1 if model.layout.reveal else model.length
    reached = tuple(w for w in windows if w < whole) if _answers_windows(oracle) else ()
    return (
        *fixed,
        *_counts(oracle),
        *_plug_in(oracle),
        *(RestartPredictor(oracle, w) for w in reached if _has_filter(oracle)),
        *(WindowPredictor(oracle, w) for w in reached),
    )


def _propagation(model: AbstractGraphModel) -> tuple[AbstractPredictor, ...]:
    """Return belief propagation where it is not exact, and without a cavity."""
    diameter = model.num_rounds
    enough = diameter if model.is_tree else ROUNDS_ON_LOOPS + 1
    rounds = sorted({0, 1, diameter // 2, diameter, ROUNDS_ON_LOOPS})
    return (
        *(GraphPropagation(model, t) for t in rounds if t < enough),
        *((GraphPropagation(model, diameter, cavity=False),) if diameter > 1 else ()),
    )


def _counts(oracle: AbstractOracle) -> tuple[AbstractPredictor, ...]:
    if why_not_countable(oracle.model) is not None:
        return ()
    return tuple(AddAlphaCounts(oracle.model, order=order) for order in (0, 1))


def _plug_in(oracle: AbstractOracle) -> tuple[AbstractPredictor, ...]:
    """Return the plug-in rung where it is quick, and not always infinitely far."""
    if not isinstance(oracle, Oracle):
        return ()
    engine = oracle.engine
    if isinstance(engine, BetaBernoulliEngine):
        applies = min(engine.concentration1, engine.concentration0) > 1.0
    else:
        few = log_num_settings(oracle.model) <= math.log(MAX_PLUG_IN_SETTINGS)
        applies = few and why_no_step_laws(oracle.model) is None
    return (PlugIn(oracle, "maximum a posteriori"),) if applies else ()


def _has_filter(oracle: AbstractOracle) -> bool:
    return isinstance(oracle, Oracle) and isinstance(oracle.engine, FilterEngine)


def _answers_windows(oracle: AbstractOracle) -> bool:
    """Tell whether the oracle can forget, which some do for short sequences alone."""
    try:
        batch = eqx.filter_eval_shape(oracle.model.sample, 1, key=jax.random.key(0))
        eqx.filter_eval_shape(oracle.windowed, batch, 1)
    except ValueError:
        return False
    return True


def _mean_predictive(
    oracle: AbstractOracle, num_sequences: int, key: Key
) -> dict[str, Float[np.ndarray, "*position outcome"]]:
    """Return the mean of the exact predictive over all questions, and at each position.

    Over all sequences by their probability where they are few, and else over drawn ones; over
    the questions that count.
    """
    if not reason_to_sample(oracle) and is_little_work(oracle):
        with jax.enable_x64(True):
            every = list_sequences(oracle)
            parts = [_sums(oracle, every.batch(cut), every.weights[cut]) for cut in every.cuts()]
        sums, counts = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    else:
        batch = eqx.filter_jit(oracle.model.sample)(num_sequences, key=key)
        sums, counts = _sums(oracle, batch, np.full(num_sequences, 1.0 / num_sequences))
    # No law is better than another at a position that no question counts at.
    idle = np.full_like(sums, 1.0 / sums.shape[-1])
    by_position = np.divide(sums, counts[:, None], out=idle, where=counts[:, None] > 0)
    return {"best constant": sums.sum(axis=0) / counts.sum(), "position only": by_position}


def _sums(
    oracle: AbstractOracle, batch: Batch, weights: Float[np.ndarray, " sequence"]
) -> tuple[Float[np.ndarray, "position outcome"], Float[np.ndarray, " position"]]:
    """Add up the exact predictives at each position by weight, and the weights themselves."""
    shares = weights[:, None] * np.asarray(batch.supervised)
    laws = np.where(shares[..., None] > 0, _laws(oracle, batch), 0.0)
    return np.einsum("sp,spo->po", shares, laws), shares.sum(axis=0)


def _laws(oracle: AbstractOracle, batch: Batch) -> Float[np.ndarray, "sequence position outcome"]:
    """Return the exact predictives of some sequences."""
    answer = eqx.filter_jit(_answer) if oracle.certificate.jittable else _answer
    return np.exp(np.asarray(answer(oracle, batch), np.float64))


def _answer(oracle: AbstractOracle, batch: Batch) -> Array:
    return oracle(batch).log_predictive


def _log_normalised(law: Float[np.ndarray, "*position outcome"]) -> Array:
    """Return log probabilities that sum to one to the last bit of 64."""
    with np.errstate(divide="ignore"):
        log_law = np.log(law / law.sum(axis=-1, keepdims=True))
    with jax.enable_x64(True):
        return jnp.asarray(log_law)
