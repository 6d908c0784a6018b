"""Size and power of L-C2ST on the common process.

It judges the posterior of the die after all ten tosses, one pair a sequence, at eight observations
of further sequences.
"""

import numpy as np
from process import NUM_OUTCOMES, NUM_TOSSES, draw

from bayescmp.measures.local_c2st import local_c2st
from bayescmp.measures.residuals import one_hot

NUM_PLACES = 8
NUM_PLACE_DRAWS = 100

DEFECTS = (
    "temperature 0.8",
    "temperature 1.25",
    "prior shifted",
    "swapped classes",
    "dropped observation",
)

SEES = {"L-C2ST": DEFECTS, "L-C2ST at the worst place": DEFECTS}
"""Observations hold the last toss, so that dropping it is seen. At the worst of eight places a
temperature is seen late: 0.8 in 35 % with 1,000 sequences and in 93 % with 3,000."""

NUM_SEQUENCES = dict.fromkeys(SEES, 3_000)
"""Sequences at which each defect above is seen nine times of ten or more."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of simulated audits by diagnostic."""
    rng = np.random.default_rng(seed)
    rows = [_judge(defect, num_sequences, rng) for _ in range(num_simulations)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


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
