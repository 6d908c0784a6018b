"""Edges of the bins by which continuous outcomes are asked."""

import math
from statistics import NormalDist

from bayescmp.models.arguments import require_at_least, require_positive


def normal_edges(num_bins: int, variance: float) -> tuple[float, ...]:
    """Return the edges of bins that are equally likely under a normal law around zero.

    Args:
        num_bins: Number of bins, at least two.
        variance: Variance of the law, in the outcome's unit squared, positive.

    Returns:
        Inner edges, rising: the ``k / num_bins`` quantiles.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> normal_edges(4, 1.0)[2]
        0.67448...
    """
    require_at_least("num_bins", num_bins, 2)
    require_positive("variance", variance)
    law = NormalDist(0.0, math.sqrt(variance))
    return tuple(law.inv_cdf(k / num_bins) for k in range(1, num_bins))
