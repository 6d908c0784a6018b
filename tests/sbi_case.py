"""One small case that sbi was asked about: made again here with NumPy's generator PCG64 alone."""

import numpy as np

PLACES = 3
NUM_PLACE_DRAWS = 40


def make_case() -> dict[str, np.ndarray]:
    """Return truths, observations, posterior draws and references."""
    rng = np.random.default_rng(20260001)
    truth = rng.normal(size=(120, 2))
    observed = truth + rng.normal(size=(120, 2))
    mean = 0.5 * observed + [0.2, 0.0]
    draws = mean[:, None] + 0.5 * rng.normal(size=(120, 50, 2))
    references = observed + rng.normal(size=(120, 2))
    places = np.array([[0.0, 0.0], [1.0, -1.0], [2.0, 1.0]])
    at = (0.5 * places + [0.2, 0.0])[:, None]
    place_draws = at + 0.5 * rng.normal(size=(PLACES, NUM_PLACE_DRAWS, 2))
    return {
        "truth": truth,
        "observed": observed,
        "draws": draws,
        "references": references,
        "places": places,
        "place_draws": place_draws,
    }
