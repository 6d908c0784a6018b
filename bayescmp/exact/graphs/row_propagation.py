"""Belief propagation on graphs of any structure, written as rows of one shape."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from bayescmp.exact.graphs.belief_propagation import check_options, normalise
from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.summing import safe_logsumexp

RowMessages = Float[Array, "variable slot value"]
"""Log message of the factor in each slot to the variable, normalised; zero in empty slots."""


class RowPropagation(eqx.Module):
    """Beliefs and messages after every round, from none on, of one graph."""

    log_beliefs: Float[Array, "round variable value"]
    """``log b_t(x_v)``: the normalised belief after ``t`` rounds, in nats; minus infinity
    throughout for padding. From the round on in which a variable has no possible value left,
    NaN for all."""
    messages: Float[Array, "round variable slot value"]
    """Log message to the variable of each slot after ``t`` rounds, in nats."""
    residual: Float[Array, " step"]
    """Largest change of a normalised log message in each round, in nats."""
    converged: Bool[Array, ""]
    """Whether the last round changed no message by more than the tolerance."""


def propagate_rows(
    rows: GraphRows,
    num_rounds: int,
    *,
    cavity: bool = True,
    damping: float = 0.0,
    tolerance: float = 1e-5,
) -> RowPropagation:
    """Send messages between the variables of one graph for some rounds, all at once in each.

    With ``c_{u -> f}(x) = U_u(x) prod_{slots g of u, g != f} m_{g -> u}(x)``, from uniform
    messages, ``m_{f -> v}(y) ~ sum_x T_f(y, x) prod_u c_{u -> f}(x_u)``: the rounds of
    :func:`propagate`, on a graph whose structure is an argument like its numbers. Under
    ``jax.vmap`` graphs of different structure are answered by one compiled function. Factors of
    one variable are part of its evidence, and need no round to be heard.

    Args:
        rows: One graph.
        num_rounds: Number of rounds.
        cavity: Whether a variable leaves out of its message to a factor what this factor said.
        damping: Share of the old log message in the new one, from 0 to below 1.
        tolerance: Largest change of a message that counts as none, in nats.

    Returns:
        Beliefs and messages after every round.

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> agree, seen = jnp.log(jnp.array([[4., 1.], [1., 4.]])), jnp.array([-jnp.inf, 0.0])
        >>> chain, shape = FactorGraph(((0, 1), (1, 2)), (2, 2, 2)), GraphShape(3, 2, num_slots=2)
        >>> rows = lay_out(chain, shape, (agree, agree), (jnp.zeros(2), jnp.zeros(2), seen))
        >>> jnp.exp(propagate_rows(rows, 2).log_beliefs)[:, 0, 1].round(3)  # a round for a factor
        Array([0.5 , 0.5 , 0.68], dtype=float32)
    """
    check_options(num_rounds, damping)
    uniform = _start(rows)

    def round_trip(messages: RowMessages, _: None) -> tuple[RowMessages, tuple[Array, Array]]:
        new = _answer(rows, _pass_on(rows, messages, cavity=cavity))
        if damping:
            new = _fill(rows, normalise(damping * messages + (1.0 - damping) * new))
        change = jnp.where(new == messages, 0.0, jnp.abs(new - messages))
        return new, (new, jnp.max(change))

    _, (later, residual) = jax.lax.scan(round_trip, uniform, None, length=num_rounds)
    messages = jnp.concatenate([uniform[None], later])
    beliefs = normalise(rows.log_potentials + messages.sum(axis=2))
    lost = jnp.all(jnp.isneginf(beliefs), axis=2) & rows.is_present
    impossible = jnp.any(lost, axis=1)[:, None, None] & rows.is_present[:, None]
    return RowPropagation(
        log_beliefs=jnp.where(impossible, jnp.nan, beliefs),
        messages=messages,
        residual=residual,
        converged=jnp.any(residual[-1:] <= tolerance),
    )


def _start(rows: GraphRows) -> RowMessages:
    """Return uniform messages over the values that a factor has; there are fewer on narrow axes."""
    own = rows.log_tables.reshape(*rows.log_tables.shape[:2], rows.shape.num_values, -1)
    is_none = jnp.all(jnp.isneginf(own), axis=3)
    return _fill(rows, normalise(jnp.where(is_none, -jnp.inf, jnp.zeros((), own.dtype))))


def _pass_on(rows: GraphRows, messages: RowMessages, *, cavity: bool) -> RowMessages:
    """Return what each variable says to the factor in each of its slots."""
    if cavity:
        # Sums of those before and after: minus infinities cannot be subtracted again.
        none = jnp.zeros_like(messages[:, :1])
        before = jnp.cumsum(jnp.concatenate([none, messages[:, :-1]], axis=1), axis=1)
        after = jnp.cumsum(jnp.concatenate([none, messages[:, :0:-1]], axis=1), axis=1)
        heard = before + after[:, ::-1]
    else:
        heard = jnp.broadcast_to(messages.sum(axis=1, keepdims=True), messages.shape)
    return rows.log_potentials[:, None] + heard


def _answer(rows: GraphRows, said: RowMessages) -> RowMessages:
    """Return the messages from factors to variables, normalised."""
    shape = rows.shape
    # One more variable and slot: another that is not there says nothing.
    everyone = jnp.pad(said, ((0, 1), (0, 1), (0, 0)))
    incoming = everyone[rows.others, rows.back]
    joint = rows.log_tables.reshape(*rows.log_tables.shape[:2], *shape.table_shape)
    for other in range(shape.num_others):
        axes = [3 + axis for axis in range(shape.num_others) if axis != other]
        joint = joint + jnp.expand_dims(incoming[:, :, other], (2, *axes))
    summed = tuple(range(3, 3 + shape.num_others))
    return _fill(rows, normalise(safe_logsumexp(joint, summed)))


def _fill(rows: GraphRows, messages: RowMessages) -> RowMessages:
    """Put zeros into empty slots."""
    is_empty = jnp.all(rows.others == rows.shape.num_variables, axis=2)
    return jnp.where(is_empty[:, :, None], 0.0, messages)
