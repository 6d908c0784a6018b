"""Many interventions on one network at once, and how far its answers then are from given laws.

An intervention is a row of numbers that say where it acts and along which directions; what
stands there in place of the network's own activations is prepared beforehand. All of them
are one compiled call.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp._types import Inputs
from bayescmp.layers.streams import all_streams
from bayescmp.networks.interventions import Interventions, Replacement
from bayescmp.networks.network import Positions
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.records import LayerTrace

Gathered = Float[Array, "layer *sequence head input_position head_feature"]
LogLaws = Float[Array, "law sequence position outcome"]
Divergences = Float[Array, "intervention law sequence position"]

MOST_AT_ONCE = 256
"""Sequences, times interventions, that are computed side by side: as many as stay in a cache."""


def head_outputs(trace: LayerTrace) -> Gathered | None:
    """Return what each head gathers, before the output projection: its weights times values.

    Args:
        trace: What a network computed.

    Returns:
        One vector for each head and input position; None where nothing attends.

    Example:
        >>> model = bc.models.Bijection(size=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> from bayescmp.layers.interventions import head_outputs
        >>> head_outputs(network.trace_layers(jnp.array([0, 5, 1]))).shape
        (3, 4, 3, 16)
    """
    if trace.attn_pattern is None or trace.values is None:
        return None
    times = trace.attn_pattern.shape[-3] // trace.values.shape[-3]
    values = trace.values if times == 1 else jnp.repeat(trace.values, times, axis=-3)
    return trace.attn_pattern @ values


@eqx.filter_jit
def read_activations(network: AbstractResidualNetwork, inputs: Inputs) -> Replacement:
    """Return what every part of a network computes, ready to be put into another run.

    Args:
        network: Network.
        inputs: Sequences.

    Returns:
        Outputs of heads, mixers and feed-forward parts, and the residual stream.
    """
    trace = network.trace_layers(inputs)
    return Replacement(head_outputs(trace), trace.mixer_out, trace.mlp_out, all_streams(trace))


class PartChanges(eqx.Module):
    """What is replaced in one block, one row for each intervention.

    The part's output ``z`` becomes ``z + (r - z) M``: the identity for ``M`` replaces it whole,
    a projection along some directions only, and a rotation makes a change of the same size
    in another direction.
    """

    layer: Int[Array, " intervention"]
    acts: Float[Array, "intervention 3"]
    """One where heads, mixer and feed-forward part are changed, zero elsewhere."""
    way: Int[Array, " intervention"]
    """What stands in: a row of the replacements."""
    head_map: Int[Array, " intervention"]
    """``M`` on the heads' outputs side by side: a row of their maps."""
    stream_map: Int[Array, " intervention"]
    """``M`` on what mixer and feed-forward part add."""


class PartContext(eqx.Module):
    """What changes of parts are made of."""

    clean: Replacement
    """What the network computes by itself."""
    instead: Replacement
    """What may stand in its place, with the axis of ways in front."""
    head_maps: Float[Array, "head_map gathered gathered"]
    stream_maps: Float[Array, "stream_map feature feature"]


def change_parts(
    network: AbstractResidualNetwork, item: PartChanges, context: PartContext
) -> Interventions:
    """Return one intervention on the parts of a block.

    Args:
        network: Network.
        item: One row.
        context: What it is made of.

    Returns:
        The intervention, for all sequences of the context.
    """
    clean, instead, layer = context.clean, context.instead, item.layer
    plain = network.no_interventions
    here = jax.nn.one_hot(layer, plain.mixer_scale.size)
    scales = 1.0 - here[:, None] * item.acts

    def moved(own: Array | None, other: Array | None, turn: Callable[[Array], Array]):
        if own is None or other is None:
            return None
        new = own[layer] + turn(other[item.way, layer] - own[layer])
        return jnp.broadcast_to(new, own.shape)

    def turn_heads(change: Array) -> Array:
        joined = jnp.moveaxis(change, -3, -2)
        flat = joined.reshape(*joined.shape[:-2], -1) @ context.head_maps[item.head_map]
        return jnp.moveaxis(flat.reshape(joined.shape), -2, -3)

    def turn_rows(change: Array) -> Array:
        return change @ context.stream_maps[item.stream_map]

    return Interventions(
        head_scale=jnp.broadcast_to(scales[:, :1], plain.head_scale.shape),
        mixer_scale=scales[:, 1],
        mlp_scale=scales[:, 2],
        replacement=Replacement(
            heads=moved(clean.heads, instead.heads, turn_heads),
            mixer_out=moved(clean.mixer_out, instead.mixer_out, turn_rows),
            mlp_out=moved(clean.mlp_out, instead.mlp_out, turn_rows),
        ),
    )


class StreamShifts(eqx.Module):
    """What is added to the residual stream at one place, one row for each intervention."""

    place: Int[Array, " intervention"]
    kind: Int[Array, " intervention"]
    """Which way: a row of the displacements."""
    map: Int[Array, " intervention"]
    """Along which directions: a row of the maps."""
    factor: Float[Array, " intervention"]


class StreamContext(eqx.Module):
    """What shifts of the residual stream are made of."""

    displacements: Float[Array, "kind stream sequence input_position feature"]
    """From the network's own stream to another one; zero where nothing is to change."""
    maps: Float[Array, "map feature feature"]


def shift_stream(
    network: AbstractResidualNetwork, item: StreamShifts, context: StreamContext
) -> Interventions:
    """Return one intervention on the residual stream: ``factor * displacement @ map`` is added.

    Args:
        network: Network.
        item: One row.
        context: What it is made of.

    Returns:
        The intervention, for all sequences of the context.
    """
    change = context.displacements[item.kind, item.place] @ context.maps[item.map]
    here = jax.nn.one_hot(item.place, context.displacements.shape[1])
    plain = network.no_interventions
    shift = item.factor * here[:, None, None, None] * change
    return eqx.tree_at(lambda i: i.shift, plain, shift, is_leaf=lambda leaf: leaf is None)


Build = Callable[[AbstractResidualNetwork, Any, Any], Interventions]


@eqx.filter_jit
def divergences_after(
    network: AbstractResidualNetwork,
    inputs: Inputs,
    asked: Positions,
    log_laws: LogLaws,
    build: Build,
    items: PartChanges | StreamShifts,
    context: PartContext | StreamContext,
) -> Divergences:
    """Return ``KL(law || answer)`` for the network's answers under each of many interventions.

    Args:
        network: Network.
        inputs: Sequences.
        asked: Input positions where questions are answered.
        log_laws: Log probabilities that answers are held against, in nats.
        build: How a row becomes an intervention: :func:`change_parts` or :func:`shift_stream`.
        items: One row for each intervention.
        context: What interventions on these sequences are made of.

    Returns:
        Divergences in nats.
    """
    laws = jnp.exp(log_laws)

    def one(item: PartChanges | StreamShifts) -> Float[Array, "law sequence position"]:
        logits = network(inputs, build(network, item, context))[:, asked]
        gaps = log_laws - jax.nn.log_softmax(logits, axis=-1)
        return jnp.sum(jnp.where(laws > 0, laws * gaps, 0.0), axis=-1)

    at_once = max(1, MOST_AT_ONCE // inputs.shape[0])
    return jax.lax.map(one, items, batch_size=at_once)
