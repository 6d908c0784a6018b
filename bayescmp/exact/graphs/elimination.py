"""Variable elimination: sums over many discrete variables, one variable at a time.

A discrete program is a product of tables over numbered variables. Its sum over all
settings, ``Z = sum_x prod_f T_f(x_f) prod_v U_v(x_v)``, is taken in log space in a planned
order; ``log_potentials[v] = log U_v`` carries the evidence about a variable (0 where nothing
is known; minus infinity but at the value that was seen). Every marginal is then one
derivative away: ``d log Z / d log U_v(k) = p(x_v = k | evidence)``.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.elimination_order import MAX_TABLE as MAX_TABLE
from bayescmp.exact.graphs.elimination_order import EliminationPlan as EliminationPlan
from bayescmp.exact.graphs.elimination_order import Scopes as Scopes
from bayescmp.exact.graphs.elimination_order import plan_elimination as plan_elimination
from bayescmp.exact.graphs.elimination_order import reject_wide as reject_wide
from bayescmp.exact.graphs.many_settings import solver_of_many
from bayescmp.exact.graphs.summing import LogPotentials as LogPotentials
from bayescmp.exact.graphs.summing import LogTables as LogTables
from bayescmp.exact.graphs.summing import safe_logsumexp as safe_logsumexp
from bayescmp.exact.graphs.summing import sum_out


def eliminate(
    plan: EliminationPlan, scopes: Scopes, log_tables: LogTables, log_potentials: LogPotentials
) -> Float[Array, "..."]:
    """Sum out all variables that the plan does not keep.

    ``log sum_{x not kept} prod_f T_f(x_f) prod_v U_v(x_v)`` as a table of the kept ones. For
    each variable in turn, the tables that mention it are added and summed over it.

    Args:
        plan: Plan for these scopes.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable: the evidence, in nats.

    Returns:
        Log weights in nats, not normalised, with one axis for each kept variable in the
        order of ``plan.keep``.

    Raises:
        ValueError: If the plan, the scopes and the tables do not fit together.

    Source: R. Dechter, Bucket elimination: a unifying framework for reasoning, 1999.

    Example:
        >>> from bayescmp.exact.graphs.elimination import eliminate, plan_elimination
        >>> plan = plan_elimination(((0, 1),), (2, 3), keep=(1,))
        >>> table, evidence = jnp.zeros((2, 3)), (jnp.zeros(2), jnp.zeros(3))
        >>> jnp.exp(eliminate(plan, ((0, 1),), (table,), evidence)).round(4).tolist()
        [2.0, 2.0, 2.0]
    """
    _check_tables(plan, scopes, log_tables, log_potentials)
    return sum_out(plan, scopes, log_tables, log_potentials)


def log_partition(
    plan: EliminationPlan, scopes: Scopes, log_tables: LogTables, log_potentials: LogPotentials
) -> Float[Array, ""]:
    """Return the log of the sum over all settings: the log evidence of a normalised program.

    ``log sum_x prod_f T_f(x_f) prod_v U_v(x_v)``; minus infinity where no setting is possible.

    Args:
        plan: Plan for these scopes, which keeps no variable.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable: the evidence, in nats.

    Returns:
        The log sum in nats.

    Raises:
        ValueError: If the plan keeps a variable or does not fit the tables.

    Example:
        >>> from bayescmp.exact.graphs.elimination import log_partition, plan_elimination
        >>> plan = plan_elimination(((0,),), (2,))
        >>> table = jnp.log(jnp.array([0.2, 0.8]))
        >>> float(log_partition(plan, ((0,),), (table,), (jnp.array([-jnp.inf, 0.0]),)))
        -0.223...
    """
    _reject_kept(plan)
    return eliminate(plan, scopes, log_tables, log_potentials)


def marginals(
    plan: EliminationPlan, scopes: Scopes, log_tables: LogTables, log_potentials: LogPotentials
) -> tuple[Float[Array, ""], tuple[Float[Array, " _"], ...]]:
    """Return the log partition and the probabilities of every variable.

    ``p(x_v = k | evidence) = d log Z / d log U_v(k)``: one backward pass for all variables.
    Under ``jax.vmap`` many settings of tables and evidence are answered together.

    Args:
        plan: Plan for these scopes, which keeps no variable.
        scopes: Variables of each factor, in the order of its table's axes.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable: the evidence, in nats.

    Returns:
        The log sum in nats, and one vector of probabilities for each variable. Where no
        setting is possible the first is minus infinity and all probabilities are NaN, 0 / 0.

    Raises:
        ValueError: If the plan keeps a variable or does not fit the tables.

    Source: A. Darwiche, A differential approach to inference in Bayesian networks, 2003.

    Example:
        >>> from bayescmp.exact.graphs.elimination import marginals, plan_elimination
        >>> plan = plan_elimination(((0, 1),), (2, 2))
        >>> table, seen = jnp.log(jnp.array([[0.4, 0.1], [0.1, 0.4]])), jnp.array([-jnp.inf, 0.0])
        >>> _, probs = marginals(plan, ((0, 1),), (table,), (jnp.zeros(2), seen))
        >>> [f"{prob:.3f}" for prob in probs[0]]
        ['0.200', '0.800']
    """
    _reject_kept(plan)
    _check_tables(plan, scopes, log_tables, log_potentials)
    solve = solver_of_many(plan, scopes)
    log_totals, probs = solve(
        tuple(table[..., None] for table in log_tables),
        tuple(potential[..., None] for potential in log_potentials),
    )
    log_total = log_totals[0]
    impossible = jnp.isneginf(log_total)
    return log_total, tuple(jnp.where(impossible, jnp.nan, prob[:, 0]) for prob in probs)


def _reject_kept(plan: EliminationPlan) -> None:
    if plan.keep:
        raise ValueError(f"plan: expected one that keeps no variable, got {plan.keep} kept")


def _check_tables(
    plan: EliminationPlan, scopes: Scopes, log_tables: LogTables, log_potentials: LogPotentials
) -> None:
    if sorted((*plan.order, *plan.keep)) != list(range(len(log_potentials))):
        raise ValueError(
            f"log_potentials: expected one for each of the plan's "
            f"{len(plan.order) + len(plan.keep)} variables, got {len(log_potentials)}"
        )
    if len(scopes) != len(log_tables):
        raise ValueError(
            f"log_tables: expected one for each of {len(scopes)} scopes, got {len(log_tables)}"
        )
    for scope, table in zip(scopes, log_tables, strict=True):
        shape = tuple(log_potentials[variable].shape[0] for variable in scope)
        if table.shape != shape:
            raise ValueError(
                f"log_tables: expected shape {shape} for the factor of variables {scope}, got "
                f"{table.shape}"
            )
