"""Answers by sampling, with how far to trust each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp.records import Reference

MOST_R_HAT = 1.01
"""Largest R-hat of chains that agree (Vehtari et al. 2021, arXiv 1903.08008)."""

LEAST_ESS = 400.0
"""Smallest effective number of draws to rely on (the same)."""

QUANTILE = 0.99
"""Share of all answers whose standard error is at most the stated one."""


@dataclass(frozen=True)
class Verdict:
    """Whether sampled answers can be relied on.

    Example:
        >>> Verdict(error=1e-3, worst_r_hat=1.2, least_ess=5_000.0).is_reliable
        False
    """

    error: float
    """Standard error of a log predictive that 99 % of all stay below, in nats."""
    worst_r_hat: float
    """Largest R-hat of a predictive probability."""
    least_ess: float
    """Smallest effective number of draws of a predictive probability."""

    @property
    def is_reliable(self) -> bool:
        """Whether R-hat is small and the effective number of draws large enough."""
        return self.worst_r_hat <= MOST_R_HAT and self.least_ess >= LEAST_ESS

    @staticmethod
    def worst(verdicts: Sequence["Verdict"]) -> "Verdict":
        """Return the worst of each number.

        Args:
            verdicts: At least one.

        Returns:
            The verdict on all together.
        """
        return Verdict(
            error=float(np.max([v.error for v in verdicts])),
            worst_r_hat=float(np.max([v.worst_r_hat for v in verdicts])),
            least_ess=float(np.min([v.least_ess for v in verdicts])),
        )

    def __str__(self) -> str:
        """Return one line for people."""
        numbers = f"R-hat at most {self.worst_r_hat:.3f}, at least {self.least_ess:,.0f} draws"
        if self.is_reliable:
            return f"{numbers} in effect"
        return (
            f"NOT RELIABLE: {numbers} in effect, expected at most {MOST_R_HAT} and at least "
            f"{LEAST_ESS:.0f}; take more draws, more moves or a longer warm-up"
        )


class SampledPredictive(eqx.Module):
    """Sampled probabilities ``p = p(y_t = outcome | s_t)`` with what is known of their error."""

    mean: Float[np.ndarray, "*sequence position outcome"]
    """Estimate of ``p``."""
    standard_error: Float[np.ndarray, "*sequence position outcome"]
    """Standard error of ``p``, a probability."""
    r_hat: Float[np.ndarray, "*sequence position outcome"]
    """How much wider all runs or chains together spread than each of them, at least one."""
    ess: Float[np.ndarray, "*sequence position outcome"]
    """Number of independent draws that would give the same standard error."""

    @property
    def log_standard_error(self) -> Float[np.ndarray, "*sequence position outcome"]:
        """Standard error of ``log p`` in nats, to first order; 0 for what is certain."""
        certain = self.standard_error == 0.0
        return np.where(certain, 0.0, self.standard_error / np.where(certain, 1.0, self.mean))

    @property
    def verdict(self) -> Verdict:
        """Whether the probabilities can be relied on."""
        return Verdict(
            error=float(np.quantile(self.log_standard_error, QUANTILE)),
            worst_r_hat=float(np.max(self.r_hat)),
            least_ess=float(np.min(self.ess)),
        )


class MonteCarloReference(eqx.Module):
    """Sampled answers to each question of a sequence, with their standard errors."""

    predictive: SampledPredictive
    """``p(y_t = outcome | s_t)`` with standard error, R-hat and effective number of draws."""
    log_evidence: Float[np.ndarray, "*sequence position"]
    """``log p(all shown by the end of step t | what the prompt gives)``, in nats."""
    evidence_error: Float[np.ndarray, "*sequence position"]
    """Standard error of the log evidence, in nats."""
    belief: dict[str, np.ndarray]
    """Posterior mean ``E[theta | s_t]`` of each continuous latent, and ``p(z | s_t)`` of each
    discrete one; the axis ``position`` comes first (after batch axes)."""

    @property
    def reference(self) -> Reference:
        """The answers alone, in the precision that holds now."""
        with np.errstate(divide="ignore"):
            log_predictive = np.log(self.predictive.mean)
        return Reference(
            log_predictive=jnp.asarray(log_predictive),
            log_evidence=jnp.asarray(self.log_evidence),
            belief={name: jnp.asarray(x) for name, x in self.belief.items()},
        )

    @property
    def standard_error(self) -> Float[np.ndarray, "*sequence position outcome"]:
        """Standard error of each predictive probability."""
        return self.predictive.standard_error

    @property
    def r_hat(self) -> Float[np.ndarray, "*sequence position outcome"]:
        """R-hat of each predictive probability."""
        return self.predictive.r_hat

    @property
    def ess(self) -> Float[np.ndarray, "*sequence position outcome"]:
        """Effective number of draws behind each predictive probability."""
        return self.predictive.ess

    @property
    def verdict(self) -> Verdict:
        """Whether the answers can be relied on."""
        return self.predictive.verdict
