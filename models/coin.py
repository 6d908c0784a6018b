"""Tosses of a coin with unknown bias, the smallest in-context learning task."""

import math

import numpyro
import numpyro.distributions as dist

from bayescmp.generative import GenerativeModel


def coin(length: int, heads: float = 1.0, tails: float = 1.0) -> None:
    """Draw a bias from its Beta prior, then toss."""
    bias = numpyro.sample("bias", dist.Beta(heads, tails))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(bias))


def beta_bernoulli(length: int = 32, heads: float = 1.0, tails: float = 1.0) -> GenerativeModel:
    """Ask for each toss of a coin whose bias has a Beta prior.

    ``p(y_t = 1 | y_0 .. y_{t-1}) = (heads + ones) / (heads + tails + t)``.

    Args:
        length: Number of tosses, at least one.
        heads: Prior pseudo-count of ones, positive.
        tails: Prior pseudo-count of zeros, positive.

    Returns:
        The model.

    Raises:
        ValueError: If a number is not positive.
    """
    for name, value in (("heads", heads), ("tails", tails)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: expected a positive number, got {value}")
    return GenerativeModel(
        coin,
        outcome="token",
        length=length,
        arguments={"heads": float(heads), "tails": float(tails)},
        name=f"coin with a Beta({heads:g}, {tails:g}) bias",
    )
