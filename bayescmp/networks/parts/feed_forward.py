"""The feed-forward part of a block: two dense layers, or a gated unit, at each position."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.single import at_least_single

Activation = Literal[
    "gelu", "relu", "silu", "sigmoid", "softplus", "swiglu", "softmax", "logsumexp"
]
ACTIVATIONS: tuple[Activation, ...] = (
    "gelu",
    "relu",
    "silu",
    "sigmoid",
    "softplus",
    "swiglu",
    "softmax",
    "logsumexp",
)
GROUPED: tuple[Activation, ...] = ("softmax", "logsumexp")
"""Activations of consecutive hidden units that are taken together, a group at a time."""
Stream = Float[Array, "*sequence input_position feature"]

_NONLINEARITIES = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "swiglu": jax.nn.silu,
}


def num_lowered(activation: Activation, hidden_size: int, group: int) -> int:
    """Count the numbers that an activation hands to the second layer.

    Args:
        activation: Nonlinearity.
        hidden_size: Width between the layers.
        group: Hidden units that are taken together.

    Returns:
        One for each hidden unit, or one for each group with ``logsumexp``.
    """
    return hidden_size // group if activation == "logsumexp" else hidden_size


class FeedForward(eqx.Module):
    """``act(x up + b) down``, or with a gate ``(silu(x gate) * (x up + b)) down``.

    ``softmax`` and ``logsumexp`` act on groups of hidden units side by side: the first gives each
    unit its share of the group, the second one number, ``log sum_i exp(z_i)``, for all of them.

    Source of the gated unit: Shazeer, "GLU variants improve transformer", arXiv 2002.05202.
    """

    up: Float[Array, "feature hidden"]
    up_bias: Float[Array, " hidden"]
    gate: Float[Array, "feature hidden"] | None
    """Only ``swiglu`` has one."""
    down: Float[Array, "lowered feature"]
    """A row for each hidden unit, or for each group of them with ``logsumexp``."""
    down_bias: Float[Array, " feature"] | None
    activation: Activation = eqx.field(static=True)
    group: int = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        hidden_size: int,
        *,
        activation: Activation,
        bias: bool,
        out_scale: float,
        key: Key,
        group: int = 1,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            hidden_size: Width between the layers.
            activation: Nonlinearity.
            bias: Whether the second layer has a bias too; the first always has.
            out_scale: Factor on the initial second layer.
            key: Typed key.
            group: Hidden units that ``softmax`` and ``logsumexp`` take together.
        """
        key_up, key_down, key_gate = jax.random.split(key, 3)
        inward = (model_size, hidden_size)
        self.up = jax.random.normal(key_up, inward) / jnp.sqrt(model_size)
        self.up_bias = jnp.zeros(hidden_size)
        gate = jax.random.normal(key_gate, inward) / jnp.sqrt(model_size)
        self.gate = gate if activation == "swiglu" else None
        num = num_lowered(activation, hidden_size, group)
        down = jax.random.normal(key_down, (num, model_size))
        self.down = out_scale * down / jnp.sqrt(num)
        self.down_bias = jnp.zeros(model_size) if bias else None
        self.activation, self.group = activation, group

    def __call__(self, x: Stream) -> Stream:
        """Transform each position."""
        raised = dense(x, self.up) + self.up_bias
        if self.activation in GROUPED:
            hidden = self._activate_groups(raised)
        elif self.gate is None:
            hidden = _NONLINEARITIES[self.activation](raised)
        else:
            hidden = _NONLINEARITIES[self.activation](dense(x, self.gate)) * raised
        lowered = dense(hidden, self.down)
        return lowered if self.down_bias is None else lowered + self.down_bias

    def _activate_groups(
        self, raised: Float[Array, "*sequence input_position hidden"]
    ) -> Float[Array, "*sequence input_position lowered"]:
        groups = at_least_single(raised).reshape(*raised.shape[:-1], -1, self.group)
        if self.activation == "logsumexp":
            return jax.nn.logsumexp(groups, axis=-1).astype(raised.dtype)
        return jax.nn.softmax(groups, axis=-1).reshape(raised.shape).astype(raised.dtype)
