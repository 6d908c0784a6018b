"""Conjugate updating, found on a program's trace."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.engine import AbstractEngine
from bayescmp.layout import Layout
from bayescmp.program import Program, trace_program
from bayescmp.records import Reference


class BetaBernoulliEngine(AbstractEngine):
    """Coin tosses with one unknown bias that has a Beta prior.

    After ``h`` heads in ``t`` tosses ``bias ~ Beta(a + h, b + t - h)`` and
    ``p(y_t = 1 | s_t) = (a + h) / (a + b + t)``.
    ``belief[bias][t]`` holds the two parameters of that Beta law.
    """

    concentration1: float = eqx.field(static=True)
    concentration0: float = eqx.field(static=True)
    bias_site: str = eqx.field(static=True)
    outcome_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        outcomes = sites[self.outcome_site]
        heads = jnp.cumsum(outcomes)
        tosses = jnp.arange(1, outcomes.shape[0] + 1)
        a, b = self.concentration1, self.concentration0
        before = heads - outcomes
        belief = jnp.stack([a + before, b + (tosses - 1) - before], axis=-1)
        log_evidence = _log_beta(a + heads, b + tosses - heads) - _log_beta(a, b)
        return Reference(
            log_predictive=_log_predictive(belief),
            log_evidence=log_evidence,
            belief={self.bias_site: belief},
        )

    def windowed(
        self, sites: dict[str, Array], window: int
    ) -> Float[Array, "position outcome"]:
        """Answer from the last ``window`` tosses."""
        outcomes = sites[self.outcome_site]
        length = outcomes.shape[0]
        age = jnp.arange(length)[:, None] - jnp.arange(length)[None, :]
        remembered = (age > 0) & (age <= window)
        heads = jnp.sum(remembered * outcomes[None, :], axis=1)
        tosses = jnp.sum(remembered, axis=1)
        a, b = self.concentration1, self.concentration0
        return _log_predictive(jnp.stack([a + heads, b + tosses - heads], axis=-1))

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.bias_site: "integrated in closed form",
            self.outcome_site: "asked, then shown",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "a Beta prior is conjugate to Bernoulli outcomes"


def find_beta_bernoulli(program: Program, layout: Layout) -> BetaBernoulliEngine | None:
    """Recognise one Beta latent that is the probability of every Bernoulli outcome.

    The program is run with a few values of the latent and with all outcomes zero and
    one: the outcome's probability must equal the latent at each position every time.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.

    Returns:
        The engine, or None where the program has another form.
    """
    messages = trace_program(program, key=jax.random.key(0))
    latents = [msg for name, msg in messages.items() if name != layout.outcome.name]
    plain = not layout.given and not layout.query and layout.reveal
    if not plain or len(latents) != 1 or not _is_scalar_beta(latents[0]):
        return None
    if any(not _is_plain(msg) for msg in messages.values()):
        return None
    bias, outcome = latents[0]["name"], layout.outcome.name
    for value in (0.137, 0.5, 0.911):
        for toss in (0, 1):
            fixed = {bias: jnp.asarray(value), outcome: jnp.full(layout.length, toss)}
            msg = trace_program(program, key=jax.random.key(0), substituted=fixed)[outcome]
            tossed = _without_expansion(msg["fn"])
            if not isinstance(tossed, dist.BernoulliProbs | dist.BernoulliLogits):
                return None
            if not np.allclose(tossed.probs, value, rtol=1e-5, atol=0.0):
                return None
    prior = latents[0]["fn"]
    return BetaBernoulliEngine(
        concentration1=float(prior.concentration1),
        concentration0=float(prior.concentration0),
        bias_site=bias,
        outcome_site=outcome,
    )


def _is_scalar_beta(msg: dict[str, Any]) -> bool:
    return isinstance(msg["fn"], dist.Beta) and msg["fn"].batch_shape == ()


def _without_expansion(fn: dist.Distribution) -> dist.Distribution:
    """Return the law of one element, which a plate repeats."""
    return fn.base_dist if isinstance(fn, dist.ExpandedDistribution) else fn


def _is_plain(msg: dict[str, Any]) -> bool:
    """Tell whether a site counts once: neither masked nor scaled."""
    masked = isinstance(msg["fn"], dist.MaskedDistribution)
    return not masked and msg.get("scale") in (None, 1, 1.0)


def _log_beta(a: Array | float, b: Array | float) -> Array:
    """Return the log Beta function; ``jax.scipy.special.betaln`` errs by 1e-6 from 8 on."""
    a, b = jnp.asarray(a, float), jnp.asarray(b, float)
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def _log_predictive(belief: Float[Array, "position 2"]) -> Float[Array, "position outcome"]:
    """Return ``log p(0), log p(1)`` for Beta beliefs."""
    ones, zeros = belief[:, 0], belief[:, 1]
    return jnp.log(jnp.stack([zeros, ones], axis=-1)) - jnp.log(ones + zeros)[:, None]
