"""What interventions do to the numbers on their way through a network."""

import equinox as eqx
from jaxtyping import Array, Float

Stream = Float[Array, "*sequence input_position feature"]


class StreamChange(eqx.Module):
    """What is done to the residual stream at one place.

    ``x + (1 - scale) P (r - x) + shift`` at each input position, where ``P`` projects on the
    columns of ``basis``, or is the identity. What is None is neither done nor computed.
    """

    scale: Float[Array, "*sequence input_position"] | None
    replacement: Float[Array, "*sequence input_position feature"] | None
    """``r``; None for zeros."""
    basis: Float[Array, "feature rank"] | None
    """Orthonormal columns, or columns of zeros."""
    shift: Float[Array, "*sequence input_position feature"] | None

    def __call__(self, x: Stream) -> Stream:
        """Change the residual stream.

        Args:
            x: Residual stream.

        Returns:
            The changed stream.
        """
        if self.scale is not None:
            x = self._replace(x, self.scale[..., None])
        return x if self.shift is None else x + self.shift

    def _replace(self, x: Stream, scale: Float[Array, "*sequence input_position 1"]) -> Stream:
        if self.basis is None:
            return replaced(x, scale, self.replacement)
        lacking = -x if self.replacement is None else self.replacement - x
        return x + (1.0 - scale) * ((lacking @ self.basis) @ self.basis.T)


def change_stream(change: StreamChange | None, x: Stream) -> Stream:
    """Change the residual stream where there is something to change.

    Args:
        change: What to do, or None.
        x: Residual stream.

    Returns:
        The stream.
    """
    return x if change is None else change(x)


def replaced(
    value: Float[Array, "..."], scale: Float[Array, "..."], replacement: Float[Array, "..."] | None
) -> Float[Array, "..."]:
    """Return ``scale * value + (1 - scale) * replacement``.

    Args:
        value: What a part of a network computed.
        scale: One keeps it, zero replaces it.
        replacement: What may stand in its place; None for zeros.

    Returns:
        The mixture; bit for bit the value where the scale is one.
    """
    kept = value * scale
    return kept if replacement is None else kept + (1.0 - scale) * replacement
