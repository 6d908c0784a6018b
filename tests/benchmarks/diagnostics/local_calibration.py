"""Size and power of the tests on residuals by context, on the common process.

They pool ten questions of each sequence, and are tested by sequence.
"""

import numpy as np
from process import NUM_OUTCOMES, NUM_TOSSES, Draws, draw

from bayescmp.measures.joint_sums import check_jointly, flip_signs
from bayescmp.measures.residuals import one_hot, shown_before, sum_by_context

EVERY = (
    "temperature 0.8",
    "temperature 1.25",
    "prior shifted",
    "swapped classes",
    "dropped observation",
)

SEES = {"map of residuals": EVERY, "residuals given the context": EVERY}
"""Contexts hold the last toss, so that dropping it is seen."""

NUM_SEQUENCES = {"map of residuals": 500, "residuals given the context": 500}
"""Sequences at which each defect above is seen nine times of ten or more."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of simulated audits by diagnostic."""
    rng = np.random.default_rng(seed)
    signs = flip_signs(num_sequences, rng)
    rows = [_audit(draw(defect, num_sequences, rng), signs) for _ in range(num_simulations)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _audit(draws: Draws, signs: np.ndarray) -> dict[str, float]:
    """Look for contexts in which a predictor is off."""
    laws, came = np.exp(draws.log_q), one_hot(draws.outcomes, NUM_OUTCOMES)
    before, last = np.zeros_like(came), np.zeros_like(came)
    before[:, 1:], last[:, 1:] = came.cumsum(axis=1)[:, :-1], came[:, :-1]
    entropy = -np.sum(laws * np.log2(laws), axis=-1)
    every = np.ones_like(entropy)
    steps = np.broadcast_to(np.arange(NUM_TOSSES), entropy.shape)
    level = np.minimum((entropy / np.log2(NUM_OUTCOMES) * 5).astype(int), 4)
    groups = [every, *(steps == t for t in range(NUM_TOSSES)), *(level == k for k in range(5))]
    groups += [1.0 - last.sum(axis=-1), *np.moveaxis(last, -1, 0)]
    numbers = [laws, entropy[..., None], steps[..., None], before / (steps[..., None] + 1.0), last]
    features = np.concatenate(numbers, axis=-1)
    features = (features - features.mean(axis=(0, 1))) / features.std(axis=(0, 1))
    features = np.concatenate([every[..., None], features], axis=-1)
    weights = (laws, *shown_before(came))
    found = check_jointly(sum_by_context(np.stack(groups, axis=-1), laws, came, weights), signs)
    spread = check_jointly(sum_by_context(features, laws, came), signs)
    return {"map of residuals": found.p_value, "residuals given the context": spread.p_sum}
