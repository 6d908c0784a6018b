"""Reliability, calibration errors and ranked scores against libraries that measure them too.

uv run --with model-diagnostics --with scoringrules --with uncertainty-calibration \
    pytest tests/second_opinions/test_calibration_libraries.py -n0
"""

from types import ModuleType

import numpy as np
import pytest
import scipy.stats

from bayescmp.measures.debiased import binned_errors
from bayescmp.measures.ranked_score import ranked_probability_score
from bayescmp.measures.score_decomposition import score_forecasts

pytestmark = [pytest.mark.second_opinion, pytest.mark.filterwarnings("ignore")]

NUM = 2_000


def library(module: str, package: str) -> ModuleType:
    """Return a library, or skip."""
    reason = f"{package} is missing: uv run --with {package} pytest tests/second_opinions"
    return pytest.importorskip(module, reason=reason)


def some_laws(num_outcomes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw laws, with outcomes that do not quite follow them."""
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.ones(num_outcomes), NUM)
    p = q**1.5 / (q**1.5).sum(axis=1, keepdims=True)
    outcomes = (rng.random((NUM, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return q, outcomes


@pytest.mark.parametrize("tied", [False, True])
def test_decompositions_against_model_diagnostics(tied: bool):
    """Both fit by SciPy, and average 2,000 terms: equal but for rounding."""
    scoring = library("model_diagnostics.scoring", "model-diagnostics")
    q, outcomes = some_laws()
    forecasts = np.round(q[:, 0], 1).clip(0.05, 0.95) if tied else q[:, 0].clip(1e-6, 1 - 1e-6)
    came = (outcomes == 0).astype(np.float64)
    found = score_forecasts(forecasts).decompose(came)
    for row, function in zip(found, (scoring.SquaredError(), scoring.LogLoss()), strict=True):
        theirs = scoring.decompose(came, forecasts, scoring_function=function)
        names = ("score", "miscalibration", "discrimination", "uncertainty")
        np.testing.assert_allclose(row, [theirs[name][0] for name in names], atol=1e-10)


def test_calibration_errors_against_uncertainty_calibration():
    calibration = library("calibration", "uncertainty-calibration")
    q, outcomes = some_laws()
    classes = [binned_errors(q[:, k], outcomes == k, q[:, k]) for k in range(3)]
    top = q.argmax(axis=1)
    highest = q[np.arange(NUM), top]
    label = binned_errors(highest, outcomes == top, highest)
    plain = calibration.get_ece(q, outcomes, num_bins=15, mode="marginal")
    np.testing.assert_allclose(np.mean([one.plain for one in classes]), plain, rtol=1e-12)
    bins = calibration.utils.get_equal_prob_bins([], num_bins=15)
    for found, came, forecasts in (
        (label, outcomes == top, highest),
        (classes[0], outcomes == 0, q[:, 0]),
    ):
        data = calibration.utils.bin([*zip(forecasts, came, strict=True)], bins)
        filled = [part for part in data if len(part) > 1]
        assert sum(map(len, filled)) == NUM
        np.testing.assert_allclose(found.plain, calibration.utils.plugin_ce(filled, power=1))
        square = calibration.utils.unbiased_square_ce(filled)
        np.testing.assert_allclose(found.squared, square, rtol=1e-9)
        np.random.seed(0)
        theirs = calibration.utils.normal_debiased_ce(filled, power=1, resamples=20_000)
        # They simulate: a mean of 20,000 sums whose standard deviation is below 0.01.
        np.testing.assert_allclose(found.debiased, theirs, atol=5 * 0.01 / np.sqrt(20_000))


def test_ranked_scores_against_scoringrules():
    scoringrules = library("scoringrules", "scoringrules")
    q, outcomes = some_laws(5)
    theirs = scoringrules.rps_score(outcomes + 1, q)
    np.testing.assert_allclose(ranked_probability_score(np.log(q), outcomes), theirs, rtol=1e-9)
    counts = np.arange(9)
    law = scipy.stats.binom.logpmf(counts, 8, 0.3)
    ours = ranked_probability_score(np.broadcast_to(law, (9, 9)), counts)
    theirs = scoringrules.crps_binomial(counts, 8, 0.3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_bins_come_near_the_continuous_score_of_scoringrules():
    """Looked at from edges ``w`` apart, the integral of a bounded slope is off by at most ``w``."""
    scoringrules = library("scoringrules", "scoringrules")
    edges = np.linspace(-6.0, 6.0, 1_201)
    law = np.diff(scipy.stats.norm.cdf(edges), prepend=0.0, append=1.0)
    values = np.array([-1.3, 0.0, 0.4, 2.2])
    widths = np.full(edges.size, edges[1] - edges[0])
    ours = ranked_probability_score(
        np.log(np.broadcast_to(law, (4, law.size))), np.searchsorted(edges, values), widths
    )
    np.testing.assert_allclose(ours, scoringrules.crps_normal(values, 0.0, 1.0), atol=0.01)
