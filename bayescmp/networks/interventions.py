"""Interventions on a residual network as data, so that a thousand of them are one vmap."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.parts.block import BlockChanges
from bayescmp.networks.parts.changes import StreamChange


class Replacement(eqx.Module):
    """What takes the place of what an intervention removes; where it is None, zeros do.

    The axes are those of a :class:`bayescmp.LayerTrace`, so that one network's trace, of
    another sequence or averaged, can be put into a run.
    """

    heads: Float[Array, "layer *sequence head input_position head_feature"] | None = None
    """What heads gather, before the output projection; mixers without heads have one."""
    mixer_out: Float[Array, "layer *sequence input_position feature"] | None = None
    """What mixers add."""
    mlp_out: Float[Array, "layer *sequence input_position feature"] | None = None
    """What feed-forward parts add."""
    streams: Float[Array, "stream *sequence input_position feature"] | None = None
    """Residual stream at every place, in the order of :func:`bayescmp.layers.stream_names`."""


class Interventions(eqx.Module):
    """What is done to the parts of a network and to its residual stream.

    A part's output becomes ``scale * output + (1 - scale) * replacement``: one leaves it alone,
    zero replaces it. The stream ``x`` at a place becomes ``x + (1 - scale) P (r - x) + shift``,
    where ``P`` projects on the columns of ``basis``. Fields that are None are not computed.
    All fields may be mapped over with ``vmap``.

    Example:
        >>> model = bc.models.Bijection(size=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> changes = network.no_interventions.without_head(layer=0, head=1)
        >>> network(jnp.array([0, 5, 1]), changes).shape
        (3, 4)
    """

    head_scale: Float[Array, "layer head"]
    """For what a head gathers."""
    mixer_scale: Float[Array, " layer"]
    """For what a block's mixer of positions adds, its attention for instance."""
    mlp_scale: Float[Array, " layer"]
    """For what a block's feed-forward part adds."""
    stream_scale: Float[Array, "stream *sequence input_position"] | None = None
    """For the residual stream at every place and input position."""
    basis: Float[Array, "stream feature rank"] | None = None
    """Orthonormal columns, or columns of zeros; None where the whole stream is replaced."""
    shift: Float[Array, "stream *sequence input_position feature"] | None = None
    """Added to the residual stream."""
    replacement: Replacement | None = None

    @staticmethod
    def identity(num_layers: int, num_heads: int) -> "Interventions":
        """Leave every part alone.

        Args:
            num_layers: Number of blocks, loops counted.
            num_heads: Heads in a block; 1 where the mixer has none.

        Returns:
            Interventions that change nothing.
        """
        return Interventions(
            head_scale=jnp.ones((num_layers, num_heads)),
            mixer_scale=jnp.ones(num_layers),
            mlp_scale=jnp.ones(num_layers),
        )

    def check_fit(
        self, num_layers: int, num_heads: int, stream: tuple[int, int] | None = None
    ) -> None:
        """Check that these are interventions on a network of a given shape.

        Args:
            num_layers: Number of blocks, loops counted.
            num_heads: Heads in a block; 1 where the mixer has none.
            stream: Input positions and features of the residual stream, where they are known.

        Raises:
            ValueError: If they are made for another shape.
        """
        shapes = (self.head_scale.shape, self.mixer_scale.shape, self.mlp_scale.shape)
        wanted = ((num_layers, num_heads), (num_layers,), (num_layers,))
        if shapes != wanted:
            raise ValueError(
                "interventions: expected head_scale, mixer_scale and mlp_scale of shapes "
                f"{wanted}, got {shapes}; map over many interventions with vmap"
            )
        if self.stream_scale is None and self.basis is not None:
            raise ValueError("basis: expected stream_scale too, which says where it acts, got none")
        length, width = (None, None) if stream is None else stream
        places, other = 2 * num_layers + 1, self.replacement or Replacement()
        _check_shape("stream_scale", self.stream_scale, places, (length,))
        _check_shape("basis", self.basis, places, (width, None))
        _check_shape("shift", self.shift, places, (length, width))
        _check_shape("replacement.heads", other.heads, num_layers, (num_heads, length, None))
        _check_shape("replacement.mixer_out", other.mixer_out, num_layers, (length, width))
        _check_shape("replacement.mlp_out", other.mlp_out, num_layers, (length, width))
        _check_shape("replacement.streams", other.streams, places, (length, width))

    def in_block(self, layer: int) -> BlockChanges:
        """Return what is done to one block.

        Args:
            layer: Block, from zero.

        Returns:
            The changes of its parts, and of the stream after either half.
        """
        other = self.replacement or Replacement()
        return BlockChanges(
            head_scale=self.head_scale[layer],
            mixer_scale=self.mixer_scale[layer],
            mlp_scale=self.mlp_scale[layer],
            heads=_pick(other.heads, layer),
            mixer_out=_pick(other.mixer_out, layer),
            mlp_out=_pick(other.mlp_out, layer),
            after_mixer=self.at_place(2 * layer + 1),
            after_block=self.at_place(2 * layer + 2),
        )

    def at_place(self, place: int) -> StreamChange | None:
        """Return what is done to the residual stream at one place.

        Args:
            place: Place in the order of :func:`bayescmp.layers.stream_names`, from zero.

        Returns:
            The change, or None where nothing is done.
        """
        if self.stream_scale is None and self.shift is None:
            return None
        other = self.replacement or Replacement()
        return StreamChange(
            scale=_pick(self.stream_scale, place),
            replacement=_pick(other.streams, place),
            basis=_pick(self.basis, place),
            shift=_pick(self.shift, place),
        )

    def without_head(self, layer: int, head: int) -> "Interventions":
        """Remove one head as well.

        Args:
            layer: Block, from zero.
            head: Head in the block, from zero.

        Returns:
            The further intervention.

        Raises:
            ValueError: If there is no such block or head.
        """
        num_layers, num_heads = self.head_scale.shape
        _check_index("layer", layer, num_layers)
        _check_index("head", head, num_heads)
        return eqx.tree_at(lambda i: i.head_scale, self, self.head_scale.at[layer, head].set(0.0))

    def without_layer(self, layer: int) -> "Interventions":
        """Skip one block as well, mixer and feed-forward part.

        Args:
            layer: Block, from zero.

        Returns:
            The further intervention.

        Raises:
            ValueError: If there is no such block.
        """
        _check_index("layer", layer, self.mixer_scale.shape[0])
        return eqx.tree_at(
            lambda i: (i.mixer_scale, i.mlp_scale),
            self,
            (self.mixer_scale.at[layer].set(0.0), self.mlp_scale.at[layer].set(0.0)),
        )


def _pick(leaf: Array | None, index: int) -> Array | None:
    """Return one entry of an array, or None where there is none."""
    return None if leaf is None else leaf[index]


def _check_index(name: str, index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ValueError(f"{name}: expected 0 to {size - 1}, got {index}")


def _check_shape(name: str, array: Array | None, first: int, last: tuple[int | None, ...]) -> None:
    """Check the first axis and the last ones; None stands for any size."""
    if array is None:
        return
    ends = array.shape[-len(last) :] if array.ndim > len(last) else (-1,) * len(last)
    fits = all(size in (None, end) for size, end in zip(last, ends, strict=True))
    if array.shape[:1] != (first,) or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in last)
        raise ValueError(
            f"interventions: expected {name} of shape ({first}, ..., {sizes}), got {array.shape}"
        )
