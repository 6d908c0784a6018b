"""A transformer in plain NumPy, one sequence, head and position at a time, in float64.

It imports nothing that it judges: weights are read off a network's fields.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel, arXiv 1606.08415: the approximation by tanh."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def logistic(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": tanh_gelu,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x * logistic(x),
    "sigmoid": logistic,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "swiglu": lambda x: x * logistic(x),
}


def plain(tree, *index: int):
    """Read one entry of every array in float64; None stays None."""
    if tree is None:
        return None
    if isinstance(tree, tuple):
        return tuple(plain(part, *index) for part in tree)
    return np.asarray(tree, np.float64)[index]


def normalise(norm, row: np.ndarray, *index: int) -> np.ndarray:
    """Normalisation of one position: by a scale alone, by scale and bias, or none."""
    if norm is None:
        return row
    scale = plain(norm.scale, *index)
    if not hasattr(norm, "bias"):
        return row / np.sqrt(np.mean(row**2) + 1e-6) * scale
    return (row - row.mean()) / np.sqrt(row.var() + 1e-5) * scale + plain(norm.bias, *index)


def normalise_all(norm, stream: np.ndarray, *index: int) -> np.ndarray:
    """Normalise every position."""
    return np.array([normalise(norm, row, *index) for row in stream])


# ------------------------------------------------------------------ positions


def sinusoid(position: int, size: int) -> np.ndarray:
    """Sines, then cosines, of the position at falling frequencies; a last odd feature is zero."""
    half = size // 2
    angles = [position * 10_000.0 ** (-i / max(half, 1)) for i in range(half)]
    return np.array([*map(np.sin, angles), *map(np.cos, angles), *[0.0] * (size % 2)])


def rotate(vector: np.ndarray, position: int) -> np.ndarray:
    """Turn the pair of features i and i + size / 2, as one complex number."""
    half = vector.size // 2
    angles = position * 10_000.0 ** (-2.0 * np.arange(half) / vector.size)
    turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag])


# ------------------------------------------------------------------ attention


def attend(kernel: str, scores: np.ndarray) -> np.ndarray:
    """Weights of the positions that one query may see."""
    if kernel == "softmax":
        weights = np.exp(scores - scores.max())
        return weights / weights.sum()
    if kernel == "sigmoid":
        return 1.0 / (1.0 + scores.size * np.exp(-scores))
    return scores / scores.size


def project(x: np.ndarray, weight: np.ndarray, bias, num_heads: int) -> np.ndarray:
    """One product and a bias, cut into heads."""
    rows = x @ weight if bias is None else x @ weight + bias
    return np.array(np.split(rows, num_heads, axis=-1))


def attention(
    config,
    mixer,
    normed: np.ndarray,
    head_scale: np.ndarray,
    layer: int,
    places: np.ndarray | None = None,
):
    """Every head by itself; return what they write, the pattern, queries, keys, values."""
    places = np.arange(len(normed)) if places is None else places
    length, num_heads = len(normed), config.num_heads
    num_sources = config.num_source_heads or num_heads
    biases = plain(mixer.biases, layer) or (None,) * 4
    queries = project(normed, plain(mixer.query, layer), biases[0], num_heads)
    keys = project(normed, plain(mixer.key, layer), biases[1], num_sources)
    values = project(normed, plain(mixer.value, layer), biases[2], num_sources)
    if config.positions == "rotary":
        for vectors in (*queries, *keys):
            for position in range(length):
                vectors[position] = rotate(vectors[position], places[position])
    pattern = np.zeros((num_heads, length, length))
    written = np.zeros((length, num_heads, values.shape[-1]))
    for head in range(num_heads):
        source = head * num_sources // num_heads
        for position in range(length):
            first = 0 if config.window is None else max(0, position + 1 - config.window)
            seen = range(first, position + 1) if config.causal else range(length)
            scores = np.array([queries[head, position] @ keys[source, past] for past in seen])
            scores = scores / np.sqrt(queries.shape[-1])
            if config.positions == "alibi":
                slope = 2.0 ** (-8.0 * (head + 1) / num_heads)
                distances = [places[position] - places[past] for past in seen]
                distances = distances if config.causal else np.abs(distances)
                scores = scores - slope * np.array(distances)
            weights = attend(config.kernel, scores)
            pattern[head, position, list(seen)] = weights
            for weight, past in zip(weights, seen, strict=True):
                written[position, head] += head_scale[head] * weight * values[source, past]
    output = written.reshape(length, -1) @ plain(mixer.out, layer)
    return output if biases[3] is None else output + biases[3], pattern, queries, keys, values


# --------------------------------------------------------------- feed-forward


def in_groups(activation: str, hidden: np.ndarray, size: int) -> np.ndarray:
    """One group of hidden units after the other: its logarithmic sum, or the share of each."""
    written: list[float] = []
    for start in range(0, len(hidden), size):
        weights = np.exp(hidden[start : start + size])
        total = weights.sum()
        written += [np.log(total)] if activation == "logsumexp" else list(weights / total)
    return np.array(written)


def feed_forward(config, mlp, row: np.ndarray, *index: int) -> np.ndarray:
    """One feed-forward part at one position."""
    hidden = row @ plain(mlp.up, *index) + plain(mlp.up_bias, *index)
    if config.activation_group > 1:
        hidden = in_groups(config.activation, hidden, config.activation_group)
        output = hidden @ plain(mlp.down, *index)
        return output if mlp.down_bias is None else output + plain(mlp.down_bias, *index)
    activation = ACTIVATIONS[config.activation]
    gate = plain(mlp.gate, *index)
    hidden = activation(hidden) if gate is None else activation(row @ gate) * hidden
    output = hidden @ plain(mlp.down, *index)
    return output if mlp.down_bias is None else output + plain(mlp.down_bias, *index)


def route(config, mlp, row: np.ndarray, layer: int) -> np.ndarray:
    """The experts with the largest scores, weighed by a softmax among themselves."""
    scores = row @ plain(mlp.router, layer)
    chosen = np.argsort(scores)[::-1][: config.num_active_experts]
    weights = np.exp(scores[chosen]) / np.exp(scores[chosen]).sum()
    output = np.zeros_like(row)
    for expert, weight in zip(chosen, weights, strict=True):
        output += weight * feed_forward(config, mlp.experts, row, layer, expert)
    return output


def transform(config, mlp, normed: np.ndarray, layer: int) -> np.ndarray:
    """The feed-forward part of a block at every position."""
    one = feed_forward if config.num_experts == 1 else route
    return np.array([one(config, mlp, row, layer) for row in normed])


# -------------------------------------------------------------------- network


def embed(network, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
    """Look tokens up, or map vectors, and add what tells positions apart."""
    table = plain(network.embedding)
    is_tokens = np.issubdtype(inputs.dtype, np.integer)
    stream = np.array([table[token] if is_tokens else token @ table for token in inputs])
    places = np.arange(len(stream)) if places is None else places
    if network.config.embedded_positions == "sinusoidal":
        return stream + np.array([sinusoid(place, table.shape[1]) for place in places])
    if network.position_embedding is not None:
        stream = stream + plain(network.position_embedding)[places]
    return stream


def read_out(network, stream: np.ndarray) -> np.ndarray:
    """Map a residual stream to what the head reads; the logits of a finite head."""
    if network.unembedding is None:
        first = network.shape.outcome_token
        weight = plain(network.embedding)[first : first + network.shape.num_outcomes].T
    else:
        weight = plain(network.unembedding)
    outputs = normalise_all(network.final_norm, stream) @ weight
    bias = plain(network.unembedding_bias)
    return outputs if bias is None else outputs + bias


def run_block(
    network, layer: int, stream: np.ndarray, scales: SimpleNamespace, places: np.ndarray
) -> dict:
    """One block, its two parts scaled; ``layer`` names the weights."""
    config, blocks = network.config, network.blocks
    before = config.norm_place == "pre"
    seen = normalise_all(blocks.mixer_norm, stream, layer) if before else stream
    written, *views = attention(config, blocks.mixer, seen, scales.head, layer, places)
    middle = stream + scales.mixer * written
    if not before:
        middle = normalise_all(blocks.mixer_norm, middle, layer)
    added, after = np.zeros_like(stream), middle
    if blocks.mlp is not None:
        seen = normalise_all(blocks.mlp_norm, middle, layer) if before else middle
        added = scales.mlp * transform(config, blocks.mlp, seen, layer)
        after = middle + added
        if not before:
            after = normalise_all(blocks.mlp_norm, after, layer)
    return {
        "resid_pre": stream,
        "mixer_out": scales.mixer * written,
        "resid_mid": middle,
        "mlp_out": added,
        "resid_post": after,
        **dict(zip(("attn_pattern", "queries", "keys", "values"), views, strict=True)),
    }


def trace(
    network,
    inputs: np.ndarray,
    head_scale: np.ndarray | None = None,
    mixer_scale: np.ndarray | None = None,
    mlp_scale: np.ndarray | None = None,
    places: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Everything that a transformer computes on one sequence, by name, layer axis first."""
    config = network.config
    depth = config.num_layers * config.num_loops
    heads = np.ones((depth, config.num_heads)) if head_scale is None else head_scale
    mixers = np.ones(depth) if mixer_scale is None else mixer_scale
    mlps = np.ones(depth) if mlp_scale is None else mlp_scale
    places = np.arange(len(inputs)) if places is None else places
    stream = embed(network, inputs, places)
    rows: list[dict[str, np.ndarray]] = []
    for layer in range(depth):
        scales = SimpleNamespace(head=heads[layer], mixer=mixers[layer], mlp=mlps[layer])
        rows.append(run_block(network, layer % config.num_layers, stream, scales, places))
        stream = rows[-1]["resid_post"]
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"logits": read_out(network, stream)}
