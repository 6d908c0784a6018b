"""Regression with a Gaussian process, the first task of prior-fitted networks."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive
from bayescmp.models.binning import normal_edges

JITTER = 1e-6
"""Share of the variance that is added to the diagonal, so that the covariance of near
inputs can be factored in 32 bits; belongs to the model."""


def smooth_function(length: int, num_features: int, length_scale: float, noise: float) -> None:
    """Draw inputs, a smooth function at them, and noisy values."""
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Uniform(0.0, 1.0).expand([num_features]).to_event(1))
    distance = jnp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=-1)
    covariance = jnp.exp(-0.5 * distance / length_scale**2) + JITTER * jnp.eye(length)
    value = numpyro.sample("value", dist.MultivariateNormal(jnp.zeros(length), covariance))
    with numpyro.plate("position", length):
        numpyro.sample("y", dist.Normal(value, noise))


def gaussian_process(
    num_features: int = 5,
    length: int = 16,
    length_scale: float = 0.6,
    noise: float = 0.1,
    num_bins: int = 16,
) -> GenerativeModel:
    """Ask for the bin of a noisy smooth function at each new input.

    ``x_t`` is uniform in the unit cube, ``value ~ N(0, K)`` with
    ``K_ts = exp(-|x_t - x_s|^2 / (2 length_scale^2))``, and ``y_t ~ N(value_t, noise^2)``.
    With ``S = K_ss + noise^2 I`` over the pairs shown, ``y_t | s_t ~ N(k' S^-1 y, K_tt +
    noise^2 - k' S^-1 k)``. Bins are equally likely before anything is shown.

    Source: Müller, Hollmann, Pineda Arango, Grabocka and Hutter, "Transformers Can Do
    Bayesian Inference", arXiv 2112.10510, section on Gaussian processes: length-scale 0.6,
    5 features, and noise 1e-4, which 32 bits cannot resolve; here it is larger.

    Args:
        num_features: Number of features of an input, at least one.
        length: Number of pairs in a sequence, at least one.
        length_scale: Distance over which values are alike, in the unit of ``x``, positive.
        noise: Standard deviation of the noise, in the unit of ``y``, positive.
        num_bins: Number of bins of the outcome, at least two.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> gaussian_process(num_features=1, length=4, num_bins=4).num_outcomes
        4
    """
    require_at_least("num_features", num_features, 1)
    require_positive("length_scale", length_scale)
    require_positive("noise", noise)
    return GenerativeModel(
        smooth_function,
        outcome="y",
        query=("x",),
        length=length,
        edges=normal_edges(num_bins, 1.0 + JITTER + noise**2),
        arguments={
            "num_features": num_features,
            "length_scale": float(length_scale),
            "noise": float(noise),
        },
        name=f"Gaussian process, {num_features} features, {num_bins} bins",
    )
