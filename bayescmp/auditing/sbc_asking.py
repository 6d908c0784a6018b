"""Asking whatever is checked for its posterior: oracles, chains, amortised posteriors."""

from bayescmp._types import Key
from bayescmp.auditing.sbc_chains import sample_beliefs
from bayescmp.auditing.sbc_exact import exact_beliefs
from bayescmp.auditing.sbc_posterior import Beliefs, Posterior, ask_posterior
from bayescmp.model import AbstractGenerativeModel
from bayescmp.montecarlo.nuts import NutsSettings
from bayescmp.montecarlo.oracle import MonteCarloOracle
from bayescmp.montecarlo.smc import SmcSettings
from bayescmp.montecarlo.target import build_target
from bayescmp.networks.network import AbstractNetwork
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.records import Batch

Subject = AbstractOracle | NutsSettings | Posterior
"""An oracle, the sampler to use on an oracle's model, or an amortised posterior."""


def ask_subject(
    subject: Subject,
    model: AbstractGenerativeModel,
    batch: Batch,
    position: int,
    *,
    key: Key,
) -> Beliefs:
    """Ask for the posterior of every replicate.

    Args:
        subject: What is asked.
        model: Model of the replicates.
        batch: Replicates.
        position: Question at which it is asked, from 0.
        key: Typed key.

    Returns:
        What it says, beside what is true.

    Raises:
        TypeError: If it is an oracle of another kind.
        ValueError: If its draws are weighted, or its answers do not fit.
    """
    if isinstance(subject, Oracle):
        return exact_beliefs(subject, batch, position)
    settings = subject.settings if isinstance(subject, MonteCarloOracle) else subject
    if isinstance(settings, NutsSettings):
        return sample_beliefs(build_target(model), settings, batch, position, key=key)
    if isinstance(settings, SmcSettings):
        raise ValueError(
            f"subject: expected chains, got {settings.describe()}, whose draws are weighted; "
            "pass NutsSettings() instead"
        )
    if isinstance(settings, AbstractNetwork) or not callable(settings):
        raise TypeError(
            "subject: expected an oracle, settings of chains, or a function of a batch and a key, "
            f"got {type(settings).__name__}; bc.audit judges what a network predicts"
        )
    if isinstance(settings, AbstractOracle):
        raise TypeError(f"subject: expected an oracle of ours, got {type(settings).__name__}")
    return ask_posterior(settings, model, batch, position, key=key)
