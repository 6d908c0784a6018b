"""Bayes over the finitely many tasks that a network may have memorised."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.predictors.step_laws import (
    Sites,
    StepLaws,
    find_step_laws,
    latent_names,
    log_bayes,
)
from bayescmp.program import reject_outside
from bayescmp.records import Batch

MAX_BYTES = 2**28
"""Rough size of the arrays that a predictor may fill at once."""


class MemorisedPool(AbstractPredictor):
    """Exact inference for somebody who believes that only these tasks exist.

    A task ``z_p`` is a value of every latent site. With ``P`` of them, all equally likely,
    ``p(y_t | s_t) = sum_p w_p(s_t) p(y_t | s_t, z_p)``, ``w_p(s_t) proportional to
    p(s_t | z_p)``. A network trained on finitely many tasks may learn this in place of the
    process that the tasks were drawn from. Where what was shown is impossible for every
    task there is no posterior; the answer is uniform there, since nothing is remembered.

    Source: Raventos et al., "Pretraining Task Diversity and the Emergence of Non-Bayesian
    In-Context Learning for Regression", arXiv 2306.15063 (there: dMMSE).

    Example:
        >>> model = bc.models.beta_bernoulli(length=3)
        >>> rung = MemorisedPool(model, {"bias": jnp.array([0.2, 0.8])})
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 1, 1]])})
        >>> np.exp(rung.log_predictive(batch)[0, :, 1]).round(3)
        array([0.5  , 0.68 , 0.765], dtype=float32)
    """

    steps: StepLaws
    tasks: Sites
    """Value of every latent site, the tasks on the first axis."""
    name: str = eqx.field(static=True)

    def __init__(
        self,
        model: AbstractGenerativeModel,
        tasks: Mapping[str, Array],
        *,
        name: str = "memorised pool",
    ) -> None:
        """Remember tasks.

        Args:
            model: Model whose steps have laws of their own once the latents are known.
            tasks: Value of every latent site, the tasks on the first axis.
            name: Name in tables.

        Raises:
            ValueError: If the tasks do not fit the model's latents, or its steps have no
                laws of their own.
        """
        self.steps = find_step_laws(model)
        self.tasks = {name: jnp.asarray(values) for name, values in tasks.items()}
        _check_tasks(model, self.tasks)
        self.name = name

    @property
    def num_tasks(self) -> int:
        """Number of tasks in the pool."""
        return next(iter(self.tasks.values())).shape[0]

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer with the pool's posterior mean."""
        tasks = widen(self.tasks)

        def one(sites: Sites) -> Float[Array, "position outcome"]:
            log_prior = jnp.full(self.num_tasks, -jnp.log(self.num_tasks))
            _, log_joint = log_bayes(*self.steps.of_all(tasks, sites), log_prior)
            return normalised(logsumexp(log_joint, axis=0))

        at_once = max(1, MAX_BYTES // self.steps.bytes_per_sequence(self.num_tasks))
        return jax.lax.map(one, self.steps.model.engine_sites(batch), batch_size=at_once)


def draw_pool(
    model: AbstractGenerativeModel, num_tasks: int, *, key: Key, name: str | None = None
) -> MemorisedPool:
    """Draw a pool of tasks from the model's own prior.

    Args:
        model: Model whose steps have laws of their own once the latents are known.
        num_tasks: Number of tasks, at least one; thousands are fine.
        key: Typed key.
        name: Name in tables; "pool of" and the number by default.

    Returns:
        Bayes over those tasks.

    Raises:
        ValueError: If there is no task, or the model's steps have no laws of their own.

    Example:
        >>> draw_pool(bc.models.beta_bernoulli(length=3), 64, key=jax.random.key(0)).name
        'pool of 64'
    """
    if num_tasks < 1:
        raise ValueError(f"num_tasks: expected at least 1, got {num_tasks}")
    latents = model.sample(num_tasks, key=key).latents
    tasks = {site: latents[site] for site in latent_names(model)}
    return MemorisedPool(model, tasks, name=name or f"pool of {num_tasks}")


def normalised(log_weights: Float[Array, "*rows outcome"]) -> Float[Array, "*rows outcome"]:
    """Turn log weights into laws; where no outcome has weight the law is uniform.

    Args:
        log_weights: In nats, minus infinity where there is no weight.

    Returns:
        Log probabilities over the last axis.
    """
    total = logsumexp(log_weights, axis=-1, keepdims=True)
    nothing = jnp.isneginf(total)
    uniform = -np.log(log_weights.shape[-1])
    return jnp.where(nothing, uniform, log_weights - jnp.where(nothing, 0.0, total))


def widen(sites: Sites) -> Sites:
    """Return values whose real numbers are in the precision that holds now.

    Args:
        sites: Values by name.

    Returns:
        The same, floats converted.
    """
    real = jnp.result_type(float)
    return {k: v.astype(real) if v.dtype.kind == "f" else v for k, v in sites.items()}


def _check_tasks(model: AbstractGenerativeModel, tasks: Sites) -> None:
    """Check that the tasks are values of the model's latents, as many of each."""
    latents = latent_names(model)
    if set(tasks) != set(latents):
        raise ValueError(f"tasks: expected values for {latents}, got {sorted(tasks)}")
    for name, values in tasks.items():
        expected = model.sites[name].shape
        if values.ndim != 1 + len(expected) or values.shape[1:] != expected or not values.size:
            raise ValueError(
                f"tasks: expected {name!r} of shape (num_tasks, *{expected}), got {values.shape}"
            )
        reject_outside(model.sites[name], np.asarray(values))
    counts = {name: values.shape[0] for name, values in tasks.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"tasks: expected as many values for each latent, got {counts}")
