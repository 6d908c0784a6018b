"""What an exact oracle says of latents: tables, or distribution functions of closed laws."""

import numpy as np
from jaxtyping import Float

from bayescmp.auditing.sbc_posterior import (
    Beliefs,
    LatentDraws,
    LatentTable,
    Law,
    Placed,
    true_states,
)
from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate import BetaBernoulliEngine
from bayescmp.exact.conjugacy.conjugate_counts import CountsEngine
from bayescmp.exact.conjugacy.conjugate_rates import RatesEngine
from bayescmp.exact.conjugacy.gaussian import GaussianEngine
from bayescmp.oracle import Oracle
from bayescmp.records import Batch

Belief = Float[np.ndarray, "replicate ..."]
Truth = Float[np.ndarray, "replicate ..."]


def exact_beliefs(oracle: Oracle, batch: Batch, position: int) -> Beliefs:
    """Ask an exact oracle what it believes of each latent.

    Args:
        oracle: Exact oracle.
        batch: Replicates.
        position: Question at which it is asked.

    Returns:
        Tables of discrete latents and places of continuous ones, where their laws have a
        known distribution function; and the law of the next outcome.
    """
    reference = oracle(batch)
    found = {
        name: np.asarray(x[:, position], float)
        for name, x in reference.belief.items()
        if name in batch.latents
    }
    laws: dict[str, Law] = {}
    truth: dict[str, np.ndarray] = {}
    for name, belief in found.items():
        if oracle.model.sites[name].num_values is not None:
            laws[name] = LatentTable(belief / belief.sum(axis=-1, keepdims=True))
            truth[name] = _true_states(oracle, batch, name, belief, position)
            continue
        truth[name] = np.asarray(batch.latents[name], float)
        law = _placed(oracle.engine, name, _weighed(oracle.engine, belief, found), truth[name])
        if law is not None:
            laws[name] = law
    return Beliefs(
        laws=laws,
        truth=truth,
        predictive=np.exp(np.asarray(reference.log_predictive[:, position], float)),
        how=f"exact, {oracle.certificate.engine}",
        knows_next=False,
    )


def _true_states(
    oracle: Oracle, batch: Batch, name: str, belief: Belief, position: int
) -> np.ndarray:
    """Return the indices of true states, or of the joint setting of a site listed as a whole."""
    roles = getattr(oracle.engine, "roles", oracle.engine)
    for grid in getattr(roles, "grids", ()):
        if grid.name == name:
            same = np.asarray(batch.latents[name])[:, None] == grid.values[None]
            return np.argmax(same.reshape(*same.shape[:2], -1).all(axis=2), axis=1)
    return true_states(oracle.model, batch, name, belief, position)


def _weighed(
    engine: AbstractEngine, belief: Belief, found: dict[str, Belief]
) -> tuple[Belief, Float[np.ndarray, "replicate setting"]] | None:
    """Return a closed law's parameters in each setting of discrete latents, and their weights."""
    grids = getattr(getattr(engine, "roles", None), "grids", ())
    if len(grids) > 1:
        return None  # joint settings' weights are not among the beliefs
    if not grids:
        return belief[:, None], np.ones((len(belief), 1))
    return belief, found[grids[0].name]


def _placed(
    engine: AbstractEngine,
    name: str,
    weighed: tuple[Belief, Float[np.ndarray, "replicate setting"]] | None,
    truth: Truth,
) -> Placed | None:
    """Place the truth in a mixture of closed laws, one for each setting."""
    if weighed is None:
        return None
    parameters, weights = weighed
    values = truth[:, None]
    places = _distribution(engine, name, parameters, values)
    if places is None:
        return None
    shape = (*weights.shape, *(1,) * (places.ndim - 2))
    mixed = np.sum(weights.reshape(shape) * places, axis=1)
    return Placed(np.clip(mixed, 0.0, 1.0).reshape(truth.shape))


def _distribution(
    engine: AbstractEngine, name: str, parameters: np.ndarray, values: np.ndarray
) -> np.ndarray | None:
    """Return the distribution function of one element at a time, at some values."""
    from scipy import stats  # 0.5 s to import, and only needed here

    if isinstance(engine, BetaBernoulliEngine):
        return stats.beta.cdf(values, parameters[..., 0], parameters[..., 1])
    if isinstance(engine, CountsEngine):
        pair = any(site.name == name and site.is_pair for site in engine.simplices)
        own, total = parameters, parameters.sum(axis=-1, keepdims=True)
        if pair:
            own, total = parameters[..., 0], total[..., 0]
        return stats.beta.cdf(values, own, total - own)
    if isinstance(engine, RatesEngine):
        return stats.gamma.cdf(values * parameters[..., 1], parameters[..., 0])
    if isinstance(engine, GaussianEngine) and engine.form.scale_site is None:
        mean = parameters[..., 0]
        deviation = np.sqrt(np.diagonal(parameters[..., 1:], axis1=-2, axis2=-1))
        flat = values.reshape(*values.shape[:2], -1)
        return stats.norm.cdf(flat, mean, deviation)
    return None


def closed_draws(
    oracle: Oracle, batch: Batch, position: int, num_draws: int, rng: np.random.Generator
) -> dict[str, LatentDraws]:
    """Draw from closed laws that are independent of each other, or of one normal latent.

    Args:
        oracle: Exact oracle.
        batch: Replicates.
        position: Question at which it is asked.
        num_draws: Draws for each replicate.
        rng: Where they come from.

    Returns:
        Independent draws of all continuous latents; none where their joint law has no form
        that can be drawn from.
    """
    engine = oracle.engine
    if getattr(getattr(engine, "roles", None), "grids", ()):
        return {}
    if not isinstance(engine, BetaBernoulliEngine | CountsEngine | RatesEngine | GaussianEngine):
        return {}
    if isinstance(engine, GaussianEngine) and not _is_one_normal(engine):
        return {}
    belief = {name: np.asarray(x[:, position], float) for name, x in oracle(batch).belief.items()}
    found = {}
    for name, parameters in belief.items():
        values = _draw(engine, name, np.repeat(parameters[:, None], num_draws, axis=1), rng)
        shape = oracle.model.sites[name].shape
        found[name] = LatentDraws(values.reshape(*values.shape[:2], *shape))
    return found


def _is_one_normal(engine: GaussianEngine) -> bool:
    """Say whether beliefs hold the joint law of all latents: one site of known variance."""
    return engine.form.scale_site is None and len(engine.roles.continuous) == 1


def _draw(
    engine: AbstractEngine, name: str, parameters: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    if isinstance(engine, RatesEngine):
        return rng.gamma(parameters[..., 0]) / parameters[..., 1]
    if isinstance(engine, GaussianEngine):
        root = np.linalg.cholesky(parameters[..., 1:])
        noise = rng.standard_normal((*root.shape[:-1], 1))
        return parameters[..., 0] + (root @ noise)[..., 0]
    if isinstance(engine, CountsEngine) and not any(
        site.name == name and site.is_pair for site in engine.simplices
    ):
        numbers = rng.standard_gamma(parameters)
        return numbers / numbers.sum(axis=-1, keepdims=True)
    return rng.beta(parameters[..., 0], parameters[..., 1])
