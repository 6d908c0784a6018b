"""Simulation-based calibration as groups of the tree."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.auditing.sbc import SimulatedCalibration
from bayescmp.measures.bands import count_below, even_levels, simultaneous_bands
from bayescmp.measures.ranks import Uniformity, histogram_bands
from bayescmp.results.tree import make_dataset

NUM_BINS = 20
"""Cells of the histogram."""

SETTING = ("position", "num_observed", "replicates")
"""What all checks of one group have in common."""

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
    first = results[0]
    curves, limits = describe_places([one.places for one in results])
    arrays = {
        **gather_uniformity([one.found for one in results]),
        **curves,
        "p_value_of_all": np.array([one.p_value for one in results]),
        "least_ess": np.array([one.least_ess for one in results]),
        "worst_r_hat": np.array([one.worst_r_hat for one in results]),
    }
    attrs = {
        "how": first.how,
        "position": first.position,
        "num_observed": first.num_observed,
        "replicates": first.replicates,
        "num_replicates": first.places.shape[1],
        "num_draws": min(one.num_draws for one in results),
        "thinning": max(one.thinning for one in results),
        "noise": first.found[0].noise,
        **limits,
    }
    return make_dataset("/sbc", arrays, {"quantity": first.names}, attrs)


def gather_uniformity(found: Sequence[Sequence[Uniformity]]) -> dict[str, np.ndarray]:
    """Lay out whether places are uniform, and by how much they are not.

    Args:
        found: For each seed, for each quantity.

    Returns:
        P-values and errors.
    """
    names = ("p_value", "coverage_error", "interval_error")
    return {name: np.array([[getattr(x, name) for x in one] for one in found]) for name in names}


def describe_places(
    places: Sequence[Float[np.ndarray, "quantity replicate"]],
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Compute curves and histograms of places, with simultaneous bands.

    Args:
        places: For each seed, as many of each quantity.

    Returns:
        Curves and heights; the band's coverage and the limits of heights.
    """
    num = places[0].shape[1]
    levels = even_levels(num)
    low, high = simultaneous_bands(num, levels, COVERAGE)
    shares = np.stack([[count_below(row, levels) / num for row in one] for one in places])
    least, most = histogram_bands(num, NUM_BINS, COVERAGE)
    curves = {
        "level": levels,
        "difference": shares - levels,
        "difference_low": low - levels,
        "difference_high": high - levels,
        "height": np.stack([[_heights(row) for row in one] for one in places]),
    }
    return curves, {"coverage": COVERAGE, "height_low": least, "height_high": most}


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
        if any(getattr(one, name) != getattr(first, name) for name in SETTING):
            raise ValueError("results: expected one question and observation, got several")
    return first
