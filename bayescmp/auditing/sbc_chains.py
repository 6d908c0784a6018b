"""The no-U-turn sampler for thousands of replicates in one compiled call.

All chains of all replicates take their steps together, so that each step lasts as long as the
longest tree of any. For posteriors that are much alike, as replicates of one model's are, that
costs little, while compiling once instead of for every replicate saves nearly everything.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc

from bayescmp._types import Key
from bayescmp.auditing.sbc_density import Density
from bayescmp.auditing.sbc_posterior import Beliefs, LatentDraws
from bayescmp.montecarlo.nuts import MOST_DENSE, NutsSettings
from bayescmp.montecarlo.target import Target
from bayescmp.records import Batch

NUM_STARTS = 16
"""Draws from the prior of which a chain starts at the first that has a density."""

LEAST_SHARE = 0.05
"""Share of replicates whose effective number of draws may be less than what thinning goes by."""


def sample_beliefs(
    target: Target, settings: NutsSettings, batch: Batch, position: int, *, key: Key
) -> Beliefs:
    """Sample the posterior of every replicate, and thin chains to nearly independent draws.

    With ``E`` the effective number of draws (the least of all latents) that 95 % of replicates
    exceed, and ``N`` the number of draws there are, every ``ceil(N / E)``-th draw of each chain
    is kept, in all replicates alike: ranks among one number of draws have one null.

    Args:
        target: Law to sample from.
        settings: How much work to do.
        batch: Replicates.
        position: Question at which the posterior is asked for.
        key: Typed key.

    Returns:
        Draws of all continuous latents.
    """
    with jax.enable_x64(True):
        sites = target.in_64_bits(target.model.engine_sites(batch))
        keys = jax.random.split(key, batch.outcomes.shape[0])
        drawn = jax.device_get(_compile(target, settings, position)(sites, keys))
    ess, r_hat = _examine(drawn)
    num_draws = settings.num_chains * settings.num_draws
    least = max(1.0, float(np.quantile(ess, LEAST_SHARE)))
    thinning = min(int(np.ceil(num_draws / least)), settings.num_draws)
    laws = {name: LatentDraws(_thin(values, thinning)) for name, values in drawn.items()}
    truth = {name: np.asarray(batch.latents[name], float) for name in drawn}
    return Beliefs(
        laws=laws,
        truth=truth,
        knows_next=False,
        how=f"NUTS, {settings.num_chains} chains of {settings.num_draws:,} draws",
        thinning=thinning,
        least_ess=least,
        worst_r_hat=float(np.quantile(r_hat, 1.0 - LEAST_SHARE)),
    )


@lru_cache(maxsize=16)
def _compile(target: Target, settings: NutsSettings, position: int) -> Any:
    """Compile the chains of all replicates."""
    density = Density(target, position)

    def one(sites: dict[str, Array], key: Key) -> dict[str, Array]:
        keys = jax.random.split(key, settings.num_chains)
        return jax.vmap(lambda k: _chain(density, settings, sites, k))(keys)

    return jax.jit(jax.vmap(one))


def _chain(
    density: Density, settings: NutsSettings, sites: dict[str, Array], key: Key
) -> dict[str, Float[Array, "draw *element"]]:
    """Run one chain, and return the values of its draws."""
    key_start, key_chain = jax.random.split(key)

    def potential(coordinates: Array) -> Array:
        return -density.log_posterior(coordinates, sites)

    start, sample = hmc(potential_fn_gen=lambda: potential, algo="NUTS")
    state = start(
        _draw_start(density, sites, key_start),
        settings.num_warmup,
        target_accept_prob=settings.target_accept,
        dense_mass=1 < density.target.latents.size <= MOST_DENSE,
        model_args=(),
        rng_key=key_chain,
    )

    def step(state: Any, _: None) -> tuple[Any, Array]:
        state = sample(state, model_args=())
        return state, state.z

    length = settings.num_warmup + settings.num_draws
    coordinates = jax.lax.scan(step, state, None, length)[1][settings.num_warmup :]
    return jax.vmap(lambda x: density.target.latents.constrain(x)[0])(coordinates)


def _draw_start(density: Density, sites: dict[str, Array], key: Key) -> Float[Array, " coordinate"]:
    """Draw from the prior where what is shown is possible."""
    keys = jax.random.split(key, NUM_STARTS)
    draws = jax.vmap(lambda k: density.target.draw_prior(sites, key=k))(keys)
    found = jax.lax.map(lambda x: density.log_posterior(x, sites), draws)
    return draws[jnp.argmax(found > -jnp.inf)]


def _examine(
    drawn: dict[str, np.ndarray],
) -> tuple[Float[np.ndarray, " replicate"], Float[np.ndarray, " replicate"]]:
    """Return the least effective number of draws and the largest split R-hat of any latent."""
    least, largest = [], []
    for values in drawn.values():
        flat = values.reshape(*values.shape[:3], -1)
        chains = np.moveaxis(flat, 0, 2)
        least.append(np.asarray(effective_sample_size(chains)).min(axis=-1))
        largest.append(np.asarray(split_gelman_rubin(chains)).max(axis=-1))
    return np.min(least, axis=0), np.max(largest, axis=0)


def _thin(
    values: Float[np.ndarray, "replicate chain draw *element"], thinning: int
) -> Float[np.ndarray, "replicate kept *element"]:
    kept = values[:, :, ::thinning]
    return kept.reshape(kept.shape[0], -1, *kept.shape[3:])
