"""Along sequences of the true process, can the moves of a predictor's law be foreseen?"""

import numpy as np

from bayescmp.auditing.judged import Judged
from bayescmp.auditing.steps import Steps
from bayescmp.measures.martingale import ScoreTest, drift_scores, score_test


def measure_drift(judged: Judged, steps: Steps, *, rng: np.random.Generator) -> ScoreTest:
    """Test whether a predictor's law of a later answer moves without drift.

    Where steps have no queries, all laws of a sequence are about one exchangeable answer, and
    every move counts. Where they have, the law at step ``n`` is about the query of step ``n``:
    that of step ``n + 1`` is asked early, at one random step of each sequence.

    Args:
        judged: Laws on drawn sequences.
        steps: The same sequences, taken apart.
        rng: Source of the random steps.

    Returns:
        The test; each sequence is one trial.
    """
    laws, outcomes = np.exp(judged.log_q), steps.outcomes
    before = np.concatenate([np.full_like(outcomes[:, :1], -1), outcomes[:, :-2]], axis=1)
    if not steps.has_queries:
        return score_test(*drift_scores(laws[:, :-1], laws[:, 1:], before))
    rows, positions = np.arange(len(steps)), rng.integers(steps.length - 1, size=len(steps))
    now = steps.swapped(positions, positions + 1).laws_at(judged.subject, positions)
    later = laws[rows, positions + 1]
    last = before[rows, positions]
    return score_test(*drift_scores(now[:, None], later[:, None], last[:, None]))
