"""Off the training prior: does a predictor keep its prior, as exact Bayes does, or follow?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.special import rel_entr

from bayescmp._types import Key, PerPosition
from bayescmp.comparison.evaluation import Evaluation, Subject, ask, draw_evaluation
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.measures.interval import Interval
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.other_oracle import OtherOracle
from bayescmp.records import Batch

NUM_SHIFTED = 1_024
"""Sequences that are drawn from each shifted process."""

LEAST_APART = 1e-6
"""Bits by which two answers must differ to be told apart by a network in 32 bits."""


@dataclass(frozen=True)
class Shift:
    """A process that is not the one a predictor was trained on.

    Another prior, tasks that training left out, longer sequences, or a finite pool of tasks are
    one thing: another model that shows and asks the same sites.

    Example:
        >>> from bayescmp.auditing.shift import Shift
        >>> shift = Shift("heads", bc.derive_oracle(bc.models.beta_bernoulli(4, 5.0, 1.0)))
        >>> shift.oracle.model.title()
        'coin with a Beta(5, 1) bias'
    """

    name: str
    """Name in tables, different for every shift of an audit."""
    oracle: AbstractOracle
    """Oracle of the shifted process: Bayes under the shifted prior."""
    training: Subject | None = None
    """Bayes under the training prior, for sequences of the shifted process. The training oracle
    unless given; it has to be given where sequences are longer, as an oracle of the same prior
    for that length, and where training was on a pool of tasks that no model describes."""


@dataclass(frozen=True)
class Shifted:
    """A predictor under one shift; information in bits.

    Intervals of means are over sequences, the independent units.
    """

    name: str
    to_training: Interval
    """KL(Bayes under the training prior ‖ predictor)."""
    to_shifted: Interval
    """KL(Bayes under the shifted prior ‖ predictor)."""
    between: Interval
    """KL(Bayes under the shifted prior ‖ Bayes under the training prior): what the shift costs
    exact Bayes that keeps its prior."""
    difference: Interval
    """``to_training - to_shifted`` question by question: below zero the training prior is nearer.
    NaN where some question is infinitely far from both."""
    by_position: Float[np.ndarray, "distance position"]
    """Means of the first three at each position."""
    beyond: Interval
    """``to_shifted`` at the questions beyond the length of training; NaN where none is."""
    undefined: float
    """Share of questions that come after what is impossible under the training prior, so that
    it has no answer. They are left out of all but ``to_shifted`` and ``beyond``."""

    @property
    def follows(self) -> str:
        """Which of the two priors the predictor is nearer to."""
        if np.isnan(self.difference.mean) or not self.between.mean > LEAST_APART:
            return "cannot be told"
        if self.difference.high < 0.0:
            return "training prior"
        return "shifted prior" if self.difference.low > 0.0 else "neither clearly"


def measure_shift(
    subject: Subject,
    oracle: AbstractOracle,
    shifts: Sequence[Shift],
    *,
    key: Key,
    num_sequences: int = NUM_SHIFTED,
) -> tuple[Shifted, ...]:
    """Measure a predictor on sequences off its training prior.

    Exact Bayes under the training prior is not expected to be right there. The question is
    which of two exact answers a predictor is nearer to: the one that its training calls for,
    or the one that the new process calls for.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        oracle: Oracle of the process that the predictor was trained on.
        shifts: Shifted processes, with different names.
        key: Typed key of the sequences.
        num_sequences: How many are drawn from each, at least two.

    Returns:
        One record for each shift.

    Raises:
        ValueError: If names are repeated, there are fewer than two sequences, or a shifted
            model does not show and ask the same sites.

    Example:
        >>> coin, bent = (bc.derive_oracle(bc.models.beta_bernoulli(4, a, 1.0)) for a in (1.0, 5.0))
        >>> shifts = [Shift("heads", bent)]
        >>> (found,) = measure_shift(coin, coin, shifts, key=jax.random.key(0), num_sequences=32)
        >>> found.follows, float(found.to_training.mean)
        ('training prior', 0.0)
    """
    names = [shift.name for shift in shifts]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"shifts: expected one or more with different names, got {names}")
    if num_sequences < 2:
        raise ValueError(f"num_sequences: expected at least 2, got {num_sequences}")
    keys = jax.random.split(key, len(shifts))
    return tuple(
        _measure(subject, oracle, shift, draw_evaluation(shift.oracle, num_sequences, key=k))
        for shift, k in zip(shifts, keys, strict=True)
    )


def _measure(
    subject: Subject, oracle: AbstractOracle, shift: Shift, evaluation: Evaluation
) -> Shifted:
    """Measure one shift."""
    log_q, log_b = ask(subject, evaluation), evaluation.log_p
    log_a, exists = _training_laws(oracle, shift.training, evaluation)
    to_shifted = _bits(log_b, log_q)
    to_training = np.where(exists, _bits(log_a, log_q), np.nan)
    between = np.where(exists, _bits(log_b, log_a), np.nan)
    distances = (to_training, to_shifted, between)
    beyond = np.arange(evaluation.model.length) >= oracle.model.length
    return Shifted(
        shift.name,
        *(over_questions(values) for values in distances),
        difference=_difference(to_training, to_shifted, exists),
        by_position=np.stack([over_sequences(values).mean for values in distances]),
        beyond=over_questions(np.where(beyond, to_shifted, np.nan)),
        undefined=float(1.0 - exists.mean()),
    )


def _difference(
    to_training: np.ndarray, to_shifted: np.ndarray, exists: Bool[np.ndarray, "sequence position"]
) -> Interval:
    """Compare two distances question by question; NaN where both are infinite anywhere."""
    if (np.isposinf(to_training) & np.isposinf(to_shifted)).any():
        return Interval(np.float64(np.nan), np.float64(np.nan), np.float64(np.nan), 0.95, 0)
    return over_questions(np.where(exists, to_training - to_shifted, np.nan))


def _bits(log_p: LogLaws, log_q: LogLaws) -> Float[np.ndarray, "sequence position"]:
    """Return the KL divergence of every question."""
    return rel_entr(np.exp(log_p), np.exp(log_q)).sum(axis=-1) * BITS


def _training_laws(
    oracle: AbstractOracle, training: Subject | None, evaluation: Evaluation
) -> tuple[LogLaws, Bool[np.ndarray, "sequence position"]]:
    """Ask Bayes under the training prior, and say at which questions it has an answer."""
    if training is not None:
        return ask(training, evaluation), evaluation.supervised
    model = evaluation.model
    other = OtherOracle(oracle, model)
    if not oracle.certificate.jittable:
        return ask(other, evaluation), evaluation.supervised
    sites = model.engine_sites(evaluation.batch)
    with jax.enable_x64(True):
        evidence = np.asarray(_log_evidence(oracle, oracle.model.batch_from_sites(sites)))
    lengths = np.minimum((evidence > -np.inf).sum(axis=1) + 1, model.length)
    batch = model.batch_from_sites(sites, lengths=lengths)
    return ask(other, replace(evaluation, batch=batch)), np.asarray(batch.supervised)


@eqx.filter_jit
def _log_evidence(oracle: AbstractOracle, batch: Batch) -> PerPosition:
    return oracle(batch).log_evidence
