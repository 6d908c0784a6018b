"""Sums of products of tables over variables, in log space."""

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.elimination_order import EliminationPlan, Scopes

LogTables = tuple[Float[Array, "..."], ...]
"""Log of each factor's table, in nats; minus infinity is allowed."""

LogPotentials = tuple[Float[Array, " _"], ...]
"""Log weight of each value of each variable, in nats; minus infinity is allowed."""

Bucket = tuple[tuple[int, ...], Float[Array, "..."]]
"""Variables, the first of which is summed out, and the table of all of them."""


def safe_logsumexp(x: Float[Array, "..."], axis: int | tuple[int, ...]) -> Float[Array, "..."]:
    """Return ``log sum exp x``, with a derivative where nothing is possible too.

    The derivative is the softmax. Where all of ``x`` is minus infinity the sum is minus
    infinity and its derivatives of every order are 0 rather than NaN.

    Args:
        x: Log weights in nats.
        axis: Axis or axes to sum over.

    Returns:
        The sum's log in nats, without these axes.

    Example:
        >>> from bayescmp.exact.graphs.elimination import safe_logsumexp
        >>> jax.grad(safe_logsumexp)(jnp.full(2, -jnp.inf), 0).tolist()
        [0.0, 0.0]
    """
    peak = jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    impossible = jnp.isneginf(peak)
    weights = jnp.exp(x - jnp.where(impossible, 0.0, peak))
    # The log of an impossible sum must not be taken, for its derivative is 0 / 0.
    total = jnp.where(impossible, 1.0, jnp.sum(weights, axis=axis, keepdims=True))
    return jnp.squeeze(jnp.log(total) + peak, axis=axis)


def sum_out(
    plan: EliminationPlan,
    scopes: Scopes,
    log_tables: tuple[Array, ...],
    log_potentials: tuple[Array, ...],
) -> Float[Array, "..."]:
    """Add, for each variable in turn, the tables that mention it, and sum them over it.

    Args:
        plan: Plan for these scopes.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats; all of them, and all potentials, may
            have further axes at the end, which fit together.
        log_potentials: Log weight of each value of each variable, in nats.

    Returns:
        Log weights in nats, with one axis for each kept variable, and the further axes.
    """
    return join_buckets(plan, scopes, log_tables, log_potentials)[1]


def join_buckets(
    plan: EliminationPlan,
    scopes: Scopes,
    log_tables: tuple[Array, ...],
    log_potentials: tuple[Array, ...],
) -> tuple[tuple[Bucket, ...], Float[Array, "..."]]:
    """Sum variables out in turn, and keep the table that each is summed out of.

    Args:
        plan: Plan for these scopes.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable, in nats.

    Returns:
        For each variable in the order of the plan, its number and those of the variables that
        are summed out after it and stand in one table with it, and this table; what
        :func:`sum_out` returns.
    """
    tables = list(zip(scopes, log_tables, strict=True))
    tables += [((variable,), potential) for variable, potential in enumerate(log_potentials)]
    buckets = []
    for variable in plan.order:
        joined = [entry for entry in tables if variable in entry[0]]
        tables = [entry for entry in tables if variable not in entry[0]]
        rest = tuple(sorted(set().union(*(scope for scope, _ in joined)) - {variable}))
        bucket = _add(joined, (variable, *rest))
        buckets.append(((variable, *rest), bucket))
        tables.append((rest, safe_logsumexp(bucket, axis=0)))
    return tuple(buckets), _add(tables, plan.keep)


def _add(
    tables: list[tuple[tuple[int, ...], Float[Array, "..."]]], scope: tuple[int, ...]
) -> Float[Array, "..."]:
    """Add tables as one with an axis for each variable of ``scope``, then further axes."""
    aligned = []
    for own, table in tables:
        axes = [own.index(variable) for variable in scope if variable in own]
        further = range(len(own), table.ndim)
        missing = [axis for axis, variable in enumerate(scope) if variable not in own]
        aligned.append(jnp.expand_dims(jnp.transpose(table, (*axes, *further)), missing))
    return functools.reduce(operator.add, aligned) if aligned else jnp.zeros(())
