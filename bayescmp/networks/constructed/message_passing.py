"""Transformers whose weights are set, not trained, to pass messages on a factor graph."""

from numbers import Integral

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.array_fields import fields_by_name
from bayescmp.networks.constructed.gathering import AttentionWeights, count_heads, gathering
from bayescmp.networks.constructed.stream_layout import StreamLayout
from bayescmp.networks.constructed.updating import (
    BINARY,
    FORMS,
    REACH,
    Form,
    UpdateWeights,
    updating,
)
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import Transformer, TransformerConfig


def message_passing(
    shape: GraphShape,
    num_rounds: int,
    *,
    form: Form = "logsumexp",
    graph: GraphRows | None = None,
    shared: bool = False,
    reach: float | None = None,
) -> Transformer:
    """Build a transformer that does sum-product belief propagation, one round in each layer.

    A token stands for a variable and keeps the last message of each of its factors. In a layer,
    attention gathers the cavity messages of the factors' other variables, and the feed-forward
    part makes new messages of them. The belief is the evidence plus all messages, and the
    read-out is linear in them: the logit lens after layer ``t`` shows belief propagation's
    beliefs after ``t`` rounds, on any graph, and the exact marginals on a tree from as many
    layers on as its diameter.

    Forms of the feed-forward part, which are its activation:

    ============= ====== ======== ===========================================================
    form          values arity    numbers in nats
    ============= ====== ======== ===========================================================
    ``softplus``  2      2        any
    ``sigmoid``   2      2        messages right to 2e-9 while log-odds, with those of a
                                  table, stay below ``reach`` (120); a message whose two
                                  terms both exceed it is wrong
    ``logsumexp`` any    any      any
    ``softmax``   any    any      messages right to 1e-9 up to ``reach`` (40) either way, and
                                  cut off beyond
    ============= ====== ======== ===========================================================

    Args:
        shape: Bounds on the graphs.
        num_rounds: Rounds of messages.
        form: How the feed-forward part takes logarithms of sums.
        graph: A graph with its tables, which learned positions hold then; inputs have the start
            and the evidence alone. By default inputs hold all of a row, and one set of weights
            serves every graph within the bounds.
        shared: Whether one layer is applied ``num_rounds`` times, or as many equal layers once.
        reach: Largest number in nats for the forms ``sigmoid`` and ``softmax``, whose
            number of hidden units grows with it; by default as above.

    Returns:
        The network, in the precision that holds now: double precision for small errors.

    Raises:
        TypeError: If shape, rounds or graph are something else.
        ValueError: If there is no round, the form cannot do with so many values or variables of
            a factor, the reach is none of a form's or below 1, or the graph is of another shape.

    Source: F. Kschischang, B. Frey and H.-A. Loeliger, Factor graphs and the sum-product algorithm,
    2001, for the messages; Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063, for
    the claim that a transformer can pass them.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> shape, agree = GraphShape(2, 2, num_slots=1), jnp.log(jnp.array([[4., 1.], [1., 4.]]))
        >>> seen = (jnp.zeros(2), jnp.array([-jnp.inf, 0.0]))
        >>> rows = lay_out(FactorGraph(((0, 1),), (2, 2)), shape, (agree,), seen)
        >>> beliefs = jax.nn.softmax(message_passing(shape, 1)(rows.encode()))
        >>> [f"{prob:.3f}" for prob in beliefs[1]]  # of variable 0, after the row of the start
        ['0.200', '0.800']
    """
    _check_kinds(shape, num_rounds, graph)
    if num_rounds < 1:
        raise ValueError(f"num_rounds: expected at least 1, got {num_rounds}")
    _check_form(shape, form)
    _check_reach(form, reach)
    if graph is not None:
        _check_graph(shape, graph)
    layout = StreamLayout(shape)
    attention = gathering(layout, lays_differences=form in BINARY)
    update = updating(layout, form, REACH[form] if reach is None else reach)
    config = TransformerConfig(
        num_layers=1 if shared else num_rounds,
        num_loops=num_rounds if shared else 1,
        model_size=layout.width,
        mlp_size=len(update.up_bias),
        activation=form,
        activation_group=update.group,
        norm="none",
        num_heads=attention.num_heads,
        features_per_head=attention.query.shape[1] // attention.num_heads,
        positions="none" if graph is None else "learned",
        causal=False,
    )
    return _fill(config, layout, attention, update, graph)


