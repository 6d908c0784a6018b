"""Confidence: an answer with how sure it is, and how sure it should be, for any predictor."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Int

from bayescmp._types import Inputs
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.latent_split import EntropySplit, find_split
from bayescmp.comparison.evaluation import Subject, answer_exactly, ask
from bayescmp.comparison.tally import LogLaws
from bayescmp.measures.recalibration import IsotonicMap, fit_isotonic
from bayescmp.measures.temperature import Temperature, apply_temperature, fit_temperature
from bayescmp.networks.network import logits_at
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.records import Batch

Method = Literal["temperature", "isotonic"]


@dataclass(frozen=True)
class Calibrator:
    """What turns a predictor's laws into a confidence that comes true, fitted on held-out data."""

    method: Method
    """How."""
    fitted: Temperature | IsotonicMap
    """What was fitted."""

    def __call__(self, log_q: LogLaws) -> Float[np.ndarray, "sequence position"]:
        """Return the chance that the likeliest outcome is right, as held-out data had it."""
        if isinstance(self.fitted, IsotonicMap):
            return self.fitted(np.exp(log_q.max(axis=-1)))
        if not np.isfinite(self.fitted.value):
            return np.full(log_q.shape[:-1], np.nan)  # no temperature mends such laws
        return np.exp(apply_temperature(log_q, self.fitted.value).max(axis=-1))


@dataclass(frozen=True)
class Confidence:
    """Answers with what they rest on; information in nats.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> seen = oracle.model.batch_from_sites({"token": jnp.array([[1, 1, 0]])})
        >>> sure = confidence(oracle, oracle, seen)
        >>> sure.answer, sure.epistemic.round(3)
        (array([[0, 1, 1]]), array([[0.193, 0.137, 0.104]]))
    """

    answer: Int[np.ndarray, "sequence position"]
    """Index of the likeliest outcome, the first of those that tie."""
    stated: Float[np.ndarray, "sequence position"]
    """Its probability, as the predictor has it."""
    calibrated: Float[np.ndarray, "sequence position"] | None
    """Chance that it is right, as held-out data had it; None without a calibrator."""
    entropy: Float[np.ndarray, "sequence position"]
    """Entropy of the predictor's law."""
    aleatoric: Float[np.ndarray, "sequence position"] | None
    """Exact expected entropy if all that is hidden were known; None where nobody can say."""
    epistemic: Float[np.ndarray, "sequence position"] | None
    """Exact information that the hidden holds about the outcome; None where nobody can say."""
    how: str
    """How the split was derived, or why there is none, in one sentence."""


def fit_calibrator(judged: Judged, method: Method = "temperature") -> Calibrator:
    """Fit on held-out sequences how often a predictor's answers are right.

    Args:
        judged: Predictor on drawn sequences; take others than those to be confident about.
        method: One temperature for the whole law, or a rising map of the largest probability.

    Returns:
        What to give to :func:`confidence`.

    Raises:
        ValueError: If the method is unknown.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=512)
        >>> 0.5 < fit_calibrator(judged).fitted.value < 2.0
        True
    """
    return calibrate(judged.log_q, judged.outcomes, judged.counts, method)


def calibrate(
    log_q: LogLaws,
    outcomes: Int[np.ndarray, "sequence position"],
    counts: Bool[np.ndarray, "sequence position"],
    method: Method = "temperature",
) -> Calibrator:
    """Fit how often answers are right, from laws and outcomes alone.

    Args:
        log_q: Log probabilities on held-out sequences [nat].
        outcomes: What came, indices from 0.
        counts: Which questions count.
        method: One temperature for the whole law, or a rising map of the largest probability.

    Returns:
        What to give to :func:`confidence`.

    Raises:
        ValueError: If the method is unknown, or shapes do not fit.

    Example:
        >>> laws, came = np.tile(np.log([0.9, 0.1]), (4, 1, 1)), np.array([[0], [0], [1], [0]])
        >>> calibrate(laws, came, np.ones((4, 1), bool), "isotonic")(laws)[0]
        array([0.75])
    """
    if method not in get_args(Method):
        raise ValueError(f"method: expected one of {get_args(Method)}, got {method!r}")
    if method == "temperature":
        return Calibrator(method, fit_temperature(log_q, outcomes, counts))
    right = log_q.argmax(axis=-1) == outcomes
    return Calibrator(method, fit_isotonic(np.exp(log_q.max(axis=-1))[counts], right[counts]))


def confidence(
    subject: Subject,
    oracle: AbstractOracle | None,
    batch: Batch | Inputs,
    *,
    calibrator: Calibrator | None = None,
) -> Confidence:
    """Say how sure a predictor is of each answer, and how sure it should be.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        oracle: Oracle of the model, for the split of the exact entropy; or None.
        batch: Sequences with one leading axis. Without an oracle the plain inputs of a network
            will do, and every input position is a question.
        calibrator: From :func:`fit_calibrator` or :func:`calibrate`.

    Returns:
        The answers.

    Raises:
        TypeError: If plain inputs are given with an oracle, or to what is no network.
        ValueError: If the answers have the wrong shape, or NaN where a question counts.

    Example:
        >>> table = jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8]]))  # any callable will do
        >>> sure = confidence(lambda tokens: table[tokens], None, jnp.array([[0, 1]]))
        >>> sure.answer, sure.stated.round(3), sure.epistemic is None
        (array([[0, 1]]), array([[0.5, 0.8]]), True)
    """
    log_q, split = _look(subject, oracle, batch)
    known = split if isinstance(split, EntropySplit) and split.per_question else None
    return Confidence(
        answer=log_q.argmax(axis=-1),
        stated=np.exp(log_q.max(axis=-1)),
        calibrated=None if calibrator is None else calibrator(log_q),
        entropy=scipy.special.entr(np.exp(log_q)).sum(axis=-1),
        aleatoric=None if known is None else known.aleatoric,
        epistemic=None if known is None else known.epistemic,
        how=split if isinstance(split, str) else split.how,
    )


def _look(
    subject: Subject, oracle: AbstractOracle | None, batch: Batch | Inputs
) -> tuple[LogLaws, EntropySplit | str]:
    """Return the predictor's laws, and the exact split or why there is none."""
    if oracle is not None:
        if not isinstance(batch, Batch):
            raise TypeError(f"batch: expected a Batch with an oracle, got {type(batch).__name__}")
        evaluation = answer_exactly(oracle, batch)
        return ask(subject, evaluation), find_split(oracle, batch, evaluation.log_p)
    return _laws(subject, batch), "no split: expected an oracle, got none"


def _laws(subject: Subject, batch: Batch | Inputs) -> LogLaws:
    """Ask without an oracle."""
    if isinstance(subject, AbstractOracle | AbstractPredictor):
        if not isinstance(batch, Batch):
            raise TypeError(
                f"batch: expected a Batch for {type(subject).__name__}, got {type(batch).__name__}"
            )
        is_oracle = isinstance(subject, AbstractOracle)
        laws = subject(batch).log_predictive if is_oracle else subject.log_predictive(batch)
        return np.asarray(laws, np.float64)
    inputs: Array = batch.inputs if isinstance(batch, Batch) else batch
    logits = logits_at(subject, inputs, jnp.arange(inputs.shape[1]))
    found = scipy.special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    if np.isnan(found).any():
        raise ValueError("predictor: expected probabilities, got NaN")
    return found
