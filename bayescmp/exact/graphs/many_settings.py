"""All marginals for many settings of the evidence at once.

Variables have few values, so the axes of their tables are short. Loops run fast over long
axes: here the settings stand last in every table, and ``jax.vmap``, which would put them first,
is told so. They are answered in parts whose tables stay near the processor.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from bayescmp.exact.graphs.elimination_order import EliminationPlan, Scopes
from bayescmp.exact.graphs.summing import sum_out

AT_ONCE = 128
"""Settings that are answered together: some vectors of the processor for each entry."""

Tables = tuple[Array, ...]
"""Log tables or log potentials, with an axis of settings at the end; of length one where all
settings have the same."""

Solver = Callable[[Tables, Tables], tuple[Array, Tables]]
"""From log tables and log potentials in nats to the log partition of each setting, and the
probabilities of each variable; the settings on the last axis."""


def solver_of_many(plan: EliminationPlan, scopes: Scopes) -> Solver:
    """Return a function from tables and potentials to log partitions and marginals.

    Args:
        plan: Plan for these scopes, which keeps no variable.
        scopes: Variables of each factor, in the order of its table's axes.

    Returns:
        The function. Under ``jax.vmap`` the new axis joins that of the settings.
    """

    @custom_vmap
    def solve(log_tables: Tables, log_potentials: Tables) -> tuple[Array, Tables]:
        return _solve_in_parts(plan, scopes, (log_tables, log_potentials))

    @solve.def_vmap
    def _(
        size: int, is_batched: list, log_tables: Tables, log_potentials: Tables
    ) -> tuple[tuple[Array, Tables], tuple[bool, tuple[bool, ...]]]:
        most = max((x.shape[-1] for x in (*log_tables, *log_potentials)), default=1)
        tables = [(log_tables, is_batched[0]), (log_potentials, is_batched[1])]
        joined = (
            tuple(_join(x, b, size, most) for x, b in zip(*pair, strict=True)) for pair in tables
        )
        log_totals, probs = solve(*joined)
        answers = _part(log_totals, size), tuple(_part(prob, size) for prob in probs)
        return answers, (True, (True,) * len(probs))

    # JAX cannot differentiate through a rule for vmap: derivatives are those of the plain sums.
    differentiable = jax.custom_jvp(lambda *tables: solve(*tables))
    differentiable.defjvp(partial(jax.jvp, partial(_solve, plan, scopes)))
    return differentiable


def _solve_in_parts(
    plan: EliminationPlan, scopes: Scopes, tables: tuple[Tables, Tables]
) -> tuple[Array, Tables]:
    """Solve for a limited number of settings at a time."""
    leaves, structure = jax.tree.flatten(tables)
    num_settings = max((x.shape[-1] for x in leaves), default=1)
    if num_settings <= AT_ONCE:
        return _solve(plan, scopes, *tables)
    differs = [x.shape[-1] > 1 for x in leaves]

    def part(own: list[Array]) -> tuple[Array, Tables]:
        rest = iter(own)
        mixed = [next(rest) if d else x for x, d in zip(leaves, differs, strict=True)]
        return _solve(plan, scopes, *jax.tree.unflatten(structure, mixed))

    own = [_cut(x) for x, d in zip(leaves, differs, strict=True) if d]
    answers = jax.lax.map(part, own)
    return jax.tree.map(
        lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1)[..., :num_settings], answers
    )


def _solve(
    plan: EliminationPlan, scopes: Scopes, log_tables: Tables, log_potentials: Tables
) -> tuple[Array, Tables]:
    """Solve for all settings, the probabilities by one backward pass."""
    num_settings = max((x.shape[-1] for x in (*log_tables, *log_potentials)), default=1)

    def log_sums(log_potentials: Tables) -> tuple[Array, Array]:
        log_totals = sum_out(plan, scopes, log_tables, log_potentials)
        log_totals = jnp.broadcast_to(log_totals, (num_settings,))
        # The sum has the derivatives of its terms: settings do not touch each other.
        return jnp.sum(log_totals), log_totals

    # Each setting needs potentials of its own, for derivatives add up over shared ones.
    own = tuple(jnp.broadcast_to(x, (*x.shape[:-1], num_settings)) for x in log_potentials)
    (_, log_totals), probs = jax.value_and_grad(log_sums, has_aux=True)(own)
    return log_totals, probs


def _join(x: Array, is_batched: bool, size: int, most: int) -> Array:
    """Join the first axis, if there is one more, with that of the settings."""
    if not is_batched and x.shape[-1] == 1:
        return x
    last = jnp.moveaxis(x, 0, -2) if is_batched else x[..., None, :]
    every = jnp.broadcast_to(last, (*last.shape[:-2], size, most))
    return every.reshape(*every.shape[:-2], size * most)


def _part(x: Array, size: int) -> Array:
    """Undo what joining did."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], size, -1), -2, 0)


def _cut(x: Array) -> Array:
    """Cut the axis of settings into parts, filled up with the last setting."""
    num_parts = -(-x.shape[-1] // AT_ONCE)
    room = num_parts * AT_ONCE - x.shape[-1]
    full = jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, room),), mode="edge")
    return jnp.moveaxis(full.reshape(*x.shape[:-1], num_parts, AT_ONCE), -2, 0)
