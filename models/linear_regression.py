"""Linear regression in context, with a Gaussian prior or a finite pool of tasks."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.settings import constant
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive
from bayescmp.models.binning import normal_edges


def gaussian_task(length: int, num_features: int, noise: float) -> None:
    """Draw weights from a standard normal law, then inputs and noisy products."""
    with numpyro.plate("feature", num_features):
        weight = numpyro.sample("weight", dist.Normal(0.0, 1.0))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([num_features]).to_event(1))
        numpyro.sample("y", dist.Normal(jnp.dot(x, weight), noise))


def pooled_task(length: int, num_tasks: int, num_features: int, noise: float, seed: int) -> None:
    """Draw one of a fixed pool of weights, then inputs and noisy products."""
    pool = constant(np.random.default_rng(seed).normal(size=(num_tasks, num_features)))
    task = numpyro.sample("task", dist.DiscreteUniform(0, num_tasks - 1))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([num_features]).to_event(1))
        numpyro.sample("y", dist.Normal(jnp.dot(x, pool[task]), noise))


def linear_regression(
    num_features: int = 8, length: int = 16, noise: float = 0.5, num_bins: int = 16
) -> GenerativeModel:
    """Ask for the bin of a noisy linear function whose weights have a Gaussian prior.

    ``weight ~ N(0, I)``, ``x_t ~ N(0, I)``, ``y_t ~ N(x_t . weight, noise^2)``. With
    ``P = I + X'X / noise^2`` from the pairs shown, ``y_t | s_t ~ N(x_t . m, noise^2 +
    x_t' P^-1 x_t)`` where ``m = P^-1 X'y / noise^2`` is ridge regression. Bins are equally
    likely under a normal law of variance ``num_features + noise^2``.

    Source: Garg, Tsipras, Liang and Valiant, arXiv 2208.01066, for the task; Raventós, Paul,
    Chen and Ganguli, "Pretraining task diversity and the emergence of non-Bayesian
    in-context learning for regression", arXiv 2306.15063: 8 features, 16 pairs, noise
    variance 0.25.

    Args:
        num_features: Number of features of an input, at least one.
        length: Number of pairs in a sequence, at least one.
        noise: Standard deviation of the noise, in the unit of ``y``, positive.
        num_bins: Number of bins of the outcome, at least two.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> linear_regression(num_features=2, num_bins=4).questions().edges[1]
        0.0
    """
    require_at_least("num_features", num_features, 1)
    require_positive("noise", noise)
    return GenerativeModel(
        gaussian_task,
        outcome="y",
        query=("x",),
        length=length,
        edges=normal_edges(num_bins, num_features + noise**2),
        arguments={"num_features": num_features, "noise": float(noise)},
        name=f"linear regression, {num_features} features, {num_bins} bins",
    )


def regression_pool(
    num_tasks: int = 64,
    num_features: int = 8,
    length: int = 16,
    noise: float = 0.5,
    num_bins: int = 16,
    seed: int = 0,
) -> GenerativeModel:
    """Ask for the bin of a noisy linear function whose weights come from a fixed pool.

    ``task ~ uniform over the pool`` and all else as in :func:`linear_regression`. The exact
    mean, ``sum_k p(task = k | s_t) x_t . weight_k``, is the paper's "dMMSE" estimator. With
    few tasks a network finds it, with many it does ridge regression instead.

    Source: Raventós, Paul, Chen and Ganguli, arXiv 2306.15063: 8 features, 16 pairs,
    noise variance 0.25.

    Args:
        num_tasks: Number of tasks in the pool, at least one.
        num_features: Number of features of an input, at least one.
        length: Number of pairs in a sequence, at least one.
        noise: Standard deviation of the noise, in the unit of ``y``, positive.
        num_bins: Number of bins of the outcome, at least two.
        seed: Seed of the pool, which belongs to the model.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> regression_pool(num_tasks=4, num_features=2, num_bins=4).title()
        'pool of 4 linear regressions, 2 features, 4 bins'
    """
    require_at_least("num_tasks", num_tasks, 1)
    require_at_least("num_features", num_features, 1)
    require_at_least("seed", seed, 0)
    require_positive("noise", noise)
    return GenerativeModel(
        pooled_task,
        outcome="y",
        query=("x",),
        length=length,
        edges=normal_edges(num_bins, num_features + noise**2),
        arguments={
            "num_tasks": num_tasks,
            "num_features": num_features,
            "noise": float(noise),
            "seed": seed,
        },
        name=f"pool of {num_tasks} linear regressions, {num_features} features, {num_bins} bins",
    )
