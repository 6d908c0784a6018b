"""Attention with any number of heads, kernels, windows and kinds of positions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.kernels import KernelName, Mask, causal_mask, full_mask, weigh
from bayescmp.networks.parts.mixer import (
    AbstractPlacedMixer,
    AttentionView,
    Heads,
    HeadScale,
    MixerResult,
    Pattern,
    SourceHeads,
    Stream,
    scale_heads,
)
from bayescmp.networks.parts.positions import Places, Positions, distance_bias, rotate


class Attention(AbstractPlacedMixer):
    """``weights(Q K^T / sqrt(head_size)) V`` over what is seen, then an output projection.

    A position sees itself and its past, or with ``causal=False`` every position.

    With fewer source heads than heads, groups of heads share keys and values.

    Source: Vaswani et al., arXiv 1706.03762; Ainslie et al., arXiv 2305.13245 for the groups.
    """

    query: Float[Array, "feature heads_times_size"]
    """Query matrices, heads side by side."""
    key: Float[Array, "feature source_heads_times_size"]
    value: Float[Array, "feature source_heads_times_size"]
    out: Float[Array, "heads_times_size feature"]
    biases: tuple[Array, Array, Array, Array] | None
    """Added to queries, keys, values and the output."""
    num_heads: int = eqx.field(static=True)
    num_source_heads: int = eqx.field(static=True)
    kernel: KernelName = eqx.field(static=True)
    window: int | None = eqx.field(static=True)
    positions: Positions = eqx.field(static=True)
    hide_start: bool = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        *,
        num_heads: int,
        num_source_heads: int,
        head_size: int,
        kernel: KernelName,
        window: int | None,
        positions: Positions,
        bias: bool,
        out_scale: float,
        key: Key,
        hide_start: bool = False,
        causal: bool = True,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            num_heads: Number of heads.
            num_source_heads: Number of keys and values; divides the number of heads.
            head_size: Width of a head.
            kernel: How scores become weights.
            window: Positions that are attended to, itself among them; None for all.
            positions: ``rotary`` and ``alibi`` act here, the others on the embedding.
            bias: Whether the four projections have biases.
            out_scale: Factor on the initial output projection.
            key: Typed key.
            hide_start: Whether the first position is seen by itself alone.
            causal: Whether positions are hidden from those before them.
        """
        inner, source = num_heads * head_size, num_source_heads * head_size
        widths = (inner, source, source)
        *keys, key_out = jax.random.split(key, 4)
        self.query, self.key, self.value = (
            jax.random.normal(key, (model_size, width)) / jnp.sqrt(model_size)
            for key, width in zip(keys, widths, strict=True)
        )
        self.out = out_scale * jax.random.normal(key_out, (inner, model_size)) / jnp.sqrt(inner)
        self.biases = None
        if bias:
            self.biases = (
                jnp.zeros(inner),
                jnp.zeros(source),
                jnp.zeros(source),
                jnp.zeros(model_size),
            )
        self.num_heads, self.num_source_heads = num_heads, num_source_heads
        self.kernel, self.window, self.positions = kernel, window, positions
        self.hide_start, self.causal = hide_start, causal

    def __call__(
        self,
        x: Stream,
        head_scale: HeadScale,
        instead: Heads | None = None,
        places: Places | None = None,
    ) -> MixerResult:
        """Attend from every position to all that it sees."""
        queries, keys, values = self.project(x)
        if self.positions == "rotary":
            queries, keys = rotate(queries, places), rotate(keys, places)
        pattern = self.attend(queries, keys, places)
        mixed = scale_heads(pattern @ self._share(values), head_scale, instead)
        output = dense(jnp.moveaxis(mixed, -3, -2).reshape(*x.shape[:-1], -1), self.out)
        if self.biases is not None:
            output = output + self.biases[3]
        return MixerResult(output, AttentionView(pattern, queries, keys, values))

    def project(self, x: Stream) -> tuple[Heads, SourceHeads, SourceHeads]:
        """Return queries, keys and values, before any rotation.

        Args:
            x: Normalised residual stream.

        Returns:
            All three, head by head.
        """
        # One product with the matrices side by side is faster than three.
        joined = dense(x, jnp.concatenate([self.query, self.key, self.value], axis=-1))
        if self.biases is not None:
            joined = joined + jnp.concatenate(self.biases[:3])
        counts = (self.num_heads, self.num_source_heads, self.num_source_heads)
        heads = joined.reshape(*joined.shape[:-1], sum(counts), -1)
        queries, keys, values = jnp.split(jnp.moveaxis(heads, -2, -3), np.cumsum(counts)[:2], -3)
        return queries, keys, values

    def attend(self, queries: Heads, keys: SourceHeads, places: Places | None = None) -> Pattern:
        """Return the weight of every source position; zero for what is not seen.

        Args:
            queries: Queries of each head.
            keys: Keys of each source head.
            places: Where inputs stand; one after the other by default.

        Returns:
            Attention weights.
        """
        length, head_size = queries.shape[-2:]
        scores = queries @ jnp.swapaxes(self._share(keys), -1, -2) / head_size**0.5
        if self.positions == "alibi":
            bias = distance_bias(self.num_heads, length, places, both_ways=not self.causal)
            scores = scores + bias.astype(scores.dtype)
        return weigh(self.kernel, scores, self.mask(length))

    def mask(self, length: int) -> Mask:
        """Return which positions each position sees.

        Args:
            length: Number of positions.

        Returns:
            True where attention is allowed.
        """
        if not self.causal:
            return full_mask(length)
        return causal_mask(length, self.window, hide_start=self.hide_start)

    def _share(self, source: SourceHeads) -> Heads:
        """Repeat keys or values for the heads that share them."""
        times = self.num_heads // self.num_source_heads
        return source if times == 1 else jnp.repeat(source, times, axis=-3)
