"""The feed-forward part of a block: two dense layers, or a gated unit, at each position."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense

Activation = Literal["gelu", "relu", "silu", "sigmoid", "swiglu"]
ACTIVATIONS: tuple[Activation, ...] = ("gelu", "relu", "silu", "sigmoid", "swiglu")
Stream = Float[Array, "*sequence input_position feature"]

_NONLINEARITIES = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "swiglu": jax.nn.silu,
}


class FeedForward(eqx.Module):
    """``act(x up + b) down``, or with a gate ``(silu(x gate) * (x up + b)) down``.

    Source of the gated unit: Shazeer, "GLU variants improve transformer", arXiv 2002.05202.
    """

    up: Float[Array, "feature hidden"]
    up_bias: Float[Array, " hidden"]
    gate: Float[Array, "feature hidden"] | None
    """Only ``swiglu`` has one."""
    down: Float[Array, "hidden feature"]
    down_bias: Float[Array, " feature"] | None
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        hidden_size: int,
        *,
        activation: Activation,
        bias: bool,
        out_scale: float,
        key: Key,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            hidden_size: Width between the layers.
            activation: Nonlinearity.
            bias: Whether the second layer has a bias too; the first always has.
            out_scale: Factor on the initial second layer.
            key: Typed key.
        """
        key_up, key_down, key_gate = jax.random.split(key, 3)
        inward = (model_size, hidden_size)
        self.up = jax.random.normal(key_up, inward) / jnp.sqrt(model_size)
        self.up_bias = jnp.zeros(hidden_size)
        gate = jax.random.normal(key_gate, inward) / jnp.sqrt(model_size)
        self.gate = gate if activation == "swiglu" else None
        down = jax.random.normal(key_down, (hidden_size, model_size))
        self.down = out_scale * down / jnp.sqrt(hidden_size)
        self.down_bias = jnp.zeros(model_size) if bias else None
        self.activation = activation

    def __call__(self, x: Stream) -> Stream:
        """Transform each position."""
        nonlinearity = _NONLINEARITIES[self.activation]
        raised = dense(x, self.up) + self.up_bias
        if self.gate is None:
            hidden = nonlinearity(raised)
        else:
            hidden = nonlinearity(dense(x, self.gate)) * raised
        lowered = dense(hidden, self.down)
        return lowered if self.down_bias is None else lowered + self.down_bias
