"""One change of regime at an unknown position: how fast does a predictor notice?"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.settings import constant
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_law

Laws = tuple[tuple[float, ...], ...]

REGIMES: Laws = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))
"""Three regimes, each with a token of its own."""


def switching_tokens(length: int, regimes: Laws) -> None:
    """Draw tokens from one law up to a position, from another after it."""
    laws = constant(np.array(regimes))
    num_regimes = len(regimes)
    change = numpyro.sample("change", dist.DiscreteUniform(1, length))
    before = numpyro.sample("before", dist.DiscreteUniform(0, num_regimes - 1))
    shift = numpyro.sample("shift", dist.DiscreteUniform(1, num_regimes - 1))
    after = jnp.mod(before + shift, num_regimes)
    with numpyro.plate("position", length):
        regime = jnp.where(jnp.arange(length) < change, before, after)
        numpyro.sample("token", dist.Categorical(probs=laws[regime]))


def changepoint(length: int = 24, regimes: Laws = REGIMES) -> GenerativeModel:
    """Ask for each token of a sequence whose law changes once.

    ``change ~ uniform over 1 .. length``, where ``length`` means that it never comes;
    ``before`` is uniform over the regimes and ``after`` over the others. Tokens at
    ``0 .. change - 1`` follow the law of ``before``, later ones that of ``after``, so
    ``p(y_t | s_t) = sum p(change, before, after | s_t) law_t[y_t]``. The latent ``shift``
    is ``after - before``, modulo the number of regimes.

    Source: the offline problem of Chernoff and Zacks, Annals of Mathematical Statistics 35
    (1964); Adams and MacKay, "Bayesian Online Changepoint Detection", arXiv 0710.3742, has
    the recursion for many changes.

    Args:
        length: Number of tokens, at least two.
        regimes: Law of the tokens in each regime, two regimes or more.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range, or a regime is no law.

    Example:
        >>> changepoint(length=6).num_outcomes
        3
    """
    require_at_least("length", length, 2)
    if len(regimes) < 2 or len({len(law) for law in regimes}) != 1:
        raise ValueError(f"regimes: expected two or more laws over the same tokens, got {regimes}")
    for law in regimes:
        require_law("regimes", law)
    return GenerativeModel(
        switching_tokens,
        outcome="token",
        length=length,
        arguments={"regimes": tuple(tuple(float(p) for p in law) for law in regimes)},
        name=f"changepoint between {len(regimes)} regimes, {length} tokens",
    )
