"""Factor graphs as ancestral laws: each variable given those that are drawn before it.

Elimination backwards is drawing forwards. When ``x_v`` is summed out of the table ``J_v`` of all
that mentions it, ``p(x_v | rest) = J_v(x_v, rest) / sum J_v(., rest)`` with the variables that
are summed out later. So the last one to go is drawn first, and its law is a marginal.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.elimination_order import EliminationPlan, Scopes, list_buckets
from bayescmp.exact.graphs.summing import (
    Bucket,
    LogPotentials,
    LogTables,
    join_buckets,
    safe_logsumexp,
)


def drawing_order(plan: EliminationPlan, scopes: Scopes) -> tuple[tuple[int, ...], ...]:
    """List the variables in the order of drawing, each with those that its law depends on.

    Args:
        plan: Plan for these scopes, which keeps no variable.
        scopes: Variables of each factor.

    Returns:
        For each law its own variable, then the others in the order of their numbers.

    Example:
        >>> from bayescmp.exact.graphs.ancestral import drawing_order
        >>> from bayescmp.exact.graphs.elimination import plan_elimination
        >>> drawing_order(plan_elimination(((0, 1), (1, 2)), (2, 2, 2)), ((0, 1), (1, 2)))
        ((2,), (1, 2), (0, 1))
    """
    buckets = list_buckets(scopes, plan.order, plan.keep)[: len(plan.order)]
    pairs = zip(plan.order, buckets, strict=True)
    return tuple((v, *sorted(set(bucket) - {v})) for v, bucket in pairs)[::-1]


def ancestral_laws(
    plan: EliminationPlan, scopes: Scopes, log_tables: LogTables, log_potentials: LogPotentials
) -> tuple[Float[Array, ""], LogTables]:
    """Write a factor graph as a chain of conditional laws.

    Args:
        plan: Plan for these scopes, which keeps no variable.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable, in nats.

    Returns:
        The log sum over all settings, and ``log p(x_v | rest)`` in nats of each variable in
        :func:`drawing_order`, its axes in the order stated there; uniform where the rest is
        impossible.

    Example:
        >>> from bayescmp.exact.graphs.ancestral import ancestral_laws
        >>> from bayescmp.exact.graphs.elimination import plan_elimination
        >>> plan, agree = plan_elimination(((0, 1),), (2, 2)), jnp.log(jnp.eye(2) + 0.25)
        >>> _, laws = ancestral_laws(plan, ((0, 1),), (agree,), (jnp.zeros(2), jnp.zeros(2)))
        >>> jnp.exp(laws[1]).round(2)[0]  # p(x0 = 0 | x1)
        Array([0.83, 0.17], dtype=float32)
    """
    buckets, log_total = join_buckets(plan, scopes, log_tables, log_potentials)
    return log_total, tuple(_normalise(table) for _, table in reversed(buckets))


def log_marginals(
    order: tuple[tuple[int, ...], ...], laws: LogTables
) -> tuple[Float[Array, " state"], ...]:
    """Return the law of every variable: ``log p(x_v, rest) = log p(x_v | rest) + log p(rest)``.

    All that a law depends on stands together in the table of another one before it.

    Args:
        order: Variables of each law, from :func:`drawing_order`.
        laws: Laws in this order, from :func:`ancestral_laws`.

    Returns:
        For each variable, log probabilities in nats, precise however small they are.
    """
    joints: dict[int, Bucket] = {}
    drawn = [scope[0] for scope in order]
    for (variable, *rest), law in zip(order, laws, strict=True):
        joint = law
        if rest:
            scope, before = joints[max(rest, key=drawn.index)]
            joint = law + _marginalise(before, scope, tuple(rest))
        joints[variable] = (variable, *rest), joint
    return tuple(_marginalise(joints[v][1], joints[v][0], (v,)) for v in range(len(joints)))


def _normalise(table: Float[Array, "..."]) -> Float[Array, "..."]:
    """Scale weights to sum to one over the first axis."""
    total = safe_logsumexp(table, 0)
    impossible = jnp.isneginf(total)
    law = table - jnp.where(impossible, 0.0, total)
    return jnp.where(impossible, -jnp.log(float(table.shape[0])), law)


def _marginalise(
    table: Float[Array, "..."], scope: tuple[int, ...], kept: tuple[int, ...]
) -> Float[Array, "..."]:
    """Sum a table over all variables but the kept ones, and put those in their order."""
    axes = tuple(axis for axis, variable in enumerate(scope) if variable not in kept)
    left = [variable for variable in scope if variable in kept]
    summed = safe_logsumexp(table, axes) if axes else table
    return jnp.transpose(summed, [left.index(variable) for variable in kept])
