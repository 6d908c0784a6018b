"""The key frame: how near to orthogonal the keys of an attention head are, and by chance."""

import math

import numpy as np
from jaxtyping import Float


def random_cosine(num_features: int) -> float:
    """Return the mean absolute cosine of two random directions.

    ``E |cos| = Gamma(d / 2) / (sqrt(pi) Gamma((d + 1) / 2))``, about ``sqrt(2 / (pi d))``.

    The cosine is one coordinate ``u`` of a uniform point on the sphere, whose square follows
    ``Beta(1/2, (d - 1) / 2)``; the formula is the mean of that law's square root.

    Args:
        num_features: Dimension ``d`` of the directions.

    Returns:
        The mean [1]; vectors less aligned than this are nearer to a frame than chance.

    Raises:
        ValueError: If there is no dimension.

    Example:
        >>> [round(random_cosine(size), 3) for size in (1, 2, 64)]
        [1.0, 0.637, 0.1]
    """
    if num_features < 1:
        raise ValueError(f"num_features: expected at least 1, got {num_features}")
    log_ratio = math.lgamma(num_features / 2) - math.lgamma((num_features + 1) / 2)
    return math.exp(log_ratio) / math.sqrt(math.pi)


def mean_abs_cosine(
    vectors: Float[np.ndarray, "*rows vector feature"],
) -> Float[np.ndarray, "*rows"]:
    """Return the mean of ``|cos(v_i, v_j)|`` over pairs of different vectors.

    Absolute, since signed cosines cancel: vectors along one axis that point either way would
    pass for orthogonal ones.

    Args:
        vectors: Sets of vectors, in any unit. Those of length zero have no direction, and are
            left out.

    Returns:
        The mean of each set [1]; NaN where fewer than two vectors have a direction.

    Source: Agarwal, Dalal and Misra, arXiv 2512.22471, for keys; the average there is signed.

    Example:
        >>> float(mean_abs_cosine(np.array([[1.0, 0.0], [-3.0, 0.0], [0.0, 2.0]])).round(3))
        0.333
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines = np.abs(directions @ np.swapaxes(directions, -1, -2))
    places = np.arange(vectors.shape[-2])
    cosines[..., places, places] = 0.0
    num = (lengths[..., 0] > 0).sum(axis=-1)
    pairs = num * (num - 1)
    mean = cosines.sum(axis=(-1, -2)) / np.maximum(pairs, 1)
    return np.asarray(np.where(pairs > 0, mean, np.nan), np.float64)


def key_columns(
    matrix: Float[np.ndarray, "feature heads_times_size"], num_heads: int
) -> Float[np.ndarray, "head column feature"]:
    """Return the columns of each head's key matrix, one vector of the stream for each.

    A key's component is the stream's product with a column, so orthogonal columns read
    different directions of the stream.

    Args:
        matrix: Key matrices of all heads, side by side.
        num_heads: Number of heads that have keys of their own.

    Returns:
        Columns as vectors.

    Raises:
        ValueError: If the width is no multiple of the number of heads.

    Example:
        >>> key_columns(np.eye(4), 2).shape
        (2, 2, 4)
    """
    if num_heads < 1 or matrix.shape[1] % num_heads:
        raise ValueError(
            f"num_heads: expected a divisor of the matrix's width {matrix.shape[1]}, "
            f"got {num_heads}"
        )
    split = matrix.reshape(matrix.shape[0], num_heads, -1)
    return np.moveaxis(split, 0, -1)
