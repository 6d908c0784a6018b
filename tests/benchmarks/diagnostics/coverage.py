"""Size and power of expected coverage and of TARP on the common process.

Coverage of predictives pools ten questions of each sequence, tested by sequence. Posterior sets
are judged on 200 draws from the posterior of the die after all ten tosses, one rank a sequence.
"""

import numpy as np
import scipy.special
from process import NUM_OUTCOMES, NUM_TOSSES, Draws, draw
from scipy.stats import kstest

from bayescmp.measures.coverage import coverage_sums, density_levels, merge_positions, stand
from bayescmp.measures.joint_sums import check_jointly, flip_signs
from bayescmp.measures.residuals import one_hot
from bayescmp.measures.tarp import blind_references, check_ranks, learn_reference, tarp_ranks

NUM_DRAWS = 200

TEMPERATURES = ("temperature 0.8", "temperature 1.25")
CONTENT = ("prior shifted", "swapped classes")

SEES = {
    "coverage of highest-density sets": (*TEMPERATURES, *CONTENT),
    "TARP, blind reference": ("temperature 0.8", *CONTENT),
    "TARP, learnt reference": (*TEMPERATURES, *CONTENT, "dropped observation"),
    "coverage of posterior sets": (*TEMPERATURES, *CONTENT),
    "TARP of a posterior, blind reference": CONTENT,
    "TARP of a posterior, reference from the tosses": (
        *TEMPERATURES,
        *CONTENT,
        "dropped observation",
    ),
}
"""Who drops an observation is the right law given the others: highest-density sets and blind
references have nominal coverage, and cannot see it. What is dropped is the last toss, which the
learnt reference knows of, and which the shares of all tosses hold. Blind references see
temperatures little: averaged over references nothing is left but the spread (of predictives, at
1,000 sequences, 0.84 of temperatures 1.25; of posteriors, at 2,000, 0.84 and 0.60)."""

NUM_SEQUENCES = {
    "coverage of highest-density sets": 200,
    "TARP, blind reference": 500,
    "TARP, learnt reference": 1_000,
    "coverage of posterior sets": 500,
    "TARP of a posterior, blind reference": 500,
    "TARP of a posterior, reference from the tosses": 1_000,
}
"""Sequences at which each defect above is seen nine times of ten or more."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of simulated audits by diagnostic."""
    rng = np.random.default_rng(seed)
    signs = flip_signs(num_sequences, rng)
    rows = [_audit(draw(defect, num_sequences, rng), signs, rng) for _ in range(num_simulations)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _audit(draws: Draws, signs: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    laws, half = np.exp(draws.log_q), len(draws.theta) // 2
    learnt = _learn_order(draws, laws, half)
    return {
        "coverage of highest-density sets": _pooled(laws, laws, draws.outcomes, signs),
        "TARP, blind reference": _pooled(laws, rng.random(laws.shape), draws.outcomes, signs),
        "TARP, learnt reference": _pooled(
            laws[half:], learnt, draws.outcomes[half:], signs[:, half:]
        ),
        **_judge_posterior(draws, rng),
    }


def _pooled(laws: np.ndarray, scores: np.ndarray, outcomes: np.ndarray, signs: np.ndarray) -> float:
    """Test coverage over all questions, sequences being the units."""
    counts = np.ones(outcomes.shape, dtype=bool)
    sums = coverage_sums(laws, stand(laws, scores), outcomes, counts)
    return check_jointly(merge_positions(sums, NUM_TOSSES), signs).p_value


def _learn_order(draws: Draws, laws: np.ndarray, half: int) -> np.ndarray:
    """Learn on the first half which outcomes a predictor misses, from what it was shown."""
    hits = one_hot(draws.outcomes, NUM_OUTCOMES)
    before = np.zeros_like(hits)
    before[:, 1:] = hits.cumsum(axis=1)[:, :-1]
    last = np.zeros_like(hits)
    last[:, 1:] = hits[:, :-1]
    steps = np.broadcast_to(np.arange(NUM_TOSSES)[None, :, None], (*hits.shape[:2], 1))
    features = np.concatenate([laws, before, last, steps], axis=-1)
    rows = features[:half].reshape(-1, features.shape[-1])
    missed = (hits - laws)[:half].reshape(len(rows), -1)
    new = features[half:].reshape(-1, features.shape[-1])
    return learn_reference(rows, missed, new).reshape(len(laws) - half, NUM_TOSSES, -1)


def _judge_posterior(draws: Draws, rng: np.random.Generator) -> dict[str, float]:
    """Judge draws from the posterior of the die by their density and by references."""
    gammas = rng.standard_gamma(draws.alpha_q[:, None], (len(draws.theta), NUM_DRAWS, NUM_OUTCOMES))
    sample = gammas / gammas.sum(axis=-1, keepdims=True)
    uniforms = rng.random(len(sample))
    density = np.sum(scipy.special.xlogy(draws.alpha_q[:, None] - 1.0, sample), axis=-1)
    own = np.sum(scipy.special.xlogy(draws.alpha_q - 1.0, draws.theta), axis=-1)
    levels = density_levels(density, own, uniforms)
    truth, points = draws.theta[:, :2], sample[..., :2]
    shares = (draws.alpha_p[:, :2] - 1.0) / NUM_TOSSES
    blind = blind_references(truth, rng.random(truth.shape))
    return {
        "coverage of posterior sets": float(kstest(levels, "uniform").pvalue),
        "TARP of a posterior, blind reference": check_ranks(
            tarp_ranks(points, truth, blind, uniforms)
        ).p_value,
        "TARP of a posterior, reference from the tosses": check_ranks(
            tarp_ranks(points, truth, shares, uniforms)
        ).p_value,
    }
