"""Trials that a structure read at a few points holds at many others."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree
from numpyro import distributions as dist
from numpyro.distributions import constraints

from bayescmp.exact.conjugacy.conjugate_roles import NotConjugateError, Roles
from bayescmp.program import Site, trace_program

NUM_TRIALS = 32
"""Random joint values of all sites at which a structure is tried, in float64."""

NUM_SPLICES = 12
"""Pairs of random sequences that are spliced at every position."""

TOLERANCE = 1e-5
"""Largest accepted relative deviation. Programs may hold constants in float32, whose
rounding, 6e-8 a factor, adds up over some tens of factors; ``1 - theta`` keeps eight
digits where theta comes within 1e-8 of one, as some trials do."""

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiler options for what runs once: compiling takes longer than running."""

Read = Callable[[dict[str, Array], Array], PyTree[Array]]
"""From a value for every site, and a mask of the steps that count, to laws of the steps,
the axis position first."""


def trial_values(roles: Roles, num_trials: int) -> dict[str, Array]:
    """Make up values of all sites but the latents that are integrated.

    Finite sites are uniform; others a normal number, brought into the support by
    NumPyro's own transform; those without one follow the program. Random numbers are
    NumPy's, which need no compiling.

    Args:
        roles: The program and its sites.
        num_trials: Number of trials.

    Returns:
        Values by name, trials in front.
    """
    layout, rng = roles.layout, np.random.default_rng(0)
    shown = (*layout.given, *layout.query, layout.outcome)
    noise = {}
    for site in shown:
        if site.num_values is None:
            noise[site.name] = 1.5 * rng.standard_normal((num_trials, *site.shape))
        else:
            high = site.lowest + site.num_values
            noise[site.name] = rng.integers(site.lowest, high, (num_trials, *site.shape))
    settings = rng.integers(0, roles.num_settings, num_trials)
    keys = jax.random.split(jax.random.key(0), num_trials)

    def one(index: Array, noise: dict[str, Array], key: Array) -> dict[str, Array]:
        messages = trace_program(roles.program, key=key)
        values = dict(roles.setting(index))
        for site in shown:
            values[site.name] = _supported(messages[site.name], noise[site.name], site)
        return values

    return jax.vmap(one)(jnp.asarray(settings), jax.tree.map(jnp.asarray, noise), keys)


def _supported(msg: dict[str, Any], noise: Array, site: Site) -> Array:
    """Bring a random value into the support of a site."""
    dtype = jnp.asarray(msg["value"]).dtype
    if site.num_values is not None:
        return noise.astype(dtype)
    support = msg["fn"].support
    if support.is_discrete:
        return msg["value"]
    if support is constraints.simplex:
        return jax.nn.softmax(noise, axis=-1).astype(dtype)
    return dist.biject_to(support)(noise).astype(dtype)


def deviates(found: PyTree[Array], expected: PyTree[Array]) -> Bool[Array, ""]:
    """Tell whether two answers differ by more than rounding.

    Infinities have to agree, and a NaN agrees with nothing.

    Args:
        found: Arrays.
        expected: Arrays of the same shapes.

    Returns:
        Whether any entry deviates.
    """

    def differs(a: Array, b: Array) -> Array:
        same = jnp.abs(a - b) <= TOLERANCE * (1.0 + jnp.abs(b))
        return jnp.any(~(same | (a == b)))

    return jnp.any(jnp.stack(jax.tree.leaves(jax.tree.map(differs, found, expected))))


def steps_lean_on(
    roles: Roles, read: Read, values: dict[str, Array]
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Try whether the laws of a step change with later steps, or with any other step.

    Two random sequences are spliced: once after each position, and once at random steps
    beside it. What is read at that position from the splice has to equal what is read
    there from the first sequence.

    Args:
        roles: The program and its sites.
        read: Laws of the steps.
        values: Values of all sites, trials in front.

    Returns:
        Whether later steps matter, and whether other steps do.
    """
    layout = roles.layout
    names = [site.name for site in (*layout.query, layout.outcome)]
    firsts = {name: x[:NUM_SPLICES] for name, x in values.items()}
    others = {name: jnp.roll(values[name], 1, axis=0)[:NUM_SPLICES] for name in names}
    positions = jnp.arange(layout.length)
    beside = np.random.default_rng(3).random((NUM_SPLICES, layout.length, layout.length)) < 0.5
    beside |= np.eye(layout.length, dtype=bool)
    masks = np.stack([np.broadcast_to(np.tri(layout.length, dtype=bool), beside.shape), beside], 2)

    def one(example: tuple[dict[str, Array], dict[str, Array], Array]) -> tuple[Array, Array]:
        first, other, masks = example

        def deviation(kept: Array, position: Array) -> Array:
            mixed = dict(first)
            for name in names:
                mask = kept.reshape(-1, *(1,) * (other[name].ndim - 1))
                mixed[name] = jnp.where(mask, first[name], other[name])
            parts = (read(mixed, kept), read(first, kept))
            return deviates(*(jax.tree.map(lambda x: x[position], part) for part in parts))

        found = jax.vmap(jax.vmap(deviation, in_axes=(0, None)))(masks, positions)
        return jnp.any(found[:, 0]), jnp.any(found[:, 1])

    found = jax.lax.map(one, (firsts, others, jnp.asarray(masks)))
    return jnp.any(found[0]), jnp.any(found[1])


def reject_if(failed: Array | np.ndarray, reason: str) -> None:
    """Raise where a trial failed.

    Args:
        failed: Whether it did.
        reason: What did not hold.

    Raises:
        NotConjugateError: If it did.
    """
    if bool(failed):
        raise NotConjugateError(reason)
