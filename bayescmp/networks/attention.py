"""Causal multi-head attention and rotary positions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.dense import dense

Heads = Float[Array, "*sequence head input_position head_feature"]
Pattern = Float[Array, "*sequence head input_position source_position"]
Stream = Float[Array, "*sequence input_position feature"]


class AttentionResult(eqx.Module):
    """What one attention layer computes."""

    output: Stream
    pattern: Pattern
    queries: Heads
    keys: Heads
    values: Heads


class Attention(eqx.Module):
    """``softmax(Q K^T / sqrt(head_size)) V`` over the past, then an output projection."""

    qkv: Float[Array, "3 feature heads_times_size"]
    """Query, key and value matrices, heads side by side."""
    out: Float[Array, "heads_times_size feature"]
    num_heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        num_heads: int,
        head_size: int,
        *,
        rotary: bool,
        out_scale: float,
        key: Key,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            num_heads: Number of heads.
            head_size: Width of a head.
            rotary: Whether queries and keys are rotated by their position.
            out_scale: Factor on the initial output projection.
            key: Typed key.
        """
        key_qkv, key_out = jax.random.split(key)
        inner = num_heads * head_size
        self.qkv = jax.random.normal(key_qkv, (3, model_size, inner)) / jnp.sqrt(model_size)
        self.out = out_scale * jax.random.normal(key_out, (inner, model_size)) / jnp.sqrt(inner)
        self.num_heads = num_heads
        self.rotary = rotary

    def __call__(self, x: Stream, head_scale: Float[Array, " head"]) -> AttentionResult:
        """Attend from every position to itself and its past.

        Args:
            x: Normalised residual stream.
            head_scale: Factor on what each head writes.

        Returns:
            The output and everything on the way to it.
        """
        joined = jnp.moveaxis(self.qkv, 0, 1).reshape(x.shape[-1], -1)
        projected = dense(x, joined).reshape(*x.shape[:-1], 3, self.num_heads, -1)
        queries, keys, values = jnp.moveaxis(projected, (-3, -2), (0, -3))
        if self.rotary:
            queries, keys = rotate(queries), rotate(keys)
        pattern = causal_softmax(queries, keys)
        mixed = jnp.moveaxis(pattern @ values, -3, -2)
        scaled = (mixed * head_scale[:, None]).reshape(*x.shape[:-1], -1)
        return AttentionResult(dense(scaled, self.out), pattern, queries, keys, values)


def causal_softmax(queries: Heads, keys: Heads) -> Pattern:
    """Return attention weights ``softmax(Q K^T / sqrt(head_size))`` over the past.

    Args:
        queries: Queries of each head.
        keys: Keys of each head.

    Returns:
        Weights; zero for the future.
    """
    length, head_size = queries.shape[-2:]
    scores = queries @ jnp.swapaxes(keys, -1, -2) / head_size**0.5
    past = jnp.tril(jnp.ones((length, length), bool))
    return jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)


def rotate(x: Heads) -> Heads:
    """Rotate pairs of features by angles that grow with the position.

    Feature ``i`` and feature ``i + size / 2`` turn by ``position * 10000^(-2 i / size)``,
    so that products of rotated vectors depend on the distance of their positions only.

    Args:
        x: Queries or keys, with an even number of features.

    Returns:
        Rotated vectors of the same shape.

    Source: Su et al., "RoFormer", arXiv 2104.09864, equation 34.
    """
    length, size = x.shape[-2:]
    frequency = 10_000.0 ** (-jnp.arange(size // 2) / (size // 2))
    angle = (jnp.arange(length)[:, None] * frequency[None, :]).astype(x.dtype)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)
