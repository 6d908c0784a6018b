"""One pre-norm transformer block, and its normalisation and feed-forward part."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.attention import Attention, AttentionResult
from bayescmp.networks.dense import dense

Activation = Literal["gelu", "relu", "silu"]
Stream = Float[Array, "*sequence input_position feature"]


class RMSNorm(eqx.Module):
    """``scale * x / sqrt(mean(x^2) + epsilon)``, at each position by itself."""

    scale: Float[Array, " feature"]

    def __init__(self, size: int) -> None:
        """Begin with a scale of one."""
        self.scale = jnp.ones(size)

    def __call__(self, x: Float[Array, "*rows feature"]) -> Float[Array, "*rows feature"]:
        """Normalise each row."""
        power = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(power + 1e-6) * self.scale


class FeedForward(eqx.Module):
    """Two dense layers with a nonlinearity between, at each position by itself."""

    up: Float[Array, "feature hidden"]
    up_bias: Float[Array, " hidden"]
    down: Float[Array, "hidden feature"]
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        hidden_size: int,
        *,
        activation: Activation,
        out_scale: float,
        key: Key,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            hidden_size: Width between the layers.
            activation: Nonlinearity.
            out_scale: Factor on the initial second layer.
            key: Typed key.
        """
        key_up, key_down = jax.random.split(key)
        self.up = jax.random.normal(key_up, (model_size, hidden_size)) / jnp.sqrt(model_size)
        self.up_bias = jnp.zeros(hidden_size)
        down = jax.random.normal(key_down, (hidden_size, model_size))
        self.down = out_scale * down / jnp.sqrt(hidden_size)
        self.activation = activation

    def __call__(self, x: Stream) -> Stream:
        """Transform each position."""
        hidden = dense(x, self.up) + self.up_bias
        nonlinearity = {"gelu": jax.nn.gelu, "relu": jax.nn.relu, "silu": jax.nn.silu}
        return dense(nonlinearity[self.activation](hidden), self.down)


class BlockResult(eqx.Module):
    """What one block computes."""

    resid_pre: Stream
    attention: AttentionResult
    attn_out: Stream
    resid_mid: Stream
    mlp_out: Stream
    resid_post: Stream


class BlockScales(eqx.Module):
    """Factors of :class:`bayescmp.Interventions`, of one layer or of all."""

    head: Float[Array, "*layer head"]
    attn: Float[Array, "*layer"]
    mlp: Float[Array, "*layer"]


class Block(eqx.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    attn_norm: RMSNorm
    attention: Attention
    mlp_norm: RMSNorm
    mlp: FeedForward

    def __call__(self, x: Stream, scales: BlockScales) -> BlockResult:
        """Add to the residual stream.

        Args:
            x: Residual stream.
            scales: Factors on what the parts add.

        Returns:
            The new stream and everything on the way to it.
        """
        attention = self.attention(self.attn_norm(x), scales.head)
        attn_out = attention.output * scales.attn
        resid_mid = x + attn_out
        mlp_out = self.mlp(self.mlp_norm(resid_mid)) * scales.mlp
        return BlockResult(x, attention, attn_out, resid_mid, mlp_out, resid_mid + mlp_out)
