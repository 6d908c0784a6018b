"""How inputs become vectors: tokens by a table, vectors by a matrix."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs
from bayescmp.networks.parts.dense import dense


def embed_inputs(
    embedding: Float[Array, "input_size stream_feature"], inputs: Inputs
) -> Float[Array, "*sequence input_position stream_feature"]:
    """Look tokens up, or map vectors linearly.

    Args:
        embedding: Rows for tokens, or a matrix.
        inputs: Tokens or vectors.

    Returns:
        One vector for each input position.

    Raises:
        ValueError: If vectors have another size than the matrix.
    """
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        return embedding[inputs]
    if inputs.ndim < 2 or inputs.shape[-1] != embedding.shape[0]:
        raise ValueError(
            f"inputs: expected tokens, or vectors of size {embedding.shape[0]} at each "
            f"position, got {inputs.dtype} of shape {inputs.shape}"
        )
    return dense(inputs, embedding)
