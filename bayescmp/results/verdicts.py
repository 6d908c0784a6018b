"""Verdicts on claims, with intervals over seeds."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from bayescmp.measures.interval import mean_interval
from bayescmp.results.claims import Claim, Direction
from bayescmp.results.tree import read_attribute

Outcome = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about a claim.

    Example:
        >>> claim = Claim("KL is below 0.01 bits", "/divergence/mean_kl", 0.01, "below")
        >>> judge(claim, tree).reason
        '95% interval [..., ...] lies below 0.01 bit'
    """

    claim: Claim
    """The claim judged."""
    threshold: float
    """Threshold in the unit of the metric, the rung's value included."""
    values: tuple[float, ...]
    """Metric of each seed."""
    mean: float
    """Mean of the values; NaN where a value is not finite."""
    low: float
    """Lower end of the mean's interval, minus infinity where nobody knows it."""
    high: float
    """Upper end of the mean's interval, infinity where nobody knows it."""
    verdict: Outcome
    """``supported``, ``refuted`` or ``inconclusive``."""
    reason: str
    """Why, in one line."""
    seeds: tuple[int, ...]
    """Seed of each value."""
    units: str
    """Unit of the metric."""
    error: float = 0.0
    """Error that an oracle which is not exact leaves on the metric, in its unit."""


def judge(claim: Claim, tree: xr.DataTree) -> Verdict:
    """Judge a claim by Student's interval of the metric's mean over seeds.

    Supported if the whole interval lies strictly on the claimed side of the threshold,
    refuted if it lies strictly on the other side, inconclusive if it holds the threshold.
    Where the oracle is not exact, the interval is widened by its error first. Also
    inconclusive, whatever the interval: fewer than `min_seeds` seeds, and a value or
    threshold that is not finite. If the true mean is the threshold, a normal metric is called
    supported or refuted with probability 1 - level in all; claims are not corrected for
    there being several.

    Args:
        claim: The claim.
        tree: A comparison.

    Returns:
        The verdict with the values, interval and reason.

    Raises:
        ValueError: If the metric is not in the tree, or the metric has other
            axes than seed.

    Example:
        >>> claim = Claim("KL is below 0.01 bits", "/divergence/mean_kl", 0.01, "below")
        >>> judge(claim, tree).verdict
        'supported'
    """
    metric = _find_metric(claim.metric, tree)
    threshold = _find_threshold(claim, tree)
    values = metric.values.astype(np.float64)
    seeds = tuple(int(label) for label in metric["seed"].values)
    interval = mean_interval(values, claim.level)
    low, high = float(interval.low), float(interval.high)
    units = str(metric.attrs.get("units", "1"))
    error = _oracle_error(tree, units)
    verdict: Outcome = "inconclusive"
    reason = _find_obstacles(claim, threshold, values, seeds)
    if not reason:
        low_end, high_end = low - error, high + error
        verdict, relation = _decide(claim.direction, threshold, low_end, high_end)
        unit = "" if units == "1" else f" {units}"
        rung = f" ({claim.rung})" if claim.rung else ""
        reason = (
            f"{100 * claim.level:.4g}% interval [{round_to_error(low_end, error):.4g}, "
            f"{round_to_error(high_end, error):.4g}] {relation} {threshold:.4g}{unit}{rung}"
        )
        if error > 0.0:
            reason += f"; it is widened by the oracle's error of {error:.1g}{unit}"
    mean = float(interval.mean) if np.isfinite(values).all() else math.nan
    return Verdict(
        claim=claim,
        threshold=threshold,
        values=tuple(values.tolist()),
        mean=mean,
        low=low,
        high=high,
        verdict=verdict,
        reason=reason,
        seeds=seeds,
        units=units,
        error=error,
    )


