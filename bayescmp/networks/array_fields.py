"""Where the arrays that TransformerLens names stand in a transformer of ours."""

from typing import Any

import numpy as np

from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.parts.norms import LayerNorm, Norm
from bayescmp.networks.transformer import Transformer

Leaf = Any
"""An array, the shape of one, or what stands for one while a tree is edited."""


def fields_by_name(network: Transformer) -> dict[str, Leaf]:
    """Return a transformer's arrays by their names elsewhere.

    Args:
        network: Transformer, or the shapes of one.

    Returns:
        Those arrays that it has; the names of blocks are without a number, and their arrays
        have the layer axis in front.
    """
    blocks = network.blocks
    fields: dict[str, Leaf] = {
        "embed.W_E": network.embedding,
        "pos_embed.W_pos": network.position_embedding,
        **_norm("ln_final", network.final_norm),
        "unembed.W_U": network.unembedding,
        "unembed.b_U": network.unembedding_bias,
        **_norm("ln1", blocks.mixer_norm),
    }
    if isinstance(blocks.mixer, Attention):
        fields |= _attention(blocks.mixer)
    if isinstance(blocks.mlp, FeedForward):
        fields |= _norm("ln2", blocks.mlp_norm) | _feed_forward(blocks.mlp)
    return {name: array for name, array in fields.items() if array is not None}


def join_heads(name: str, array: np.ndarray) -> np.ndarray:
    """Put side by side what is kept head by head elsewhere.

    Args:
        name: Name within a block.
        array: Array of that name, of one block.

    Returns:
        The array as our attention keeps it.
    """
    if name in ("attn.W_Q", "attn.W_K", "attn.W_V"):
        return np.moveaxis(array, 0, 1).reshape(array.shape[1], -1)
    if name == "attn.W_O":
        return array.reshape(-1, array.shape[-1])
    return array.reshape(-1) if name in ("attn.b_Q", "attn.b_K", "attn.b_V") else array


def split_heads(name: str, array: np.ndarray, num_heads: int) -> np.ndarray:
    """Undo :func:`join_heads`.

    Args:
        name: Name within a block.
        array: Array as our attention keeps it, of one block.
        num_heads: Number of heads, or of those that have keys and values.

    Returns:
        The array of that name.
    """
    if name in ("attn.W_Q", "attn.W_K", "attn.W_V"):
        return np.moveaxis(array.reshape(array.shape[0], num_heads, -1), 1, 0)
    if name == "attn.W_O":
        return array.reshape(num_heads, -1, array.shape[-1])
    return array.reshape(num_heads, -1) if name in ("attn.b_Q", "attn.b_K", "attn.b_V") else array


def _norm(name: str, norm: Norm | None) -> dict[str, Leaf]:
    return {f"{name}.w": norm.scale, f"{name}.b": norm.bias} if isinstance(norm, LayerNorm) else {}


def _attention(mixer: Attention) -> dict[str, Leaf]:
    weights = (mixer.query, mixer.key, mixer.value, mixer.out)
    biases = mixer.biases or (None, None, None, None)
    return {
        **{f"attn.W_{part}": array for part, array in zip("QKVO", weights, strict=True)},
        **{f"attn.b_{part}": array for part, array in zip("QKVO", biases, strict=True)},
    }


def _feed_forward(mlp: FeedForward) -> dict[str, Leaf]:
    return {
        "mlp.W_in": mlp.up,
        "mlp.b_in": mlp.up_bias,
        "mlp.W_out": mlp.down,
        "mlp.b_out": mlp.down_bias,
    }
