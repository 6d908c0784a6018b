"""Gradients by what attention computes on its way, taken by adding zeros to it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs
from bayescmp.layers.attention_gradients import (
    HeadVectors,
    Pattern,
    SourceVectors,
    gather,
    score_gradient,
    share,
    value_gradient,
)
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.kernels import weigh
from bayescmp.networks.parts.mixer import (
    AbstractMixer,
    AttentionView,
    Heads,
    HeadScale,
    MixerResult,
    Stream,
    scale_heads,
)
from bayescmp.networks.parts.positions import distance_bias, rotate
from bayescmp.networks.residual import AbstractResidualNetwork

Loss = Callable[[AbstractResidualNetwork], Float[Array, ""]]


class Offsets(NamedTuple):
    """Numbers that are added inside attention, and gradients by them; the layer axis is first."""

    scores: Pattern
    """Added to scores, before the softmax."""
    values: SourceVectors
    """Added to values."""
    heads: HeadVectors
    """Added to what each head has mixed, before its output projection."""


def score(
    attention: Attention, queries: HeadVectors, keys: SourceVectors
) -> Float[Array, "*rows head input_position source_position"]:
    """Return attention scores, before any mask.

    Args:
        attention: Attention.
        queries: Queries, after any rotation.
        keys: Keys, after any rotation.

    Returns:
        ``q_i . k_j / sqrt(head_size)``, plus the bias on distances where there is one.
    """
    length, head_size = queries.shape[-2:]
    shared = share(keys, attention.num_heads)
    scores = queries @ jnp.swapaxes(shared, -1, -2) / head_size**0.5
    if attention.positions == "alibi":
        bias = distance_bias(attention.num_heads, length, both_ways=not attention.causal)
        scores = scores + bias.astype(scores.dtype)
    return scores


def why_no_advantage(network: AbstractTracedNetwork) -> str:
    """Say why there is no advantage in a network's attention.

    Args:
        network: Network.

    Returns:
        The reason in a few words; empty where every block attends by a softmax.

    Example:
        >>> from bayescmp.layers.attention_offsets import why_no_advantage
        >>> model = bc.models.Bijection(3)
        >>> why_no_advantage(bc.build_network(bc.networks.GRUConfig(), model,
        ...                                   key=jax.random.key(0)))
        'nothing attends in a GRU'
    """
    mixer = network.blocks.mixer if isinstance(network, AbstractResidualNetwork) else None
    if not isinstance(mixer, Attention):
        return f"nothing attends in a {type(network).__name__}"
    if mixer.kernel != "softmax":
        return f"weights of kernel={mixer.kernel!r} are no probabilities, and have no mean payoff"
    return ""


def unroll(network: AbstractTracedNetwork) -> AbstractResidualNetwork:
    """Write a network's loops out as blocks of their own, with the same answers.

    Args:
        network: Network that attends.

    Returns:
        The network with ``num_loops = 1``.

    Raises:
        ValueError: If there is no advantage in its attention.

    Example:
        >>> from bayescmp.layers.attention_offsets import unroll
        >>> looped = bc.TransformerConfig(num_layers=1, num_loops=3)
        >>> network = bc.Transformer.for_model(bc.models.Bijection(3), looped,
        ...                                    key=jax.random.key(0))
        >>> unroll(network).blocks.mixer.query.shape
        (3, 64, 64)
    """
    reason = why_no_advantage(network)
    if reason or not isinstance(network, AbstractResidualNetwork):
        raise ValueError(f"network: expected attention by a softmax, got none: {reason}")
    config, times = network.config, network.config.num_loops
    if times == 1:
        return network
    arrays, static = eqx.partition(network.blocks, eqx.is_array)
    blocks = eqx.combine(jax.tree.map(lambda x: jnp.concatenate([x] * times), arrays), static)
    flat = replace(config, num_layers=config.depth, num_loops=1)
    shapes = eqx.filter_eval_shape(flat.build, network.shape, key=jax.random.key(0))
    leaves = jax.tree.leaves(eqx.tree_at(lambda n: n.blocks, network, blocks))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


class OffsetAttention(AbstractMixer):
    """Attention with numbers added on its way, so that a loss can be differentiated by them."""

    attention: Attention
    offsets: Offsets

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Attend as the attention does, with the offsets added."""
        attention = self.attention
        queries, keys, values = attention.project(x)
        if attention.positions == "rotary":
            queries, keys = rotate(queries), rotate(keys)
        values = values + self.offsets.values
        scores = score(attention, queries, keys) + self.offsets.scores
        pattern = weigh(attention.kernel, scores, attention.mask(x.shape[-2]))
        heads = pattern @ share(values, attention.num_heads) + self.offsets.heads
        mixed = scale_heads(heads, head_scale, instead)
        output = dense(jnp.moveaxis(mixed, -3, -2).reshape(*x.shape[:-1], -1), attention.out)
        if attention.biases is not None:
            output = output + attention.biases[3]
        return MixerResult(output, AttentionView(pattern, queries, keys, values))


class AttentionGradients(eqx.Module):
    """What every head computes on some sequences, and gradients of a loss inside it."""

    pattern: Pattern
    values: SourceVectors
    gradients: Offsets
    """By automatic differentiation."""

    @property
    def scores(self) -> Pattern:
        """Gradient by the scores, by the first identity."""
        values = share(self.values, self.pattern.shape[-3])
        return score_gradient(self.pattern, values, self.gradients.heads)

    @property
    def responsibility(self) -> SourceVectors:
        """Gradient by the values, by the second identity."""
        heads = value_gradient(self.pattern, self.gradients.heads)
        return gather(heads, self.values.shape[-3])

    @property
    def errors(self) -> tuple[Float[Array, " layer"], Float[Array, " layer"]]:
        """Largest difference of each identity from automatic differentiation, by block.

        In units of the largest gradient of the block.
        """
        pairs = (self.scores, self.gradients.scores), (self.responsibility, self.gradients.values)

        def largest(x: Array) -> Float[Array, " layer"]:
            return jnp.max(jnp.abs(x), axis=tuple(range(1, x.ndim)))

        first, second = (largest(one - other) / largest(other) for one, other in pairs)
        return first, second


def differentiate(
    network: AbstractResidualNetwork, inputs: Inputs, loss: Loss
) -> AttentionGradients:
    """Differentiate a loss by scores, values and what heads have mixed, in every block.

    Args:
        network: Network without loops; see :func:`unroll`.
        inputs: Inputs of some sequences.
        loss: From a network to a loss in nats, summed over these sequences.

    Returns:
        What the heads compute, and the gradients; those of a sequence are those of its loss.
    """
    trace = network.trace_layers(inputs)
    pattern, values, attention = trace.attn_pattern, trace.values, network.blocks.mixer
    if not isinstance(attention, Attention) or pattern is None or values is None:
        raise ValueError("network: expected one that attends, got one without attention weights")
    heads = jnp.zeros_like(share(values, pattern.shape[-3]))
    nothing = Offsets(jnp.zeros_like(pattern), jnp.zeros_like(values), heads)

    def shifted(offsets: Offsets) -> Float[Array, ""]:
        mixer = OffsetAttention(attention, offsets)
        return loss(eqx.tree_at(lambda n: n.blocks.mixer, network, mixer))

    return AttentionGradients(pattern, values, jax.grad(shifted)(nothing))
