"""Blocks of one shape, kept as one block whose arrays have the layer axis in front."""

import equinox as eqx
import jax

from bayescmp._types import Key
from bayescmp.networks.config import AbstractResidualConfig
from bayescmp.networks.parts.block import Block
from bayescmp.networks.parts.experts import Experts
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.parts.norms import make_norm


def make_stack(config: AbstractResidualConfig, *, key: Key) -> Block:
    """Draw the weights of all different blocks of a network.

    Args:
        config: Shape of the network.
        key: Typed key.

    Returns:
        The blocks; every array has the layer axis in front.
    """
    keys = jax.random.split(key, config.num_layers)
    return eqx.filter_vmap(lambda key: _make_block(config, key=key))(keys)


def pick_block(stack: Block, number: int) -> Block:
    """Return one block of a stack.

    Args:
        stack: Blocks.
        number: Which one, from zero.

    Returns:
        The block, without the layer axis.
    """
    arrays, static = eqx.partition(stack, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[number], arrays), static)


def _make_block(config: AbstractResidualConfig, *, key: Key) -> Block:
    key_mixer, key_mlp = jax.random.split(key)
    mixer = config.make_mixer(key=key_mixer)
    return Block(
        mixer_norm=None if mixer is None else make_norm(config.norm, config.model_size),
        mixer=mixer,
        mlp_norm=make_norm(config.norm, config.model_size) if config.mlp_size else None,
        mlp=_make_feed_forward(config, key=key_mlp) if config.mlp_size else None,
        norm_place=config.norm_place,
    )


def _make_feed_forward(config: AbstractResidualConfig, *, key: Key) -> FeedForward | Experts:
    if config.num_experts == 1:
        return FeedForward(
            config.model_size,
            config.mlp_size,
            activation=config.activation,
            bias=config.bias,
            out_scale=config.out_scale,
            key=key,
            group=config.activation_group,
        )
    return Experts(
        config.model_size,
        config.mlp_size,
        num_experts=config.num_experts,
        num_active=config.num_active_experts,
        activation=config.activation,
        bias=config.bias,
        out_scale=config.out_scale,
        key=key,
        group=config.activation_group,
    )
