"""The group ``/exchangeability``: what the audit found of some predictors."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.auditing.exchangeability import Exchangeability
from bayescmp.auditing.one_step import OneStep
from bayescmp.auditing.orders import Orders
from bayescmp.auditing.steps import Rows
from bayescmp.comparison.tally import BITS
from bayescmp.measures.exchangeability import spread_ratio
from bayescmp.measures.interval import Interval, mean_interval
from bayescmp.measures.martingale import ScoreTest
from bayescmp.results.tree import make_dataset

Arrays = dict[str, np.ndarray]


def exchangeability_group(results: Sequence[Exchangeability]) -> xr.Dataset:
    """Gather what the audit found of some predictors.

    Args:
        results: One for each seed, of predictors of one process.

    Returns:
        The group ``/exchangeability``. Where the audit did not apply to the process it says why;
        parts that some predictor lacks are left out.
    """
    arrays: Arrays = {"oracle_gap": np.array([one.oracle_gap for one in results])}
    reasons = [one.reason for one in results if one.reason]
    if reasons:
        return make_dataset("/exchangeability", arrays, attrs={"reason": reasons[0]})
    attrs: dict[str, object] = {}
    length = results[0].length
    orders = [one.orders for one in results if one.orders is not None]
    arrays |= _order_arrays(orders, length)
    attrs["num_sequences"] = len(orders[0].positions)
    ahead = [one.one_step for one in results if one.one_step is not None]
    if len(ahead) == len(results):
        arrays |= _step_arrays(ahead, length)
    arrays |= _untrained_arrays(results)
    drifts = [one.drift for one in results if one.drift is not None]
    arrays |= _test_arrays("drift", "drift_p_value", [[test] for test in drifts], squeeze=True)
    coords: dict[str, object] = {"drift_score": drifts[0].names}
    if all(one.paths for one in results):
        arrays |= _path_arrays(results)
        coords["path_start"] = [path.start for path in results[0].paths]
        coords["path_score"] = results[0].paths[0].drift.names
        attrs["num_paths"] = results[0].paths[0].num_paths
    return make_dataset("/exchangeability", arrays, coords, attrs)


def _order_arrays(orders: Sequence[Orders], length: int) -> Arrays:
    """Average over sequences what order changes."""
    gaps = [mean_interval(one.gap) for one in orders]
    spreads = [mean_interval(one.spread * BITS) for one in orders if one.spread is not None]
    places = [by_position(one.gap, one.positions, length) for one in orders]
    return {
        **_ends("order_gap", gaps),
        **(_ends("order_spread", spreads) if spreads else {}),
        "order_gap_allowed": np.array([one.allowed.mean() for one in orders]),
        "order_kl": np.array([one.divergence.mean() * BITS for one in orders]),
        "order_gap_by_position": np.stack(places),
    }


def _step_arrays(ahead: Sequence[OneStep], length: int) -> Arrays:
    """Average over sequences how far the law is from its own mean one step later."""
    return {
        **_ends("step_gap", [mean_interval(one.gap) for one in ahead]),
        "step_gap_allowed": np.array([one.allowed.mean() for one in ahead]),
        "step_gap_by_position": np.stack(
            [by_position(one.gap, one.positions, length) for one in ahead]
        ),
    }


def _untrained_arrays(results: Sequence[Exchangeability]) -> Arrays:
    """Average the gaps of networks that nobody trained, where every seed has one."""
    orders = [one.untrained_orders for one in results if one.untrained_orders is not None]
    ahead = [one.untrained_one_step for one in results if one.untrained_one_step is not None]
    arrays: Arrays = {}
    if len(orders) == len(results):
        arrays["untrained_order_gap"] = np.array([one.gap.mean() for one in orders])
        spreads = [one.spread.mean() * BITS for one in orders if one.spread is not None]
        arrays |= {"untrained_order_spread": np.array(spreads)} if spreads else {}
    if len(ahead) == len(results):
        arrays["untrained_step_gap"] = np.array([one.gap.mean() for one in ahead])
    return arrays


def _path_arrays(results: Sequence[Exchangeability]) -> Arrays:
    """Lay out what paths showed, by seed and length of the context."""
    tests = [[path.drift for path in one.paths] for one in results]
    arrays = _test_arrays("path_drift", "path_p_value", tests)
    for name, field in (("path_spread", "spread"), ("exact_path_spread", "exact_spread")):
        arrays[name] = np.array(
            [[getattr(path, field).mean() for path in one.paths] for one in results]
        )
    ratios = [[spread_ratio(path.spread, path.exact_spread) for path in r.paths] for r in results]
    for name, end in (("", "mean"), ("_low", "low"), ("_high", "high")):
        arrays[f"spread_ratio{name}"] = np.array(
            [[float(getattr(ratio, end)) for ratio in row] for row in ratios]
        )
    return arrays


def _test_arrays(
    name: str, p_name: str, tests: Sequence[Sequence[ScoreTest]], *, squeeze: bool = False
) -> Arrays:
    """Lay out tests by seed, and by a second axis unless there is only one of each."""
    arrays = {
        name: np.array([[test.mean for test in row] for row in tests]),
        f"{name}_error": np.array([[test.standard_error for test in row] for row in tests]),
        p_name: np.array([[test.p_value for test in row] for row in tests]),
    }
    return {key: values[:, 0] for key, values in arrays.items()} if squeeze else arrays


def _ends(name: str, intervals: Sequence[Interval]) -> Arrays:
    """Lay out a mean with the ends of its interval."""
    return {
        name: np.array([float(one.mean) for one in intervals]),
        f"{name}_low": np.array([float(one.low) for one in intervals]),
        f"{name}_high": np.array([float(one.high) for one in intervals]),
    }


def by_position(
    values: Float[np.ndarray, " sequence"], positions: Rows, length: int
) -> Float[np.ndarray, " position"]:
    """Average values over the sequences that stand at each position.

    Args:
        values: One for each sequence, in any unit.
        positions: Position of each.
        length: Number of positions.

    Returns:
        Means; NaN where no sequence stands.
    """
    counts = np.bincount(positions, minlength=length)
    sums = np.bincount(positions, values, minlength=length)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
