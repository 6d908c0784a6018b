"""Sequential Monte Carlo over prefixes: one pass over a sequence answers every question.

Draws from the prior are weighted by what has been shown so far. As soon as the weights are worth
fewer than half of the draws they are resampled, and moved by Metropolis steps that leave the
law given the prefix as it is (Chopin 2002, "A sequential particle filter method for static
models"). Until then this is plain importance sampling, and a draw's answers to all questions
are computed once. Kernels, resampling and moves are BlackJAX's.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import blackjax.smc.base
import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.mcmc import random_walk
from blackjax.smc import ess, from_mcmc, resampling
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.montecarlo.target import Path, Target

OPTIMAL_SCALE = 2.38
"""Best step of a random walk in standard deviations, times the square root of the number of
coordinates (Roberts, Gelman and Gilks 1997)."""


@dataclass(frozen=True)
class SmcSettings:
    """How much work sequential Monte Carlo does."""

    num_runs: int = 16
    """Independent runs, whose spread is the standard error."""
    num_particles: int = 512
    """Draws in each run."""
    num_moves: int | None = None
    """Metropolis steps after resampling; None takes ten and two for each coordinate."""
    least_worth: float = 0.5
    """Resample where weighted draws are worth less than this share of all."""

    def __post_init__(self) -> None:
        """Reject numbers that leave no spread or no draws."""
        for name, value, least in (
            ("num_runs", self.num_runs, 4),
            ("num_particles", self.num_particles, 2),
            ("num_moves", 1 if self.num_moves is None else self.num_moves, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        if not 0.0 < self.least_worth < 1.0:
            raise ValueError(f"least_worth: expected a share in (0, 1), got {self.least_worth}")

    def describe(self) -> str:
        """Return a few words for people."""
        return f"SMC, {self.num_runs} runs of {self.num_particles:,} draws"


class Runs(eqx.Module):
    """What each independent run says about one question, or about all of a sequence."""

    log_before: Float[Array, "run *position"]
    """Estimate of ``log p(s_t | given)``."""
    log_after: Float[Array, "run *position"]
    """Estimate of ``log p(all shown by the end of step t | given)``."""
    predictive: Float[Array, "run *position outcome"]
    """Estimate of ``p(y_t | s_t)``."""
    spread: Float[Array, "run *position outcome"]
    """Variance of ``p(y_t | s_t, theta)`` over ``theta`` given ``s_t``."""
    belief: dict[str, Array]
    """Posterior means; the same axes come first."""


class _Particles(eqx.Module):
    """Draws of all runs, with their answers to every question."""

    coordinates: Float[Array, "run particle coordinate"]
    paths: Path
    log_base: Float[Array, "run particle"]
    """Weights are ``exp(log_base + log_before[t])``."""
    log_norm: Float[Array, " run"]
    """Evidence collected before the last move."""


@lru_cache(maxsize=64)
def compile_smc(target: Target, settings: SmcSettings) -> Any:
    """Compile the pass over one sequence.

    Args:
        target: Law to sample from.
        settings: How much work to do.

    Returns:
        Function of one sequence's sites and a key that returns its ``Runs``.
    """
    return jax.jit(lambda sites, key: _run(target, settings, sites, key))


def _run(target: Target, settings: SmcSettings, sites: dict[str, Array], key: Key) -> Runs:
    shape = (settings.num_runs, settings.num_particles)
    key_prior, key_moves = jax.random.split(key)
    draw = jax.vmap(jax.vmap(lambda k: target.draw_prior(sites, key=k)))
    coordinates = draw(jax.random.split(key_prior, shape))
    paths = _paths(target, sites, coordinates)
    log_base = paths.log_given - jnp.log(settings.num_particles)
    particles = _Particles(
        coordinates=coordinates,
        paths=paths,
        log_base=log_base,
        log_norm=-logsumexp(log_base, axis=1),
    )

    def step(particles: _Particles, position: Array) -> tuple[_Particles, Runs]:
        log_weights = particles.log_base + particles.paths.log_before[..., position]
        worth = jax.vmap(ess.ess)(log_weights)
        particles = jax.lax.cond(
            jnp.any(worth < settings.least_worth * settings.num_particles),
            lambda: _move(target, settings, sites, particles, position, key_moves),
            lambda: particles,
        )
        return particles, _answer(target, particles, position)

    _, answers = jax.lax.scan(step, particles, jnp.arange(target.model.length))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), answers)


def _paths(target: Target, sites: dict[str, Array], coordinates: Array) -> Path:
    """Compute the paths of all draws, as many at once as fit into memory."""
    num_runs, num_particles = coordinates.shape[:2]
    flat = coordinates.reshape(num_runs * num_particles, -1)
    at_once = min(flat.shape[0], target.at_once)
    paths = jax.lax.map(lambda x: target.path(x, sites), flat, batch_size=at_once)
    return jax.tree.map(lambda x: x.reshape(num_runs, num_particles, *x.shape[1:]), paths)


def _move(
    target: Target,
    settings: SmcSettings,
    sites: dict[str, Array],
    particles: _Particles,
    position: Array,
    key: Key,
) -> _Particles:
    """Resample every run, and move its draws by Metropolis steps."""
    num_runs, num_particles, size = particles.coordinates.shape
    num_moves = settings.num_moves or 10 + 2 * size
    at_once = max(1, target.at_once // num_runs)
    kernel = from_mcmc.build_kernel(
        _walk,
        random_walk.init,
        resampling.systematic,
        batch_size=at_once if at_once < num_particles else 0,
    )

    def move(key: Key, coordinates: Array, log_weights: Array) -> Array:
        weights = jax.nn.softmax(log_weights)
        state = blackjax.smc.base.SMCState(coordinates, weights, {})
        moved, _ = kernel(
            key,
            state,
            num_moves,
            {"steps": _random_steps(coordinates, weights)[None]},
            lambda x: target.log_posterior(x, sites, position),
            lambda x: jnp.zeros((), x.dtype),
        )
        return moved.particles

    log_weights = particles.log_base + particles.paths.log_before[..., position]
    keys = jax.random.split(jax.random.fold_in(key, position), num_runs)
    coordinates = jax.vmap(move)(keys, particles.coordinates, log_weights)
    paths = _paths(target, sites, coordinates)
    return _Particles(
        coordinates=coordinates,
        paths=paths,
        log_base=-jnp.log(num_particles) - paths.log_before[..., position],
        log_norm=particles.log_norm + logsumexp(log_weights, axis=1),
    )


def _random_steps(coordinates: Array, weights: Array) -> Array:
    """Return a square root of the covariance of a random walk's steps, from weighted draws."""
    size = coordinates.shape[-1]
    covariance = jnp.cov(coordinates, rowvar=False, ddof=0, aweights=weights).reshape(size, size)
    # Draws that resampling left alone on a line would make the root fail.
    ridge = 1e-9 * jnp.trace(covariance) / size + jnp.finfo(covariance.dtype).tiny
    root = jnp.linalg.cholesky(covariance + ridge * jnp.eye(size))
    return OPTIMAL_SCALE / size**0.5 * root


