"""A dense layer with or without a bias."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense


class Affine(eqx.Module):
    """``x weight + bias``."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"] | None

    def __init__(
        self, num_inputs: int, num_outputs: int, *, bias: bool, scale: float = 1.0, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            num_inputs: Features of a row.
            num_outputs: Features of its image.
            bias: Whether there is a bias, zero at first.
            scale: Factor on the initial matrix, whose outputs are as large as its inputs.
            key: Typed key.
        """
        weight = jax.random.normal(key, (num_inputs, num_outputs))
        self.weight = scale * weight / jnp.sqrt(num_inputs)
        self.bias = jnp.zeros(num_outputs) if bias else None

    def __call__(self, x: Float[Array, "*rows inputs"]) -> Float[Array, "*rows outputs"]:
        """Map each row."""
        mapped = dense(x, self.weight)
        return mapped if self.bias is None else mapped + self.bias
