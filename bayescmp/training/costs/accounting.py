"""What training has cost, so that arms can be compared at equal steps, data, work or time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from bayescmp.networks.network import NetworkLike
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import TransformerConfig
from bayescmp.training.costs.operations import transformer_flops
from bayescmp.training.fit import Fit

Axis = Literal["step", "sequence", "token", "operation", "second", "joule"]
"""What a comparison is made at equal amounts of."""

AXES: tuple[Axis, ...] = get_args(Axis)


@dataclass(frozen=True)
class Accounting:
    """What the training of one network has cost.

    Example:
        >>> spent = Accounting(num_steps=10, sequences_per_step=4, tokens_per_step=12,
        ...                    flops_per_step=1e6, closed_form=9e5, seconds=2.0, joules=np.nan)
        >>> spent.total("token"), spent.total("operation"), spent.per_step("second")
        (120.0, 10000000.0, 0.2)
    """

    num_steps: int
    """Steps done."""
    sequences_per_step: int
    """Sequences drawn for a step."""
    tokens_per_step: int
    """Input positions of a step's sequences."""
    flops_per_step: float
    """Floating-point operations of a step, by XLA's count; NaN where it gives none."""
    closed_form: float
    """Those of a step's matrix products, in closed form; NaN for other networks than
    transformers. XLA counts element-wise work, data, oracle and optimiser as well."""
    seconds: float
    """Wall time of all steps, without compilation."""
    joules: float
    """Energy of all steps, of everything that ran on the machine; NaN where it is not told."""

    def per_step(self, axis: Axis) -> float:
        """Return what a step costs, on average where it is measured.

        Args:
            axis: Of what.

        Returns:
            Number, seconds or joules; NaN where unknown.

        Raises:
            ValueError: If there is no such axis.
        """
        if axis not in AXES:
            raise ValueError(f"axis: expected one of {', '.join(map(repr, AXES))}, got {axis!r}")
        steps = self.num_steps or math.nan
        costs = {
            "step": 1.0,
            "sequence": self.sequences_per_step,
            "token": self.tokens_per_step,
            "operation": self.flops_per_step,
            "second": self.seconds / steps,
            "joule": self.joules / steps,
        }
        return float(costs[axis])

    def total(self, axis: Axis) -> float:
        """Return what all steps have cost.

        Args:
            axis: Of what.

        Returns:
            Number, seconds or joules; NaN where unknown.

        Raises:
            ValueError: If there is no such axis.
        """
        measured = {"second": self.seconds, "joule": self.joules}
        return measured[axis] if axis in measured else self.num_steps * self.per_step(axis)


def account(fit: Fit, *, num_questions: int | None = None) -> Accounting:
    """Return what a network's training has cost.

    Args:
        fit: Trained network with its history.
        num_questions: Questions of a sequence, which is ``model.length``; only the closed
            form needs it, and counts the network at every position without.

    Returns:
        The costs of this network; seeds that were trained beside it have their own.

    Example:
        >>> model = bc.models.Bijection(size=3)
        >>> network = bc.networks.NGramConfig().build(TaskShape.of(model), key=jax.random.key(0))
        >>> result = bc.fit(network, model, steps=2, progress=False, key=jax.random.key(1))
        >>> account(result).total("sequence"), account(result).closed_form
        (128.0, nan)
    """
    return Accounting(
        num_steps=fit.num_steps,
        sequences_per_step=fit.sequences_per_step,
        tokens_per_step=fit.tokens_per_step,
        flops_per_step=fit.flops_per_step,
        closed_form=_closed_form(fit.network, fit.sequences_per_step, num_questions),
        seconds=fit.seconds,
        joules=fit.joules,
    )


def learning_curve(
    fit: Fit, axis: Axis = "step"
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Return how far the loss is above its floor against what has been spent by then.

    Steps of a run cost the same; time and energy are read off the clock at the end of each
    chunk of steps, whose steps get the mean.

    Args:
        fit: Trained network with its history.
        axis: What is spent.

    Returns:
        What is spent once each step is done, and the excess loss of its batch in nats.

    Raises:
        ValueError: If there is no such axis.

    Example:
        >>> model = bc.models.Bijection(size=3)
        >>> network = bc.networks.NGramConfig().build(TaskShape.of(model), key=jax.random.key(0))
        >>> result = bc.fit(network, model, steps=2, progress=False, key=jax.random.key(1))
        >>> learning_curve(result, "sequence")[0].tolist()
        [64.0, 128.0]
    """
    steps, cost = np.arange(1, fit.num_steps + 1), account(fit).per_step(axis)
    column = {"second": 1, "joule": 2}.get(axis)
    if column is None or fit.clock is None or not len(fit.clock):
        return steps * cost, np.asarray(fit.excess)
    clock = np.concatenate([np.zeros((1, 3)), fit.clock])
    return np.interp(steps, clock[:, 0], clock[:, column]), np.asarray(fit.excess)


def spent(fits: Mapping[str, Fit]) -> dict[Axis, Float[np.ndarray, " fit"]]:
    """Return what each of several trainings has cost in all.

    Args:
        fits: Trained networks by the name of their arm.

    Returns:
        For each axis one number for each arm, in their order; NaN where unknown.

    Example:
        >>> {axis: cost.size for axis, cost in spent({}).items()}["token"]
        0
    """
    accounts = [account(fit) for fit in fits.values()]
    return {axis: np.array([each.total(axis) for each in accounts], float) for axis in AXES}


def _closed_form(network: NetworkLike, batch_size: int, num_questions: int | None) -> float:
    config, shape = getattr(network, "config", None), getattr(network, "shape", None)
    if not isinstance(config, TransformerConfig) or not isinstance(shape, TaskShape):
        return math.nan
    return transformer_flops(config, shape, batch_size, num_questions=num_questions)
