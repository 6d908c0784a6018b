"""Size and power of the tests on miscalibration by isotonic regression."""

import numpy as np
from process import draw

from bayescmp.auditing.reliability_rows import Rows, measure_rows

BRIER = "miscalibration, Brier score"
LOG = "miscalibration, log score"

NUM_SEQUENCES = {BRIER: 5000, LOG: 5000}
"""Sequences at which each defect that a test can see is found with a chance of 90 %."""

_SEEN = ("temperature 0.8", "temperature 1.25", "prior shifted", "swapped classes")
SEES = {BRIER: _SEEN, LOG: _SEEN}
"""A dropped observation leaves a predictor calibrated: it is exact for what it still knows, and
no test of calibration can or should find it."""

NUM_DRAWS = 99


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of each test on sequences drawn anew each time."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(num_simulations):
        draws = draw(defect, num_sequences, rng)
        every = np.arange(num_sequences)
        place = rng.integers(draws.outcomes.shape[1], size=num_sequences)
        q, p = (np.exp(laws[every, place]) for laws in (draws.log_q, draws.log_p))
        rows = Rows(q, p, draws.outcomes[every, place])
        found.append(measure_rows(rows, NUM_DRAWS, rng).p_value)
    return dict(zip(NUM_SEQUENCES, np.array(found).T, strict=True))
