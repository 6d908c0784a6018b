"""Audits: is a predictor calibrated, does it know what it does not know, is it a posterior at all?

Each audit takes what :func:`judge` returns, or a predictor and an oracle, and gives a record
whose group of the tree :mod:`bayescmp.results.outside` describes.
"""

from bayescmp.auditing.confidence import (
    Calibrator,
    Confidence,
    calibrate,
    confidence,
    fit_calibrator,
)
from bayescmp.auditing.coverage import Coverage, check_coverage
from bayescmp.auditing.decisions import Decisions, balance_utilities, score_decisions_of
from bayescmp.auditing.exchangeability import Exchangeability, check_exchangeability
from bayescmp.auditing.judged import Judged, judge, judge_on
from bayescmp.auditing.local_calibration import LocalCalibration, locate_miscalibration
from bayescmp.auditing.pit import Pit, check_pit
from bayescmp.auditing.pools import PoolSweep, sweep_pools
from bayescmp.auditing.posterior_audit import LocalAudit, PosteriorAudit, audit_posterior
from bayescmp.auditing.reliability import ReliabilityFit, fit_reliability
from bayescmp.auditing.sbc import SimulatedCalibration, simulate_calibration
from bayescmp.auditing.sbc_posterior import LatentDraws, LatentTable
from bayescmp.auditing.selective import Selective, select_predictions
from bayescmp.auditing.shift import Shift, Shifted, measure_shift
from bayescmp.auditing.uncertainty import Uncertainty, split_uncertainty
from bayescmp.measures.decisions import Utilities

__all__ = [
    "Calibrator",
    "Confidence",
    "Coverage",
    "Decisions",
    "Exchangeability",
    "Judged",
    "LatentDraws",
    "LatentTable",
    "LocalAudit",
    "LocalCalibration",
    "Pit",
    "PoolSweep",
    "PosteriorAudit",
    "ReliabilityFit",
    "Selective",
    "Shift",
    "Shifted",
    "SimulatedCalibration",
    "Uncertainty",
    "Utilities",
    "audit_posterior",
    "balance_utilities",
    "calibrate",
    "check_coverage",
    "check_exchangeability",
    "check_pit",
    "confidence",
    "fit_calibrator",
    "fit_reliability",
    "judge",
    "judge_on",
    "locate_miscalibration",
    "measure_shift",
    "score_decisions_of",
    "select_predictions",
    "simulate_calibration",
    "split_uncertainty",
    "sweep_pools",
]
