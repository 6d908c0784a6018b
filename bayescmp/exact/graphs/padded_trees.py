"""Trees of different shapes as arrays of one shape: parents, tables and labels.

``parents[v] < v`` is the number of the variable above ``v``, and -1 at the root; padding, which
comes last, has no value that is possible. ``labels[v]`` is the row in which it is shown.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.summing import safe_logsumexp


def weigh_below(
    parents: Int[Array, " variable"],
    log_tables: Float[Array, "variable value value"],
    log_potentials: Float[Array, "variable value"],
) -> Float[Array, "variable value"]:
    """Sum over all that hangs below each variable.

    ``S_v(x) = U_v(x) prod_{children c} sum_z T_c(x, z) S_c(z)``, so that from the root down
    ``p(x_v | x_parent) ~ T_v(x_parent, x_v) S_v(x_v)``.

    Args:
        parents: Number of each variable's parent, -1 for none.
        log_tables: Log of the table between each variable and its parent, the parent's value
            first, in nats.
        log_potentials: Log weight of each value of each variable, in nats.

    Returns:
        ``log S_v(x)`` in nats.
    """
    num = parents.shape[0]

    def go_up(heard: Array, variable: Array) -> tuple[Array, None]:
        message = safe_logsumexp(log_tables[variable] + heard[variable], 1)
        # A variable without a parent has none to tell.
        above = jnp.where(parents[variable] < 0, num, parents[variable])
        return heard.at[above].add(message, mode="drop"), None

    return jax.lax.scan(go_up, log_potentials, jnp.arange(num), reverse=True)[0]


def lay_out_tree(
    parents: Int[Array, " variable"],
    labels: Int[Array, " variable"],
    log_tables: Float[Array, "variable value value"],
    log_potentials: Float[Array, "variable value"],
    shape: GraphShape,
) -> GraphRows:
    """Write a tree as rows, one for each label.

    The factor to the parent stands in a variable's first slot, those to its children follow in
    the order of their numbers.

    Args:
        parents: Number of each variable's parent, -1 for none.
        labels: Row of each variable, a permutation.
        log_tables: Log of the table between each variable and its parent, the parent's value
            first, in nats.
        log_potentials: Log weight of each value of each variable, in nats; minus infinity
            throughout for padding.
        shape: Bounds that the tree keeps: pairs, and a slot for each neighbour.

    Returns:
        The rows.
    """
    num, num_slots = shape.num_variables, shape.num_slots
    numbers, is_child = jnp.arange(num), parents >= 0
    above = jnp.where(is_child, parents, num)  # writing there is left out
    earlier = (numbers[None, :] < numbers[:, None]) & (above[None, :] == above[:, None])
    at_child = jnp.where(is_child, 0, num_slots)
    at_parent = jnp.sum(earlier, axis=1) + is_child[parents]

    def write(empty: Array, of_child: Array, of_parent: Array) -> Array:
        once = empty.at[numbers, at_child].set(of_child, mode="drop")
        twice = once.at[above, at_parent].set(of_parent, mode="drop")
        return jnp.zeros_like(empty).at[labels].set(twice)

    outside = jnp.append(labels, num)
    slots = jnp.full((num, num_slots), num_slots, labels.dtype)
    tables = jnp.zeros((num, num_slots, shape.num_values**2), log_tables.dtype)
    from_child = jnp.swapaxes(log_tables, 1, 2).reshape(num, -1)
    return GraphRows(
        log_potentials=jnp.zeros_like(log_potentials).at[labels].set(log_potentials),
        others=write(jnp.full_like(slots, num), outside[above], labels)[..., None],
        back=write(slots, at_parent.astype(slots.dtype), jnp.zeros_like(labels))[..., None],
        log_tables=write(tables, from_child, log_tables.reshape(num, -1)),
        shape=shape,
    )
