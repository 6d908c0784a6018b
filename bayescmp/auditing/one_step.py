"""What a predictor says after every next answer that it thinks possible."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from bayescmp.auditing.steps import Rows, Steps
from bayescmp.comparison.evaluation import Subject
from bayescmp.measures.exchangeability import allowed_one_step_gap, one_step_gap

Ahead = tuple[
    Float[np.ndarray, "sequence outcome"],
    Float[np.ndarray, "sequence answer outcome"],
    Float[np.ndarray, "sequence outcome"],
]
"""Law of the next answer, of the answer after next for each next answer, and of the answer after
next before the next one is known."""


@dataclass(frozen=True)
class OneStep:
    """How far a predictor's mean next law is from its law now; each sequence is one trial."""

    positions: Rows
    """The question of each sequence whose answer was averaged over."""
    gap: Float[np.ndarray, " sequence"]
    """Total variation [1]; computed over all outcomes, none drawn."""
    allowed: Float[np.ndarray, " sequence"]
    """The largest gap that the distance from exact Bayes allows [1]."""


def look_ahead(
    subject: Subject, steps: Steps, positions: Rows, possible: Bool[np.ndarray, "sequence outcome"]
) -> Ahead:
    """Ask a predictor what it will say after every next answer.

    Args:
        subject: What is asked.
        steps: Sequences.
        positions: Question of each sequence whose answer is varied, not the last one.
        possible: Answers that are tried; rows for others are copies of the true answer's.

    Returns:
        Probabilities.
    """
    now = steps.laws_at(subject, positions)
    early = steps.swapped(positions, positions + 1).laws_at(subject, positions)
    rows = np.repeat(np.arange(len(steps)), steps.num_outcomes)
    came = steps.outcomes[np.arange(len(steps)), positions]
    tried = np.where(possible, np.arange(steps.num_outcomes), came[:, None]).ravel()
    varied = steps.take(rows).with_outcome(positions[rows], tried)
    following = varied.laws_at(subject, positions[rows] + 1)
    return now, following.reshape(len(steps), steps.num_outcomes, -1), early


def measure_one_step(subject: Subject, steps: Steps, positions: Rows, exact: Ahead) -> OneStep:
    """Compare a predictor's law with its own mean law one answer later.

    Args:
        subject: What is asked. It is asked about every answer to which it gives any
            probability, what is impossible under the process included.
        steps: Sequences.
        positions: Question of each sequence whose answer is averaged over.
        exact: What the oracle says at the same places.

    Returns:
        The gap, and how large it could be.
    """
    possible = steps.laws_at(subject, positions) > 0.0
    judged = look_ahead(subject, steps, positions, possible)
    return OneStep(positions, one_step_gap(*judged), allowed_one_step_gap(exact, judged))
