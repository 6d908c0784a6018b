"""What a position sees of its last inputs: windows of fixed width, and weights on them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense

Stream = Float[Array, "*sequence input_position feature"]


def lagged(
    x: Shaped[Array, "*sequence input_position feature"], width: int, fill: int = 0
) -> Shaped[Array, "*sequence input_position lag feature"]:
    """Return, at every position, its own row and the ones before it.

    Args:
        x: Rows.
        width: How many rows each position sees.
        fill: What stands before the first row.

    Returns:
        Row ``t - lag`` at position ``t``; lag zero is the position itself.

    Example:
        >>> from bayescmp.networks.parts.windows import lagged
        >>> lagged(jnp.array([[1], [2], [3]]), 2)[..., 0].tolist()
        [[1, 0], [2, 1], [3, 2]]
    """
    length = x.shape[-2]
    before = [(0, 0)] * (x.ndim - 2) + [(width - 1, 0), (0, 0)]
    padded = jnp.pad(x, before, constant_values=fill)
    starts = range(width - 1, -1, -1)
    return jnp.stack([padded[..., start : start + length, :] for start in starts], axis=-2)


class FullWindow(eqx.Module):
    """``y_t = sum_j x_(t-j) W_j``: the last inputs side by side, mapped by one matrix."""

    weight: Float[Array, "lag feature output"]

    def __init__(
        self, width: int, num_inputs: int, num_outputs: int, *, scale: float = 1.0, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            width: How many inputs each position sees, its own among them.
            num_inputs: Features of an input.
            num_outputs: Features of an output.
            scale: Factor on the initial weights.
            key: Typed key.
        """
        weight = jax.random.normal(key, (width, num_inputs, num_outputs))
        self.weight = scale * weight / jnp.sqrt(width * num_inputs)

    def __call__(self, x: Stream) -> Float[Array, "*sequence input_position output"]:
        """Map the window of each position."""
        width, _, num_outputs = self.weight.shape
        rows = lagged(x, width).reshape(*x.shape[:-1], -1)
        return dense(rows, self.weight.reshape(-1, num_outputs))


class DepthwiseWindow(eqx.Module):
    """``y_t = sum_j x_(t-j) * w_j``: each feature filtered by itself."""

    weight: Float[Array, "lag feature"]

    def __init__(self, width: int, num_features: int, *, key: Key) -> None:
        """Draw the weights.

        Args:
            width: How many inputs each position sees, its own among them.
            num_features: Features of an input.
            key: Typed key.
        """
        self.weight = jax.random.normal(key, (width, num_features)) / jnp.sqrt(width)

    def __call__(self, x: Stream) -> Stream:
        """Filter the window of each position."""
        return jnp.sum(lagged(x, self.weight.shape[0]) * self.weight, axis=-2)
