"""What a predictor says of drawn sequences, beside what came and what was exactly right."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation, Subject, ask, draw_evaluation
from bayescmp.comparison.tally import LogLaws
from bayescmp.oracle import AbstractOracle

NUM_JUDGED = 2_048
"""Sequences that are drawn unless told."""


@dataclass(frozen=True)
class Judged:
    """A predictor's laws on drawn sequences, with outcomes and exact laws.

    Sequences are drawn even where all could be listed: calibration against outcomes is a
    statement about what comes. They are the independent units. The questions of one sequence
    depend on each other, so that a test may count each of them only with one sequence as one
    trial.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
        >>> judged.log_q.shape, float(np.abs(judged.log_q - judged.log_p).max())
        ((64, 4, 2), 0.0)
    """

    subject: Subject
    """What was asked."""
    evaluation: Evaluation
    """Sequences and exact predictives."""
    log_q: LogLaws
    """Its log probabilities, in nats, in 64 bits."""

    @property
    def log_p(self) -> LogLaws:
        """Exact log probabilities, in nats, in 64 bits."""
        return self.evaluation.log_p

    @cached_property
    def outcomes(self) -> Int[np.ndarray, "sequence position"]:
        """What came at each question, whether the sequence shows it or not."""
        return np.asarray(self.evaluation.batch.outcomes)

    @property
    def counts(self) -> Bool[np.ndarray, "sequence position"]:
        """Which questions count."""
        return self.evaluation.supervised


def judge(
    subject: Subject,
    oracle: AbstractOracle,
    *,
    key: Key,
    num_sequences: int = NUM_JUDGED,
) -> Judged:
    """Ask a predictor about sequences drawn from an oracle's model.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        oracle: Oracle of the model.
        key: Typed key of the sequences.
        num_sequences: How many, at least two.

    Returns:
        Laws, outcomes and exact laws.

    Raises:
        ValueError: If there are fewer than two sequences, or the answers have the wrong shape
            or NaN where a question counts.
    """
    if num_sequences < 2:
        raise ValueError(f"num_sequences: expected at least 2, got {num_sequences}")
    return judge_on(subject, draw_evaluation(oracle, num_sequences, key=key))


def judge_on(subject: Subject, evaluation: Evaluation) -> Judged:
    """Ask a predictor about given sequences.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        evaluation: Drawn sequences and exact answers.

    Returns:
        Laws, outcomes and exact laws.

    Raises:
        ValueError: If the sequences are listed with weights and not drawn, or the answers
            have the wrong shape or NaN where a question counts.
    """
    if evaluation.weights is not None:
        raise ValueError("evaluation: expected drawn sequences, got every sequence with weights")
    return Judged(subject, evaluation, ask(subject, evaluation))
