"""Sum-product belief propagation on factor graphs: exact on trees, approximate on loops."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.exact.graphs.elimination import LogPotentials, LogTables, safe_logsumexp
from bayescmp.exact.graphs.factor_graph import FactorGraph as FactorGraph

Messages = Float[Array, "edge state"]
"""Log messages along each edge; minus infinity beyond the variable's number of values."""


class Propagation(eqx.Module):
    """What some rounds of belief propagation come to, and whether they came to rest."""

    log_beliefs: tuple[Float[Array, " _"], ...]
    """``log b(x_v)``: the normalised belief about each variable, in nats."""
    log_partition: Float[Array, ""]
    """Bethe's estimate of the log partition, in nats; minus infinity if none is possible."""
    residual: Float[Array, " round"]
    """Largest change of a normalised log message in each round, in nats."""
    converged: Bool[Array, ""]
    """Whether the last round changed no message by more than the tolerance."""


def propagate(
    graph: FactorGraph,
    log_tables: LogTables,
    log_potentials: LogPotentials,
    *,
    num_rounds: int,
    damping: float = 0.0,
    cavity: bool = True,
    tolerance: float = 1e-5,
) -> Propagation:
    """Send messages between factors and variables for some rounds, all at once in each.

    ``m_{f -> v}(x_v) ~ sum_{x_f without x_v} T_f(x_f) prod_{u in f, u != v} m_{u -> f}(x_u)`` with
    ``m_{u -> f}(x_u) = U_u(x_u) prod_{g at u, g != f} m_{g -> u}(x_u)``, from uniform messages;
    ``b(x_v) ~ U_v(x_v) prod_{f at v} m_{f -> v}(x_v)``. On a tree this is exact after
    ``graph.diameter`` rounds. On a graph with loops it is an approximation that may not
    converge, and that may be wrong where it does: an approximate predictor, never an oracle.

    Args:
        graph: Scopes and sizes.
        log_tables: Log of each factor's table, in nats; minus infinity is allowed.
        log_potentials: Log weight of each value of each variable: the evidence, in nats.
        num_rounds: Number of rounds; after none, beliefs are the evidence about each variable.
        damping: Share of the old log message in the new one, from 0 to below 1.
        cavity: Whether a variable leaves out of its message to a factor what this factor said
            (``g != f`` above). Without it, beliefs are wrong on trees too.
        tolerance: Largest change of a message that counts as none, in nats.

    Returns:
        Beliefs, Bethe's log partition and the convergence record. Once the messages show
        that no setting is possible, all beliefs are NaN and the log partition is minus
        infinity.

    Raises:
        ValueError: If a table does not fit the graph, or an option is out of range.

    Source: J. Yedidia, W. Freeman and Y. Weiss, Constructing free-energy approximations and
    generalized belief propagation algorithms, 2005, sections II and III.

    Example:
        >>> from bayescmp.exact.graphs.belief_propagation import FactorGraph, propagate
        >>> graph, agree = FactorGraph(((0, 1),), (2, 2)), jnp.log(jnp.array([[4., 1.], [1., 4.]]))
        >>> seen = (jnp.zeros(2), jnp.array([-jnp.inf, 0.0]))
        >>> beliefs = propagate(graph, (agree,), seen, num_rounds=1).log_beliefs
        >>> [f"{prob:.3f}" for prob in jnp.exp(beliefs[0])]
        ['0.200', '0.800']
    """
    check_options(num_rounds, damping)
    _check_tables(graph, log_tables, log_potentials)
    stacks, potentials = _stack(graph, log_tables, log_potentials)
    sources = graph.sources(cavity=cavity)

    def round_trip(messages: Messages, _: None) -> tuple[Messages, Float[Array, ""]]:
        new = _answer(stacks, _pass_on(graph, potentials, messages, sources))
        if damping:
            new = normalise(damping * messages + (1.0 - damping) * new)
        change = jnp.where(new == messages, 0.0, jnp.abs(new - messages))
        return new, jnp.max(change, initial=0.0)

    # Uniform, and impossible where the variable of the edge has no such value.
    beyond = np.arange(potentials.shape[1]) >= np.array(graph.sizes, int)[graph.edges][:, None]
    start = normalise(jnp.where(beyond, -jnp.inf, jnp.zeros((), potentials.dtype)))
    messages, residual = jax.lax.scan(round_trip, start, None, length=num_rounds)
    cavities = _pass_on(graph, potentials, messages, graph.sources(cavity=True))
    beliefs = potentials + _heard(messages, graph.arriving)
    log_total = _bethe(stacks, messages, cavities, beliefs)
    impossible = jnp.isneginf(log_total)
    beliefs = jnp.where(impossible, jnp.nan, normalise(beliefs))
    constant = sum(
        table for scope, table in zip(graph.scopes, log_tables, strict=True) if not scope
    )
    return Propagation(
        log_beliefs=tuple(row[:size] for row, size in zip(beliefs, graph.sizes, strict=True)),
        log_partition=log_total + constant,
        residual=residual,
        converged=jnp.any(residual[-1:] <= tolerance),
    )


