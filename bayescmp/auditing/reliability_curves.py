"""Reliability curves: what forecasts turned out to mean, with a band for those that are right."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.auditing.reliability_rows import Rows
from bayescmp.measures.consistency import as_targets, draw_outcomes, envelope
from bayescmp.measures.corp import Pooled, pool_forecasts, reliability_curve

FORECASTS = np.linspace(0.0, 1.0, 101)
"""Forecasts at which curves are read."""

CURVES = ("all outcomes", "top label")
"""Every outcome of every law together; or the likeliest outcome of each law."""

COVERAGE = 0.95
"""Chance that the whole curve of a calibrated predictor stays inside its band."""

Grid = Float[np.ndarray, " forecast"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """A reliability curve on ``FORECASTS``; NaN beyond the forecasts that were made."""

    drawn: Grid
    """Isotonic regression of outcomes on forecasts."""
    exact: Grid
    """Isotonic regression of exact probabilities on the same forecasts."""
    low: Grid
    """Lower limit of the consistency band, which holds at all forecasts together."""
    high: Grid


def fit_curves(
    rows: Rows, num_draws: int, rng: np.random.Generator
) -> tuple[ReliabilityCurve, ReliabilityCurve]:
    """Fit both curves of independent questions.

    The band is where curves stay whose outcomes were drawn from the predictor's own laws, whole
    laws at a time, so that outcomes of one question exclude each other as they do in truth.

    Args:
        rows: Independent questions, at least one.
        num_draws: Sets of outcomes that are drawn for the band, at least 20.
        rng: Where they come from.

    Returns:
        The curve over all outcomes, and that of the likeliest ones.
    """
    draws = draw_outcomes(rows.q, num_draws, rng)
    num_outcomes, top = rows.q.shape[1], rows.q.argmax(axis=1)
    forecast, came, exact = rows.top_label()
    pooled_all, pooled_top = pool_forecasts(rows.q.ravel()), pool_forecasts(forecast)
    every = [_read(pooled_all, as_targets(y, num_outcomes).ravel()) for y in draws]
    likeliest = [_read(pooled_top, (y == top).astype(np.float64)) for y in draws]
    targets = as_targets(rows.outcomes, num_outcomes).ravel()
    return (
        _curve(pooled_all, targets, rows.p.ravel(), every),
        _curve(pooled_top, came, exact, likeliest),
    )


def _read(pooled: Pooled, targets: Float[np.ndarray, " entry"]) -> Grid:
    """Fit and read a curve."""
    return reliability_curve(pooled, pooled.regress(targets), FORECASTS)


def _curve(
    pooled: Pooled,
    targets: Float[np.ndarray, " entry"],
    exact: Float[np.ndarray, " entry"],
    draws: list[Grid],
) -> ReliabilityCurve:
    """Gather a curve and its band."""
    band = envelope(np.stack(draws), COVERAGE)
    return ReliabilityCurve(_read(pooled, targets), _read(pooled, exact), band.low, band.high)
