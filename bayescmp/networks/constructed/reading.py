"""Messages as they stand in the residual stream of a constructed network."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed.stream_layout import StreamLayout
from bayescmp.records import LayerTrace


def read_messages(
    shape: GraphShape, trace: LayerTrace
) -> Float[Array, "layer *sequence variable slot value"]:
    """Read what each factor has told each of its variables, after every layer.

    ``log m_f(x_v) - log m_f(0)`` for the factor in each slot of ``v``: log-odds, for binary
    variables the last of the two numbers.

    Args:
        shape: Bounds on the graphs that the network was built for.
        trace: What :func:`message_passing` of this shape computed.

    Returns:
        Log messages in nats, zero at the first value, and in slots that hold no factor.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> from bayescmp.networks.constructed.message_passing import message_passing
        >>> shape, agree = GraphShape(2, 2, num_slots=1), jnp.log(jnp.array([[4., 1.], [1., 4.]]))
        >>> seen = (jnp.zeros(2), jnp.array([-jnp.inf, 0.0]))
        >>> rows = lay_out(FactorGraph(((0, 1),), (2, 2)), shape, (agree,), seen)
        >>> trace = message_passing(shape, 1).trace_layers(rows.encode())
        >>> jnp.exp(read_messages(shape, trace)[0, 0]).round(3).tolist()
        [[1.0, 4.0]]
    """
    return _read(shape, trace, "messages")


def read_cavities(
    shape: GraphShape, trace: LayerTrace
) -> Float[Array, "layer *sequence variable slot other value"]:
    """Read what the other variables of each factor told it, in every layer.

    ``log m_{u -> f}(x_u) - log m_{u -> f}(0)``: the evidence about ``u`` and what all of its
    factors but ``f`` have told it by the layer before. It stands in the rows of the variables
    that share ``f`` with ``u``.

    Args:
        shape: Bounds on the graphs that the network was built for.
        trace: What :func:`message_passing` of this shape computed.

    Returns:
        Log messages in nats, zero at the first value, and where no variable is.
    """
    return _read(shape, trace, "cavities")


def _read(
    shape: GraphShape, trace: LayerTrace, block: Literal["messages", "cavities"]
) -> Float[Array, "layer ..."]:
    layout = StreamLayout(shape)
    features = layout.messages if block == "messages" else layout.cavities
    odds = trace.resid_post[..., 1:, features]  # the first row is the start
    return jnp.concatenate([jnp.zeros_like(odds[..., :1]), odds], axis=-1)
