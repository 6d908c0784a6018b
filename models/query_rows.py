"""Rivals that answer questions to a knowledge base by messages between its gates."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import FLOOR, GraphShape
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.models.belief_network import gate_graph
from bayescmp.models.grounded_queries import GroundedQueries
from bayescmp.models.query_engine import add_non_answers, read_facts
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch

AT_ONCE = 256
"""Sequences that a network answers together: its heads are many, and so are their scores."""

RowNetwork = Callable[[Float[Array, "row feature"]], Float[Array, "row value"]]
"""From a start row and the evidence about each node to logits of its values in its row."""


def query_shape(model: GroundedQueries) -> GraphShape:
    """Return the bounds that the factor graph of a model's base keeps, and no wider ones.

    Args:
        model: Questions to a base.

    Returns:
        The shape.

    Example:
        >>> from bayescmp.models.query_rows import query_shape
        >>> base, findings = bc.models.WARD, bc.models.WARD_FINDINGS
        >>> query_shape(bc.models.GroundedQueries(base, findings))
        GraphShape(num_variables=11, num_values=2, num_slots=4, arity=3)
    """
    graph, _ = gate_graph(model.base.gates)
    ties = [scope for scope in graph.scopes if len(scope) > 1]
    slots = [sum(node in scope for scope in ties) for node in range(len(graph.sizes))]
    arity = max([2, *map(len, ties)])
    return GraphShape(len(graph.sizes), 2, num_slots=max([1, *slots]), arity=arity)


def query_rows(model: GroundedQueries, facts: Array, *, floored: bool = False) -> GraphRows:
    """Write the gates and the facts of one example as rows, one for each node.

    Args:
        model: Questions to a base.
        facts: The facts' tokens.
        floored: Whether weights of zero become ``exp(FLOOR)``, as in the inputs of networks.

    Returns:
        The rows.
    """
    graph, log_tables = gate_graph(model.base.gates)
    evidence = model.engine.evidence(read_facts(facts, len(model.findings)))
    rows = lay_out(graph, query_shape(model), log_tables, tuple(evidence))
    if not floored:
        return rows
    parts = (rows.log_potentials, rows.log_tables)
    raised = tuple(jnp.maximum(part, FLOOR) for part in parts)
    return eqx.tree_at(lambda r: (r.log_potentials, r.log_tables), rows, raised)


class QueryPropagation(AbstractPredictor):
    """Belief propagation over the gates; a word that is no node is looked up, not asked.

    With zeros kept, facts that leave some node without a possible value are answered
    "contradictory"; on a tree these are all that contradict each other, on a graph with loops
    not always. At the floor a weight of zero is ``exp(FLOOR)``: there is always an answer.

    Example:
        >>> model = bc.models.GroundedQueries(bc.models.WARD, bc.models.WARD_FINDINGS)
        >>> QueryPropagation(model, num_rounds=6, floored=True).name
        'belief propagation at the floor, 6 rounds'
    """

    model: GroundedQueries
    num_rounds: int = eqx.field(static=True)
    floored: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, model: GroundedQueries, num_rounds: int, *, floored: bool = False) -> None:
        """Set the number of rounds.

        Args:
            model: Questions to a base.
            num_rounds: Rounds of messages, at least one; the graph's diameter is enough on a tree.
            floored: Whether weights of zero become ``exp(FLOOR)``.

        Raises:
            ValueError: If there is no round.
        """
        if num_rounds < 1:
            raise ValueError(f"num_rounds: expected at least 1, got {num_rounds}")
        self.model = model
        self.num_rounds = num_rounds
        self.floored = floored
        where = " at the floor" if floored else ""
        self.name = f"belief propagation{where}, {num_rounds} round{'s' * (num_rounds > 1)}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Return the belief about what is asked after the last round."""

        def answer(facts: Array, asked: Array) -> Array:
            rows = query_rows(self.model, facts, floored=self.floored)
            beliefs = propagate_rows(rows, self.num_rounds).log_beliefs[-1]
            none_left = jnp.any(jnp.isnan(beliefs))
            return add_non_answers(self.model.engine, beliefs, none_left)[asked]

        return jax.vmap(answer)(batch.shown["fact"], batch.shown["asked"])


class RowPredictor(AbstractPredictor):
    """A network that reads the evidence about each node and answers in the node's row.

    A word that is no node has no row: it is looked up, and never reaches the network.

    Example:
        >>> model = bc.models.GroundedQueries(bc.models.WARD, bc.models.WARD_FINDINGS)
        >>> rung = RowPredictor(model, lambda rows: rows[:, 1:], name="evidence alone")
        >>> np.exp(rung.log_predictive(model.sample(2, key=jax.random.key(0)))).sum(-1).round(4)
        array([[1., 1., 1., 1.],
               [1., 1., 1., 1.]], dtype=float32)
    """

    model: GroundedQueries
    network: RowNetwork
    name: str = eqx.field(static=True)

    def log_predictive(self, batch: Batch) -> Predictive:
        """Ask the network for all nodes, and pick the one that is asked."""

        def answer(facts: Array, asked: Array) -> Array:
            inputs = evidence_inputs(query_rows(self.model, facts))
            beliefs = jax.nn.log_softmax(self.network(inputs)[1:])
            return add_non_answers(self.model.engine, beliefs, jnp.array(False))[asked]

        shown = batch.shown["fact"], batch.shown["asked"]
        return jax.lax.map(lambda each: answer(*each), shown, batch_size=AT_ONCE)


def evidence_inputs(rows: GraphRows) -> Float[Array, "row feature"]:
    """Return what a network reads whose weights hold the graph: start and evidence alone.

    Args:
        rows: One graph.

    Returns:
        The start row, then one for each variable.
    """
    encoded, shape = rows.encode(), rows.shape
    blocks = [encoded[:, shape.block(name)] for name in ("start", "evidence")]
    return jnp.concatenate(blocks, axis=1)
