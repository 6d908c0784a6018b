"""Standard errors, R-hat and effective numbers of draws, from independent runs or chains."""

import numpy as np
from jaxtyping import Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

NOISE = 1e-12
"""Relative spread of numbers that is nothing but rounding in 64 bits."""


def combine_runs(
    values: Float[np.ndarray, "run ..."], log_evidence: Float[np.ndarray, "run *prefix"]
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Average the estimates of independent runs, each weighted by its evidence.

    ``sum_r Z_r v_r / sum_r Z_r`` is what one run with all draws would have said, so the running
    product of predictives of what happened stays the evidence. To first order its standard
    error is that of the mean of ``w_r (v_r - mean)``, with ``w_r`` the weights times their number.

    Args:
        values: Estimates of each run, the axes of ``log_evidence`` first.
        log_evidence: Log evidence ``log Z_r`` that each run found for the same prefix.

    Returns:
        The averages and their standard errors.
    """
    num_runs = values.shape[0]
    weights = _relative(log_evidence)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: an impossible prefix has no answer
        weights = weights / weights.mean(axis=0)
    weights = weights.reshape(*weights.shape, *(1,) * (values.ndim - weights.ndim))
    # A run whose draws all found the prefix impossible has no answer, and no weight.
    values = np.where(weights > 0.0, values, 0.0)
    mean = np.mean(weights * values, axis=0)
    squares = np.sum((weights * (values - mean)) ** 2, axis=0)
    return mean, np.sqrt(squares / (num_runs * (num_runs - 1)))


def compare_runs(
    standard_error: Float[np.ndarray, "*rest"],
    spread: Float[np.ndarray, "*rest"],
    num_runs: int,
    num_draws: int,
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Compare the spread between runs with the spread of the posterior.

    With ``W`` the variance over the posterior and ``B`` that of one run's mean, R-hat is
    ``sqrt((W + B) / W)``, and the number of independent draws with the same error ``R W / B``.

    Args:
        standard_error: Standard error of the mean of all runs.
        spread: Variance over the posterior.
        num_runs: Number of runs.
        num_draws: Number of draws in all runs, the most that is ever reported.

    Returns:
        R-hat, and the effective number of draws.
    """
    between = num_runs * standard_error**2
    settled = spread <= NOISE**2
    safe = np.where(settled, 1.0, spread)
    with np.errstate(divide="ignore"):
        r_hat = np.where(settled, 1.0, np.sqrt(1.0 + between / safe))
    draws = num_runs * safe / np.where(settled, 1.0, between)
    return r_hat, np.where(settled, num_draws, np.minimum(draws, num_draws))


def evidence_of_runs(
    log_evidence: Float[np.ndarray, "run *rest"],
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Average evidences, each of which is unbiased.

    Args:
        log_evidence: Log evidence that each run found.

    Returns:
        The log of the mean, and its standard error in nats.
    """
    num_runs = log_evidence.shape[0]
    relative = _relative(log_evidence)
    mean = relative.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # of what is impossible in all runs
        log_mean = log_evidence.max(axis=0) + np.log(mean)
        return log_mean, relative.std(axis=0, ddof=1) / mean / np.sqrt(num_runs)


def _relative(log_evidence: Float[np.ndarray, "run *rest"]) -> Float[np.ndarray, "run *rest"]:
    """Return evidences as shares of the largest, and 0 where all are."""
    top = log_evidence.max(axis=0)
    return np.exp(log_evidence - np.where(np.isneginf(top), 0.0, top))


def examine_chains(
    draws: Float[np.ndarray, "chain draw *rest"],
) -> tuple[
    Float[np.ndarray, "*rest"],
    Float[np.ndarray, "*rest"],
    Float[np.ndarray, "*rest"],
    Float[np.ndarray, "*rest"],
]:
    """Average the draws of several chains.

    Args:
        draws: Draws of numbers that are not negative.

    Returns:
        Means, their standard errors, split R-hat and effective numbers of draws, which are never
        more than the draws there are.
    """
    num_draws = draws.shape[0] * draws.shape[1]
    mean, deviation = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    settled = deviation <= NOISE * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = np.where(settled, 1.0, split_gelman_rubin(draws))
        ess = np.where(settled, num_draws, effective_sample_size(draws))
    ess = np.minimum(ess, num_draws)
    return mean, np.where(settled, 0.0, deviation) / np.sqrt(ess), np.maximum(r_hat, 1.0), ess
