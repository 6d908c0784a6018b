"""Size and power of the tests of drift: along true sequences, and along a predictor's own paths.

Gaps between orders and one step ahead are computed over all outcomes: exact Bayes is at zero up
to rounding, so that their size is 0 and their power 1 at any number of sequences, for predictors
that are no posterior; they have no p-value. Run as a program this prints rejection rates at 5 %.
"""

import sys

import numpy as np
from process import DEFECTS, NUM_OUTCOMES, NUM_TOSSES, draw

from bayescmp.auditing.paths import draw_outcomes
from bayescmp.measures.martingale import drift_scores, score_test

START = NUM_TOSSES // 4
"""True answers before a path begins, as in the audit."""

NUM_PATHS = 8
"""Paths of each context, as in the audit; contexts are the sequences that are counted."""

SEES = {
    "martingale_true_sequences": (
        "temperature 0.8",
        "temperature 1.25",
        "prior shifted",
        "dropped observation",
    ),
    "martingale_own_paths": (
        "temperature 0.8",
        "temperature 1.25",
        "dropped observation",
        "swapped classes",
    ),
}
"""Swapped classes are a martingale along true sequences, since the law of each outcome is that of
another one; a shifted prior is a posterior all the same, and coherent along its own paths."""

NUM_SEQUENCES = {"martingale_true_sequences": 5_000, "martingale_own_paths": 100}
"""Smallest round number of sequences, or contexts, with a power of 90 % for what is seen."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of many simulated audits of one predictor.

    Args:
        defect: One of the defects of the common process.
        num_sequences: Sequences, or contexts, of each audit.
        num_simulations: Audits.
        seed: Seed of the simulations.

    Returns:
        P-values by test, one for each audit.
    """
    rng = np.random.default_rng(seed)
    rows = [_p_values_once(defect, num_sequences, rng) for _ in range(num_simulations)]
    return {name: np.array([row[name] for row in rows]) for name in SEES}


def _p_values_once(defect: str, num_sequences: int, rng: np.random.Generator) -> dict[str, float]:
    """Audit one predictor once."""
    draws = draw(defect, num_sequences, rng)
    laws = np.exp(draws.log_q)
    none = np.full((num_sequences, 1), -1)
    last = np.concatenate([none, draws.outcomes[:, :-2]], axis=1)
    along_true = score_test(*drift_scores(laws[:, :-1], laws[:, 1:], last))
    before = draws.outcomes[:, :START]
    ends = _path_ends(defect, before, rng).mean(axis=1)
    along_own = score_test(*drift_scores(laws[:, START, None], ends[:, None], before[:, -1:]))
    names = list(SEES)
    return {names[0]: along_true.p_value, names[1]: along_own.p_value}


def _path_ends(defect: str, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw all tosses but the last from the predictor, and return its laws of the last."""
    outcomes = np.repeat(before, NUM_PATHS, axis=0)
    while outcomes.shape[1] < NUM_TOSSES - 1:
        new = draw_outcomes(_law(defect, outcomes), rng)
        outcomes = np.concatenate([outcomes, new[:, None]], axis=1)
    return _law(defect, outcomes).reshape(len(before), NUM_PATHS, NUM_OUTCOMES)


def _law(defect: str, outcomes: np.ndarray) -> np.ndarray:
    """Predict the next toss after some tosses, with a defect of the common process."""
    remembered = outcomes[:, :-1] if defect == "dropped observation" else outcomes
    prior = np.array([3.0, 1.0, 1.0 / 3.0]) if defect == "prior shifted" else np.ones(NUM_OUTCOMES)
    alpha = prior + (remembered[..., None] == np.arange(NUM_OUTCOMES)).sum(axis=1)
    if defect.startswith("temperature"):
        alpha = alpha ** (1.0 / float(defect.split()[1]))
    if defect == "swapped classes":
        alpha = alpha[:, [1, 0, 2]]
    return alpha / alpha.sum(axis=1, keepdims=True)


def main(num_simulations: int) -> None:
    """Print rejection rates at 5 %."""
    for defect in DEFECTS:
        for num_sequences in (100, 200, 500, 1_000, 2_000, 5_000):
            found = p_values(defect, num_sequences, num_simulations, seed=0)
            rates = {name: float((p < 0.05).mean()) for name, p in found.items()}
            print(f"{defect:20} {num_sequences:5} {rates}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
