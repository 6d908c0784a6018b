"""Factor graphs of different structure as arrays of one shape, a row for each variable."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_shape import FLOOR, GraphShape
from bayescmp.exact.graphs.summing import LogPotentials, LogTables


class GraphRows(eqx.Module):
    """One factor graph with its tables and its evidence, as its variables see it.

    What is not there, a variable, a value, a slot or another variable of a factor, is padding: its
    numbers are ``num_variables`` and ``num_slots``, one past the last, and its tables are zero.
    """

    log_potentials: Float[Array, "*sequence variable value"]
    """Evidence: log weight of each value in nats; minus infinity where it is ruled out."""
    others: Int[Array, "*sequence variable slot other"]
    """Number of each other variable of the factor in a slot."""
    back: Int[Array, "*sequence variable slot other"]
    """Slot in which the other variable has the same factor."""
    log_tables: Float[Array, "*sequence variable slot entry"]
    """Log table of each factor in nats, row by row: the own values first, then those of the others,
    in their order. Another that is not there has its first value."""
    shape: GraphShape = eqx.field(static=True)

    @property
    def is_present(self) -> Bool[Array, "*sequence variable"]:
        """Whether there is such a variable: padding has no value that is possible."""
        return ~jnp.all(jnp.isneginf(self.log_potentials), axis=-1)

    def encode(self) -> Float[Array, "*sequence row feature"]:
        """Return the rows as a network reads them: the start, then one for each variable.

        Weights of zero become ``exp(FLOOR)``, since inputs are finite.

        Returns:
            One more row than variables, in the blocks of ``GraphShape``.
        """
        shape, lead = self.shape, self.log_potentials.shape[:-1]
        dtype = self.log_potentials.dtype
        parts = {
            "start": jnp.zeros((*lead, 1)),
            "own": jnp.broadcast_to(jnp.eye(shape.num_variables), (*lead, shape.num_variables)),
            "evidence": jnp.maximum(self.log_potentials, FLOOR),
            "address": jax.nn.one_hot(self.others, shape.num_variables),
            "back": jax.nn.one_hot(self.back, shape.num_slots),
            "table": jnp.maximum(self.log_tables, FLOOR),
        }
        flat = [parts[name].reshape(*lead, -1).astype(dtype) for name in shape.block_sizes]
        rows = jnp.concatenate(flat, axis=-1)
        start = jnp.zeros_like(rows[..., :1, :]).at[..., 0].set(1.0)
        return jnp.concatenate([start, rows], axis=-2)


def lay_out(
    graph: FactorGraph, shape: GraphShape, log_tables: LogTables, log_potentials: LogPotentials
) -> GraphRows:
    """Write a factor graph as rows; its structure is fixed, its numbers may be traced.

    Factors of one variable join the evidence about it; those of none are left out.

    Args:
        graph: Scopes and sizes.
        shape: Bounds that the graph keeps.
        log_tables: Log of each factor's table, in nats.
        log_potentials: Log weight of each value of each variable, in nats.

    Returns:
        The rows.

    Raises:
        ValueError: If the graph has more variables, values, factors at a variable or variables at
            a factor than the shape has room for.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> graph, shape = FactorGraph(((0, 1),), (2, 2)), GraphShape(2, 2, num_slots=1)
        >>> rows = lay_out(graph, shape, (jnp.eye(2),), (jnp.zeros(2), jnp.zeros(2)))
        >>> rows.others.tolist(), rows.encode().shape  # each other's neighbour
        ([[[1]], [[0]]], (3, 12))
    """
    slots = _assign_slots(graph)
    check_room(graph, shape)
    num, most = shape.num_variables, shape.num_values
    others = np.full((num, shape.num_slots, shape.num_others), num, np.int32)
    back = np.full(others.shape, shape.num_slots, np.int32)
    entries = int(np.prod(shape.table_shape))
    tables = jnp.zeros((num, shape.num_slots, entries), jnp.result_type(float))
    rows = [jnp.pad(u, (0, most - len(u)), constant_values=-jnp.inf) for u in log_potentials]
    potentials = jnp.stack(rows).astype(tables.dtype)
    for factor, (scope, table) in enumerate(zip(graph.scopes, log_tables, strict=True)):
        if len(scope) == 1:
            potentials = potentials.at[scope[0], : len(table)].add(table)
        for axis, variable in enumerate(scope) if len(scope) > 1 else ():
            slot, rest = slots[factor][axis], [a for a in range(len(scope)) if a != axis]
            others[variable, slot, : len(rest)] = [scope[a] for a in rest]
            back[variable, slot, : len(rest)] = [slots[factor][a] for a in rest]
            seen = _widen(jnp.moveaxis(table, axis, 0), shape)
            tables = tables.at[variable, slot].set(seen.ravel())
    padding = jnp.full((num - len(rows), most), -jnp.inf, tables.dtype)
    potentials = jnp.concatenate([potentials, padding])
    return GraphRows(potentials, jnp.asarray(others), jnp.asarray(back), tables, shape)


def _assign_slots(graph: FactorGraph) -> list[list[int]]:
    """Give each factor a slot at each of its variables, in the order of the factors."""
    taken = [0] * len(graph.sizes)
    slots: list[list[int]] = []
    for scope in graph.scopes:
        slots.append([taken[variable] for variable in scope])
        for variable in scope if len(scope) > 1 else ():
            taken[variable] += 1
    return slots


def check_room(graph: FactorGraph, shape: GraphShape) -> None:
    """Check that a graph keeps the bounds of a shape.

    Args:
        graph: Scopes and sizes.
        shape: Bounds.

    Raises:
        ValueError: If it has more variables, values, factors at a variable or variables at a
            factor than there is room for.
    """
    slots = _assign_slots(graph)
    needed = {
        "num_variables": len(graph.sizes),
        "num_values": max(graph.sizes, default=0),
        "num_slots": 1 + max((max(s) for s in slots if len(s) > 1), default=-1),
        "arity": max(map(len, graph.scopes), default=0),
    }
    for name, number in needed.items():
        if number > getattr(shape, name):
            raise ValueError(
                f"shape: expected {name} of at least {number} for this graph, got "
                f"{getattr(shape, name)}"
            )


def _widen(table: Array, shape: GraphShape) -> Array:
    """Fill a table up with impossible values.

    Another that is not there has its first value, and no other one.
    """
    room = [(0, shape.num_values - size) for size in table.shape]
    full = jnp.pad(table, room, constant_values=-jnp.inf)
    missing = shape.arity - table.ndim
    first = jnp.where(jnp.arange(shape.num_values) == 0, 0.0, -jnp.inf)
    for _ in range(missing):
        full = full[..., None] + first
    return full
