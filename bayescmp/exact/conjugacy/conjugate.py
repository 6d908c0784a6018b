"""Conjugate updating, found on a program's trace."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import gammaln
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate_counts_search import find_counts
from bayescmp.exact.conjugacy.conjugate_rates_search import find_rates
from bayescmp.exact.conjugacy.conjugate_roles import NotConjugateError, find_roles
from bayescmp.exact.conjugacy.gaussian import find_gaussian
from bayescmp.exact.settings import element_law
from bayescmp.layout import Layout
from bayescmp.program import Program, trace_program, visit_sites
from bayescmp.records import Reference

BERNOULLI = (dist.BernoulliProbs, dist.BernoulliLogits)
"""Laws of a toss, written with a probability or with log odds."""

NUM_TRIALS = 201
"""Values of the bias, from 2e-9 to 1 - 2e-9, at which its equality to the outcome's
probability is tried."""


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

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
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


def find_conjugate(program: Program, layout: Layout) -> AbstractEngine | None:
    """Find latents that can be integrated in closed form, on the program's trace.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.

    Returns:
        The engine, or None where there is none; ``explain_conjugate`` says why.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> find_conjugate(model.program, model.layout).reason()
        'a Beta prior is conjugate to Bernoulli outcomes'
    """
    found = _seek(program, layout)
    return found if isinstance(found, AbstractEngine) else None


def explain_conjugate(program: Program, layout: Layout) -> str | None:
    """Say why no latent can be integrated in closed form.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.

    Returns:
        The reason for each kind of structure that was tried, or None where one was found.

    Example:
        >>> model = bc.models.Bijection(size=3)
        >>> explain_conjugate(model.program, model.layout)
        'no continuous site is hidden'
    """
    found = _seek(program, layout)
    return None if isinstance(found, AbstractEngine) else found


def _seek(program: Program, layout: Layout) -> AbstractEngine | str:
    """Return an engine, or why there is none."""
    try:
        roles = find_roles(program, layout)
        if len(roles.continuous) == 1 and not (roles.grids or layout.query or layout.given):
            coin = find_beta_bernoulli(program, layout)
            if coin is not None:
                return coin
        if not layout.edges:
            return find_counts(roles)
        has_rates = layout.outcome.support.startswith(("Integer", "Positive"))
        return find_rates(roles) if has_rates else find_gaussian(roles)
    except NotConjugateError as error:
        return str(error)


def find_beta_bernoulli(program: Program, layout: Layout) -> BetaBernoulliEngine | None:
    """Recognise one Beta latent that is the probability of every Bernoulli outcome.

    That the outcome's law depends on no outcome is read off the trace. That it is the
    latent itself, and no function of it, is tried with many values of the latent.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.

    Returns:
        The engine, or None where the program has another form.
    """
    outcome = layout.outcome.name
    messages = trace_program(program, key=jax.random.key(0))
    latents = [name for name in messages if name != outcome]
    if layout.given or layout.query or not layout.reveal or len(latents) != 1:
        return None
    bias = latents[0]
    prior = _beta_parameters(messages[bias]["fn"])
    if prior is None or not isinstance(element_law(messages[outcome]["fn"]), BERNOULLI):
        return None
    if not (_ignores_outcomes(program, bias, outcome) and _is_bias(program, bias, outcome)):
        return None
    return BetaBernoulliEngine(
        concentration1=prior[0], concentration0=prior[1], bias_site=bias, outcome_site=outcome
    )


def _beta_parameters(fn: Any) -> tuple[float, float] | None:
    """Return both parameters of a scalar Beta law; the uniform law is one, too."""
    if fn.batch_shape != () or fn.event_shape != ():
        return None
    if isinstance(fn, dist.Uniform):
        is_unit = np.all(np.asarray(fn.low) == 0.0) and np.all(np.asarray(fn.high) == 1.0)
        return (1.0, 1.0) if is_unit else None
    if not isinstance(fn, dist.Beta):
        return None
    return float(np.asarray(fn.concentration1)), float(np.asarray(fn.concentration0))


def _ignores_outcomes(program: Program, bias: str, outcome: str) -> bool:
    """Tell whether the outcome's law stays the same whatever the outcomes are.

    With the bias fixed only outcomes are drawn, and what depends on a draw is a tracer.
    """
    found = []

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name == outcome:
            found.append(element_law(msg["fn"]).probs)

    visit_sites(program, visit, substituted={bias: jnp.asarray(0.3)})
    return not any(isinstance(probs, Tracer) for probs in found)


def _is_bias(program: Program, bias: str, outcome: str) -> bool:
    """Tell whether the outcome's probability equals the bias for many values of it."""
    with jax.enable_x64(True):
        values = jax.nn.sigmoid(jnp.linspace(-20.0, 20.0, NUM_TRIALS))

        def probability(value: Array) -> Array:
            messages = trace_program(program, key=jax.random.key(0), substituted={bias: value})
            return jnp.ravel(element_law(messages[outcome]["fn"]).probs)

        found = np.asarray(jax.vmap(probability)(values))
    return bool(np.allclose(found, np.asarray(values)[:, None], rtol=1e-5, atol=0.0))


def _log_beta(a: Array | float, b: Array | float) -> Array:
    """Return the log Beta function; ``jax.scipy.special.betaln`` errs by 1e-6 from 8 on."""
    a, b = jnp.asarray(a, float), jnp.asarray(b, float)
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def _log_predictive(belief: Float[Array, "position 2"]) -> Float[Array, "position outcome"]:
    """Return ``log p(0), log p(1)`` for Beta beliefs."""
    ones, zeros = belief[:, 0], belief[:, 1]
    return jnp.log(jnp.stack([zeros, ones], axis=-1)) - jnp.log(ones + zeros)[:, None]
