"""A transformer that others trained on Mess3, read from ``data/mess3_transformer.npz``.

Its array names follow TransformerLens. It reads up to ten tokens and no start token; token
``t`` is answered by what follows it.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

WEIGHTS = Path(__file__).parent / "data" / "mess3_transformer.npz"
NUM_TOKENS, CONTEXT, NUM_LAYERS = 3, 10, 4
EPSILON = 1e-5
"""What LayerNorm adds to the variance."""


class Mess3Network(eqx.Module):
    """The network as a predictor of ``Mess3``, whose inputs begin with a start token.

    Inputs are ``[start, y_0, y_1, ..]`` with tokens counted from one. The first question
    follows nothing that this network knows, and is answered uniformly.
    """

    weights: dict[str, Array]

    def __call__(
        self, inputs: Int[Array, " input_position"]
    ) -> Float[Array, "input_position outcome"]:
        logits = self.logits(inputs[1:] - 1)
        return jnp.concatenate([jnp.zeros((1, NUM_TOKENS), logits.dtype), logits])

    def logits(self, tokens: Int[Array, " position"]) -> Float[Array, "position outcome"]:
        """Return logits of the token that follows each."""
        normed = self._norm(self.last_stream(tokens), "ln_final")
        return normed @ self.weights["unembed.W_U"] + self.weights["unembed.b_U"]

    def last_stream(self, tokens: Int[Array, " position"]) -> Float[Array, "position feature"]:
        """Return the residual stream that leaves the last block."""
        length = tokens.shape[0]
        if length > CONTEXT:
            raise ValueError(f"tokens: expected at most {CONTEXT}, got {length}")
        w = self.weights
        stream = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:length]
        for layer in range(NUM_LAYERS):
            block = f"blocks.{layer}"
            stream = stream + self._attend(self._norm(stream, f"{block}.ln1"), f"{block}.attn")
            normed = self._norm(stream, f"{block}.ln2")
            hidden = jax.nn.relu(normed @ w[f"{block}.mlp.W_in"] + w[f"{block}.mlp.b_in"])
            stream = stream + hidden @ w[f"{block}.mlp.W_out"] + w[f"{block}.mlp.b_out"]
        return stream

    def _norm(self, stream: Array, name: str) -> Array:
        centred = stream - jnp.mean(stream, axis=-1, keepdims=True)
        scale = jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + EPSILON)
        return centred / scale * self.weights[f"{name}.w"] + self.weights[f"{name}.b"]

    def _attend(self, stream: Array, name: str) -> Array:
        w = self.weights
        queries, keys, values = (
            jnp.einsum("pd,hde->hpe", stream, w[f"{name}.W_{part}"])
            + w[f"{name}.b_{part}"][:, None]
            for part in "QKV"
        )
        scores = jnp.einsum("hqe,hke->hqk", queries, keys) / np.sqrt(queries.shape[-1])
        past = jnp.tril(jnp.ones(scores.shape[1:], bool))
        pattern = jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)
        mixed = jnp.einsum("hqk,hke->hqe", pattern, values)
        return jnp.einsum("hqe,hed->qd", mixed, w[f"{name}.W_O"]) + w[f"{name}.b_O"]


def load_mess3_network() -> Mess3Network:
    """Read the trained network, in the precision that holds now."""
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        return Mess3Network({name: _widened(arrays[name]) for name in arrays.files})


def draw_mess3_network(*, key: Array) -> Mess3Network:
    """Draw the network as TransformerLens initialises it, before any training.

    Matrices are normal with standard deviation ``0.8 / sqrt(width)``, biases zero, and the
    scales of LayerNorm one.
    """
    trained = load_mess3_network().weights
    keys = dict(zip(trained, jax.random.split(key, len(trained)), strict=True))

    def draw(name: str, values: Array) -> Array:
        if ".W_" in name:
            return 0.1 * jax.random.normal(keys[name], values.shape, values.dtype)
        return jnp.full_like(values, 1.0 if name.endswith(".w") else 0.0)

    return Mess3Network({name: draw(name, values) for name, values in trained.items()})


def _widened(values: np.ndarray) -> Array:
    return jnp.asarray(values.astype(jnp.result_type(float)))
