"""Selective prediction: does a predictor know which of its answers are wrong?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
import xarray as xr
from jaxtyping import Float

from bayescmp.auditing.judged import Judged
from bayescmp.measures.selective import (
    Areas,
    answers_of,
    area_under,
    grouped_error,
    risk_coverage,
    selective_areas,
)
from bayescmp.results.tree import make_dataset

NUM_GROUPS = 40
"""Groups of sequences that the jackknife leaves out in turn."""

COVERAGES = np.linspace(0.02, 1.0, 50)
"""Shares of answers at which curves are kept."""

LEVEL = 0.95
"""Coverage of the intervals over sequences."""

AREAS = ("own", "best", "random", "exact")
"""By the predictor's own confidence, by the risk of its answers, in random order; and that of
the exact predictive's own answers by its own confidence."""

GAPS = ("order", "answers", "total")
"""What is lost by the order of the answers (own minus best), by the answers (best minus exact),
and together."""


@dataclass(frozen=True)
class Selective:
    """Risk-coverage curves on drawn sequences; risks are exact chances of being wrong."""

    curve: Float[np.ndarray, "kind coverage"]
    """Mean risk of the surest answers at :data:`COVERAGES`, in the order of :data:`AREAS`."""
    area: Float[np.ndarray, " kind"]
    """Areas under them."""
    area_error: Float[np.ndarray, " kind"]
    """Standard error, by leaving out groups of sequences."""
    gap: Float[np.ndarray, " gap"]
    """Differences of areas, in the order of :data:`GAPS`."""
    gap_error: Float[np.ndarray, " gap"]
    """Standard error of the differences, which share their sequences."""


def select_predictions(judged: Judged, *, num_groups: int = NUM_GROUPS) -> Selective:
    """Let a predictor answer only what it is surest of, and see how often it is wrong.

    Questions of all positions are ranked together by the largest probability. Groups of whole
    sequences are left out for errors, so that questions of one sequence may depend on each
    other.

    Args:
        judged: Predictor on drawn sequences.
        num_groups: Groups for the jackknife, at least two; no more than there are sequences.

    Returns:
        Curves and areas.

    Raises:
        ValueError: If there are fewer than two groups.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
        >>> found = select_predictions(judged)
        >>> bool(found.area[0] < found.area[2]), abs(float(found.gap[2])) < 1e-12
        (True, True)
    """
    if num_groups < 2:
        raise ValueError(f"num_groups: expected at least 2, got {num_groups}")
    sure, risk = answers_of(judged.log_q, judged.log_p)
    sure_exact, risk_exact = answers_of(judged.log_p, judged.log_p)
    table = np.stack([sure, risk, sure_exact, risk_exact])
    counts = judged.counts
    group = np.arange(len(sure)) % min(num_groups, len(sure))
    left_out = np.stack(
        [_areas(table[:, group != one], counts[group != one]) for one in np.unique(group)]
    )
    area, errors = _areas(table, counts), grouped_error(left_out)
    errors_of_gaps = grouped_error(np.stack([_gaps(each) for each in left_out]))
    return Selective(_curves(table[:, counts]), area, errors, _gaps(area), errors_of_gaps)


def _areas(table: np.ndarray, counts: np.ndarray) -> Float[np.ndarray, " kind"]:
    """Return the areas, in the order of ``AREAS``."""
    sure, risk, sure_exact, risk_exact = table[:, counts]
    areas: Areas = selective_areas(sure, risk)
    exact = area_under(risk_coverage(sure_exact, risk_exact))
    return np.array([areas.own, areas.best, areas.random, exact])


def _gaps(area: Float[np.ndarray, " kind"]) -> Float[np.ndarray, " gap"]:
    own, best, _, exact = area
    return np.array([own - best, best - exact, own - exact])


def _curves(rows: Float[np.ndarray, "four question"]) -> Float[np.ndarray, "kind coverage"]:
    """Return the curves at the coverages that are kept."""
    sure, risk, sure_exact, risk_exact = rows
    num = risk.size
    curves = [risk_coverage(sure, risk), risk_coverage(-risk, risk), np.full(num, risk.mean())]
    curves.append(risk_coverage(sure_exact, risk_exact))
    kept = np.maximum(np.ceil(COVERAGES * num).astype(int), 1) - 1
    return np.stack(curves)[:, kept]


def selective_group(results: Sequence[Selective]) -> xr.Dataset:
    """Gather the risk-coverage curves of some predictors.

    Args:
        results: One for each seed.

    Returns:
        The group ``/selective``.
    """
    half = float(scipy.stats.norm.ppf(0.5 * (1.0 + LEVEL)))
    stacked = {
        name: np.stack([getattr(one, name) for one in results])
        for name in ("curve", "area", "area_error", "gap", "gap_error")
    }
    arrays: dict[str, object] = {
        "share": COVERAGES,
        "risk": stacked["curve"],
        "area": stacked["area"],
        "area_error": stacked["area_error"],
        "gap": stacked["gap"],
        "gap_low": stacked["gap"] - half * stacked["gap_error"],
        "gap_high": stacked["gap"] + half * stacked["gap_error"],
    }
    coords = {"answering_order": AREAS, "area_gap": GAPS}
    return make_dataset("/selective", arrays, coords, {"level": LEVEL})
