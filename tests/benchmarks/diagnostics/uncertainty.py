"""False alarms and power of the tests of temperature and of coverage, on the common process.

Both sum a score over the questions of a sequence and hold the sums of all sequences against
zero, so that a sequence is one trial.
"""

import numpy as np
from process import draw

from bayescmp.measures.conformal import conformal_scores, coverage_p_value
from bayescmp.measures.temperature import temperature_p_value

LEVEL = 0.9
NUM_SEQUENCES = {"temperature": 200, "set coverage": 500}
"""Sequences at which power is at least 90 % for every defect that is seen."""

SEES = {
    "temperature": ("temperature 0.8", "temperature 1.25", "prior shifted", "swapped classes"),
    "set coverage": ("temperature 0.8", "temperature 1.25", "prior shifted", "swapped classes"),
}
"""Dropping the last observation is seen by neither: such a predictor is calibrated, since it
answers rightly by what it remembers."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Simulate both tests.

    Args:
        defect: One of the process's defects.
        num_sequences: Sequences in each simulation.
        num_simulations: How many.
        seed: Seed of all draws.

    Returns:
        P-values by diagnostic.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[float]] = {"temperature": [], "set coverage": []}
    for _ in range(num_simulations):
        draws = draw(defect, num_sequences, rng)
        counts = np.ones(draws.outcomes.shape, bool)
        rows["temperature"].append(temperature_p_value(draws.log_q, draws.outcomes, counts))
        order, share = rng.random(draws.log_q.shape), rng.random(draws.outcomes.shape)
        scores = conformal_scores(draws.log_q, order, share)
        came = np.take_along_axis(scores, draws.outcomes[..., None], axis=-1)[..., 0]
        rows["set coverage"].append(coverage_p_value(came, counts, LEVEL))
    return {name: np.array(values) for name, values in rows.items()}
