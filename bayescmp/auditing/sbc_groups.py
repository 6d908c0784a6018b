"""Simulation-based calibration as groups of the tree."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.auditing.sbc import SimulatedCalibration
from bayescmp.measures.bands import count_below, even_levels, simultaneous_bands
from bayescmp.measures.ranks import histogram_bands
from bayescmp.results.tree import make_dataset

NUM_BINS = 20
"""Cells of the histogram."""

COVERAGE = 0.95
"""Chance that a right posterior's curve, or histogram, stays inside its band."""


def sbc_groups(results: Sequence[SimulatedCalibration]) -> dict[str, xr.Dataset]:
    """Gather checks of one kind into groups of the tree.

    Args:
        results: One for each seed, with the same quantities, replicates and observation.

    Returns:
        ``/sbc``, and ``/prior_sbc`` or ``/posterior_sbc`` as ArviZ's plots expect it.

    Raises:
        ValueError: If there is none, or they differ in what was asked.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.Bijection(size=3))
        >>> found = bc.auditing.simulate_calibration(
        ...     oracle, key=jax.random.key(0), num_replicates=100)
        >>> groups = sbc_groups([found])
        >>> list(groups), groups["/prior_sbc"]["pit"].dims
        (['/sbc', '/prior_sbc'], ('chain', 'draw', 'quantity'))
    """
    first = _require_alike(results)
    path = "/posterior_sbc" if first.num_observed else "/prior_sbc"
    pit = np.stack([one.places.T for one in results])
    places = make_dataset(path, {"pit": pit}, {"quantity": first.names})
    return {"/sbc": _found(results), path: places}


def _found(results: Sequence[SimulatedCalibration]) -> xr.Dataset:
    """Gather p-values, errors and curves."""
    first, num = results[0], results[0].places.shape[1]
    levels = even_levels(num)
    low, high = simultaneous_bands(num, levels, COVERAGE)
    shares = np.stack([[count_below(row, levels) / num for row in one.places] for one in results])
    heights = np.stack([[_heights(row) for row in one.places] for one in results])
    arrays = {
        **{
            name: np.array([[getattr(x, name) for x in one.found] for one in results])
            for name in ("p_value", "coverage_error", "interval_error")
        },
        "p_value_of_all": np.array([one.p_value for one in results]),
        "level": levels,
        "difference": shares - levels,
        "difference_low": low - levels,
        "difference_high": high - levels,
        "height": heights,
        "least_ess": np.array([one.least_ess for one in results]),
        "worst_r_hat": np.array([one.worst_r_hat for one in results]),
    }
    least, most = histogram_bands(num, NUM_BINS, COVERAGE)
    attrs = {
        "how": first.how,
        "position": first.position,
        "num_observed": first.num_observed,
        "num_replicates": num,
        "num_draws": min(one.num_draws for one in results),
        "thinning": max(one.thinning for one in results),
        "coverage": COVERAGE,
        "noise": first.found[0].noise,
        "height_low": least,
        "height_high": most,
    }
    return make_dataset("/sbc", arrays, {"quantity": first.names}, attrs)


def _heights(places: np.ndarray) -> np.ndarray:
    return np.histogram(places, NUM_BINS, (0.0, 1.0))[0]


def _require_alike(results: Sequence[SimulatedCalibration]) -> SimulatedCalibration:
    """Raise a ValueError for checks that do not fit into one table."""
    if not results:
        raise ValueError("results: expected at least one check, got none")
    first = results[0]
    for one in results[1:]:
        if one.names != first.names or one.places.shape != first.places.shape:
            raise ValueError(
                f"results: expected {first.places.shape[1]} replicates of {first.names} in every "
                f"check, got {one.places.shape[1]} of {one.names}"
            )
        if (one.position, one.num_observed) != (first.position, first.num_observed):
            raise ValueError("results: expected one question and observation, got several")
    return first
