"""Size and power of simulation-based calibration on the common process.

The posterior after all tosses is a Dirichlet law, so that a coordinate's place is its exact Beta
distribution function; the likelihood of the truth is ranked among those of draws; the outcome
that is placed is the last one, in the law that was predicted for it. Sequences are replicates.
"""

import numpy as np
from process import NUM_OUTCOMES, Draws, draw
from scipy import stats

from bayescmp.measures.bands import band_p_value, count_below, even_levels
from bayescmp.measures.ranks import place_in_table, place_ranks, rank_draws

NUM_DRAWS = 99
"""Draws from each posterior."""

SEES = {
    "sbc latents": (
        "temperature 0.8",
        "temperature 1.25",
        "prior shifted",
        "swapped classes",
    ),
    "sbc log likelihood": (
        "temperature 0.8",
        "temperature 1.25",
        "prior shifted",
        "dropped observation",
        "swapped classes",
    ),
    "sbc next outcome": ("prior shifted", "swapped classes"),
}
"""Defects that a diagnostic can see. A posterior that has dropped an observation is the right one
given less, which is calibrated for every latent: only a function of all the data tells. One
outcome of three is placed too coarsely to tell a temperature at a few thousand replicates."""

NUM_SEQUENCES = {"sbc latents": 2_000, "sbc log likelihood": 1_000, "sbc next outcome": 500}
"""Replicates at which the power is at least 90 % for each of them."""


def p_values(
    defect: str, num_sequences: int, num_simulations: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the p-values of each diagnostic, one for each simulation."""
    rng = np.random.default_rng(seed)
    rows = [_test(draw(defect, num_sequences, rng), rng) for _ in range(num_simulations)]
    return {name: np.array([row[name] for row in rows]) for name in NUM_SEQUENCES}


def _test(data: Draws, rng: np.random.Generator) -> dict[str, float]:
    """Test one simulation; of the three latents, the least p-value times three."""
    rest = data.alpha_q.sum(axis=1, keepdims=True) - data.alpha_q
    latents = stats.beta.cdf(data.theta, data.alpha_q, rest).T
    counts = np.eye(NUM_OUTCOMES)[data.outcomes].sum(axis=1)
    numbers = rng.standard_gamma(data.alpha_q[:, None], (len(counts), NUM_DRAWS, NUM_OUTCOMES))
    drawn = np.log(numbers / numbers.sum(axis=2, keepdims=True))
    ranks = rank_draws(
        np.sum(counts * np.log(data.theta), axis=1), np.einsum("sk,sdk->sd", counts, drawn), rng
    )
    last = place_in_table(data.outcomes[:, -1], np.exp(data.log_q[:, -1]), rng)
    return {
        "sbc latents": min(1.0, NUM_OUTCOMES * min(_p_value(row) for row in latents)),
        "sbc log likelihood": _p_value(place_ranks(ranks, NUM_DRAWS, rng)),
        "sbc next outcome": _p_value(last),
    }


def _p_value(places: np.ndarray) -> float:
    levels = even_levels(len(places))
    return band_p_value(count_below(places, levels), len(places), levels)
