"""The ranked probability score: distance of a distribution from what came, for ordered outcomes."""

import numpy as np
from jaxtyping import Float, Int


def ranked_probability_score(
    log_q: Float[np.ndarray, "*row outcome"],
    outcomes: Int[np.ndarray, " *row"],
    widths: Float[np.ndarray, " inner"] | None = None,
) -> Float[np.ndarray, " *row"]:
    """Score distributions over ordered outcomes.

    ``sum_k w_k (F_k - [y <= k])^2`` over all outcomes but the last. With the widths of bins for
    weights it is the continuous ranked probability score of a law that has the same chance in
    each bin, looked at from its edges.

    Args:
        log_q: Predicted log probabilities [nat]; outcomes in their order.
        outcomes: What came, indices from 0.
        widths: Weight of each outcome but the last; one each by default.

    Returns:
        Scores, in the unit of the widths; least on average for the exact law.

    Raises:
        ValueError: If there is another number of widths.

    Source: Epstein, A scoring system for probability forecasts of ranked categories, 1969,
    Journal of Applied Meteorology 8.

    Example:
        >>> log_q = np.log([[0.2, 0.3, 0.5]])
        >>> ranked_probability_score(log_q, np.array([2])).round(2)
        array([0.29])
    """
    num_inner = log_q.shape[-1] - 1
    if widths is not None and widths.shape != (num_inner,):
        raise ValueError(f"widths: expected {num_inner}, got {widths.shape}")
    upto = np.cumsum(np.exp(log_q), axis=-1)[..., :-1]
    came = outcomes[..., None] <= np.arange(num_inner)
    squares = (upto - came) ** 2
    return squares.sum(axis=-1) if widths is None else squares @ widths
