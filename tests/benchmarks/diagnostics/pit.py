"""Size and power of the tests on probability integral transforms."""

import numpy as np
from process import DEFECTS, draw

from bayescmp.measures.bands import band_p_value, count_below, even_levels
from bayescmp.measures.pit import pit_dependence, randomised_pit

UNIFORM = "uniform transforms"
INDEPENDENT = "independent transforms"

NUM_SEQUENCES = {UNIFORM: 1000, INDEPENDENT: 5000}
"""Sequences at which each defect that a test can see is found with a chance of 90 %."""

SEES = {UNIFORM: ("prior shifted", "swapped classes"), INDEPENDENT: DEFECTS[1:]}
"""Uniform transforms are all that calibration asks. A dropped observation leaves a predictor
calibrated: it is exact for what it still knows. Being too sure or not sure enough moves
transforms down where the likelier outcomes come late in the order and up where they come early;
over sides of a fair die these nearly cancel, and 5,000 sequences find it in half of the cases.
The dependence of successive transforms sees all five."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of each test on sequences drawn anew each time."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(num_simulations):
        draws = draw(defect, num_sequences, rng)
        shape, rows = draws.outcomes.shape, draws.log_q.reshape(-1, draws.log_q.shape[-1])
        pit = randomised_pit(rows, draws.outcomes.ravel(), rng.random(len(rows))).reshape(shape)
        picked = pit[np.arange(num_sequences), rng.integers(shape[1], size=num_sequences)]
        levels = even_levels(num_sequences)
        uniform = band_p_value(count_below(picked, levels), num_sequences, levels)
        found.append((uniform, pit_dependence(pit, np.ones(shape, bool)).p_value))
    return dict(zip(NUM_SEQUENCES, np.array(found).T, strict=True))
