"""Interventions on a residual network as data, so that a thousand of them are one vmap."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Interventions(eqx.Module):
    """Factors on what each part of a network adds to the residual stream.

    One leaves a part alone, zero removes it. All fields may be mapped over with ``vmap``.
    """

    head_scale: Float[Array, "layer head"]
    """Factor on what a head writes."""
    mixer_scale: Float[Array, " layer"]
    """Factor on what a block's mixer of positions adds, its attention for instance."""
    mlp_scale: Float[Array, " layer"]
    """Factor on what a block's feed-forward part adds."""

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

    def check_fit(self, num_layers: int, num_heads: int) -> None:
        """Check that these are interventions on a network of a given shape.

        Args:
            num_layers: Number of blocks, loops counted.
            num_heads: Heads in a block; 1 where the mixer has none.

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


def _check_index(name: str, index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ValueError(f"{name}: expected 0 to {size - 1}, got {index}")