def _fill(
    config: TransformerConfig,
    layout: StreamLayout,
    attention: AttentionWeights,
    update: UpdateWeights,
    graph: GraphRows | None,
) -> Transformer:
    """Put the weights into a network of shapes."""
    embedding, positions = _embed(layout, graph)
    task = TaskShape(
        input_size=len(embedding),
        num_outcomes=layout.shape.num_values,
        max_length=layout.shape.num_variables + 1,
        shows_all_first=True,
    )
    weights = {"embed.W_E": embedding, "unembed.W_U": layout.read_out()}
    weights |= {} if positions is None else {"pos_embed.W_pos": positions}
    in_block = {f"attn.W_{part}": array for part, array in zip("QKVO", attention[:4], strict=True)}
    in_block |= dict(zip(("mlp.W_in", "mlp.b_in", "mlp.W_out"), update[:3], strict=True))
    # Blocks are stacked, layer axis first; equal layers are equal blocks.
    for name, part in in_block.items():
        weights[name] = np.broadcast_to(part, (config.num_layers, *part.shape))
    network = eqx.filter_eval_shape(Transformer, config, task, key=jax.random.key(0))
    fields = fields_by_name(network)
    values = [jnp.asarray(weights[name], like.dtype) for name, like in fields.items()]
    return eqx.tree_at(lambda tree: list(fields_by_name(tree).values()), network, values)


def _embed(
    layout: StreamLayout, graph: GraphRows | None
) -> tuple[Float[np.ndarray, "input_size feature"], Float[np.ndarray, "row feature"] | None]:
    """Return the embedding of what inputs hold, and what positions add to it."""
    shape, embedding = layout.shape, layout.embedding()
    if graph is None:
        return embedding, None
    shown = np.r_[shape.block("start"), shape.block("evidence")]
    fixed = np.setdiff1d(np.arange(shape.num_features), shown)
    rows = np.asarray(graph.encode(), np.float64)
    return embedding[shown], rows[:, fixed] @ embedding[fixed]


def _check_kinds(shape: GraphShape, num_rounds: int, graph: GraphRows | None) -> None:
    if not isinstance(shape, GraphShape):
        raise TypeError(
            f"shape: expected a GraphShape, such as model.graph_shape, got {type(shape).__name__}"
        )
    if not isinstance(num_rounds, Integral):
        raise TypeError(f"num_rounds: expected a whole number, got {num_rounds!r}")
    if graph is not None and not isinstance(graph, GraphRows):
        raise TypeError(f"graph: expected GraphRows, of model.rows, got {type(graph).__name__}")


def _check_form(shape: GraphShape, form: Form) -> None:
    if form not in FORMS:
        *first, last = map(repr, FORMS)
        raise ValueError(f"form: expected {', '.join(first)} or {last}, got {form!r}")
    if form in BINARY and shape.num_values > 2:
        raise ValueError(
            f"form: expected 'logsumexp' or 'softmax' for {shape.num_values} values, got {form!r}"
        )
    if form in BINARY and shape.arity > 2:
        raise ValueError(
            f"form: expected 'logsumexp' or 'softmax' for factors of {shape.arity} variables, "
            f"got {form!r}"
        )


def _check_reach(form: Form, reach: float | None) -> None:
    if reach is not None and np.isinf(REACH[form]):
        raise ValueError(f"reach: expected None with form={form!r}, got {reach}")
    if reach is not None and not 1.0 <= reach < np.inf:
        raise ValueError(f"reach: expected at least 1 and finite, got {reach}")


def _check_graph(shape: GraphShape, graph: GraphRows) -> None:
    own = graph.shape
    if own.num_slots > shape.num_slots or own.arity > shape.arity:
        raise ValueError(
            f"graph: expected at most {shape.num_slots} factors of a variable and "
            f"{shape.arity} variables of a factor, which {count_heads(shape)} heads serve, got "
            f"{own.num_slots} and {own.arity}, which need {count_heads(own)}"
        )
    if own != shape or graph.log_potentials.ndim != 2:
        raise ValueError(
            f"graph: expected one graph of {shape}, got {own} and log potentials of shape "
            f"{graph.log_potentials.shape}"
        )
