"""Simultaneous bands for the distribution of uniform numbers, and the test that goes with them.

With ``u_1 .. u_N`` independent and uniform, the count ``C(z) = #{i : u_i <= z}`` is
``Binomial(N, z)`` at one level ``z``. A curve that looks outside of such pointwise limits
somewhere says little, for there are many levels. The band here holds at all of them together:

1. At every level take the counts whose two tail probabilities both exceed ``gamma / 2``.
2. Counts between levels are independent Poisson numbers given that they add up to ``N``. So the
   chance that ``C`` stays inside at every level is a sum over paths of products of Poisson
   probabilities, divided by ``Poisson(N; N)``. It is exact: nothing is simulated.
3. ``gamma`` is the largest number for which that chance is the coverage asked for, or more.

The test turns it round: its statistic is the smallest ``gamma`` of any level, and its p-value
the exact chance of one as small. So the curve leaves the band of coverage ``1 - a`` if and only
if ``p <= a``. Ranks among ``0 .. L - 1`` are the same thing at the levels ``1/L .. (L-1)/L``.

Source: Säilynoja, Bürkner and Vehtari, Graphical test for discrete uniformity and its
applications in goodness-of-fit evaluation and multiple sample comparison, 2022, Statistics and
Computing 32:32, sections 2 and 3 (there by recursion over binomial probabilities).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

HALVINGS = 60
"""Halvings of the range of ``log gamma``, until nothing changes in 64 bits."""

ROUNDING = 1e-9
"""Relative distance by which a tail probability has to exceed its limit."""

Levels = Float[np.ndarray, " level"]
Counts = Int[np.ndarray, " level"]


def simultaneous_bands(num: int, levels: Levels, coverage: float = 0.95) -> tuple[Levels, Levels]:
    """Compute between what the shares of uniform numbers below some levels lie, all together.

    Args:
        num: How many independent uniform numbers.
        levels: Where the distribution is looked at, rising, inside (0, 1).
        coverage: Chance that no share leaves the band, at least; a little more, since
            counts are whole.

    Returns:
        Lowest and highest share of numbers at most as large as each level [1], both included.

    Raises:
        ValueError: If there is no number, the levels do not rise inside (0, 1), or the coverage
            is not inside (0, 1).

    Example:
        >>> low, high = simultaneous_bands(100, np.array([0.25, 0.5, 0.75]))
        >>> float(low[1]), float(high[1])  # 40 to 60 would do for this level alone
        (0.39, 0.61)
    """
    _require(num, levels, coverage)
    low, high = _count_limits(num, tuple(levels.tolist()), float(coverage))
    return low / num, high / num


def count_below(values: Float[np.ndarray, " value"], levels: Levels) -> Counts:
    """Count the numbers at most as large as each level.

    Args:
        values: Numbers in [0, 1].
        levels: Levels.

    Returns:
        Counts; a number beyond [0, 1] by rounding counts like the nearest end.

    Raises:
        ValueError: If a value is NaN, since it has no place.

    Example:
        >>> count_below(np.array([0.1, 0.5, 0.9]), np.array([0.5, 0.8]))
        array([2, 2])
    """
    if np.isnan(values).any():
        raise ValueError(f"values: expected numbers, got NaN in {np.isnan(values).sum()} places")
    return np.searchsorted(np.sort(values), levels, side="right")


def band_p_value(counts: Counts, num: int, levels: Levels) -> float:
    """Test whether numbers are uniform, by the level at which their distribution is oddest.

    Args:
        counts: How many of them are at most as large as each level.
        num: How many numbers there are, independent of each other.
        levels: The levels, rising, inside (0, 1).

    Returns:
        The exact chance of a curve as odd as this one; at most 0.05 where it leaves the band of
        coverage 0.95.

    Raises:
        ValueError: If there is no number, or the levels do not rise inside (0, 1).

    Example:
        >>> levels = np.array([0.25, 0.5, 0.75])
        >>> band_p_value(np.array([25, 50, 75]), 100, levels)
        1.0
        >>> band_p_value(np.array([25, 63, 75]), 100, levels) < 0.05
        True
    """
    _require(num, levels, 0.5)
    rows = np.arange(len(levels))
    below, above = _tails(num, tuple(levels.tolist()))
    least = float(np.minimum(below[rows, counts], above[rows, counts]).min())
    inside = _chance_inside(num, levels, *_limits_of(num, levels, 2.0 * least))
    # The oddest level alone is as odd as this with at least its own chance, which also says
    # something where the chance of staying inside rounds to one.
    return float(np.clip(1.0 - inside, least, 1.0))


def even_levels(num: int, most: int = 100) -> Levels:
    """Return evenly spaced levels for continuous numbers.

    Args:
        num: How many numbers there are.
        most: Most intervals between the levels.

    Returns:
        Levels ``1/K .. (K-1)/K`` with ``K`` the smaller of both, and 2 at the least.

    Example:
        >>> even_levels(1_000, most=4)
        array([0.25, 0.5 , 0.75])
    """
    num_cells = max(2, min(num, most))
    return np.arange(1, num_cells) / num_cells


@lru_cache(maxsize=64)
def _count_limits(num: int, levels: tuple[float, ...], coverage: float) -> tuple[Counts, Counts]:
    """Search the narrowest limits that hold with the coverage asked for."""
    places = np.array(levels)
    wide, narrow = np.log((1.0 - coverage) / len(levels)) - 1.0, np.log(2.0)
    for _ in range(HALVINGS):
        middle = 0.5 * (wide + narrow)
        inside = _chance_inside(num, places, *_limits_of(num, places, float(np.exp(middle))))
        wide, narrow = (middle, narrow) if inside >= coverage else (wide, middle)
    # Tails that differ by rounding are one: the search may have come to rest between them.
    return _limits_of(num, places, float(np.exp(wide)) * (1.0 - 4.0 * ROUNDING))


def _limits_of(num: int, levels: Levels, gamma: float) -> tuple[Counts, Counts]:
    """Return the least and greatest counts of which both tails exceed ``gamma / 2``."""
    below, above = _tails(num, tuple(levels.tolist()))
    tail = 0.5 * gamma * (1.0 + ROUNDING)
    return np.sum(below <= tail, axis=1), np.sum(above > tail, axis=1) - 1


@lru_cache(maxsize=8)
def _tails(
    num: int, levels: tuple[float, ...]
) -> tuple[Float[np.ndarray, "level count"], Float[np.ndarray, "level count"]]:
    """Tabulate the chances of at most, and of at least, each count at each level."""
    from scipy.stats import binom  # 0.5 s to import, and only needed here

    counts, places = np.arange(num + 1), np.array(levels)[:, None]
    return binom.cdf(counts, num, places), binom.sf(counts - 1, num, places)


def _chance_inside(num: int, levels: Levels, low: Counts, high: Counts) -> float:
    """Compute the chance that counts stay inside their limits at all levels."""
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(num + 2.0) + 1.0)
    means = num * np.diff(levels, prepend=0.0, append=1.0)
    start, weights = 0, np.ones(1)
    for mean, least, most in zip(means, (*low, num), (*high, num), strict=True):
        if most < max(least, start):
            return 0.0
        steps = np.arange(most - start + 1)
        poisson = np.exp(steps * np.log(mean) - mean - log_factorial[steps])
        moved = np.convolve(weights, poisson)[: most - start + 1]
        first = max(least - start, 0)
        start, weights = start + first, moved[first:]
    return float(weights[0] / np.exp(num * np.log(num) - num - log_factorial[num]))


def _require(num: int, levels: Levels, coverage: float) -> None:
    """Raise a ValueError for numbers that make no band."""
    if num < 1:
        raise ValueError(f"num: expected at least 1, got {num}")
    rising = np.diff(levels, prepend=0.0, append=1.0) > 0.0
    if not levels.size or not rising.all():
        raise ValueError(f"levels: expected numbers that rise inside (0, 1), got {levels}")
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage}")
