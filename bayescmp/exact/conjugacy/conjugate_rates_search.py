"""Search for Gamma latents that are rates of counts or of waiting times."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro import distributions as dist

from bayescmp.exact.conjugacy.conjugate_checks import (
    NUM_TRIALS,
    QUICK,
    deviates,
    reject_if,
    steps_lean_on,
    trial_values,
)
from bayescmp.exact.conjugacy.conjugate_rates import RatesEngine
from bayescmp.exact.conjugacy.conjugate_roles import (
    NotConjugateError,
    Roles,
    dependents,
    reject_late_causes,
    visit_abstractly,
)
from bayescmp.exact.settings import element_law


def find_rates(roles: Roles) -> RatesEngine:
    """Recognise Gamma latents behind a binned Poisson or exponential outcome.

    Args:
        roles: The program and its sites.

    Returns:
        The engine.

    Raises:
        NotConjugateError: If the program has another form; says which site and why.
    """
    layout, laws = roles.layout, {}

    def visit(name: str, msg: dict[str, Any]) -> None:
        laws[name] = element_law(msg["fn"]), tuple(np.shape(msg["value"]))

    visit_abstractly(roles.program, visit)
    outcome, queries = layout.outcome.name, {site.name for site in layout.query}
    if not layout.edges or not isinstance(laws[outcome][0], dist.Poisson | dist.Exponential):
        raise NotConjugateError(f"{outcome!r} is no binned outcome with a law of rates")
    for name in roles.continuous:
        if not isinstance(laws[name][0], dist.Gamma | dist.Exponential):
            raise NotConjugateError(
                f"{name!r} has law {type(laws[name][0]).__name__}; expected Gamma rates"
            )
    reject_late_causes(roles)
    hidden = set(roles.continuous)
    bound = dependents(roles, hidden)
    leaning = dependents(roles, {outcome})
    if bound & (queries | hidden):
        name = sorted(bound & (queries | hidden))[0]
        raise NotConjugateError(f"the law of {name!r} depends on a latent rate")
    if leaning & queries:
        raise NotConjugateError("the law of a query depends on the outcome of its step")
    shapes = tuple((name, laws[name][1]) for name in roles.continuous)
    engine = RatesEngine(roles, shapes, isinstance(laws[outcome][0], dist.Poisson), False)
    with jax.enable_x64(True):
        apart = not queries and not leaning
        found = jax.jit(lambda: _try(engine, apart), compiler_options=QUICK)()
    reject_if(found[0], "the outcome's rate is not one latent times a constant")
    reject_if(found[1], "a law is not one of counts and exposures")
    reject_if(found[2], "the law of a step depends on a later step")
    return RatesEngine(roles, shapes, engine.counts, not bool(found[3]))


def _try(engine: RatesEngine, apart: bool) -> tuple[Array, Array, Array, Array]:
    """Try that rates are single latents, densities as stated, and steps causal."""
    values = trial_values(engine.roles, NUM_TRIALS)
    noise = np.random.default_rng(1).normal(size=(NUM_TRIALS, engine.num_numbers))
    rates = jnp.asarray(np.exp(2.0 * noise))

    def trial(example: dict[str, Array], rates: Array) -> tuple[Array, Array]:
        weight = engine.laws(example)[3]
        single = jnp.all(jnp.sum(weight > 0.0, axis=1) == 1) & jnp.all(weight >= 0.0)
        stray = deviates(engine.outcome_rates(example, rates), weight @ rates)
        found = engine.log_densities({**example, **engine.split(rates)})
        expected = tuple(
            x.constant + x.count @ jnp.log(rates) - x.exposure @ rates for x in engine.read(example)
        )
        return ~single | stray, deviates(found, expected)

    stray, wrong = (jnp.any(x) for x in jax.vmap(trial)(values, rates))
    if apart:
        return stray, wrong, jnp.asarray(False), jnp.asarray(False)

    def read(example: dict[str, Array], _: Array) -> tuple[Array, Array]:
        densities = engine.log_densities({**example, **engine.split(rates[0])})[1]
        return densities, engine.outcome_rates(example, rates[0])

    return stray, wrong, *steps_lean_on(engine.roles, read, values)
