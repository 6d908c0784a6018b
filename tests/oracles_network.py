"""A transformer in plain NumPy, one sequence, head and position at a time, in float64.

It imports nothing that it judges: weights are read off a network's fields.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel, arXiv 1606.08415: the approximation by tanh."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": tanh_gelu,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
}


def normalise(row: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """RMS normalisation of one position."""
    return row / np.sqrt(np.mean(row**2) + 1e-6) * scale


def rotate(vector: np.ndarray, position: int) -> np.ndarray:
    """Turn the pair of features i and i + size / 2, as one complex number."""
    half = vector.size // 2
    angles = position * 10_000.0 ** (-2.0 * np.arange(half) / vector.size)
    turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag])


def attend(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Weights of one query over the keys of its past."""
    scores = np.array([query @ key for key in keys]) / np.sqrt(query.size)
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def attention(block: SimpleNamespace, stream: np.ndarray, head_scale: np.ndarray):
    """Every head by itself; return what they write, the pattern, queries, keys, values."""
    length, num_heads = len(stream), head_scale.size
    normed = np.array([normalise(row, block.attn_norm) for row in stream])
    heads = [np.array_split(normed @ block.qkv[part], num_heads, axis=-1) for part in range(3)]
    queries, keys, values = (np.array(part) for part in heads)
    if block.rotary:
        for vectors in (queries, keys):
            for head in range(num_heads):
                for position in range(length):
                    vectors[head, position] = rotate(vectors[head, position], position)
    pattern = np.zeros((num_heads, length, length))
    written = np.zeros((length, num_heads, values.shape[-1]))
    for head in range(num_heads):
        for position in range(length):
            past = slice(0, position + 1)
            weights = attend(queries[head, position], keys[head, past])
            pattern[head, position, past] = weights
            written[position, head] = head_scale[head] * (weights @ values[head, past])
    return written.reshape(length, -1) @ block.out, pattern, queries, keys, values


def block_weights(network, layer: int) -> SimpleNamespace:
    """Read one block's weights in float64."""

    def read(array) -> np.ndarray:
        return np.asarray(array[layer], np.float64)

    blocks = network.blocks
    return SimpleNamespace(
        attn_norm=read(blocks.attn_norm.scale),
        qkv=read(blocks.attention.qkv),
        out=read(blocks.attention.out),
        mlp_norm=read(blocks.mlp_norm.scale),
        up=read(blocks.mlp.up),
        up_bias=read(blocks.mlp.up_bias),
        down=read(blocks.mlp.down),
        rotary=network.config.positions == "rotary",
    )


def embed(network, inputs: np.ndarray) -> np.ndarray:
    """Look tokens up, or map vectors, and add learned positions."""
    table = np.asarray(network.embedding, np.float64)
    is_tokens = np.issubdtype(inputs.dtype, np.integer)
    stream = np.array([table[token] if is_tokens else token @ table for token in inputs])
    if network.position_embedding is not None:
        stream = stream + np.asarray(network.position_embedding, np.float64)[: len(stream)]
    return stream


def read_out(network, stream: np.ndarray) -> np.ndarray:
    """Map a residual stream to logits."""
    scale = np.asarray(network.final_norm.scale, np.float64)
    if network.unembedding is None:
        first, last = network.outcome_tokens
        weight = np.asarray(network.embedding, np.float64)[first:last].T
    else:
        weight = np.asarray(network.unembedding, np.float64)
    return np.array([normalise(row, scale) @ weight for row in stream])


def trace(
    network,
    inputs: np.ndarray,
    head_scale: np.ndarray | None = None,
    attn_scale: np.ndarray | None = None,
    mlp_scale: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Everything that a transformer computes on one sequence, by name, layer axis first."""
    config = network.config
    layers = range(config.num_layers)
    heads = np.ones((config.num_layers, config.num_heads)) if head_scale is None else head_scale
    attns = np.ones(config.num_layers) if attn_scale is None else attn_scale
    mlps = np.ones(config.num_layers) if mlp_scale is None else mlp_scale
    activation = ACTIVATIONS[config.activation]
    stream = embed(network, inputs)
    rows: list[dict[str, np.ndarray]] = []
    for layer in layers:
        block = block_weights(network, layer)
        written, pattern, queries, keys, values = attention(block, stream, heads[layer])
        middle = stream + attns[layer] * written
        normed = np.array([normalise(row, block.mlp_norm) for row in middle])
        mlp_out = mlps[layer] * (activation(normed @ block.up + block.up_bias) @ block.down)
        rows.append(
            {
                "resid_pre": stream,
                "attn_out": attns[layer] * written,
                "resid_mid": middle,
                "mlp_out": mlp_out,
                "resid_post": middle + mlp_out,
                "attn_pattern": pattern,
                "queries": queries,
                "keys": keys,
                "values": values,
            }
        )
        stream = middle + mlp_out
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"logits": read_out(network, stream)}
