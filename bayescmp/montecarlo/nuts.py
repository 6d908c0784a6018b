"""The no-U-turn sampler, one set of chains for each prefix of each sequence.

The chains are NumPyro's, vectorised over questions and chains. Nothing is shared between
prefixes, which makes it slow and a good judge of everything else.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int
from numpyro.infer.hmc import hmc

from bayescmp._types import Key
from bayescmp.montecarlo.target import Target

MOST_DENSE = 64
"""Most coordinates for which correlations among them are learnt in the warm-up."""

START_DRAWS = 64
"""Draws from the prior of which a chain starts at the first that makes its prefix possible."""

FIRST_DRAWS = 4_096
"""Draws from the prior that estimate the law of the first query."""


@dataclass(frozen=True)
class NutsSettings:
    """How much work the no-U-turn sampler does for each prefix."""

    num_chains: int = 4
    """Independent chains, started from the prior."""
    num_warmup: int = 500
    """Steps of each chain that tune it and are thrown away."""
    num_draws: int = 1_000
    """Steps of each chain that are kept."""
    target_accept: float = 0.8
    """Acceptance probability that the step size is tuned to."""

    def __post_init__(self) -> None:
        """Reject numbers too small for diagnostics."""
        for name, value, least in (
            ("num_chains", self.num_chains, 2),
            ("num_warmup", self.num_warmup, 1),
            ("num_draws", self.num_draws, 4),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        if not 0.0 < self.target_accept < 1.0:
            raise ValueError(
                f"target_accept: expected a probability in (0, 1), got {self.target_accept}"
            )

    def describe(self) -> str:
        """Return a few words for people."""
        return f"NUTS, {self.num_chains} chains of {self.num_draws:,} draws for each prefix"


class Chains(eqx.Module):
    """What each draw says at some positions of one sequence."""

    predictive: Float[Array, "position chain draw outcome"]
    """``p(y_t | s_t, theta)`` for ``theta`` given ``s_t``."""
    log_gain: Float[Array, "position chain draw"]
    """``log p(all shown by the end of step t | theta) - log p(s_t | theta)``."""
    log_next: Float[Array, "position chain draw"]
    """``log p(s_{t+1} | theta) - log p(s_t | theta)``; as ``log_gain`` after the last step."""
    belief: dict[str, Array]
    """Values of continuous latents, probabilities of discrete ones; first axes as above."""
    log_first: Float[Array, ""]
    """``log p(s_0 | given)``, from draws of the prior."""
    first_error: Float[Array, ""]
    """Standard error of it, in nats."""


@lru_cache(maxsize=64)
def compile_nuts(target: Target, settings: NutsSettings) -> Any:
    """Compile the chains of one sequence.

    Args:
        target: Law to sample from.
        settings: How much work to do.

    Returns:
        Function of one sequence's sites, positions and a key that returns its ``Chains``.
    """
    return jax.jit(lambda sites, positions, key: _run(target, settings, sites, positions, key))


def _run(
    target: Target,
    settings: NutsSettings,
    sites: dict[str, Array],
    positions: Int[Array, " position"],
    key: Key,
) -> Chains:
    key_chains, key_first = jax.random.split(key)

    def at(position: Array) -> Array:
        keys = jax.random.split(jax.random.fold_in(key_chains, position), settings.num_chains)
        return jax.vmap(lambda k: _chain(target, settings, sites, position, k))(keys)

    coordinates = jax.vmap(at)(positions)
    log_first, first_error = _first(target, sites, key_first)
    predictive, log_gain, log_next, belief = _read(target, sites, coordinates, positions)
    return Chains(predictive, log_gain, log_next, belief, log_first, first_error)


def _chain(
    target: Target, settings: NutsSettings, sites: dict[str, Array], position: Array, key: Key
) -> Float[Array, "draw coordinate"]:
    """Run one chain."""
    key_start, key_chain = jax.random.split(key)

    def potential(position: Array) -> Any:
        return lambda x: -target.log_posterior(x, sites, position)

    start, sample = hmc(potential_fn_gen=potential, algo="NUTS")
    state = start(
        draw_start(target, sites, position, key_start),
        settings.num_warmup,
        target_accept_prob=settings.target_accept,
        dense_mass=target.latents.size <= MOST_DENSE,
        model_args=(position,),
        rng_key=key_chain,
    )

    def step(state: Any, _: None) -> tuple[Any, Array]:
        state = sample(state, model_args=(position,))
        return state, state.z

    length = settings.num_warmup + settings.num_draws
    return jax.lax.scan(step, state, None, length)[1][settings.num_warmup :]


def draw_start(
    target: Target, sites: dict[str, Array], position: Array, key: Key
) -> Float[Array, " coordinate"]:
    """Draw from the prior where a prefix is possible, since elsewhere a chain would be stuck.

    Args:
        target: Law to sample from.
        sites: Values of all given, query and outcome sites of one sequence.
        position: Which question.
        key: Typed key.

    Returns:
        The first of some draws that has a density; the very first where none has.
    """
    draws = jax.vmap(lambda k: target.draw_prior(sites, key=k))(jax.random.split(key, START_DRAWS))
    # One after another, since the draws of all chains at once would not fit into memory.
    log_density = jax.lax.map(lambda x: target.log_posterior(x, sites, position), draws)
    return draws[jnp.argmax(log_density > -jnp.inf)]


def _read(
    target: Target, sites: dict[str, Array], coordinates: Array, positions: Array
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Look up what every draw says at its position."""
    shape = coordinates.shape[:3]
    flat = coordinates.reshape(-1, coordinates.shape[-1])
    at = jnp.broadcast_to(positions[:, None, None], shape).ravel()

    def read(draw: tuple[Array, Array]) -> tuple[Array, Array, Array, dict[str, Array]]:
        path, here = target.path(draw[0], sites), draw[1]
        before, gained = path.log_before[here], path.log_after[here]
        following = jnp.append(path.log_before[1:], path.log_after[-1])[here]
        believed = {name: x[here] for name, x in path.belief.items()}
        belief = {**believed, **target.latents.constrain(draw[0])[0]}
        return jnp.exp(path.log_predictive[here]), gained - before, following - before, belief

    found = jax.lax.map(read, (flat, at), batch_size=min(flat.shape[0], target.at_once))
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), found)


def _first(target: Target, sites: dict[str, Array], key: Key) -> tuple[Array, Array]:
    """Return the log evidence of the first query, from draws of the prior, and its error."""

    def read(key: Key) -> tuple[Array, Array]:
        path = target.path(target.draw_prior(sites, key=key), sites)
        return path.log_before[0], path.log_given

    keys = jax.random.split(key, FIRST_DRAWS)
    log_first, log_given = jax.lax.map(read, keys, batch_size=min(FIRST_DRAWS, target.at_once))
    weights = jax.nn.softmax(log_given)
    found = logsumexp(log_first, b=weights)
    # To first order, the relative error of a weighted mean.
    error = jnp.sqrt(jnp.sum((weights * (jnp.exp(log_first - found) - 1.0)) ** 2))
    return found, error
