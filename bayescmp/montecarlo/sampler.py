"""From one sequence to sampled answers with their errors, by either sampler."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayescmp._types import Key
from bayescmp.montecarlo.diagnostics import (
    combine_runs,
    compare_runs,
    evidence_of_runs,
    examine_chains,
)
from bayescmp.montecarlo.nuts import Chains, NutsSettings, compile_nuts
from bayescmp.montecarlo.records import MonteCarloReference, SampledPredictive
from bayescmp.montecarlo.smc import Runs, SmcSettings, compile_smc
from bayescmp.montecarlo.target import Target

Settings = SmcSettings | NutsSettings
"""Which sampler, and how much work it does."""


def sample_answers(
    target: Target, settings: Settings, sites: dict[str, Array], *, key: Key
) -> MonteCarloReference:
    """Answer every question of one sequence.

    Args:
        target: Law to sample from.
        settings: Sampler, and how much work it does.
        sites: Values of all given, query and outcome sites of the sequence, in 64 bits.
        key: Typed key.

    Returns:
        The answers as NumPy arrays.
    """
    if isinstance(settings, SmcSettings):
        runs = compile_smc(target, settings)(sites, key)
        return _answers_of_runs(runs, settings)
    positions = jnp.arange(target.model.length)
    chains = compile_nuts(target, settings)(sites, positions, key)
    return _answers_of_chains(chains)


def sample_predictive(
    target: Target,
    settings: Settings,
    sites: dict[str, Array],
    positions: Int[np.ndarray, " position"],
    *,
    key: Key,
) -> SampledPredictive:
    """Answer some questions of one sequence.

    Args:
        target: Law to sample from.
        settings: Sampler, and how much work it does.
        sites: Values of all given, query and outcome sites of the sequence, in 64 bits.
        positions: Questions to answer.
        key: Typed key.

    Returns:
        The predictive probabilities as NumPy arrays.
    """
    if isinstance(settings, SmcSettings):
        answers = sample_answers(target, settings, sites, key=key)
        return jax.tree.map(lambda x: x[positions], answers.predictive)
    chains = compile_nuts(target, settings)(sites, jnp.asarray(positions), key)
    return _predictive_of_chains(chains)


def _answers_of_runs(runs: Runs, settings: SmcSettings) -> MonteCarloReference:
    log_before = np.asarray(runs.log_before)
    mean, error = combine_runs(np.asarray(runs.predictive), log_before)
    spread, _ = combine_runs(np.asarray(runs.spread), log_before)
    num_draws = settings.num_runs * settings.num_particles
    r_hat, ess = compare_runs(error, spread, settings.num_runs, num_draws)
    log_after, evidence_error = evidence_of_runs(np.asarray(runs.log_after))
    belief = {name: combine_runs(np.asarray(x), log_before)[0] for name, x in runs.belief.items()}
    return MonteCarloReference(
        predictive=SampledPredictive(mean, error, r_hat, ess),
        log_evidence=log_after,
        evidence_error=evidence_error,
        belief=belief,
    )


def _predictive_of_chains(chains: Chains) -> SampledPredictive:
    mean, error, r_hat, ess = examine_chains(_draws_first(chains.predictive))
    return SampledPredictive(mean, error, r_hat, ess)


def _answers_of_chains(chains: Chains) -> MonteCarloReference:
    predictive = _predictive_of_chains(chains)
    gain, gain_error, _, _ = examine_chains(np.exp(_draws_first(chains.log_gain)))
    following, next_error, _, _ = examine_chains(np.exp(_draws_first(chains.log_next)))
    # The evidence of what was shown before a question is a product of means, one each question:
    # p(s_{t+1}) / p(s_t) is the mean of p(s_{t+1} | theta) / p(s_t | theta) over theta given s_t.
    with np.errstate(divide="ignore", invalid="ignore"):
        steps, variances = np.log(following[:-1]), (next_error[:-1] / following[:-1]) ** 2
        before = float(chains.log_first) + np.append(0.0, np.cumsum(steps))
        variance = np.append(0.0, np.cumsum(variances)) + float(chains.first_error) ** 2
        log_after = before + np.log(gain)
        evidence_error = np.sqrt(variance + (gain_error / gain) ** 2)
    belief = {name: np.asarray(x).mean(axis=(1, 2)) for name, x in chains.belief.items()}
    return MonteCarloReference(
        predictive=predictive,
        log_evidence=log_after,
        evidence_error=evidence_error,
        belief=belief,
    )


def _draws_first(draws: Array) -> Float[np.ndarray, "chain draw *rest"]:
    return np.moveaxis(np.asarray(draws), 0, 2)
