"""Single precision where half precision would lose too much."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def at_least_single(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Return numbers in float32 if they are in half precision, and as they are otherwise.

    Means, sums of exponentials and long recurrences add up many numbers, of which bfloat16
    keeps eight bits each.

    Args:
        x: Numbers.

    Returns:
        The same numbers.
    """
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
