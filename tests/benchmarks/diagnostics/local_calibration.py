"""Size and power of the local tests on the common process.

Residuals pool ten questions of each sequence, tested by sequence. L-C2ST judges the posterior of
the die after all ten tosses, one pair a sequence, at eight observations of further sequences.
"""

import numpy as np
from process import NUM_OUTCOMES, NUM_TOSSES, Draws, draw

from bayescmp.measures.joint_sums import check_jointly, flip_signs
from bayescmp.measures.local_c2st import local_c2st
from bayescmp.measures.residuals import one_hot, shown_before, sum_by_context

NUM_PLACES = 8
NUM_PLACE_DRAWS = 100

CONTENT = ("prior shifted", "swapped classes", "dropped observation")
EVERY = ("temperature 0.8", "temperature 1.25", *CONTENT)

SEES = {
    "map of residuals": EVERY,
    "residuals given the context": EVERY,
    "L-C2ST": EVERY,
    "L-C2ST at the worst place": CONTENT,
}
"""Contexts, here and of L-C2ST, hold the last toss, so that dropping it is seen. At the worst
of eight places a temperature is seen too late: 0.83 of temperatures 0.8 with 2,000 sequences."""

NUM_SEQUENCES = {
    "map of residuals": 500,
    "residuals given the context": 500,
    "L-C2ST": 2_000,
    "L-C2ST at the worst place": 1_000,
}
"""Sequences at which each defect above is seen nine times of ten or more."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of simulated audits by diagnostic."""
    rng = np.random.default_rng(seed)
    signs = flip_signs(num_sequences, rng)
    rows = [
        {**_audit(draw(defect, num_sequences, rng), signs), **_judge(defect, num_sequences, rng)}
        for _ in range(num_simulations)
    ]
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


def _judge(defect: str, num_sequences: int, rng: np.random.Generator) -> dict[str, float]:
    """Judge posterior draws at some observations."""
    draws = draw(defect, num_sequences + NUM_PLACES, rng)
    last = one_hot(draws.outcomes[:, -1:], NUM_OUTCOMES)[:, 0, :2]
    observed = np.concatenate([(draws.alpha_p[:, :2] - 1.0) / NUM_TOSSES, last], axis=1)
    one = _dirichlet(draws.alpha_q[:num_sequences], rng)
    many = _dirichlet(np.repeat(draws.alpha_q[num_sequences:, None], NUM_PLACE_DRAWS, axis=1), rng)
    found = local_c2st(
        draws.theta[:num_sequences, :2],
        one[:, :2],
        observed[:num_sequences],
        many[..., :2],
        observed[num_sequences:],
        rng=rng,
        num_trials=99,
    )
    return {"L-C2ST": found.p_value, "L-C2ST at the worst place": float(found.adjusted.min())}


def _dirichlet(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gammas = rng.standard_gamma(alpha)
    return gammas / gammas.sum(axis=-1, keepdims=True)
