"""Ask predictors about held-out sequences, and measure each against the exact answer."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.comparison.tally import LogLaws, Measured, Tally, tally
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, logits_at
from bayescmp.oracle import AbstractOracle, reject_impossible
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.records import Batch, Reference

CHUNK = 512
"""Sequences that a network answers in one call."""

Subject = NetworkLike | AbstractPredictor | AbstractOracle
"""What can be compared with an oracle."""


@dataclass(frozen=True)
class Evaluation:
    """Held-out sequences with their exact answers, in float64."""

    oracle: AbstractOracle
    batch: Batch
    log_p: LogLaws
    """Log exact predictives, in nats."""
    weights: Float[np.ndarray, " sequence"] | None = None
    """Probability of each sequence, where they are a part of all there are; None where they
    were drawn, and each counts the same."""

    @property
    def outcomes(self) -> Array | None:
        """Outcomes of the sequences; None where every sequence is listed and shows none.

        Outcomes then follow the exact predictives, which average over them in their place.
        """
        carried = self.weights is None or self.model.layout.reveal
        return self.batch.outcomes if carried else None

    @property
    def model(self) -> AbstractGenerativeModel:
        """The generative model of the sequences."""
        return self.oracle.model

    @property
    def supervised(self) -> np.ndarray:
        """Which questions count."""
        return np.asarray(self.batch.supervised)

    def first(self, num_sequences: int) -> "Evaluation":
        """Return the first few of the sequences."""
        return replace(
            self,
            batch=jax.tree.map(lambda leaf: leaf[:num_sequences], self.batch),
            log_p=self.log_p[:num_sequences],
            weights=None if self.weights is None else self.weights[:num_sequences],
        )


def draw_evaluation(oracle: AbstractOracle, num_sequences: int, *, key: Key) -> Evaluation:
    """Draw held-out sequences and answer them exactly.

    Args:
        oracle: Oracle of the model.
        num_sequences: How many.
        key: Typed key.

    Returns:
        Sequences and exact predictives; drawn in 32 bits, as in training, and answered
        in 64.
    """
    batch = eqx.filter_jit(oracle.model.sample)(num_sequences, key=key)
    return answer_exactly(oracle, batch)


def answer_exactly(oracle: AbstractOracle, batch: Batch) -> Evaluation:
    """Answer given sequences exactly, in 64 bits.

    Args:
        oracle: Oracle of the model.
        batch: Sequences with one leading axis.

    Returns:
        Sequences and exact predictives.

    Raises:
        ValueError: If a sequence is impossible under the model.
    """
    with jax.enable_x64(True):
        answer = _answer_compiled if oracle.certificate.jittable else _answer
        reference = answer(oracle, _widen(batch))
        reject_impossible(reference)
        return Evaluation(oracle, batch, np.asarray(reference.log_predictive, np.float64))


def ask(subject: Subject, evaluation: Evaluation) -> LogLaws:
    """Ask anything that predicts about the sequences of an evaluation.

    A network answers in its own precision, and its logits are normalised in float64.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        evaluation: Sequences.

    Returns:
        Log probabilities in nats.

    Raises:
        ValueError: If the answers have the wrong shape, or NaN where a question counts.
    """
    batch = evaluation.batch
    if isinstance(subject, AbstractOracle | AbstractPredictor):
        with jax.enable_x64(True):
            predict = _predict_compiled if _can_be_compiled(subject) else _predict
            laws = np.asarray(predict(subject, _widen(batch)), np.float64)
    else:
        logits = _ask_in_chunks(subject, batch.inputs, evaluation.model.asked_positions)
        laws = scipy.special.log_softmax(logits, axis=-1)
    if laws.shape != evaluation.log_p.shape:
        raise ValueError(
            f"predictor: expected answers of shape {evaluation.log_p.shape} "
            f"(sequence, position, outcome), got {laws.shape}"
        )
    wrong = np.isnan(laws) & evaluation.supervised[..., None]
    if wrong.any():
        sequence, position, _ = np.argwhere(wrong)[0]
        raise ValueError(
            f"predictor: expected probabilities, got NaN at sequence {sequence}, "
            f"position {position}"
        )
    return laws


def _can_be_compiled(subject: AbstractOracle | AbstractPredictor) -> bool:
    """Tell whether every oracle in a subject can be called inside a compiled function."""
    parts = jax.tree.leaves(subject, is_leaf=lambda part: isinstance(part, AbstractOracle))
    return all(p.certificate.jittable for p in parts if isinstance(p, AbstractOracle))


def measure(log_q: LogLaws, evaluation: Evaluation) -> Measured:
    """Measure a predictor against the exact answer.

    Args:
        log_q: Its log probabilities, in nats.
        evaluation: Sequences and exact answers.

    Returns:
        Every measure, per position and over all.
    """
    return count_up(log_q, evaluation).measured()


def count_up(log_q: LogLaws, evaluation: Evaluation) -> Tally:
    """Sum up a predictor's measures over the sequences of an evaluation.

    Args:
        log_q: Its log probabilities, in nats.
        evaluation: Sequences and exact answers.

    Returns:
        Sums, which add up over the parts of all sequences.
    """
    return tally(
        evaluation.log_p, log_q, evaluation.outcomes, evaluation.supervised, evaluation.weights
    )


def _answer(oracle: AbstractOracle, batch: Batch) -> Reference:
    return eqx.tree_at(lambda r: r.belief, oracle(batch), {})


def _predict(subject: AbstractOracle | AbstractPredictor, batch: Batch) -> Array:
    if isinstance(subject, AbstractOracle):
        return subject(batch).log_predictive
    return subject.log_predictive(batch)


_answer_compiled, _predict_compiled = eqx.filter_jit(_answer), eqx.filter_jit(_predict)


@eqx.filter_jit
@jax.default_matmul_precision("highest")
def _logits(network: NetworkLike, inputs: Array, positions: Array) -> Array:
    return logits_at(network, inputs, positions)


def _ask_in_chunks(network: NetworkLike, inputs: Array, positions: np.ndarray) -> np.ndarray:
    starts = range(0, inputs.shape[0], CHUNK)
    parts = [_logits(network, inputs[i : i + CHUNK], jnp.asarray(positions)) for i in starts]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def _widen(batch: Batch) -> Batch:
    """Return the batch with its real numbers in 64 bits."""

    def widen(leaf: Array) -> Array:
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(widen, batch)
