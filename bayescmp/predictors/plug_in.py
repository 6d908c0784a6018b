"""Plug-in answers: the single best setting of the latents in place of their average."""

import math
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp.exact.conjugacy.conjugate import BetaBernoulliEngine
from bayescmp.exact.settings import SettingGrid, list_settings
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.oracle import Oracle
from bayescmp.predictors.pool import MAX_BYTES, normalised, widen
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.predictors.step_laws import (
    Sites,
    StepLaws,
    find_step_laws,
    latent_names,
    log_bayes,
)
from bayescmp.program import trace_program
from bayescmp.records import Batch

Kind = Literal["maximum likelihood", "maximum a posteriori"]

NAMES: dict[Kind, str] = {
    "maximum likelihood": "plug-in ML",
    "maximum a posteriori": "plug-in MAP",
}


class PlugIn(AbstractPredictor):
    """The predictive of the best setting of the latents, ``p(y_t | s_t, z*)``.

    ``z* = argmax_z p(s_t | z)`` for maximum likelihood and ``argmax_z p(z | s_t)`` for
    maximum a posteriori, over all settings with positive prior probability; the laws of
    settings that tie, up to rounding, are averaged. Never less sure than it should be,
    so its divergence is infinite wherever ``z*`` excludes an outcome that is possible.

    For a coin with a Beta prior in closed form. With Beta parameters ``a`` and ``b`` of the
    posterior, both 1 for maximum likelihood before the first toss (so that it is
    ``heads / tosses`` later, and 1/2 before), the mode is ``(a - 1) / (a + b - 2)`` where
    both exceed one; 1/2 where both are one, since all settings tie. Where only ``a``
    exceeds one the mode is on the border at 1, where only ``b`` does at 0. Where neither
    does, the density is greatest at the end whose parameter is smaller, and at both, which
    average to 1/2, if they are equal.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4, heads=2.0, tails=2.0)
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 1, 1, 1]])})
        >>> rung = PlugIn(bc.derive_oracle(model), "maximum a posteriori")
        >>> np.exp(rung.log_predictive(batch)[0, :, 1]).round(3)
        array([0.5  , 0.667, 0.75 , 0.8  ], dtype=float32)
    """

    rule: "_BetaMode | _BestSetting"
    name: str = eqx.field(static=True)

    def __init__(self, oracle: Oracle, kind: Kind = "maximum a posteriori") -> None:
        """Find out how to maximise.

        Args:
            oracle: Oracle of the model.
            kind: What is maximised.

        Raises:
            ValueError: If the kind is unknown, the latents cannot be enumerated, or the
                model's steps have no laws of their own once the latents are known.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"kind: expected one of {get_args(Kind)}, got {kind!r}")
        uses_prior = kind == "maximum a posteriori"
        if isinstance(oracle.engine, BetaBernoulliEngine):
            self.rule = _BetaMode(oracle.model, oracle.engine, uses_prior)
        else:
            self.rule = _best_setting(oracle.model, uses_prior)
        self.name = NAMES[kind]

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer from the best setting alone."""
        return self.rule(batch)


class _BetaMode(eqx.Module):
    model: AbstractGenerativeModel
    engine: BetaBernoulliEngine
    uses_prior: bool = eqx.field(static=True)

    def __call__(self, batch: Batch) -> Predictive:
        engine = self.engine
        heads = jnp.cumsum(batch.outcomes, axis=-1) - batch.outcomes
        tails = jnp.arange(batch.outcomes.shape[-1]) - heads
        a, b = (engine.concentration1, engine.concentration0) if self.uses_prior else (1.0, 1.0)
        mode = beta_mode(a + heads, b + tails)
        return jnp.log(jnp.stack([1.0 - mode, mode], axis=-1))


