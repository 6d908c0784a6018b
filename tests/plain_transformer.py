"""A transformer in plain NumPy, from arrays by the names of TransformerLens.

In float64, one head and one position at a time, and with nothing of what it judges.
"""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def run(weights: Arrays, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Return all that a network with ReLU computes on one sequence of its own tokens.

    Names are those of ``LayerTrace``; ``lens`` holds the log probabilities that each place in
    the residual stream gives, the embedding first, then after each attention and each MLP.
    """
    w = {name: np.asarray(values, np.float64) for name, values in weights.items()}
    stream = np.array([w["embed.W_E"][t] + w["pos_embed.W_pos"][i] for i, t in enumerate(tokens)])
    fields: dict[str, list] = {"streams": [stream]}
    block = 0
    while f"blocks.{block}.ln1.w" in w:
        found = run_block(w, f"blocks.{block}", stream)
        stream = found["resid_post"]
        fields["streams"] += [found["resid_mid"], stream]
        for name, values in found.items():
            fields.setdefault(name, []).append(values)
        block += 1
    fields["lens"] = [log_softmax(read_out(w, place)) for place in fields["streams"]]
    return {name: np.array(values) for name, values in fields.items()} | {
        "logits": read_out(w, stream)
    }


def run_block(w: Arrays, name: str, stream: np.ndarray) -> dict[str, np.ndarray]:
    """Return all that one block computes."""
    found = attend(w, f"{name}.attn", layer_norm(w, f"{name}.ln1", stream))
    middle = stream + found["mixer_out"]
    mlp_out = np.zeros_like(middle)
    if f"{name}.mlp.W_in" in w:
        mlp_out = feed_forward(w, f"{name}.mlp", layer_norm(w, f"{name}.ln2", middle))
    streams = {"resid_pre": stream, "resid_mid": middle, "resid_post": middle + mlp_out}
    return {**found, **streams, "mlp_out": mlp_out}


def attend(w: Arrays, name: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return queries, keys, values, weights and the output of all heads."""
    num_heads, num_sources = len(w[f"{name}.W_Q"]), len(w[f"{name}.W_K"])
    queries, keys, values = (
        np.array([x @ weight + bias for weight, bias in zip(*pair, strict=True)])
        for pair in ((w[f"{name}.W_{part}"], w[f"{name}.b_{part}"]) for part in "QKV")
    )
    pattern = np.zeros((num_heads, len(x), len(x)))
    output = np.tile(w[f"{name}.b_O"], (len(x), 1))
    for head in range(num_heads):
        source = head * num_sources // num_heads
        for place in range(len(x)):
            scores = keys[source, : place + 1] @ queries[head, place]
            weights = np.exp(log_softmax(scores / np.sqrt(queries.shape[-1])))
            pattern[head, place, : place + 1] = weights
            mixed = weights @ values[source, : place + 1]
            output[place] += mixed @ w[f"{name}.W_O"][head]
    return {
        "queries": queries,
        "keys": keys,
        "values": values,
        "attn_pattern": pattern,
        "mixer_out": output,
    }


def feed_forward(w: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    """Return what the feed-forward part adds at each position."""
    hidden = [np.maximum(row @ w[f"{name}.W_in"] + w[f"{name}.b_in"], 0.0) for row in x]
    return np.array([row @ w[f"{name}.W_out"] + w[f"{name}.b_out"] for row in hidden])


def layer_norm(w: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    """Normalise each position."""
    rows = [(row - row.mean()) / np.sqrt(row.var() + 1e-5) for row in x]
    return np.array(rows) * w[f"{name}.w"] + w[f"{name}.b"]


def read_out(w: Arrays, x: np.ndarray) -> np.ndarray:
    """Return logits at each position of a residual stream."""
    return layer_norm(w, "ln_final", x) @ w["unembed.W_U"] + w["unembed.b_U"]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Normalise rows of logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
