"""What carries information from position to position inside a block."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from bayescmp.networks.parts.changes import replaced
from bayescmp.networks.parts.positions import Places

Stream = Float[Array, "*sequence input_position feature"]
Heads = Float[Array, "*sequence head input_position head_feature"]
SourceHeads = Float[Array, "*sequence source_head input_position head_feature"]
Pattern = Float[Array, "*sequence head input_position source_position"]
HeadScale = Float[Array, " head"]


class AttentionView(eqx.Module):
    """What attention computes on its way to an output."""

    pattern: Pattern
    """Weight of each source position."""
    queries: Heads
    keys: SourceHeads
    """As many as there are heads, or fewer where heads share them."""
    values: SourceHeads


class MixerResult(eqx.Module):
    """What a mixer computes."""

    output: Stream
    """What it adds to the residual stream."""
    attention: AttentionView | None
    """None where nothing attends."""


class AbstractMixer(eqx.Module):
    """The part of a block in which a position may learn of its past, and never of its future.

    Attention alone can be told to look both ways. Leading axes are sequences, each treated as
    if alone.
    """

    @abc.abstractmethod
    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Mix positions.

        Args:
            x: Normalised residual stream.
            head_scale: Factor on what each head writes; mixers without heads have one.
            instead: What takes the place of the rest of what each head gathers before the
                output projection; None for zeros.

        Returns:
            The output, and everything on the way to it.
        """


class AbstractPlacedMixer(AbstractMixer):
    """A mixer that may go by where inputs stand, instead of by their order alone."""

    @abc.abstractmethod
    def __call__(
        self,
        x: Stream,
        head_scale: HeadScale,
        instead: Heads | None = None,
        places: Places | None = None,
    ) -> MixerResult:
        """Mix positions.

        Args:
            x: Normalised residual stream.
            head_scale: Factor on what each head writes.
            instead: What takes the place of the rest of what each head gathers.
            places: Where inputs stand; one after the other by default.

        Returns:
            The output, and everything on the way to it.
        """


def scale_heads(heads: Heads, head_scale: HeadScale, instead: Heads | None) -> Heads:
    """Return ``scale * heads + (1 - scale) * instead``, head by head.

    Args:
        heads: What each head gathers.
        head_scale: One keeps it, zero replaces it.
        instead: What may stand in its place; None for zeros.

    Returns:
        What each head hands to the output projection.
    """
    return replaced(heads, head_scale[:, None, None], instead)


def scale_rows(rows: Stream, head_scale: HeadScale, instead: Heads | None) -> Stream:
    """Do the same in a mixer that has no heads, which counts as one head.

    Args:
        rows: What the mixer gathers.
        head_scale: One factor.
        instead: What may stand in its place; None for zeros.

    Returns:
        What the mixer hands to its output projection.
    """
    return replaced(rows, head_scale, None if instead is None else instead[..., 0, :, :])
