"""Directions in a vector space: the ones along which something is told, and random ones."""

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key

SMALLEST_SHARE = 1e-6
"""What two sets of features have in common but for rounding in 32 bits, of the most possible."""

Matrix = Float[np.ndarray, "feature target"]


def leading_directions(matrix: Matrix, rank: int) -> Float[np.ndarray, "feature rank"]:
    """Return an orthonormal basis of the directions that a matrix reads most from.

    Args:
        matrix: Columns are directions.
        rank: How many, at most the number of features.

    Returns:
        Left singular vectors, the largest first.

    Raises:
        ValueError: If the matrix has fewer rows or columns than the rank.
    """
    if rank > min(matrix.shape):
        raise ValueError(f"rank: expected at most {min(matrix.shape)}, got {rank}")
    return np.linalg.svd(matrix, full_matrices=False)[0][:, :rank]


def shared_directions(
    rows: Float[np.ndarray, "row feature"],
    others: Float[np.ndarray, "row other_feature"],
    weights: Float[np.ndarray, " row"],
    rank: int,
) -> Float[np.ndarray, "feature rank"]:
    """Return an orthonormal basis of the directions along which others go with some features.

    They are the leading left singular vectors of ``sum_i w_i x_i y_i^T``, for rows that have no
    mean. Columns are zero where fewer directions have anything in common.

    Args:
        rows: Features ``x``.
        others: Other features ``y``.
        weights: Weight of each row.
        rank: How many, at most the number of features.

    Returns:
        Directions of the first features.

    Example:
        >>> from bayescmp.layers.directions import shared_directions
        >>> rows = np.array([[1.0, 1.0], [-1.0, -1.0]])
        >>> np.abs(shared_directions(rows, rows[:, :1], np.full(2, 0.5), 2)).round(3).tolist()
        [[0.707, 0.0], [0.707, 0.0]]
    """
    product = rows.T @ (weights[:, None] * others)
    left, sizes, _ = np.linalg.svd(product, full_matrices=False)
    powers = (float(weights @ (each**2).sum(axis=-1)) for each in (rows, others))
    kept = sizes[:rank] > SMALLEST_SHARE * np.sqrt(np.prod(list(powers)))
    found = np.zeros((rows.shape[1], rank))
    found[:, : len(kept)] = left[:, : len(kept)] * kept
    return found


def projection(basis: Float[np.ndarray, "feature rank"]) -> Float[np.ndarray, "feature feature"]:
    """Return the projection on the span of an orthonormal basis.

    Args:
        basis: Orthonormal columns.

    Returns:
        ``B B^T``.
    """
    return basis @ basis.T


def random_rotations(num: int, size: int, *, key: Key) -> Float[np.ndarray, "draw size size"]:
    """Draw orthogonal matrices, each as likely as any other.

    The first ``rank`` columns of one span a random subspace.

    Args:
        num: How many.
        size: Their size.
        key: Typed key.

    Returns:
        The matrices.
    """
    return np.asarray(jax.random.orthogonal(key, size, (num,)), np.float64)


def random_projections(
    num: int, size: int, rank: int, *, key: Key
) -> Float[np.ndarray, "draw size size"]:
    """Draw projections on random subspaces.

    Args:
        num: How many.
        size: Size of the space.
        rank: Size of the subspaces.
        key: Typed key.

    Returns:
        The projections.
    """
    bases = random_rotations(num, size, key=key)[:, :, :rank]
    return bases @ np.swapaxes(bases, 1, 2)
