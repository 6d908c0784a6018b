"""Matrix products on the last axis, laid out for speed."""

from jaxtyping import Array, Float


def dense(
    x: Float[Array, "*rows inputs"], weight: Float[Array, "inputs outputs"]
) -> Float[Array, "*rows outputs"]:
    """Multiply rows by a matrix: ``x @ weight``.

    All rows, of all sequences, are gathered into one tall matrix. XLA's own treatment
    of ``vmap`` keeps the sequences apart, which makes the backward pass on a CPU slower;
    this is why networks accept leading axes besides being written for one example.

    Args:
        x: Rows.
        weight: Matrix.

    Returns:
        The products.
    """
    rows = x.reshape(-1, x.shape[-1]) @ weight
    return rows.reshape(*x.shape[:-1], weight.shape[-1])
