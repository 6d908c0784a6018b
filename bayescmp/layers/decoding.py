"""Laws from vectors that are only nearly laws, as a linear read-out gives them."""

import numpy as np
import scipy.special
from jaxtyping import Float

FLOOR = 1e-3
"""Share of the uniform law in what is decoded, so that no possible value is infinitely far."""


def project_to_simplex(
    values: Float[np.ndarray, "*rows value"],
) -> Float[np.ndarray, "*rows value"]:
    """Return the nearest law in Euclidean distance.

    ``max(v - c, 0)`` with the one ``c`` for which the entries sum to one: of entries in falling
    order, the first ``k`` stay positive, for the largest ``k`` with
    ``v_k > (v_1 + .. + v_k - 1) / k``, which is then ``c``.

    Args:
        values: Vectors of any numbers.

    Returns:
        Laws.

    Raises:
        ValueError: If the vectors have no entry.

    Source: Held, Wolfe and Crowder, Mathematical Programming 6 (1974).

    Example:
        >>> project_to_simplex(np.array([0.9, 0.3, -0.5])).round(3).tolist()
        [0.8, 0.2, 0.0]
    """
    if values.shape[-1] == 0:
        raise ValueError("values: expected at least one entry, got none")
    falling = np.sort(values, axis=-1)[..., ::-1]
    excess = np.cumsum(falling, axis=-1) - 1.0
    positive = falling * np.arange(1, values.shape[-1] + 1) > excess
    count = np.count_nonzero(positive, axis=-1)[..., None]
    level = np.take_along_axis(excess, count - 1, axis=-1) / count
    return np.maximum(values - level, 0.0)


def decode_law(values: Float[np.ndarray, "*rows value"]) -> Float[np.ndarray, "*rows value"]:
    """Turn vectors into laws without zeros.

    ``(1 - floor) projection + floor / n`` with a floor of one in a thousand. A law that is
    read perfectly is then less than 0.0015 bit away from itself.

    Args:
        values: Vectors of any numbers.

    Returns:
        Laws with positive entries.

    Example:
        >>> decode_law(np.array([1.0, 0.0])).round(4).tolist()
        [0.9995, 0.0005]
    """
    return (1.0 - FLOOR) * project_to_simplex(values) + FLOOR / values.shape[-1]


def kl_rows(
    exact: Float[np.ndarray, "row *rest value"], decoded: Float[np.ndarray, "row *rest value"]
) -> Float[np.ndarray, "row *rest"]:
    """Return ``KL(exact || decoded)`` of probabilities, with ``0 log 0 = 0``.

    Args:
        exact: Exact laws.
        decoded: Laws held against them.

    Returns:
        Divergences in nats.

    Example:
        >>> kl_rows(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).round(3)
        array([0.693])
    """
    return scipy.special.rel_entr(exact, decoded).sum(axis=-1)
