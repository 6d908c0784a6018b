"""Does the order of what was shown matter to a predictor, where it cannot matter?

Where answers are exchangeable, the exact law after some steps is the same in whatever order they
came, and the probability of a whole sequence is that of all its reorderings. What a predictor
makes of different orders of the same steps is computed, not estimated: there is no chance in it,
and zero is the null up to rounding. Chance enters only through the orders and sequences that are
looked at; every mean over pairs of orders is one over independent draws of a pair, and sequences
are the independent units.

A law that is a function of counts passes the first test whatever the function. The second one
tells whether its laws fit together as the conditionals of one exchangeable law.
"""

import numpy as np
from jaxtyping import Float

OrderedLaws = Float[np.ndarray, "order *sequence outcome"]


def order_gap(laws: OrderedLaws) -> Float[np.ndarray, "*sequence"]:
    """Compute how far the laws after two orders of the same steps are apart, on average.

    Mean over pairs of different orders of ``TV(q_a, q_b)``.

    Args:
        laws: Law after each order [1], at least two orders, drawn independently.

    Returns:
        Mean distance [1], of which the expectation does not depend on the number of orders; 0
        where order does not matter.

    Raises:
        ValueError: If there are fewer than two orders.

    Example:
        >>> laws = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])  # two of three pairs differ
        >>> float(order_gap(laws).round(6))
        0.2
    """
    _check_orders(len(laws))
    first, second = np.triu_indices(len(laws), k=1)
    apart = [np.abs(laws[a] - laws[b]).sum(-1) for a, b in zip(first, second, strict=True)]
    return np.asarray(0.5 * np.mean(apart, axis=0))


def order_divergence(log_laws: OrderedLaws) -> Float[np.ndarray, "*sequence"]:
    """Compute the mean KL divergence between the laws after two orders of the same steps.

    Mean over ordered pairs of different orders of ``kl(q_a, q_b)``.

    Args:
        log_laws: Log law after each order [nat], at least two orders, drawn independently.

    Returns:
        Mean divergence [nat]; infinite where one order excludes what another allows.

    Raises:
        ValueError: If there are fewer than two orders.

    Example:
        >>> round(float(order_divergence(np.log([[0.5, 0.5], [0.25, 0.75]]))), 4)
        0.1373
    """
    from scipy.special import rel_entr  # 0.1 s to import, and only needed here

    _check_orders(len(log_laws))
    laws = np.exp(log_laws)
    pairs = [(a, b) for a in range(len(laws)) for b in range(len(laws)) if a != b]
    return np.asarray(np.mean([rel_entr(laws[a], laws[b]).sum(-1) for a, b in pairs], axis=0))


def allowed_order_gap(
    exact: Float[np.ndarray, "*sequence outcome"], laws: OrderedLaws
) -> Float[np.ndarray, "*sequence"]:
    """Compute the largest gap that a predictor's distance from exact Bayes allows.

    ``TV(q_a, q_b) <= TV(q_a, p) + TV(p, q_b)``, on average ``2 mean_a TV(p, q_a)``, since the
    exact law ``p`` is the same after all orders.

    Args:
        exact: Exact law [1].
        laws: The predictor's law after each order [1].

    Returns:
        Bound on the gap [1].

    Example:
        >>> round(float(allowed_order_gap(np.full(2, 0.5), np.array([[0.6, 0.4], [0.5, 0.5]]))), 6)
        0.1
    """
    return np.asarray(np.abs(laws - exact).sum(-1).mean(axis=0))


def order_spread(log_probs: Float[np.ndarray, "order *sequence"]) -> Float[np.ndarray, "*sequence"]:
    """Compute the standard deviation of a sequence's log probability over its reorderings.

    Args:
        log_probs: Log probability of the whole sequence in each order [nat].

    Returns:
        Standard deviation [nat], with the variance unbiased; 0 where the predictor's laws are
        the conditionals of an exchangeable law, infinite where it excludes some order.

    Raises:
        ValueError: If there are fewer than two orders.

    Example:
        >>> round(float(order_spread(np.log([0.25, 0.5]))), 4)
        0.4901
    """
    _check_orders(len(log_probs))
    excluded = np.isneginf(log_probs).any(axis=0)
    finite = np.where(excluded, 0.0, log_probs)
    return np.where(excluded, np.inf, finite.std(axis=0, ddof=1))


def _check_orders(num_orders: int) -> None:
    if num_orders < 2:
        raise ValueError(f"laws: expected at least two orders, got {num_orders}")
