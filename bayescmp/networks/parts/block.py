"""One block of a residual network: a mixer of positions, then a feed-forward part."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.parts.changes import StreamChange, change_stream, replaced
from bayescmp.networks.parts.experts import Experts
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.parts.mixer import (
    AbstractMixer,
    AbstractPlacedMixer,
    AttentionView,
    Heads,
    MixerResult,
    Stream,
)
from bayescmp.networks.parts.norms import Norm, NormPlace, normalise
from bayescmp.networks.parts.positions import Places


class BlockResult(eqx.Module):
    """What one block computes."""

    resid_pre: Stream
    mixer_out: Stream
    resid_mid: Stream
    mlp_out: Stream
    resid_post: Stream
    attention: AttentionView | None


class BlockChanges(eqx.Module):
    """What :class:`bayescmp.Interventions` do to one block."""

    head_scale: Float[Array, " head"]
    mixer_scale: Float[Array, ""]
    mlp_scale: Float[Array, ""]
    heads: Heads | None
    """What takes the place of what heads gather; None for zeros."""
    mixer_out: Stream | None
    mlp_out: Stream | None
    after_mixer: StreamChange | None
    after_block: StreamChange | None


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

    def __call__(
        self, x: Stream, changes: BlockChanges, places: Places | None = None
    ) -> BlockResult:
        """Add to the residual stream.

        Args:
            x: Residual stream.
            changes: What is done to the parts and to the stream.
            places: Where inputs stand; one after the other by default.

        Returns:
            The new stream and everything on the way to it.
        """
        mixed, middle = self.mix(x, changes, places)
        mlp_out, after = self.transform(middle, changes)
        return BlockResult(x, mixed.output, middle, mlp_out, after, mixed.attention)

    def mix(
        self, x: Stream, changes: BlockChanges, places: Places | None = None
    ) -> tuple[MixerResult, Stream]:
        """Let positions learn of their past: the first half of a block.

        Args:
            x: Residual stream.
            changes: What is done to the parts and to the stream.
            places: Where inputs stand; one after the other by default.

        Returns:
            What the mixer adds, and the stream between the halves.
        """
        if self.mixer is None:
            nothing = MixerResult(jnp.zeros_like(x), None)
            return nothing, change_stream(changes.after_mixer, self._after(self.mixer_norm, x))
        before = self._before(self.mixer_norm, x)
        if isinstance(self.mixer, AbstractPlacedMixer):
            mixed = self.mixer(before, changes.head_scale, changes.heads, places)
        else:
            mixed = self.mixer(before, changes.head_scale, changes.heads)
        output = replaced(mixed.output, changes.mixer_scale, changes.mixer_out)
        middle = self._after(self.mixer_norm, x + output)
        return MixerResult(output, mixed.attention), change_stream(changes.after_mixer, middle)

    def transform(self, x: Stream, changes: BlockChanges) -> tuple[Stream, Stream]:
        """Transform each position by itself: the second half of a block.

        Args:
            x: Stream between the halves, at all positions or at some.
            changes: What is done to the parts and to the stream.

        Returns:
            What the feed-forward part adds, and the new stream.
        """
        if self.mlp is None:
            return jnp.zeros_like(x), change_stream(changes.after_block, x)
        mlp_out = self.mlp(self._before(self.mlp_norm, x))
        mlp_out = replaced(mlp_out, changes.mlp_scale, changes.mlp_out)
        after = self._after(self.mlp_norm, x + mlp_out)
        return mlp_out, change_stream(changes.after_block, after)

    def _before(self, norm: Norm | None, x: Stream) -> Stream:
        return normalise(norm, x) if self.norm_place == "pre" else x

    def _after(self, norm: Norm | None, x: Stream) -> Stream:
        return normalise(norm, x) if self.norm_place == "post" else x
