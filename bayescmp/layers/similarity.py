"""Similarity of two sets of vectors for the same rows: linear CKA, and subspaces that overlap."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

Rows = Float[np.ndarray, "row feature"]
OtherRows = Float[np.ndarray, "row other_feature"]
Sets = Sequence[Float[np.ndarray, "row _"]]
"""Sets of vectors for the same rows, each of its own size."""
Weights = Float[np.ndarray, " row"]
Table = Float[np.ndarray, "set other_set"]
Basis = Float[np.ndarray, "component direction"]
OtherBasis = Float[np.ndarray, "other_component other_direction"]

SMALLEST_SPREAD = 1e-6
"""Spread, relative to the root mean square, below which nothing varies: ten times the rounding
of 32 bits."""


def linear_cka(first: Rows, second: OtherRows, weights: Weights | None = None) -> float:
    """Return linear centred kernel alignment, ``|Y'X|^2 / (|X'X| |Y'Y|)`` for centred columns.

    It is 1 where one is an orthogonal map of the other times a factor, and 0 where no feature
    of one is correlated with any of the other. With few rows for the features it is large for
    unrelated vectors too; see :func:`debiased_cka`.

    Args:
        first: Vectors.
        second: Vectors for the same rows.
        weights: Weight of each row; the same for each by default.

    Returns:
        Between 0 and 1; NaN where one of them does not vary.

    Source: Kornblith et al., "Similarity of neural network representations revisited", 2019.

    Example:
        >>> rows = np.array([[0.0, 1.0], [2.0, 0.0], [5.0, 5.0]])
        >>> round(linear_cka(rows, -3.0 * rows[:, ::-1]), 6)
        1.0
    """
    return float(cka_table([first], [second], weights)[0, 0])


def debiased_cka(first: Rows, second: OtherRows) -> float:
    """Return linear CKA from unbiased estimates of its three terms.

    With ``K = X X'``, ``L = Y Y'``, diagonals set to zero and n independent rows::

        HSIC(K, L) = [tr K L + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'K L 1 / (n-2)] / (n (n-3))

    is unbiased, and ``CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` is near 0 for unrelated
    vectors, however many features they have.

    Args:
        first: Vectors.
        second: Vectors for the same rows, at least four.

    Returns:
        At most 1 but for rounding, and below 0 at times; NaN where a term for one of them alone
        is not positive.

    Raises:
        ValueError: If there are fewer than four rows.

    Source: Song et al., "Feature selection via dependence maximization", JMLR 13 (2012),
    theorem 2; Nguyen, Raghu and Kornblith, arXiv 2010.15327.

    Example:
        >>> rows = np.array([[0.0], [2.0], [5.0], [1.0], [9.0]])
        >>> round(debiased_cka(rows, -3.0 * rows), 6)
        1.0
    """
    return float(debiased_cka_table([first], [second])[0, 0])


def cka_table(first: Sets, second: Sets, weights: Weights | None = None) -> Table:
    """Return :func:`linear_cka` of each set of vectors with each of others.

    Args:
        first: Sets of vectors.
        second: Other sets of vectors for the same rows.
        weights: Weight of each row; the same for each by default.

    Returns:
        The table; NaN where a set does not vary.
    """
    xs, ys = ([_weighed(rows, weights) for rows in sets] for sets in (first, second))
    own = (np.array([_own(x) for x in sets]) for sets in (xs, ys))
    return _normalise(_products(xs, ys), *own)


def debiased_cka_table(first: Sets, second: Sets) -> Table:
    """Return :func:`debiased_cka` of each set of vectors with each of others.

    Args:
        first: Sets of vectors.
        second: Other sets of vectors for the same rows, at least four.

    Returns:
        The table.

    Raises:
        ValueError: If there are fewer than four rows.
    """
    num_rows = first[0].shape[0]
    if num_rows < 4:
        raise ValueError(f"first: expected at least 4 rows, got {num_rows}")
    xs, ys = ([_weighed(rows, None) for rows in sets] for sets in (first, second))
    x_squares, y_squares = ([np.sum(x**2, axis=1) for x in sets] for sets in (xs, ys))
    between = [
        [_unbiased(product, a, b) for product, b in zip(row, y_squares, strict=True)]
        for row, a in zip(_products(xs, ys).tolist(), x_squares, strict=True)
    ]
    own = (
        [_unbiased(_own(x), square, square) for x, square in zip(*pair, strict=True)]
        for pair in ((xs, x_squares), (ys, y_squares))
    )
    return _normalise(np.array(between), *(np.array(terms) for terms in own))


def _unbiased(product: float, a: Weights, b: Weights) -> float:
    """Estimate HSIC from ``|Y'X|^2`` and the squared lengths of centred rows.

    Columns are centred, so that ``K1 = 0`` and the rows of ``K`` without its diagonal sum to
    ``-a``; no matrix of rows by rows is needed.
    """
    n = a.size
    everything = a.sum() * b.sum() / ((n - 1) * (n - 2))
    return float(product - a @ b + everything - 2.0 * (a @ b) / (n - 2)) / (n * (n - 3))


def _products(xs: Sets, ys: Sets) -> Table:
    """Return ``|Y'X|^2`` of every pair, by one product of all of them side by side."""
    squares = (np.concatenate(xs, axis=1).T @ np.concatenate(ys, axis=1)) ** 2
    starts = [np.cumsum([0, *(x.shape[1] for x in sets)])[:-1] for sets in (xs, ys)]
    return np.add.reduceat(np.add.reduceat(squares, starts[0], axis=0), starts[1], axis=1)


def _own(x: Rows) -> float:
    return float(np.sum((x.T @ x) ** 2))


def _normalise(
    between: Table, first: Float[np.ndarray, " set"], second: Float[np.ndarray, " other_set"]
) -> Table:
    """Divide by the geometric mean of both sets' own terms; NaN where one is not positive."""
    own = np.maximum(first, 0.0)[:, None] * np.maximum(second, 0.0)[None, :]
    return np.where(own > 0.0, between / np.sqrt(np.where(own > 0.0, own, 1.0)), np.nan)


def principal_directions(
    rows: Rows, rank: int, weights: Weights | None = None
) -> Float[np.ndarray, "feature direction"]:
    """Return the directions of largest variance in the space of features.

    Args:
        rows: Vectors.
        rank: How many directions.
        weights: Weight of each row; the same for each by default.

    Returns:
        Orthonormal columns.

    Raises:
        ValueError: If the rank is not between 1 and the numbers of rows and features.

    Example:
        >>> np.abs(principal_directions(np.array([[0.0, 1.0], [0.0, 2.0]]), 1)).round(6).tolist()
        [[0.0], [1.0]]
    """
    _check_rank(rows, rank)
    centred = _weighed(rows, weights)
    return np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :rank]


def principal_scores(
    rows: Rows, rank: int, weights: Weights | None = None
) -> Float[np.ndarray, "row direction"]:
    """Return the principal components as directions in the space of rows.

    Two networks share no basis of features, but they share rows.

    Args:
        rows: Vectors.
        rank: How many components.
        weights: Weight of each row; the same for each by default.

    Returns:
        Orthonormal columns.

    Raises:
        ValueError: If the rank is not between 1 and the numbers of rows and features.

    Example:
        >>> principal_scores(np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]), 2).shape
        (3, 2)
    """
    _check_rank(rows, rank)
    return np.linalg.svd(_weighed(rows, weights), full_matrices=False)[0][:, :rank]


def subspace_overlap(first: Basis, second: OtherBasis) -> float:
    """Return the mean squared cosine of the principal angles, ``|A'B|^2 / k``.

    Args:
        first: Orthonormal columns ``A``.
        second: Orthonormal columns ``B``, as many.

    Returns:
        1 for the same subspace, 0 for orthogonal ones, and ``k / d`` on average for random
        ones of ``k`` out of ``d`` dimensions.

    Raises:
        ValueError: If the two have different shapes.

    Example:
        >>> subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, 1:3])
        0.5
    """
    if first.shape != second.shape:
        raise ValueError(f"second: expected shape {first.shape} as first, got {second.shape}")
    return float(np.linalg.norm(first.T @ second) ** 2 / first.shape[1])


def centre_within(
    rows: Rows, groups: Int[np.ndarray, " row"], weights: Weights
) -> Float[np.ndarray, "row feature"]:
    """Subtract from every row the mean of its group.

    With positions as groups, what is left depends on what was shown, and no longer on where.

    Args:
        rows: Vectors.
        groups: Number of the group of each row, from zero.
        weights: Weight of each row, positive in all.

    Returns:
        Rows in 64 bits, with mean zero in each group; what varies by rounding alone is zero.

    Example:
        >>> rows = np.array([[1.0], [3.0], [7.0]])
        >>> centre_within(rows, np.array([0, 0, 1]), np.full(3, 0.25)).tolist()
        [[-1.0], [1.0], [0.0]]
    """
    wide = rows.astype(np.float64)
    member = (np.arange(groups.max(initial=0) + 1)[:, None] == groups) * weights
    mass = np.maximum(member.sum(axis=1, keepdims=True), 1e-300)
    centred = wide - ((member @ wide) / mass)[groups]
    rounding = SMALLEST_SPREAD * np.linalg.norm(wide)
    return centred if np.linalg.norm(centred) > rounding else np.zeros_like(centred)


def _weighed(rows: Rows, weights: Weights | None) -> Rows:
    """Centre the columns, and scale rows so that plain products are weighted ones.

    What varies by rounding alone becomes zero.
    """
    wide = rows.astype(np.float64)
    share = np.full(rows.shape[0], 1.0 / rows.shape[0]) if weights is None else weights
    scale = np.sqrt(share)[:, None]
    centred = (wide - share @ wide) * scale
    if np.linalg.norm(centred) <= SMALLEST_SPREAD * np.linalg.norm(wide * scale):
        return np.zeros_like(centred)
    return centred


def _check_rank(rows: Rows, rank: int) -> None:
    most = min(rows.shape)
    if not 1 <= rank <= most:
        raise ValueError(f"rank: expected 1 to {most} (rows and features), got {rank}")
