"""One block of a residual network: a mixer of positions, then a feed-forward part."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.parts.experts import Experts
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.parts.mixer import AbstractMixer, AttentionView, MixerResult, Stream
from bayescmp.networks.parts.norms import Norm, NormPlace, normalise


class BlockResult(eqx.Module):
    """What one block computes."""

    resid_pre: Stream
    mixer_out: Stream
    resid_mid: Stream
    mlp_out: Stream
    resid_post: Stream
    attention: AttentionView | None


class BlockScales(eqx.Module):
    """Factors of :class:`bayescmp.Interventions`, of one layer or of all."""

    head: Float[Array, "*layer head"]
    mixer: Float[Array, "*layer"]
    mlp: Float[Array, "*layer"]


class Block(eqx.Module):
    """``x + mixer(norm(x))``, then ``x + feed_forward(norm(x))``.

    With the norm after (``post``): ``norm(x + mixer(x))``, then ``norm(x + feed_forward(x))``.

    Source: Xiong et al., arXiv 2002.04745, for the two places.
    """

    mixer_norm: Norm | None
    mixer: AbstractMixer | None
    """None where positions are never mixed."""
    mlp_norm: Norm | None
    mlp: FeedForward | Experts | None
    """None in an attention-only network."""
    norm_place: NormPlace = eqx.field(static=True)

    def __call__(self, x: Stream, scales: BlockScales) -> BlockResult:
        """Add to the residual stream.

        Args:
            x: Residual stream.
            scales: Factors on what the parts add.

        Returns:
            The new stream and everything on the way to it.
        """
        mixed, middle = self.mix(x, scales)
        mlp_out, after = self.transform(middle, scales)
        return BlockResult(x, mixed.output, middle, mlp_out, after, mixed.attention)

    def mix(self, x: Stream, scales: BlockScales) -> tuple[MixerResult, Stream]:
        """Let positions learn of their past: the first half of a block.

        Args:
            x: Residual stream.
            scales: Factors on what the parts add.

        Returns:
            What the mixer adds, and the stream between the halves.
        """
        if self.mixer is None:
            nothing = MixerResult(jnp.zeros_like(x), None)
            return nothing, self._after(self.mixer_norm, x)
        mixed = self.mixer(self._before(self.mixer_norm, x), scales.head)
        output = mixed.output * scales.mixer
        return MixerResult(output, mixed.attention), self._after(self.mixer_norm, x + output)

    def transform(self, x: Stream, scales: BlockScales) -> tuple[Stream, Stream]:
        """Transform each position by itself: the second half of a block.

        Args:
            x: Stream between the halves, at all positions or at some.
            scales: Factors on what the parts add.

        Returns:
            What the feed-forward part adds, and the new stream.
        """
        if self.mlp is None:
            return jnp.zeros_like(x), x
        mlp_out = self.mlp(self._before(self.mlp_norm, x)) * scales.mlp
        return mlp_out, self._after(self.mlp_norm, x + mlp_out)

    def _before(self, norm: Norm | None, x: Stream) -> Stream:
        return normalise(norm, x) if self.norm_place == "pre" else x

    def _after(self, norm: Norm | None, x: Stream) -> Stream:
        return normalise(norm, x) if self.norm_place == "post" else x
