"""The published construction of belief propagation, as weights that run, and its repairs."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed.message_passing import message_passing
from bayescmp.networks.constructed.published_tokens import (
    REPAIRS,
    Repair,
    TokenLayout,
    check_binary_pairs,
    encode_tokens,
    num_heads_for,
    num_tokens_for,
)
from bayescmp.networks.constructed.published_weights import address, read, squash, sum_up
from bayescmp.networks.constructed.stream_layout import StreamLayout
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import Transformer, TransformerConfig
from bayescmp.records import LayerTrace


class PublishedConstruction(eqx.Module):
    """One stage between the construction as published and one that is exact on trees.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> from bayescmp.networks.constructed.published import published_construction
        >>> shape, pair = GraphShape(2, 2, num_slots=1), FactorGraph(((0, 1),), (2, 2))
        >>> tables = (jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.1]])),)
        >>> rows = lay_out(pair, shape, tables, (jnp.zeros(2), jnp.zeros(2)))
        >>> published_construction(shape, 2).beliefs(rows)[-1].round(2)  # exact: 0.17 for both
        Array([0.83, 0.83], dtype=float32)
    """

    network: Transformer
    shape: GraphShape = eqx.field(static=True)
    repairs: tuple[Repair, ...] = eqx.field(static=True)
    """What has been mended, in the order of ``REPAIRS``."""

    @property
    def has_tables(self) -> bool:
        """Whether factors answer by their tables, in slots of the variables' own tokens."""
        return "tables" in self.repairs

    @property
    def layers_per_round(self) -> int:
        """Layers in which news goes from a variable to the next one.

        Two where factors are tokens of their own.
        """
        return 1 if self.has_tables else 2

    def encode(self, rows: GraphRows) -> Float[Array, "token coordinate"]:
        """Write a graph as this stage reads it.

        Args:
            rows: One graph.

        Returns:
            The inputs of the network.
        """
        return rows.encode() if self.has_tables else encode_tokens(rows, self.repairs)

    def trace(self, rows: GraphRows) -> LayerTrace:
        """Run the network on a graph.

        Args:
            rows: One graph.

        Returns:
            Everything it computes.
        """
        return self.network.trace_layers(self.encode(rows))

    def beliefs(self, rows: GraphRows) -> Float[Array, "layer variable"]:
        """Return what the stream says of every variable after each layer, from none on.

        Args:
            rows: One graph.

        Returns:
            Probability of value 1, as far as the coordinate of the belief holds one.
        """
        return self.read_beliefs(self.trace(rows))

    def read_beliefs(self, trace: LayerTrace) -> Float[Array, "layer variable"]:
        """Read the same off a trace.

        Args:
            trace: What the network computed on one graph.

        Returns:
            Probability of value 1 after each layer, from none on.
        """
        streams = jnp.concatenate([trace.resid_pre[:1], trace.resid_post])
        streams = streams[:, 1 : 1 + self.shape.num_variables]
        if self.has_tables:
            return jax.nn.softmax(self.network.read_out(streams))[..., 1]
        belief = streams[..., TokenLayout(num_heads_for(self.shape)).belief]
        return jax.nn.sigmoid(belief) if "log odds" in self.repairs else belief


def published_construction(
    shape: GraphShape, num_layers: int, repairs: tuple[Repair, ...] = ()
) -> PublishedConstruction:
    """Write down the weights of the published construction, mended as far as is asked.

    Head ``k`` has query = key = projection onto the coordinate of neighbour ``k``'s number, and
    copies a belief to scratch ``k``; the feed-forward part writes ``sigmoid(w0 m0 + w1 m1 + b)``
    of the scratch numbers to the belief, with ``w0 = w1 = 1`` and ``b = 0``. All layers have the
    same weights. A residual network adds to what stands there, where the published feed-forward
    part replaces it: further hidden units take away the old belief and the scratch numbers.

    Args:
        shape: Bounds on the graphs: binary variables, factors of two. With two slots there are
            two heads and tokens are eight wide, as published; more slots need more heads.
        num_layers: Layers.
        repairs: The first few of ``REPAIRS``.

    Returns:
        The stage.

    Raises:
        ValueError: If the shape is another one, there is no layer, or a repair is asked for
            without those before it.

    Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063.
    """
    check_binary_pairs(shape)
    if num_layers < 1:
        raise ValueError(f"num_layers: expected at least 1, got {num_layers}")
    if repairs != REPAIRS[: len(repairs)]:
        raise ValueError(f"repairs: expected the first few of {REPAIRS}, got {repairs}")
    if "tables" in repairs:
        network = message_passing(shape, num_layers, form="softplus", shared=True)
        network = network if "cavity" in repairs else _echo(network, shape)
    else:
        network = _build(shape, num_layers, repairs)
    return PublishedConstruction(network, shape, repairs)


def _build(shape: GraphShape, num_layers: int, repairs: tuple[Repair, ...]) -> Transformer:
    layout = TokenLayout(num_heads_for(shape))
    feed_forward = sum_up(layout) if "log odds" in repairs else squash(layout)
    config = TransformerConfig(
        num_layers=1,
        num_loops=num_layers,
        num_heads=layout.num_heads,
        features_per_head=2,
        model_size=layout.width,
        mlp_size=feed_forward.up.shape[1],
        activation="relu" if "log odds" in repairs else "sigmoid",
        norm="none",
        positions="none",
        causal=False,
        bias=True,
    )
    task = TaskShape(layout.width, 2, num_tokens_for(shape), shows_all_first=True)
    like = eqx.filter_eval_shape(Transformer, config, task, key=jax.random.key(0))
    weights = [
        np.eye(layout.width),
        *address(layout, matching="addressing" in repairs),
        *(part[None] for part in feed_forward),
        *read(layout, "log odds" in repairs),
    ]
    return eqx.tree_at(_places, like, [jnp.asarray(x, jnp.result_type(float)) for x in weights])


def _echo(network: Transformer, shape: GraphShape) -> Transformer:
    """Let heads gather whole beliefs: the message that each of them leaves out is added again."""
    mixer: Any = network.blocks.mixer
    layout, value, heads = StreamLayout(shape), mixer.value, mixer.num_heads
    by_head = np.array(value).reshape(*value.shape[:2], heads, -1)
    for head, (*_, back) in enumerate(np.ndindex(shape.num_slots, 1, shape.num_slots)):
        by_head[0, layout.messages[back], head, 0] = 1.0
    whole = jnp.asarray(by_head.reshape(value.shape), value.dtype)
    return eqx.tree_at(_values, network, whole)


def _values(network: Transformer) -> Any:
    mixer: Any = network.blocks.mixer
    return mixer.value


def _places(network: Transformer) -> list[Any]:
    """List the arrays of a transformer in the order in which they are written down."""
    mixer: Any = network.blocks.mixer
    mlp: Any = network.blocks.mlp
    return [
        network.embedding,
        mixer.query,
        mixer.key,
        mixer.value,
        mixer.out,
        *mixer.biases,
        mlp.up,
        mlp.up_bias,
        mlp.down,
        mlp.down_bias,
        network.unembedding,
        network.unembedding_bias,
    ]
