"""Tokens of the construction of belief propagation as published, and of its repairs.

There is a token for each variable and one for each factor, and a first one, the start, that says
nothing. A token knows its neighbours by their numbers, and its belief is one number.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import FLOOR, GraphShape

Repair = Literal["layout", "addressing", "log odds", "tables", "cavity"]
REPAIRS: tuple[Repair, ...] = get_args(Repair)
"""What is mended, in an order in which each step needs the ones before it.

``layout``: neighbours' numbers stand where heads read them, and what heads write to is empty.
``addressing``: heads find the token whose number is theirs, not the one with the largest number.
``log odds``: beliefs are log odds, so that a sum of them is what the sigmoid was to be of.
``tables``: factors answer by their tables, and variables keep their own evidence.
``cavity``: no factor hears its own message again.
"""


@dataclass(frozen=True)
class TokenLayout:
    """Where each number of a token stands; two heads make it eight numbers wide.

    Example:
        >>> from bayescmp.networks.constructed.published_tokens import TokenLayout
        >>> layout = TokenLayout(num_heads=2)
        >>> layout.width, layout.neighbour(1), layout.scratch(0)
        (8, 2, 4)
    """

    num_heads: int
    """Neighbours of a token: two in the published construction."""

    @property
    def width(self) -> int:
        """Numbers in a token."""
        return 4 + 2 * self.num_heads

    @property
    def belief(self) -> int:
        """Place of the belief."""
        return 0

    @property
    def kind(self) -> int:
        """Place of a one for factors."""
        return self.num_heads + 1

    @property
    def own(self) -> int:
        """Place of the token's own number, with its square behind it: reserved as published."""
        return 2 * self.num_heads + 2

    def neighbour(self, head: int) -> int:
        """Return the place of a neighbour's number.

        Args:
            head: Which neighbour.

        Returns:
            Its coordinate.
        """
        return 1 + head

    def scratch(self, head: int) -> int:
        """Return the place that a head writes to.

        Args:
            head: Number of the head.

        Returns:
            Its coordinate.
        """
        return self.num_heads + 2 + head


class TokenGraph(eqx.Module):
    """The variables and factors of a graph as numbered tokens; token 0 is the start."""

    neighbours: Int[Array, "token head"]
    """Number of each neighbour; 0, the start, where there is none."""
    is_factor: Bool[Array, " token"]
    is_present: Bool[Array, " token"]
    """Whether the token is a variable or a factor; the others are copies of the start."""
    log_odds: Float[Array, " token"]
    """Evidence about variables: log odds of value 1, in nats; zero for all other tokens."""
    log_tables: Float[Array, "token entry"]
    """Log table of a factor, and of a variable's first factor, in nats."""


def token_graph(rows: GraphRows) -> TokenGraph:
    """Number the variables and factors of one graph.

    Variable ``v`` is token ``1 + v``; factors follow, a token for each slot of each variable, which
    stands for a factor where the other variable has a higher number.

    Args:
        rows: One graph of binary variables whose factors tie two of them.

    Returns:
        Its tokens.

    Raises:
        ValueError: If the graph's shape has more values or a higher arity.
    """
    shape = rows.shape
    check_binary_pairs(shape)
    num, slots = shape.num_variables, shape.num_slots
    own = jnp.arange(num)[:, None]
    others, back = rows.others[..., 0], rows.back[..., 0]
    is_there, owns = others < num, (others < num) & (own < others)
    here, there = own * slots + jnp.arange(slots), others * slots + back
    factor = jnp.where(is_there, 1 + num + jnp.where(owns, here, there), 0)
    heads = num_heads_for(shape)
    of_variables = jnp.pad(factor, ((0, 0), (0, heads - slots)))
    ends = jnp.stack([jnp.broadcast_to(own, owns.shape), others], axis=-1) + 1
    ends = jnp.where(owns[..., None], ends, 0).reshape(-1, 2)
    of_factors = jnp.pad(ends, ((0, 0), (0, heads - 2)))
    evidence = jnp.maximum(rows.log_potentials, FLOOR)
    tables = jnp.concatenate([rows.log_tables[:, 0], rows.log_tables.reshape(num * slots, -1)])
    present = jnp.concatenate([rows.is_present, owns.ravel()])
    return TokenGraph(
        neighbours=_after_start(jnp.concatenate([of_variables, of_factors])),
        is_factor=_after_start(present & (jnp.arange(len(present)) >= num)),
        is_present=_after_start(present),
        log_odds=_after_start(jnp.pad(evidence[:, 1] - evidence[:, 0], (0, num * slots))),
        log_tables=_after_start(jnp.where(present[:, None], tables, 0.0)),
    )


def _after_start(rows: Array) -> Array:
    """Put the start, which is all zeros, before the other tokens."""
    return jnp.concatenate([jnp.zeros_like(rows[:1]), rows])


def encode_tokens(rows: GraphRows, repairs: tuple[Repair, ...]) -> Float[Array, "token coordinate"]:
    """Write a graph as the tokens that a stage of the construction reads.

    The published table has the belief, the four entries of a factor's table, the kind, and the
    own and the first neighbour's number as shares of the largest one. The repaired one is a
    :class:`TokenLayout`.

    Args:
        rows: One graph.
        repairs: What has been mended.

    Returns:
        One row for each token.

    Raises:
        ValueError: As :func:`token_graph`.
    """
    graph, layout = token_graph(rows), TokenLayout(num_heads_for(rows.shape))
    belief = graph.log_odds if "log odds" in repairs else jax.nn.sigmoid(graph.log_odds)
    kind = graph.is_factor.astype(belief.dtype)
    own = jnp.where(graph.is_present, jnp.arange(len(kind)), 0).astype(belief.dtype)
    if "layout" in repairs:
        empty = jnp.zeros((len(kind), layout.num_heads))
        columns = [belief, graph.neighbours, kind, empty, own, own**2]
    else:
        most = len(kind) - 1.0
        tables = jnp.where(graph.is_present[:, None], jnp.exp(graph.log_tables), 0.0)
        columns = [belief, tables, kind, own / most, graph.neighbours[:, 0] / most]
    tokens = jnp.column_stack([column.astype(belief.dtype) for column in columns])
    return jnp.pad(tokens, ((0, 0), (0, layout.width - tokens.shape[1])))


def num_heads_for(shape: GraphShape) -> int:
    """Count the heads that gather every neighbour of a token: two at least, as published.

    Args:
        shape: Bounds on the graphs.

    Returns:
        One for each factor of a variable, and for each variable of a factor.
    """
    return max(2, shape.num_slots)


def num_tokens_for(shape: GraphShape) -> int:
    """Count the tokens of a graph, the start and the places of all possible factors among them.

    Args:
        shape: Bounds on the graphs.

    Returns:
        How many.
    """
    return 1 + shape.num_variables * (1 + shape.num_slots)


def check_binary_pairs(shape: GraphShape) -> None:
    """Check that graphs are such as the published construction speaks of.

    Args:
        shape: Bounds on the graphs.

    Raises:
        ValueError: If variables have more than two values, or factors more than two variables.
    """
    if shape.num_values != 2:
        raise ValueError(f"shape: expected num_values of 2, got {shape.num_values}")
    if shape.arity != 2:
        raise ValueError(
            f"shape: expected an arity of 2, got {shape.arity}; the published construction splits "
            "larger factors into pairs"
        )
