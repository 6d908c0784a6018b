"""A trained network and how it came about."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from bayescmp.networks.network import NetworkLike, count_parameters
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.problem import Problem
from bayescmp.training.progress import Progress
from bayescmp.training.settings import Training
from bayescmp.training.steps import DIVERGED, GOES_ON, STOPPED_EARLY

Outcome = Literal["completed", "stopped early", "diverged"]
"""How training ended."""

_OUTCOMES: dict[int, Outcome] = {
    GOES_ON: "completed",
    STOPPED_EARLY: "stopped early",
    DIVERGED: "diverged",
}


class Fit(eqx.Module):
    """A trained network and how it came about.

    Example:
        >>> model = bc.models.Bijection(size=3)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> result = bc.fit(network, model, steps=2, progress=False, key=jax.random.key(1))
        >>> result.outcome, result.num_steps, result.sequences_per_step, result.tokens_per_step
        ('completed', 2, 64, 192)
    """

    network: NetworkLike
    """The network after the last step; after the last good one, if training diverged."""
    outcome: Outcome = eqx.field(static=True)
    """``diverged`` only where ``throw=False`` was asked for."""
    training: Training = eqx.field(static=True)
    objective: ObjectiveName = eqx.field(static=True)
    loss: Float[np.ndarray, " step"]
    """Training loss at each step, in nats."""
    excess: Float[np.ndarray, " step"]
    """Loss above the entropy floor at each step, in nats; NaN without an oracle."""
    seconds: float
    """Wall time spent in training steps, without compilation. Seeds that are trained
    together share that of each chunk of steps in proportion to the steps that they took in it."""
    flops_per_step: float
    """Floating-point operations of one step, by XLA's count; NaN where it gives none."""
    tokens_per_step: int
    """Input positions in a batch."""
    num_devices: int
    """Devices that trained this network and the seeds beside it."""
    num_parameters: int
    joules: float = math.nan
    """Energy of the training steps, of everything that ran on the machine, shared among seeds
    as time is; NaN where the machine does not tell."""
    averaged: NetworkLike | None = None
    """The moving average of the network over steps; None if ``Training.average`` is, or
    where training diverged at once."""
    clock: Float[np.ndarray, "chunk 3"] | None = None
    """Steps done, and seconds and joules spent on this network, by the end of each chunk of
    steps; None where nobody looked at a clock."""

    @property
    def num_steps(self) -> int:
        """Steps done, one that diverged included; fewer than asked for if it ended early."""
        return len(self.loss)

    @property
    def sequences_per_step(self) -> int:
        """Sequences in a batch, each drawn afresh."""
        return self.training.batch_size


def collect_fits(run: Progress, problem: Problem, training: Training) -> tuple[Fit, ...]:
    """Return the result of each seed of a run.

    Args:
        run: Where the run ended.
        problem: What was trained, and on what.
        training: Settings.

    Returns:
        One result for each seed, in their order.
    """
    evaluate = jax.jit(jax.vmap(problem.optimiser.evaluation_params))
    params = evaluate(run.state.opt_state, run.state.params)
    # Away from the mesh: a single device's arrays work in everybody's computations.
    params, averages = jax.tree.map(np.asarray, (params, run.state.average))
    fits = []
    for seed, num_steps in enumerate(run.num_steps.tolist()):
        took_a_step = num_steps > int(run.diverged[seed])
        clock = _share_clock(run, seed)
        seconds, joules = (float(spent) for spent in clock[-1, 1:]) if len(clock) else (0.0, 0.0)
        fits.append(
            Fit(
                network=_network(problem, params, seed),
                outcome=_OUTCOMES[int(run.fate[seed])],
                training=training,
                objective=problem.objective,
                loss=run.loss[seed, :num_steps],
                excess=run.excess[seed, :num_steps],
                seconds=seconds,
                joules=joules,
                clock=clock,
                flops_per_step=run.flops,
                tokens_per_step=training.batch_size * problem.model.layout.input_length,
                num_devices=problem.mesh.size,
                num_parameters=count_parameters(params) // problem.num_seeds,
                averaged=_network(problem, averages, seed) if averages and took_a_step else None,
            )
        )
    return tuple(fits)


def _share_clock(run: Progress, seed: int) -> Float[np.ndarray, "chunk 3"]:
    """Return what one seed has cost: of each chunk, the share of the steps that it took."""
    done = np.minimum(run.num_steps[:, None], run.clock[:, 0])
    steps = np.diff(done, axis=1, prepend=0.0)
    spent = np.diff(run.clock[:, 1:], axis=0, prepend=0.0) * (steps[seed] / steps.sum(0))[:, None]
    return np.column_stack([done[seed], np.cumsum(spent, axis=0)])[steps[seed] > 0]


def _network(problem: Problem, params: PyTree[np.ndarray], seed: int) -> NetworkLike:
    return eqx.combine(jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), params), problem.static)
