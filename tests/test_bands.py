"""Simultaneous bands: their coverage is exact, and the test leaves them with the curve."""

import numpy as np
import pytest
from scipy import stats

from bayescmp.measures.bands import band_p_value, count_below, even_levels, simultaneous_bands
from bayescmp.measures.ranks import histogram_bands

LEVELS = np.array([0.1, 0.35, 0.5, 0.8])


def chance_by_listing(num: int, levels: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Add up multinomial probabilities of all ways to spread numbers over the intervals."""
    cells = np.diff(levels, prepend=0.0, append=1.0)
    total = 0.0
    for counts in np.ndindex(*(num + 1,) * (len(cells) - 1)):
        if sum(counts) > num:
            continue
        below = np.cumsum(counts)
        if np.all((below >= low) & (below <= high)):
            total += stats.multinomial.pmf([*counts, num - sum(counts)], num, cells)
    return total


def test_coverage_is_exact_by_listing_all_counts():
    num = 9
    low, high = simultaneous_bands(num, LEVELS, 0.9)
    limits = np.round(low * num).astype(int), np.round(high * num).astype(int)
    covered = chance_by_listing(num, LEVELS, *limits)
    assert covered >= 0.9
    # As narrow as possible: what the next larger tail leaves does not cover.
    tails = np.minimum(
        stats.binom.cdf(limits[0], num, LEVELS), stats.binom.sf(limits[1] - 1, num, LEVELS)
    )
    worst = int(np.argmin(tails))
    narrower = limits[0].copy(), limits[1].copy()
    is_low = stats.binom.cdf(limits[0][worst], num, LEVELS[worst]) == tails[worst]
    narrower[0 if is_low else 1][worst] += 1 if is_low else -1
    assert chance_by_listing(num, LEVELS, *narrower) < 0.9


def test_p_value_is_the_chance_of_as_odd_a_curve():
    num, counts = 8, np.array([0, 1, 4, 5])
    tails = np.minimum(
        stats.binom.cdf(counts, num, LEVELS), stats.binom.sf(counts - 1, num, LEVELS)
    ).min()
    low = np.array([int(np.sum(stats.binom.cdf(np.arange(9), num, z) <= tails)) for z in LEVELS])
    high = np.array(
        [int(np.sum(stats.binom.sf(np.arange(9) - 1, num, z) > tails)) - 1 for z in LEVELS]
    )
    expected = 1.0 - chance_by_listing(num, LEVELS, low, high)
    assert band_p_value(counts, num, LEVELS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num", [1, 30, 1_000])
def test_curve_leaves_the_band_exactly_if_the_p_value_says_so(num: int):
    levels = even_levels(num)
    low, high = simultaneous_bands(num, levels)
    rng = np.random.default_rng(num)
    left = []
    for number in range(150):
        # Every third set is slightly too narrow, so that some leave.
        values = rng.beta(*((1.2, 1.2) if number % 3 == 0 else (1.0, 1.0)), num)
        counts = count_below(values, levels)
        outside = np.any((counts / num < low - 1e-12) | (counts / num > high + 1e-12))
        assert outside == (band_p_value(counts, num, levels) <= 0.05)
        left.append(outside)
    assert num < 1_000 or any(left)


def test_size_is_nominal():
    # 800 sets of uniform numbers: 5 % +- 4 standard errors of 0.77 % each.
    levels, rng = even_levels(200), np.random.default_rng(0)
    low, high = simultaneous_bands(200, levels)
    shares = np.stack([count_below(rng.random(200), levels) / 200 for _ in range(800)])
    left = np.mean(np.any((shares < low) | (shares > high), axis=1))
    assert 0.02 < left < 0.081


def test_band_is_wider_than_pointwise_limits_and_symmetric():
    levels = even_levels(500, most=20)
    low, high = simultaneous_bands(500, levels)
    pointwise = stats.binom.ppf(0.025, 500, levels) / 500
    assert np.all(low <= pointwise)
    assert np.any(low < pointwise)
    np.testing.assert_allclose(low, 1.0 - high[::-1], atol=1e-12)


def test_hopeless_numbers_have_a_tiny_p_value_that_is_no_zero():
    levels = even_levels(200)
    p_value = band_p_value(count_below(np.full(200, 0.5), levels), 200, levels)
    assert 0.0 < p_value < 1e-12  # about 0.5^200; one minus a chance near one rounds to 1e-15


@pytest.mark.parametrize("num", [50, 200])
def test_agrees_with_the_simulated_bands_of_arviz(num: int):
    from arviz_stats.ecdf_utils import ecdf_pit

    values = np.random.default_rng(0).random(num)
    levels, shares, least, most = (x[1:-1] for x in ecdf_pit(values, 0.95, 2_000))
    low, high = simultaneous_bands(num, levels)
    np.testing.assert_array_equal(count_below(values, levels) / num, shares)
    # Theirs is simulated: gamma is off by about 10 %, which moves a limit by one count at most.
    assert np.max(np.abs(low - least)) < 1.5 / num
    assert np.max(np.abs(high - most)) < 1.5 / num


def test_heights_of_a_histogram_stay_inside_together():
    low, high = histogram_bands(400, 10)
    heights = np.random.default_rng(2).multinomial(400, np.full(10, 0.1), 4_000)
    covered = np.mean(np.all((heights >= low) & (heights <= high), axis=1))
    # At least 95 %, and at most what a count less on both sides would leave; 0.3 % each error.
    assert 0.94 < covered < 0.985


def test_a_number_at_a_level_counts():
    np.testing.assert_array_equal(count_below(np.array([0.5, 0.5, 1.0]), np.array([0.5])), [2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, LEVELS, 0.9), "num: expected at least 1"),
        ((5, np.array([0.5, 0.4]), 0.9), "levels: expected numbers that rise"),
        ((5, np.array([0.0, 0.4]), 0.9), "levels: expected numbers that rise"),
        ((5, np.array([]), 0.9), "levels: expected numbers that rise"),
        ((5, LEVELS, 1.0), "coverage: expected a number between 0 and 1"),
    ],
)
def test_bad_input_gets_one_line(arguments: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        simultaneous_bands(*arguments)


def test_nan_has_no_place():
    with pytest.raises(ValueError, match="expected numbers, got NaN in 1 places"):
        count_below(np.array([0.1, np.nan]), LEVELS)


@pytest.mark.parametrize("arguments", [(0, 10), (10, 1)])
def test_histogram_needs_places_and_bins(arguments: tuple[int, int]):
    with pytest.raises(ValueError, match="num_bins: expected 2 or more"):
        histogram_bands(*arguments)


def test_histogram_needs_a_coverage():
    with pytest.raises(ValueError, match="coverage: expected"):
        histogram_bands(10, 2, 1.5)
