"""At which size of a pool of tasks does a network stop remembering the pool?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayescmp.measures.interval import Interval, mean_interval


@dataclass(frozen=True)
class Threshold:
    """Where networks cross from the pool's posterior to that of the true prior.

    Attributes:
        by_seed: Pool size at the crossing [task] for each seed; 0 where a network is nearer to
            the true prior at every size, infinite where it is not at the largest.
        interval: Interval over seeds of its base-2 logarithm; its ends are NaN where a seed does
            not cross within the sizes, and infinite for one seed.
    """

    by_seed: Float[np.ndarray, " seed"]
    interval: Interval


def find_threshold(
    num_tasks: Int[np.ndarray, " pool"],
    to_pool: Float[np.ndarray, "pool seed"],
    to_true: Float[np.ndarray, "pool seed"],
) -> Threshold:
    """Find the pool size from which on networks are nearer to the true posterior.

    With ``r = log(to_pool / to_true)``, negative where the pool's posterior is nearer, the
    threshold is where ``r``, linear in ``log(num_tasks)`` between two sizes, last rises through
    zero. In a pool that is very large both posteriors are the same, and ``r`` is noise around
    zero: leave out sizes at which the two are closer to each other than to the network.

    Source: Raventos et al., "Pretraining Task Diversity and the Emergence of Non-Bayesian
    In-Context Learning for Regression", arXiv 2306.15063, for the experiment.

    Args:
        num_tasks: Sizes of the pools, rising, at least two.
        to_pool: Distance of each network from the pool's posterior, in any unit, positive.
        to_true: Distance from the posterior of the true prior, in the same unit, positive.

    Returns:
        The threshold of each seed, and an interval over seeds.

    Raises:
        ValueError: If sizes do not rise, or a distance is not a positive number.

    Example:
        >>> rising, falling = np.array([[0.1], [0.2], [0.4]]), np.array([[0.4], [0.2], [0.1]])
        >>> find_threshold(np.array([4, 16, 64]), rising, falling).by_seed.round(6)
        array([16.])
    """
    if num_tasks.size < 2 or not (np.diff(num_tasks) > 0).all() or num_tasks[0] < 1:
        raise ValueError(f"num_tasks: expected two or more rising sizes, got {num_tasks.tolist()}")
    for name, values in (("to_pool", to_pool), ("to_true", to_true)):
        if values.shape != (num_tasks.size, to_pool.shape[1]):
            raise ValueError(f"{name}: expected one row for each size, got shape {values.shape}")
        if not (np.isfinite(values) & (values > 0.0)).all():
            raise ValueError(f"{name}: expected positive numbers, got others")
    ratios = np.log(to_pool / to_true)
    places = np.log2(num_tasks)
    crossings = np.array([_last_rise(places, column) for column in ratios.T])
    return Threshold(np.exp2(crossings), mean_interval(crossings))


def _last_rise(places: Float[np.ndarray, " pool"], ratios: Float[np.ndarray, " pool"]) -> float:
    """Return where a line through points last rises through zero; infinite where it does not."""
    if ratios[-1] <= 0.0:
        return np.inf
    below = np.flatnonzero(ratios <= 0.0)
    if not below.size:
        return -np.inf
    left = below[-1]
    share = -ratios[left] / (ratios[left + 1] - ratios[left])
    return float(places[left] + share * (places[left + 1] - places[left]))
