"""Search for latents that are jointly normal behind a normal outcome."""

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
from bayescmp.exact.conjugacy.conjugate_linear import Laws, LinearForm, read_laws, read_linear
from bayescmp.exact.conjugacy.conjugate_roles import (
    NotConjugateError,
    Roles,
    dependents,
    reject_late_causes,
    visit_abstractly,
)
from bayescmp.exact.settings import element_law

POWERS = {"precision": -0.5, "variance": 0.5}
"""With which power of itself a scale site multiplies all standard deviations."""


def find_linear_form(roles: Roles) -> tuple[LinearForm, bool]:
    """Recognise a linear-Gaussian program with a binned outcome.

    What depends on what is proven by tracers where possible. That locations are linear and
    scales constant (or all proportional to one latent scale), and that no step depends on a
    later one, is tried at random values.

    Args:
        roles: The program and its sites.

    Returns:
        The form, and whether steps are independent given the latents.

    Raises:
        NotConjugateError: If the program has another form; says which site and why.
    """
    layout = roles.layout
    laws = _element_laws(roles)
    outcome, queries = layout.outcome.name, {site.name for site in layout.query}
    if not layout.edges or not isinstance(laws[outcome][0], dist.Normal):
        raise NotConjugateError(f"{outcome!r} is not a binned outcome with a Normal law")
    latents, scale_site, kind = _sort_latents(roles, laws)
    normal = {name for name, _ in latents}
    # A Gaussian process takes the queries as they are, if its marginals need no later ones.
    reject_late_causes(roles, may_follow=normal)
    bound = dependents(roles, set(roles.continuous)) - set(roles.continuous) - {outcome}
    given = tuple(site.name for site in layout.given if site.name in bound)
    strangers = [n for n in bound if n not in given or not isinstance(laws[n][0], dist.Normal)]
    if strangers:
        raise NotConjugateError(
            f"the law of {sorted(strangers)[0]!r} depends on a continuous latent and is not Normal"
        )
    if scale_site is not None and scale_site in dependents(roles, normal):
        raise NotConjugateError(f"the law of {scale_site!r} depends on another latent")
    leaning = dependents(roles, {outcome})
    if leaning & queries:
        raise NotConjugateError("the law of a query depends on the outcome of its step")
    form = LinearForm(latents, given, scale_site, kind)
    with jax.enable_x64(True):
        apart = not queries and not leaning
        found = jax.jit(lambda: _try(roles, form, apart), compiler_options=QUICK)()
    not_linear, not_constant, later, other = found
    reject_if(not_linear, "the location of a Normal law is not linear in the latents")
    reject_if(not_constant, "the scale of a Normal law depends on the latents in another way")
    reject_if(later, "the law of a step depends on a later step")
    return form, not bool(other)


def _element_laws(roles: Roles) -> dict[str, tuple[Any, tuple[int, ...]]]:
    laws = {}

    def visit(name: str, msg: dict[str, Any]) -> None:
        laws[name] = element_law(msg["fn"]), tuple(np.shape(msg["value"]))

    visit_abstractly(roles.program, visit)
    return laws


def _sort_latents(
    roles: Roles, laws: dict[str, tuple[Any, tuple[int, ...]]]
) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], str | None, str]:
    """Sort the continuous latents into normal ones and one that scales variances."""
    latents, scale_site, kind = [], None, "precision"
    for name in roles.continuous:
        law, shape = laws[name]
        if isinstance(law, dist.Normal | dist.MultivariateNormal):
            latents.append((name, shape))
        elif isinstance(law, dist.Gamma | dist.InverseGamma) and not shape and scale_site is None:
            scale_site = name
            kind = "precision" if isinstance(law, dist.Gamma) else "variance"
        else:
            raise NotConjugateError(
                f"{name!r} has law {type(law).__name__}; expected Normal or MultivariateNormal "
                "latents, and at most one Gamma precision or InverseGamma variance"
            )
    return tuple(latents), scale_site, kind


def _try(roles: Roles, form: LinearForm, apart: bool) -> tuple[Array, Array, Array, Array]:
    """Try that locations are linear, scales as stated, and steps causal and independent."""
    values = trial_values(roles, NUM_TRIALS)
    rng = np.random.default_rng(1)
    numbers = jnp.asarray(3.0 * rng.standard_normal((NUM_TRIALS, form.num_numbers)))
    factors = jnp.asarray(np.exp(2.0 * rng.standard_normal(NUM_TRIALS)))
    zero, one = jnp.zeros(form.num_numbers), jnp.ones(())

    def laws_at(example: dict[str, Array], numbers: Array, factor: Array) -> Laws:
        return read_laws(roles, form, example, numbers, factor)

    def trial(example: dict[str, Array], numbers: Array, factor: Array) -> tuple[Array, Array]:
        def locations(point: Array) -> tuple[Array, Array]:
            laws = laws_at(example, point, one)
            return laws.latent_loc, laws.loc

        start, change = jax.jvp(locations, (zero,), (numbers,))
        base, found = laws_at(example, zero, one), laws_at(example, numbers, factor)
        expected = jax.tree.map(jnp.add, start, change)
        spread = factor ** POWERS[form.scale_kind] if form.scale_site is not None else one
        scales = (base.latent_root * spread, base.scale * spread)
        return (
            deviates((found.latent_loc, found.loc), expected),
            deviates((found.latent_root, found.scale), scales),
        )

    wrong = jax.vmap(trial)(values, numbers, factors)
    not_linear, not_constant = (jnp.any(x) for x in wrong)
    if apart:
        return not_linear, not_constant, jnp.asarray(False), jnp.asarray(False)
    length = roles.layout.length

    def read(example: dict[str, Array], kept: Array) -> tuple[Array, ...]:
        model = read_linear(roles, form, example)
        hidden = form.split(model.mean)
        if form.scale_site is not None:
            hidden[form.scale_site] = one
        log_query = roles.log_query(roles.messages({**example, **hidden}))
        weight = model.weight[-length:]
        shared = jnp.where(kept, weight @ model.covariance @ weight.T, 0.0)
        loc = weight @ model.mean + model.offset[-length:]
        return loc, shared, model.scale[-length:], log_query

    return not_linear, not_constant, *steps_lean_on(roles, read, values)
