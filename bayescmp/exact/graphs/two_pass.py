"""Exact marginals on trees of any shape, padded to one size: a pass up and a pass down."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from bayescmp.exact.graphs.summing import safe_logsumexp

Parents = Int[Array, " variable"] | Int[np.ndarray, " variable"]


def two_pass(
    parents: Parents,
    log_tables: Float[Array, "variable value value"],
    log_potentials: Float[Array, "variable value"],
) -> tuple[Float[Array, ""], Float[Array, "variable value"]]:
    """Sum over all settings of a tree, or of several, and return every variable's law.

    With ``S_v(x) = U_v(x) prod_{children c} m_c(x)`` and ``m_v(y) = sum_x T_v(y, x) S_v(x)`` from
    the leaves up, ``Z = prod_{roots r} sum_x S_r(x)``; from the roots down, ``p(x_v = x) =
    sum_y p(parent = y) T_v(y, x) S_v(x) / m_v(y)``. The structure is an argument like the
    numbers: under ``jax.vmap`` trees of different shapes are answered by one compiled function.

    Args:
        parents: Number of each variable's parent, which is lower than its own; -1 for a root.
        log_tables: Log of the table between each variable and its parent in nats, the parent's
            value first; minus infinity is allowed. A root's is not read.
        log_potentials: Log weight of each value of each variable in nats: the evidence. Minus
            infinity throughout is padding, which has no children; its parent is not read.

    Returns:
        The log sum, and the log probabilities of every variable, in nats. Where no setting is
        possible the first is minus infinity and all probabilities are NaN, 0 / 0; padding has
        minus infinity.

    Raises:
        ValueError: If a parent does not come before its child. Inside a compiled function, where
            numbers are unknown, it is not checked.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 4.2.

    Example:
        >>> from bayescmp.exact.graphs.two_pass import two_pass
        >>> agree = jnp.log(jnp.array([[0.8, 0.2], [0.2, 0.8]]))
        >>> tables, seen = jnp.stack([agree] * 3), jnp.zeros((3, 2)).at[2, 0].set(-jnp.inf)
        >>> two_pass(np.array([-1, 0, 0]), tables, seen)[1].round(2)[:2]  # the last is 1
        Array([[-1.61, -0.22],
               [-1.14, -0.39]], dtype=float32)
    """
    _check_order(parents)
    num = log_potentials.shape[0]
    is_there = ~jnp.all(jnp.isneginf(log_potentials), axis=1)
    # Roots and padding hang under one more variable, which says nothing to them.
    parents = jnp.where(is_there & (jnp.asarray(parents) >= 0), parents, num)
    log_tables = jnp.where((parents == num)[:, None, None], 0.0, log_tables)

    def go_up(heard: Array, variable: Array) -> tuple[Array, tuple[Array, Array]]:
        below = heard[variable]
        message = safe_logsumexp(log_tables[variable] + below, 1)
        message = jnp.where(is_there[variable], message, 0.0)
        return heard.at[parents[variable]].add(message), (below, message)

    def go_down(known: Array, variable: Array) -> tuple[Array, None]:
        # Where the message is zero the parent's value is impossible: there is no 0 / 0.
        message = messages[variable]
        scale = jnp.where(jnp.isneginf(message), 0.0, message)[:, None]
        pair = known[parents[variable]][:, None] + log_tables[variable] + below[variable] - scale
        return known.at[variable].set(safe_logsumexp(pair, 0)), None

    start = jnp.concatenate([log_potentials, jnp.zeros_like(log_potentials[:1])])
    numbers = jnp.arange(num)
    heard, (below, messages) = jax.lax.scan(go_up, start, numbers, reverse=True)
    # The one more variable has its first value.
    known = jnp.full_like(start, -jnp.inf).at[num, 0].set(0.0)
    known, _ = jax.lax.scan(go_down, known, numbers)
    log_partition = heard[num, 0]
    impossible = jnp.isneginf(log_partition) & is_there[:, None]
    return log_partition, jnp.where(impossible, jnp.nan, known[:num])


def _check_order(parents: Parents) -> None:
    if isinstance(parents, Tracer):
        return
    numbers = np.asarray(parents)
    late = np.flatnonzero((numbers < -1) | (numbers >= np.arange(len(numbers))))
    if late.size:
        raise ValueError(
            f"parents: expected -1 or a lower number than the variable's own, got "
            f"{numbers[late[0]]} for variable {late[0]}; a graph with a cycle is no tree"
        )