def normalise(log_weights: Float[Array, "*rows state"]) -> Float[Array, "*rows state"]:
    """Scale each row to a sum of one; a row that is impossible throughout stays so."""
    total = safe_logsumexp(log_weights, -1)[..., None]
    return log_weights - jnp.where(jnp.isneginf(total), 0.0, total)


def check_options(num_rounds: int, damping: float) -> None:
    """Refuse fewer rounds than none, and messages that never change."""
    if num_rounds < 0:
        raise ValueError(f"num_rounds: expected at least 0, got {num_rounds}")
    if not 0.0 <= damping < 1.0:
        raise ValueError(f"damping: expected at least 0 and below 1, got {damping}")


@dataclass(frozen=True, eq=False)
class _Stack:
    """The factors whose tables have one shape."""

    log_tables: Float[Array, "factor ..."]
    edges: np.ndarray
    """Shape (factor, slot): the edge of each axis of each table."""

    def joint(self, incoming: Messages, without: int | None = None) -> Float[Array, "factor ..."]:
        """Add to each table the messages of its variables, but for one axis."""
        total = self.log_tables
        num_slots = total.ndim - 1
        for slot in range(num_slots):
            if slot != without:
                messages = incoming[self.edges[:, slot], : total.shape[1 + slot]]
                others = [1 + other for other in range(num_slots) if other != slot]
                total = total + jnp.expand_dims(messages, others)
        return total

    def answers(self, incoming: Messages) -> list[Float[Array, "factor state"]]:
        """Return the messages to the variables of each axis."""
        num_slots = self.log_tables.ndim - 1
        answers = []
        for slot in range(num_slots):
            others = tuple(1 + other for other in range(num_slots) if other != slot)
            message = safe_logsumexp(self.joint(incoming, without=slot), others)
            room = incoming.shape[1] - message.shape[1]
            answers.append(jnp.pad(message, ((0, 0), (0, room)), constant_values=-jnp.inf))
        return answers


def _stack(
    graph: FactorGraph, log_tables: LogTables, log_potentials: LogPotentials
) -> tuple[list[_Stack], Float[Array, "variable state"]]:
    """Stack tables of one shape, and potentials filled up with minus infinity."""
    dtype = jnp.result_type(float if not log_potentials else log_potentials[0], *log_tables)
    stacks = [
        _Stack(
            jnp.stack([log_tables[factor] for factor in group]).astype(dtype),
            np.array([graph.factor_edges[factor] for factor in group], np.int32),
        )
        for group in graph.alike
    ]
    most = max(graph.sizes, default=1)
    rows = [
        jnp.pad(potential, (0, most - potential.shape[0]), constant_values=-jnp.inf)
        for potential in log_potentials
    ]
    return stacks, jnp.array(rows, dtype).reshape(len(rows), most)


def _heard(messages: Messages, sources: np.ndarray) -> Float[Array, "row state"]:
    """Add up the messages of some edges for each row; the number past the last is none."""
    none = jnp.zeros_like(messages, shape=(1, messages.shape[1]))
    return jnp.concatenate([messages, none])[sources].sum(axis=1)


def _pass_on(
    graph: FactorGraph,
    log_potentials: Float[Array, "variable state"],
    messages: Messages,
    sources: np.ndarray,
) -> Messages:
    """Return the messages from variables to factors."""
    return log_potentials[graph.edges] + _heard(messages, sources)


def _answer(stacks: list[_Stack], incoming: Messages) -> Messages:
    """Return the messages from factors to variables, normalised."""
    if not stacks:
        return incoming
    answers = jnp.concatenate([answer for stack in stacks for answer in stack.answers(incoming)])
    edges = np.concatenate([stack.edges.T.ravel() for stack in stacks])
    return normalise(answers[np.argsort(edges).astype(np.int32)])


def _bethe(
    stacks: list[_Stack],
    messages: Messages,
    cavities: Messages,
    beliefs: Float[Array, "variable state"],
) -> Float[Array, ""]:
    """Return Bethe's log partition: sums at factors and at variables, less those on edges."""
    at_variables = safe_logsumexp(beliefs, 1)
    at_factors = [
        safe_logsumexp(stack.joint(cavities), tuple(range(1, stack.log_tables.ndim)))
        for stack in stacks
    ]
    gained = jnp.concatenate([at_variables, *at_factors])
    on_edges = safe_logsumexp(messages + cavities, 1)
    impossible = jnp.any(jnp.isneginf(gained))
    return jnp.where(impossible, -jnp.inf, jnp.sum(gained) - jnp.sum(on_edges))


def _check_tables(graph: FactorGraph, log_tables: LogTables, log_potentials: LogPotentials) -> None:
    sizes = tuple(potential.shape[0] for potential in log_potentials)
    if sizes != graph.sizes:
        raise ValueError(f"log_potentials: expected sizes {graph.sizes}, got {sizes}")
    shapes = tuple(table.shape for table in log_tables)
    expected = tuple(tuple(graph.sizes[v] for v in scope) for scope in graph.scopes)
    if shapes != expected:
        raise ValueError(f"log_tables: expected shapes {expected}, got {shapes}")