class _BestSetting(eqx.Module):
    steps: StepLaws
    settings: Sites
    """Value of every latent site, the joint settings on the first axis."""
    log_prior: Float[Array, " setting"]
    uses_prior: bool = eqx.field(static=True)

    def __call__(self, batch: Batch) -> Predictive:
        log_prior = self.log_prior.astype(jnp.result_type(float))
        score = log_prior if self.uses_prior else jnp.where(jnp.isneginf(log_prior), -jnp.inf, 0.0)
        settings = widen(self.settings)

        def one(sites: Sites) -> Float[Array, "position outcome"]:
            log_shown, log_joint = log_bayes(*self.steps.of_all(settings, sites), score)
            log_laws = normalised(log_joint)
            best = _ties(log_shown)
            log_sum = logsumexp(jnp.where(best[:, :, None], log_laws, -jnp.inf), axis=0)
            return normalised(log_sum)

        at_once = max(1, MAX_BYTES // self.steps.bytes_per_sequence(log_prior.shape[0]))
        return jax.lax.map(one, self.steps.model.engine_sites(batch), batch_size=at_once)


def beta_mode(a: Float[Array, "*rows"], b: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    """Return where a Beta law has its greatest density.

    Args:
        a: Parameter of ones, positive.
        b: Parameter of zeros, positive.

    Returns:
        The mode; :class:`PlugIn` says what it is where it is not unique or on the border.
    """
    ones, zeros = jnp.maximum(a - 1.0, 0.0), jnp.maximum(b - 1.0, 0.0)
    total = ones + zeros
    border = jnp.where(a == b, 0.5, jnp.where(a > b, 1.0, 0.0))
    return jnp.where(total > 0.0, ones / jnp.where(total > 0.0, total, 1.0), border)


def log_num_settings(model: AbstractGenerativeModel) -> float:
    """Return the log of how many joint settings a model's latents can have at most.

    Args:
        model: Generative model.

    Returns:
        In nats; infinite where a latent is continuous or unbounded.
    """
    sites = [model.sites[name] for name in latent_names(model)]
    logs = [math.prod(site.shape) * math.log(site.num_values or math.inf) for site in sites]
    return math.fsum(logs)


def _best_setting(model: AbstractGenerativeModel, uses_prior: bool) -> _BestSetting:
    steps = find_step_laws(model)
    latents = latent_names(model)
    fixed = {name for name in model.sites if name not in latents}
    grids = list_settings(model.program, fixed=fixed, num_nodes=1)
    continuous = [grid.name for grid in grids if grid.is_continuous]
    if continuous:
        raise ValueError(
            f"oracle: expected latents with finitely many values to choose the best from, got "
            f"continuous {continuous}"
        )
    with jax.enable_x64(True):
        settings = _joint_settings(grids)
        return _BestSetting(steps, settings, _log_prior(model, settings), uses_prior)


def _joint_settings(grids: tuple[SettingGrid, ...]) -> Sites:
    """List all joint settings, the last site fastest."""
    sizes = [grid.values.shape[0] for grid in grids]
    numbers = np.indices(sizes).reshape(len(sizes), -1)
    return {
        grid.name: jnp.asarray(grid.values[number])
        for grid, number in zip(grids, numbers, strict=True)
    }


def _log_prior(model: AbstractGenerativeModel, settings: Sites) -> Float[Array, " setting"]:
    """Return the log probability of each setting; latents depend on nothing that is shown."""

    def one(values: Sites) -> Array:
        messages = trace_program(model.program, key=jax.random.key(0), substituted=values)
        return sum(
            (jnp.sum(messages[k]["fn"].log_prob(v)) for k, v in values.items()), jnp.zeros(())
        )

    return jax.jit(lambda x: jax.lax.map(one, x, batch_size=4_096))(settings)


def _ties(log_scores: Float[Array, "setting position"]) -> Array:
    """Mark the best settings at each position, up to the rounding of a sum over positions."""
    best = jnp.max(log_scores, axis=0)
    steps = log_scores.shape[1] + 1
    rounding = 8 * steps * jnp.finfo(log_scores.dtype).eps * (1.0 + jnp.abs(best))
    return log_scores >= best - jnp.where(jnp.isneginf(best), 0.0, rounding)
