"""Where the truth stands in a posterior, and whether it stands everywhere equally often.

If ``theta`` and data come from a model and a posterior is that model's, the truth falls into each
tenth of its posterior one time in ten. Its place ``u`` in [0, 1] is uniform:

* in a table of probabilities, ``u = P(z < truth) + V P(z = truth)``;
* among ``L`` independent draws, ``u = (R + V) / (L + 1)``, where ``R`` draws are smaller than the
  truth, and of ``T`` that equal it a number that is uniform on ``0 .. T``;
* under a law with a distribution function, ``u = F(truth)``;

with ``V`` uniform. Without ``V`` a discrete truth, or few draws, look miscalibrated whenever they
are right. All of this is exact for one replicate; replicates are the independent units.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Num

from bayescmp.measures.bands import band_p_value, count_below, even_levels

CENTRAL = 0.9
"""Content of the central interval whose coverage is quoted."""

Places = Float[np.ndarray, " replicate"]


@dataclass(frozen=True)
class Uniformity:
    """Whether places are uniform, and by how much they are not.

    Example:
        >>> found = judge_places((np.arange(200) + 0.5) / 200)
        >>> round(found.p_value, 2), round(found.coverage_error, 1), found.interval_error
        (1.0, 0.3, 0.0)
    """

    p_value: float
    """Exact p-value of the level at which the distribution of places is oddest."""
    coverage_error: float
    """Largest gap between the share of truths below a posterior quantile and what the quantile
    says, in points (hundredths); never zero for finitely many places."""
    noise: float
    """What the largest gap exceeds for uniform places one time in twenty, in points."""
    interval_error: float
    """Share of truths inside the central 90 % intervals minus 90 %, in points: negative where
    the posterior is too narrow. It does not see a posterior that is merely shifted."""


def rank_draws(
    truth: Num[np.ndarray, " replicate"],
    draws: Num[np.ndarray, "replicate draw"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " replicate"]:
    """Rank each truth among its draws, and break ties by lot.

    Args:
        truth: One number for each replicate.
        draws: Independent draws from each replicate's posterior.
        rng: Where the lots come from.

    Returns:
        Ranks, from 0 to the number of draws.

    Raises:
        ValueError: If there is no draw, or a number is NaN.

    Example:
        >>> rank_draws(np.array([0.5]), np.array([[0.1, 0.2, 0.9]]), np.random.default_rng(0))
        array([2])
    """
    if not draws.shape[1]:
        raise ValueError("draws: expected at least one for each replicate, got none")
    for name, values in (("truth", truth), ("draws", draws)):
        if np.isnan(values).any():
            raise ValueError(
                f"{name}: expected numbers, got NaN in {np.isnan(values).sum()} places"
            )
    below = np.sum(draws < truth[:, None], axis=1)
    ties = np.sum(draws == truth[:, None], axis=1)
    return below + rng.integers(0, ties + 1)


def place_ranks(
    ranks: Int[np.ndarray, " replicate"], num_draws: int, rng: np.random.Generator
) -> Places:
    """Turn ranks into places: ``(R + V) / (L + 1)``.

    Args:
        ranks: Ranks from 0 to the number of draws.
        num_draws: Draws behind each rank.
        rng: Where ``V`` comes from.

    Returns:
        Places in [0, 1].

    Example:
        >>> place = place_ranks(np.array([1]), 3, np.random.default_rng(0))
        >>> bool(0.25 <= place[0] < 0.5)
        True
    """
    return (ranks + rng.random(ranks.shape)) / (num_draws + 1)


def place_in_table(
    truth: Int[np.ndarray, " replicate"],
    probs: Float[np.ndarray, "replicate state"],
    rng: np.random.Generator,
    order: Float[np.ndarray, "replicate state"] | None = None,
) -> Places:
    """Find the place of each truth in a table of probabilities, exactly.

    ``u = P(f(z) < f(truth)) + V P(f(z) = f(truth))``.

    Args:
        truth: Index of the true state.
        probs: Posterior probabilities; rows sum to one.
        rng: Where ``V`` comes from.
        order: ``f``, a number for each state; the index by default.

    Returns:
        Places in [0, 1].

    Raises:
        ValueError: If a row is no law, or an order is NaN.

    Example:
        >>> places = place_in_table(np.array([1]), np.array([[0.2, 0.8]]), np.random.default_rng(0))
        >>> bool(0.2 <= places[0] < 1.0)
        True
    """
    total = probs.sum(axis=1)
    if not (probs >= 0.0).all() or not np.allclose(total, 1.0, atol=1e-4):
        raise ValueError("probs: expected rows that are not negative and sum to 1, got others")
    values = np.broadcast_to(np.arange(probs.shape[1]), probs.shape) if order is None else order
    if np.isnan(values).any():
        raise ValueError("order: expected numbers, got NaN")
    own = np.take_along_axis(values, truth[:, None], axis=1)
    below = np.sum(np.where(values < own, probs, 0.0), axis=1)
    equal = np.sum(np.where(values == own, probs, 0.0), axis=1)
    return (below + rng.random(truth.shape) * equal) / total


def judge_places(places: Places, levels: Float[np.ndarray, " level"] | None = None) -> Uniformity:
    """Test whether places are uniform.

    The p-value is that of :func:`~bayescmp.measures.bands.band_p_value`: it belongs to the band
    that is drawn, needs no cells to be chosen, as a chi-square test would, and looks at the
    middle and at both ends of a distribution with equal care, unlike the largest gap.

    Args:
        places: One for each replicate.
        levels: Where to look; up to 99 evenly spaced ones by default.

    Returns:
        What was found.

    Raises:
        ValueError: If there is no place, or one is NaN.

    Example:
        >>> too_narrow = np.concatenate([np.zeros(20), np.ones(20), np.linspace(0.1, 0.9, 60)])
        >>> found = judge_places(too_narrow)
        >>> found.p_value < 1e-6, round(found.coverage_error)
        (True, 20)
    """
    num = len(places)
    levels = even_levels(num) if levels is None else levels
    counts = count_below(places, levels)
    inside = np.mean(np.abs(places - 0.5) <= 0.5 * CENTRAL)
    return Uniformity(
        p_value=band_p_value(counts, num, levels),
        coverage_error=100.0 * _largest_gap(places),
        noise=100.0 * _usual_gap(num),
        interval_error=100.0 * float(inside - CENTRAL),
    )


def histogram_bands(num: int, num_bins: int, coverage: float = 0.95) -> tuple[int, int]:
    """Compute between what all heights of a histogram of uniform places lie together.

    The heights are multinomial: independent Poisson numbers, given that they add up to ``num``.
    The chance that all of them stay inside is therefore exact, as for the bands of a curve.

    Args:
        num: Places.
        num_bins: Equally wide bins.
        coverage: Chance that no height leaves the band, at least.

    Returns:
        Lowest and highest count, both included.

    Raises:
        ValueError: If there is no place, fewer than two bins, or the coverage is not inside (0, 1).

    Example:
        >>> histogram_bands(1_000, 20)  # a single height stays within 37 .. 64 as often
        (31, 72)
    """
    if num < 1 or num_bins < 2:
        raise ValueError(f"num_bins: expected 2 or more bins of places, got {num_bins} of {num}")
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage}")
    from scipy.stats import binom  # 0.5 s to import, and only needed here

    # Bands are tried from the narrowest tails on, one count wider at a time.
    middle = int(binom.ppf(0.5, num, 1.0 / num_bins))
    low = high = middle
    while _chance_of_heights(num, num_bins, low, high) < coverage:
        tails = (binom.cdf(low - 1, num, 1.0 / num_bins), binom.sf(high, num, 1.0 / num_bins))
        low, high = (low - 1, high) if tails[0] > tails[1] else (low, high + 1)
    return low, high


def _chance_of_heights(num: int, num_bins: int, low: int, high: int) -> float:
    """Compute the chance that every height of a histogram is from ``low`` to ``high``."""
    from scipy.special import gammaln

    heights = np.arange(high + 1)
    mean = num / num_bins
    weights = np.exp(heights * np.log(mean) - mean - gammaln(heights + 1.0))
    weights[:low] = 0.0
    total = np.ones(1)
    for _ in range(num_bins):
        total = np.convolve(total, weights)[: num + 1]
    if len(total) <= num:
        return 0.0
    return float(total[num] / np.exp(num * np.log(num) - num - gammaln(num + 1.0)))


def _largest_gap(places: Places) -> float:
    """Return the largest distance of the places' distribution from the uniform one."""
    ordered, num = np.sort(places), len(places)
    steps = np.arange(num + 1) / num
    return float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))


@lru_cache(maxsize=64)
def _usual_gap(num: int) -> float:
    """Return what the largest gap of uniform places exceeds one time in twenty."""
    from scipy.stats import kstwo

    return float(kstwo.ppf(0.95, num))
