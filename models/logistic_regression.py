"""Logistic regression in context: no closed form, quadrature in one dimension."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive


def labelled_points(length: int, num_features: int, scale: float) -> None:
    """Draw weights from a normal law, then inputs with a label each."""
    with numpyro.plate("feature", num_features):
        weight = numpyro.sample("weight", dist.Normal(0.0, scale))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([num_features]).to_event(1))
        numpyro.sample("label", dist.Bernoulli(logits=jnp.sum(x * weight, axis=-1)))


def logistic_regression(
    num_features: int = 4, length: int = 16, scale: float = 1.0
) -> GenerativeModel:
    """Ask for the label of each input, whose log odds are linear in it.

    ``weight ~ N(0, scale^2 I)``, ``x_t ~ N(0, I)``, ``p(label_t = 1) = sigmoid(x_t . weight)``
    and ``p(label_t = 1 | s_t)`` is the mean of that over the posterior of the weights.
    Quadrature finds it for one or two features, Monte Carlo for any number.

    Source: MacKay, "The Evidence Framework Applied to Classification Networks", Neural
    Computation 4 (1992), for the posterior mean as the right prediction.

    Args:
        num_features: Number of features of an input, at least one.
        length: Number of inputs in a sequence, at least one.
        scale: Standard deviation of the weights, positive.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> logistic_regression(num_features=1, length=4).title()
        'logistic regression, 1 feature'
    """
    require_at_least("num_features", num_features, 1)
    require_positive("scale", scale)
    return GenerativeModel(
        labelled_points,
        outcome="label",
        query=("x",),
        length=length,
        arguments={"num_features": num_features, "scale": float(scale)},
        name=f"logistic regression, {num_features} feature{'s' if num_features > 1 else ''}",
    )