def _walk(key: Key, state: Any, log_density: Any, steps: Array) -> Any:
    """Take one Metropolis step."""
    kernel = random_walk.build_additive_step()
    return kernel(key, state, log_density, random_walk.normal(steps))


def _answer(target: Target, particles: _Particles, position: Array) -> Runs:
    """Average over the weighted draws of each run."""
    paths = particles.paths
    log_weights = particles.log_base + paths.log_before[..., position]
    weights = jax.nn.softmax(log_weights, axis=1)
    # Under parameters that make the prefix impossible there is no predictive.
    possible = log_weights > -jnp.inf

    def mean(values: Array) -> Array:
        shape = possible.shape + (1,) * (values.ndim - 2)
        return jnp.sum(
            weights.reshape(shape) * jnp.where(possible.reshape(shape), values, 0.0), axis=1
        )

    law = jnp.exp(paths.log_predictive[:, :, position])
    predictive = mean(law)
    sampled = jax.vmap(jax.vmap(lambda x: target.latents.constrain(x)[0]))(particles.coordinates)
    summed = {name: x[:, :, position] for name, x in paths.belief.items()}
    log_after = particles.log_base + paths.log_after[..., position]
    return Runs(
        log_before=particles.log_norm + logsumexp(log_weights, axis=1),
        log_after=particles.log_norm + logsumexp(log_after, axis=1),
        predictive=predictive,
        spread=mean((law - predictive[:, None]) ** 2),
        belief={name: mean(x) for name, x in {**summed, **sampled}.items()},
    )