def judge_all(claims: Sequence[Claim], tree: xr.DataTree) -> tuple[Verdict, ...]:
    """Judge every claim, each at its own level.

    Args:
        claims: Claims of a study.
        tree: A comparison.

    Returns:
        Verdicts in the order of the claims.

    Raises:
        ValueError: As :func:`judge`.

    Example:
        >>> strict = Claim("KL is below 0.0001 bits", "/divergence/mean_kl", 1e-4, "below")
        >>> lenient = Claim("KL is below 0.01 bits", "/divergence/mean_kl", 0.01, "below")
        >>> [verdict.verdict for verdict in judge_all([strict, lenient], tree)]
        ['refuted', 'supported']
    """
    return tuple(judge(claim, tree) for claim in claims)


def _oracle_error(tree: xr.DataTree, units: str) -> float:
    """Return the error that the oracle leaves on a metric, in its unit; 0 where it is exact."""
    if units not in ("bit", "nat", "1") or "/oracle" not in tree.groups:
        return 0.0
    certificate = read_attribute(tree, "/oracle", "certificate")
    if certificate.get("exact") is True:
        return 0.0
    error = certificate.get("error_nat")
    if not isinstance(error, int | float) or math.isnan(error):
        return math.inf
    return float(error) / math.log(2.0) if units == "bit" else float(error)


def round_to_error(value: float, error: float) -> float:
    """Round a number to the decimal place of its error.

    Args:
        value: Number, in any unit.
        error: Size of its error in the same unit, 0 where it is exact.

    Returns:
        The rounded number; NaN where the error is not known. What is not finite stays as it is.
    """
    if error == 0.0 or not math.isfinite(value):
        return value
    return round(value, -math.floor(math.log10(error))) if math.isfinite(error) else math.nan


def _decide(direction: Direction, threshold: float, low: float, high: float) -> tuple[Outcome, str]:
    """Say on which side the interval lies."""
    if high < threshold:
        return ("supported" if direction == "below" else "refuted"), "lies below"
    if low > threshold:
        return ("supported" if direction == "above" else "refuted"), "lies above"
    return "inconclusive", "holds"


def _find_obstacles(
    claim: Claim, threshold: float, values: np.ndarray, seeds: tuple[int, ...]
) -> str:
    """Say what stands against any verdict; empty if nothing does."""
    found = [
        f"seed {seed}: {claim.metric} is {value}"
        for seed, value in zip(seeds, values, strict=True)
        if not math.isfinite(value)
    ]
    if not math.isfinite(threshold):
        found.append(f"the rung {claim.rung!r} is not on this ladder, or has no finite value")
    if len(seeds) < claim.min_seeds:
        found.append(f"{len(seeds)} of {claim.min_seeds} seeds; run with --seeds {claim.min_seeds}")
    return "; ".join(found)


def _find_metric(path: str, tree: xr.DataTree) -> xr.DataArray:
    """Look up a variable with the axis seed alone."""
    group, name = path.rsplit("/", 1)
    if group in tree.groups:
        dataset = tree[group].to_dataset()
        if name in dataset.data_vars and _has_one_value_per_seed(dataset[name]):
            return dataset[name]
    known = [
        f"{group}/{name}"
        for group in tree.groups
        for name, variable in tree[group].data_vars.items()
        if _has_one_value_per_seed(variable)
    ]
    near = ", ".join(difflib.get_close_matches(path, known, n=3, cutoff=0.0))
    raise ValueError(
        f"metric: expected a variable with one value per seed, such as "
        f"{near or 'none in this tree'}, got {path!r}"
    )


def _has_one_value_per_seed(variable: xr.DataArray) -> bool:
    return variable.dims == ("seed",) and variable.dtype.kind in "fi"


def _find_threshold(claim: Claim, tree: xr.DataTree) -> float:
    """Return the threshold in the unit of the metric."""
    if claim.rung is None:
        return claim.threshold
    name = claim.metric.rsplit("/", 1)[1]
    ladder = tree["/ladder"].to_dataset() if "/ladder" in tree.groups else xr.Dataset()
    if name not in ladder.data_vars or ladder[name].dims != ("rung",):
        raise ValueError(f"metric: expected one that /ladder has too, got {claim.metric!r}")
    rungs = [str(label) for label in ladder["rung"].values]
    if claim.rung not in rungs:  # A window too long for this size: an outcome, not an error.
        return math.nan
    return claim.threshold * float(ladder[name].values[rungs.index(claim.rung)])
