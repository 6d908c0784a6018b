"""Ask predictors about held-out sequences, and measure each against the exact answer."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, logits_at
from bayescmp.oracle import Oracle, reject_impossible
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.records import Batch, Reference

CHUNK = 512
"""Sequences that a network answers in one call."""

BITS = 1.0 / np.log(2.0)
"""Bits in a nat."""

AVERAGED = ("kl", "total_variation", "impossible_mass", "argmax_agreement", "excess_log_loss")
"""Measures that are averaged over positions too."""

Subject = NetworkLike | AbstractPredictor | Oracle
"""What can be compared with an oracle."""

LogLaws = Float[np.ndarray, "sequence position outcome"]
PerPositionMeans = Float[np.ndarray, " position"]


@dataclass(frozen=True)
class Evaluation:
    """Held-out sequences with their exact answers, in float64."""

    oracle: Oracle
    batch: Batch
    log_p: LogLaws
    """Log exact predictives, in nats."""

    @property
    def model(self) -> AbstractGenerativeModel:
        """The generative model of the sequences."""
        return self.oracle.model

    @property
    def supervised(self) -> np.ndarray:
        """Which questions count."""
        return np.asarray(self.batch.supervised)


def draw_evaluation(oracle: Oracle, num_sequences: int, *, key: Key) -> Evaluation:
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


def answer_exactly(oracle: Oracle, batch: Batch) -> Evaluation:
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
        reference = _refer(oracle, _widen(batch))
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
        ValueError: If the answers have the wrong shape or contain NaN.
    """
    batch = evaluation.batch
    if isinstance(subject, Oracle | AbstractPredictor):
        with jax.enable_x64(True):
            laws = np.asarray(_predict(subject, _widen(batch)), np.float64)
    else:
        logits = _ask_in_chunks(subject, batch.inputs, evaluation.model.asked_positions)
        laws = scipy.special.log_softmax(logits, axis=-1)
    if laws.shape != evaluation.log_p.shape:
        raise ValueError(
            f"predictor: expected answers of shape {evaluation.log_p.shape} "
            f"(sequence, position, outcome), got {laws.shape}"
        )
    if np.isnan(laws).any():
        sequence, position, _ = np.argwhere(np.isnan(laws))[0]
        raise ValueError(
            f"predictor: expected probabilities, got NaN at sequence {sequence}, "
            f"position {position}"
        )
    return laws


@dataclass(frozen=True)
class Measured:
    """A predictor against the exact answer; information in bits.

    Per position: means over the sequences that count there, NaN where none does.
    """

    kl: PerPositionMeans
    kl_standard_error: PerPositionMeans
    """Over sequences."""
    total_variation: PerPositionMeans
    impossible_mass: PerPositionMeans
    argmax_agreement: PerPositionMeans
    excess_log_loss: PerPositionMeans
    """On the drawn outcomes; ``kl`` is its conditional expectation."""
    entropy: PerPositionMeans
    """Of the predictor."""
    exact_entropy: PerPositionMeans
    entropy_gap_abs: PerPositionMeans
    entropy_gap_of_means: PerPositionMeans
    means: dict[str, float]
    """Over sequences and positions: ``mean_kl`` and its like, both entropy MAEs."""


def measure(log_q: LogLaws, evaluation: Evaluation) -> Measured:
    """Measure a predictor against the exact answer.

    Args:
        log_q: Its log probabilities, in nats.
        evaluation: Sequences and exact answers.

    Returns:
        Every measure, per position and over all.
    """
    with jax.enable_x64(True):
        values, totals = _measure(
            jnp.asarray(evaluation.log_p),
            jnp.asarray(log_q),
            jnp.asarray(evaluation.batch.outcomes),
            jnp.asarray(evaluation.batch.supervised),
        )
    counts = evaluation.supervised
    rows = {name: np.where(counts, np.asarray(row), np.nan) for name, row in values.items()}
    gap = rows["entropy"] - rows["exact_entropy"]
    per_position = {name: position_mean(row) for name, row in rows.items()}
    return Measured(
        **per_position,
        kl_standard_error=_standard_error(rows["kl"]),
        entropy_gap_abs=position_mean(np.abs(gap)),
        entropy_gap_of_means=np.abs(position_mean(gap)),
        means={f"mean_{name}": float(np.nanmean(rows[name])) for name in AVERAGED}
        | {name: float(total) for name, total in totals.items()},
    )


@jax.jit
def _measure(
    log_p: Array, log_q: Array, outcomes: Array, supervised: Array
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return every measure at every question, and both entropy MAEs, in bits."""
    excess = measures.log_loss(log_q, outcomes) - measures.log_loss(log_p, outcomes)
    values = {
        "kl": measures.kl(log_p, log_q) * BITS,
        "total_variation": measures.total_variation(log_p, log_q),
        "impossible_mass": measures.impossible_mass(log_p, log_q),
        "argmax_agreement": measures.argmax_agreement(log_p, log_q),
        "excess_log_loss": excess * BITS,
        "entropy": measures.entropy(log_q) * BITS,
        "exact_entropy": measures.entropy(log_p) * BITS,
    }
    totals = {
        "entropy_mae_a": measures.entropy_mae_per_sequence(log_p, log_q, supervised) * BITS,
        "entropy_mae_b": measures.entropy_mae_of_means(log_p, log_q, supervised) * BITS,
    }
    return values, totals


def position_mean(values: np.ndarray) -> np.ndarray:
    """Average over the sequences that count at each position.

    Args:
        values: Sequences first, positions last; NaN where a question does not count.

    Returns:
        Means over the first axis; NaN where nothing counts.
    """
    counts = np.sum(~np.isnan(values), axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)


def _standard_error(values: np.ndarray) -> np.ndarray:
    counts = np.sum(~np.isnan(values), axis=0)
    squares = np.nansum((values - position_mean(values)) ** 2, axis=0)
    variance = squares / np.maximum(counts - 1, 1)
    return np.where(counts > 1, np.sqrt(variance / np.maximum(counts, 1)), np.nan)


@eqx.filter_jit
def _refer(oracle: Oracle, batch: Batch) -> Reference:
    return eqx.tree_at(lambda r: r.belief, oracle(batch), {})


@eqx.filter_jit
def _predict(subject: Oracle | AbstractPredictor, batch: Batch) -> Array:
    if isinstance(subject, Oracle):
        return subject(batch).log_predictive
    return subject.log_predictive(batch)


@eqx.filter_jit
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
