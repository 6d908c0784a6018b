"""Networks that are trained on finite pools of tasks: do they remember the pool, or the prior?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from bayescmp._types import Key
from bayescmp.auditing.shift import Shift, Shifted, measure_shift
from bayescmp.derivation import derive_oracle
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.measures.crossing import Threshold, find_threshold
from bayescmp.networks.config import AbstractNetworkConfig
from bayescmp.networks.registry import build_network
from bayescmp.oracle import AbstractOracle
from bayescmp.training import Training, fit_seeds

FRESH = "fresh tasks"
"""Name of the shift from a pool to the prior that its tasks were drawn from."""


@dataclass(frozen=True)
class PoolSweep:
    """Networks by the size of the pool they were trained on; bits, on tasks of the true prior.

    Example:
        >>> from bayescmp.auditing.pools import PoolSweep
        >>> to_pool, to_true = np.array([[0.01], [0.04]]), np.array([[0.04], [0.01]])
        >>> sweep = PoolSweep(np.array([4, 64]), to_pool, to_true, np.array([0.05, 0.01]))
        >>> sweep.threshold().by_seed.round(6)
        array([16.])
    """

    num_tasks: Int[np.ndarray, " pool"]
    """Tasks in each pool, rising."""
    to_pool: Float[np.ndarray, "pool seed"]
    """KL(Bayes over the pool ‖ network)."""
    to_true: Float[np.ndarray, "pool seed"]
    """KL(Bayes under the true prior ‖ network)."""
    between: Float[np.ndarray, " pool"]
    """KL(Bayes under the true prior ‖ Bayes over the pool)."""

    def threshold(self) -> Threshold:
        """Return the pool size from which on networks are nearer to the true posterior.

        Raises:
            ValueError: If there are fewer than two sizes.
        """
        return find_threshold(self.num_tasks, self.to_pool, self.to_true)


def sweep_pools(
    make_pool: Callable[[int], AbstractGenerativeModel],
    true_oracle: AbstractOracle,
    config: AbstractNetworkConfig,
    sizes: Sequence[int],
    *,
    training: Training,
    num_seeds: int,
    key: Key,
    num_sequences: int = 1_024,
    progress: bool = False,
) -> PoolSweep:
    """Train networks on pools of tasks, and ask whether they remember the pool or learn the prior.

    All seeds of a size are trained on one pool, together; they differ in initial weights and in
    data. Their spread says nothing about other pools of that size.

    Args:
        make_pool: From a number of tasks to the model of a pool of so many, such as
            ``lambda num: bc.models.chain_pool(num, num_states=2, length=32)``.
        true_oracle: Oracle of the prior that the tasks of all pools come from.
        config: Shape of the networks.
        sizes: Tasks in each pool, rising.
        training: How each network is trained.
        num_seeds: Networks for each size, at least one.
        key: Typed key of weights, data and held-out sequences.
        num_sequences: Sequences of the true prior that every network is measured on.
        progress: Whether to show progress bars.

    Returns:
        Distances of every network from both answers.

    Raises:
        ValueError: If sizes do not rise, there is no seed, or models do not fit each other.
    """
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"sizes: expected rising numbers of tasks, got {list(sizes)}")
    if num_seeds < 1:
        raise ValueError(f"num_seeds: expected at least 1, got {num_seeds}")
    key_train, key_measure = jax.random.split(key)
    rows: list[list[Shifted]] = []
    for index, size in enumerate(sizes):
        oracle = derive_oracle(make_pool(size))
        keys = jax.random.split(jax.random.fold_in(key_train, index), (num_seeds, 2))
        networks = [build_network(config, oracle.model, key=pair[0]) for pair in keys]
        fits = fit_seeds(
            networks,
            oracle.model,
            oracle,
            keys=[pair[1] for pair in keys],
            training=training,
            progress=progress,
            description=f"pool of {size}",
        )
        shift = [Shift(FRESH, true_oracle)]
        options = {"key": key_measure, "num_sequences": num_sequences}
        rows.append([measure_shift(one.network, oracle, shift, **options)[0] for one in fits])
    return PoolSweep(
        num_tasks=np.array(sizes),
        to_pool=np.array([[float(one.to_training.mean) for one in row] for row in rows]),
        to_true=np.array([[float(one.to_shifted.mean) for one in row] for row in rows]),
        between=np.array([float(row[0].between.mean) for row in rows]),
    )
