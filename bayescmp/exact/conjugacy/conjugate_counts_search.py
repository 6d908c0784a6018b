"""Search for Beta and Dirichlet latents that enter a program through counts alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
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
from bayescmp.exact.conjugacy.conjugate_counts import CountsEngine
from bayescmp.exact.conjugacy.conjugate_roles import (
    NotConjugateError,
    Roles,
    dependents,
    reject_late_causes,
    visit_abstractly,
)
from bayescmp.exact.conjugacy.conjugate_simplex import NO_LOG, LogLinear, SimplexSite
from bayescmp.exact.settings import element_law
from bayescmp.program import visit_sites

MAX_NUMBERS = 4_096
"""Largest number of latent probabilities: the program runs once for each of them."""


def find_counts(roles: Roles) -> CountsEngine:
    """Recognise Beta and Dirichlet latents that enter through counts alone.

    What depends on what is proven by tracers where possible. That laws are linear in the
    logs of the latents, and that no step depends on a later one, is tried at random
    settings, with latents from 1e-9 to 1 - 1e-9.

    Args:
        roles: The program and its sites.

    Returns:
        The engine.

    Raises:
        NotConjugateError: If the program has another form; says which site and why.
    """
    layout = roles.layout
    if layout.edges:
        raise NotConjugateError(f"{layout.outcome.name!r} is continuous, and counts nothing")
    simplices = _find_simplices(roles)
    reject_late_causes(roles)
    related = dependents(roles, set(roles.continuous)) & set(roles.continuous)
    if related:
        raise NotConjugateError(f"the law of {sorted(related)[0]!r} depends on another latent")
    queries = {site.name for site in layout.query}
    leaning = dependents(roles, {layout.outcome.name})
    engine = CountsEngine(roles, simplices, bool(leaning & queries), False)
    if engine.num_numbers > MAX_NUMBERS:
        raise NotConjugateError(f"there are more than {MAX_NUMBERS:,} latent probabilities")
    with jax.enable_x64(True):
        apart = not layout.query and not leaning
        not_linear, later, other = jax.jit(lambda: _try(engine, apart), compiler_options=QUICK)()
    reject_if(not_linear, "a law is not a product of powers of the latent probabilities")
    reject_if(later, "the law of a step depends on a later step")
    return CountsEngine(roles, simplices, engine.entangled, not bool(other))


def _try(engine: CountsEngine, apart: bool) -> tuple[Array, Array, Array]:
    """Try that laws are linear, causal, and independent of other steps."""
    values = trial_values(engine.roles, NUM_TRIALS)
    # Half of the numbers lie at a bound, so that latents come near zero and one.
    noise = np.random.default_rng(1).uniform(-2.0, 2.0, (NUM_TRIALS, engine.num_numbers))
    etas = jnp.asarray(10.0 * np.clip(noise, -1.0, 1.0))

    def not_linear(example: dict[str, Array], eta: Array) -> Array:
        logs = jnp.concatenate([jax.nn.log_softmax(x).ravel() for x in engine.split(eta)])
        found = engine.log_tables({**example, **engine.theta(eta)})
        read = engine.read(example)
        expected = jax.tree.map(
            lambda x: x.constant + x.count @ logs, read, is_leaf=lambda x: isinstance(x, LogLinear)
        )
        found = jax.tree.map(lambda x: jnp.where(x > NO_LOG, x, -jnp.inf), found)
        return deviates(found, expected)

    wrong = jnp.any(jax.vmap(not_linear)(values, etas))
    if apart:
        return wrong, jnp.asarray(False), jnp.asarray(False)
    theta = engine.theta(jnp.asarray(np.random.default_rng(2).normal(size=engine.num_numbers)))
    later, other = steps_lean_on(
        engine.roles, lambda x, _: engine.log_tables({**x, **theta}).joint, values
    )
    return wrong, later, other


def _find_simplices(roles: Roles) -> tuple[SimplexSite, ...]:
    """Describe the continuous latents, all of which have to hold probabilities."""
    found, uniform = [], set()

    def visit(name: str, msg: dict[str, Any]) -> None:
        law, shape = element_law(msg["fn"]), tuple(np.shape(msg["value"]))
        if name == roles.layout.outcome.name and law.event_shape:
            raise NotConjugateError(f"an element of {name!r} is a vector")
        if name not in roles.continuous:
            return
        if isinstance(law, dist.Uniform):
            uniform.add(name)
        elif not isinstance(law, dist.Beta | dist.Dirichlet):
            raise NotConjugateError(
                f"{name!r} has law {type(law).__name__}; expected Beta or Dirichlet"
            )
        is_pair = not isinstance(law, dist.Dirichlet)
        rows, size = (shape, 2) if is_pair else (shape[:-1], shape[-1])
        found.append(SimplexSite(name, rows, size, is_pair))

    visit_abstractly(roles.program, visit)
    if uniform:
        _reject_bounds(roles, uniform)
    return tuple(found)


def _reject_bounds(roles: Roles, uniform: set[str]) -> None:
    """Check that uniform latents lie between fixed bounds zero and one."""

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name in uniform and not _is_unit_uniform(element_law(msg["fn"])):
            raise NotConjugateError(f"{name!r} is uniform, but not between fixed zero and one")

    visit_sites(roles.program, visit)


def _is_unit_uniform(law: Any) -> bool:
    """Tell whether a law is uniform between fixed bounds zero and one."""
    if not isinstance(law, dist.Uniform):
        return False
    bounds = (law.low, law.high)
    if any(isinstance(bound, Tracer) for bound in bounds):
        return False
    return bool(np.all(np.asarray(law.low) == 0.0) and np.all(np.asarray(law.high) == 1.0))
