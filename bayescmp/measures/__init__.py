"""Measures of how far a predictor is from the exact law: pure functions of arrays.

Everything is in nats, takes log probabilities with the axis ``outcome`` last, and
runs inside a compiled function, except ``mean_interval``, which is for the seeds
of finished runs.
"""

from bayescmp.measures.calibration import (
    Reliability,
    exact_calibration_error,
    expected_calibration_error,
    merge_reliability,
    reliability,
)
from bayescmp.measures.divergence import (
    cross_entropy,
    entropy,
    jensen_shannon,
    kl,
    log_loss,
    total_variation,
)
from bayescmp.measures.entropy_error import (
    best_constant_entropy_mae,
    entropy_mae_of_means,
    entropy_mae_per_sequence,
)
from bayescmp.measures.interval import Interval, mean_interval, standard_error
from bayescmp.measures.support import argmax_agreement, impossible_mass

__all__ = [
    "Interval",
    "Reliability",
    "argmax_agreement",
    "best_constant_entropy_mae",
    "cross_entropy",
    "entropy",
    "entropy_mae_of_means",
    "entropy_mae_per_sequence",
    "exact_calibration_error",
    "expected_calibration_error",
    "impossible_mass",
    "jensen_shannon",
    "kl",
    "log_loss",
    "mean_interval",
    "merge_reliability",
    "reliability",
    "standard_error",
    "total_variation",
]
