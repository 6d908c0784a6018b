"""Paths that a predictor draws from itself: do they lead, on average, back to where it stood?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.auditing.steps import Steps
from bayescmp.comparison.evaluation import Subject
from bayescmp.measures.exchangeability import path_spread
from bayescmp.measures.martingale import ScoreTest, drift_scores, score_test


@dataclass(frozen=True)
class Paths:
    """Where the law of the last answer goes along a predictor's own paths.

    Contexts are the independent units: paths of one context share what was shown before.
    """

    start: int
    """Number of true answers that were shown before a path begins."""
    num_paths: int
    """Paths of each context."""
    drift: ScoreTest
    """Whether the law moves in a way that could be foreseen."""
    spread: Float[np.ndarray, " context"]
    """Variance of the law at the end over paths, summed over outcomes [1]."""
    exact_spread: Float[np.ndarray, " context"]
    """The same along the oracle's paths: what the steps in between can teach."""


def follow_paths(
    subject: Subject,
    steps: Steps,
    *,
    start: int,
    num_paths: int,
    rng: np.random.Generator,
) -> Paths:
    """Let a predictor go on by itself after some true answers, many times.

    Args:
        subject: What is asked, and what draws.
        steps: Sequences, of which the first answers are contexts.
        start: Number of true answers in a context.
        num_paths: Paths of each context, at least two.
        rng: Source of the answers.

    Returns:
        Drift and spread of the law of the last answer.

    Raises:
        ValueError: If nothing is left to draw, or there are too few paths or contexts.
    """
    if not 0 <= start < steps.length - 1:
        raise ValueError(f"start: expected 0 to {steps.length - 2}, got {start}")
    begin = np.full(len(steps), start)
    now = steps.swapped(begin, begin * 0 + steps.length - 1).laws_at(subject, begin)
    ends = _draw_ends(subject, steps, start, num_paths, rng)
    exact_ends = _draw_ends(steps.oracle, steps, start, num_paths, rng)
    last = steps.outcomes[:, start - 1] if start else np.full(len(steps), -1)
    scores = drift_scores(now[:, None], ends.mean(axis=1)[:, None], last[:, None])
    return Paths(start, num_paths, score_test(*scores), path_spread(ends), path_spread(exact_ends))


def _draw_ends(
    subject: Subject, steps: Steps, start: int, num_paths: int, rng: np.random.Generator
) -> Float[np.ndarray, "context path outcome"]:
    """Draw all answers but the last from the predictor, and return its law of the last."""
    paths = steps.take(np.repeat(np.arange(len(steps)), num_paths))
    for position in range(start, steps.length):
        here = np.full(len(paths), position)
        laws = paths.laws_at(subject, here)
        if position < steps.length - 1:
            paths = paths.with_outcome(here, draw_outcomes(laws, rng))
    return laws.reshape(len(steps), num_paths, -1)


def draw_outcomes(
    laws: Float[np.ndarray, "sequence outcome"], rng: np.random.Generator
) -> np.ndarray:
    """Draw an outcome from each law; never one of probability zero.

    Args:
        laws: Probabilities.
        rng: Source of the draws.

    Returns:
        Indices.
    """
    cumulated = laws.cumsum(axis=1)
    uniform = rng.random((len(laws), 1)) * cumulated[:, -1:]
    return (cumulated <= uniform).sum(axis=1)
