"""The group ``/shift``: predictors off their training prior, and networks by their pools."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.auditing.pools import PoolSweep
from bayescmp.auditing.shift import Shifted
from bayescmp.results.tree import make_dataset

INTERVALS = ("to_training", "to_shifted", "between", "difference", "beyond")
"""Fields of a record that are intervals."""


def shift_group(results: Sequence[Sequence[Shifted]], pools: PoolSweep | None = None) -> xr.Dataset:
    """Gather how some predictors did off their training prior.

    Args:
        results: For each seed, its records of the same shifts.
        pools: Networks by the size of the pool they were trained on, where some were.

    Returns:
        The group ``/shift``.

    Raises:
        ValueError: If the seeds do not have the same shifts.
    """
    names = [shifted.name for shifted in results[0]]
    for row in results:
        if [shifted.name for shifted in row] != names:
            raise ValueError(
                f"results: expected the shifts {names} for every seed, got "
                f"{[shifted.name for shifted in row]}"
            )
    arrays = {
        f"{name}{suffix}": np.array(
            [[float(getattr(getattr(one, name), end)) for one in row] for row in results]
        )
        for name in INTERVALS
        for suffix, end in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }
    arrays |= _position_arrays(results)
    arrays["undefined"] = np.array([[one.undefined for one in row] for row in results])
    arrays["follows"] = np.array([[one.follows for one in row] for row in results])
    if pools is None:
        return make_dataset("/shift", arrays, {"shift": names})
    pool_arrays, attrs = _pool_arrays(pools)
    coords = {"shift": names, "pool": pools.num_tasks}
    return make_dataset("/shift", arrays | pool_arrays, coords, attrs)


def _position_arrays(results: Sequence[Sequence[Shifted]]) -> dict[str, np.ndarray]:
    """Lay out means by position; where sequences of a shift are shorter, NaN follows."""
    longest = max(one.by_position.shape[1] for row in results for one in row)
    filled = np.full((len(results), len(results[0]), 3, longest), np.nan)
    for seed, row in enumerate(results):
        for place, one in enumerate(row):
            filled[seed, place, :, : one.by_position.shape[1]] = one.by_position
    names = ("to_training", "to_shifted", "between")
    return {f"{name}_by_position": filled[:, :, k] for k, name in enumerate(names)}


def _pool_arrays(pools: PoolSweep) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Lay out networks by pool, with their threshold where there are two sizes or more."""
    arrays = {
        "pool_to_pool": pools.to_pool,
        "pool_to_true": pools.to_true,
        "pool_between": pools.between,
    }
    if pools.num_tasks.size < 2:
        return arrays, {}
    threshold = pools.threshold()
    arrays["pool_threshold"] = threshold.by_seed
    interval = threshold.interval
    attrs: dict[str, object] = {
        "log2_threshold": float(interval.mean),
        "log2_threshold_low": float(interval.low),
        "log2_threshold_high": float(interval.high),
    }
    return arrays, attrs
