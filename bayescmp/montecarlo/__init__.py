"""Answers by sampling, where no exact engine applies or as a second opinion."""

from bayescmp.montecarlo.certify import SamplingCertification, certify_by_sampling
from bayescmp.montecarlo.nuts import NutsSettings
from bayescmp.montecarlo.oracle import MonteCarloOracle, MonteCarloWarning, derive_by_sampling
from bayescmp.montecarlo.records import MonteCarloReference, SampledPredictive, Verdict
from bayescmp.montecarlo.smc import SmcSettings

__all__ = [
    "MonteCarloOracle",
    "MonteCarloReference",
    "MonteCarloWarning",
    "NutsSettings",
    "SampledPredictive",
    "SamplingCertification",
    "SmcSettings",
    "Verdict",
    "certify_by_sampling",
    "derive_by_sampling",
]
