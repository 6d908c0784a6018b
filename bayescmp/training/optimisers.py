"""Optimisers from Optax, as frozen records that a report can print."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import optax
from jaxtyping import Array, PyTree

Schedule = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.0
    b1: float = 0.9
    b2: float = 0.99
    warmup: float = 0.05
    """Share of the steps over which the rate rises from zero."""
    schedule: Schedule = "cosine"
    """How the rate falls to zero afterwards."""
    clip: float = 1.0
    """Largest global norm of a gradient."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        _check_settings(self)

    def build(self, num_steps: int) -> optax.GradientTransformation:
        """Return the Optax transformation for a run of a given length."""
        adamw = optax.adamw(
            rate(self, num_steps), b1=self.b1, b2=self.b2, weight_decay=self.weight_decay
        )
        return optax.chain(optax.clip_by_global_norm(self.clip), adamw)


@dataclass(frozen=True)
class Muon:
    """Momentum, orthogonalised for the matrices inside blocks; Nesterov's Adam for the rest.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

    learning_rate: float = 1e-2
    """Peak learning rate."""
    weight_decay: float = 0.0
    momentum: float = 0.95
    warmup: float = 0.05
    """Share of the steps over which the rate rises from zero."""
    schedule: Schedule = "cosine"
    """How the rate falls to zero afterwards."""
    clip: float = 1.0
    """Largest global norm of a gradient."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        _check_settings(self)

    def build(self, num_steps: int) -> optax.GradientTransformation:
        """Return the Optax transformation for a run of a given length."""
        muon = optax.contrib.muon(
            rate(self, num_steps),
            beta=self.momentum,
            weight_decay=self.weight_decay,
            adam_weight_decay=self.weight_decay,
            adam_b2=0.99,
            muon_weight_dimension_numbers=_block_matrices,
        )
        return optax.chain(optax.clip_by_global_norm(self.clip), muon)


Optimiser = AdamW | Muon


def rate(optimiser: Optimiser, num_steps: int) -> optax.Schedule:
    """Return an optimiser's learning rate as a function of the step.

    Args:
        optimiser: Optimiser.
        num_steps: Length of the run in steps.

    Returns:
        Optax schedule.
    """
    peak, num_warmup = optimiser.learning_rate, round(optimiser.warmup * num_steps)
    num_left = max(num_steps - num_warmup, 1)
    if optimiser.schedule == "cosine":
        decay = optax.cosine_decay_schedule(peak, num_left)
    elif optimiser.schedule == "linear":
        decay = optax.linear_schedule(peak, 0.0, num_left)
    else:
        decay = optax.constant_schedule(peak)
    warmup = optax.linear_schedule(peak / max(num_warmup, 1), peak, max(num_warmup - 1, 1))
    return optax.join_schedules([warmup, decay], [num_warmup]) if num_warmup else decay


def _block_matrices(params: PyTree[Array]) -> PyTree:
    """Mark arrays that are stacks of matrices: three axes or more, the last two a matrix."""

    def mark(leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim < 3:
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree.map(mark, params)


def _check_settings(optimiser: Optimiser) -> None:
    name = type(optimiser).__name__
    if not 0 < optimiser.learning_rate < math.inf:
        raise ValueError(
            f"learning_rate: expected a positive number for {name}, got {optimiser.learning_rate}"
        )
    if not 0 <= optimiser.weight_decay < math.inf:
        raise ValueError(
            f"weight_decay: expected zero or a positive number, got {optimiser.weight_decay}"
        )
    for decay in ("b1", "b2", "momentum"):
        if not 0 <= getattr(optimiser, decay, 0.0) < 1:
            raise ValueError(
                f"{decay}: expected a number from 0 up to 1, got {getattr(optimiser, decay)}"
            )
    if not 0 <= optimiser.warmup < 1:
        raise ValueError(f"warmup: expected a share from 0 up to 1, got {optimiser.warmup}")
    if not optimiser.clip > 0:
        raise ValueError(f"clip: expected a positive norm, got {optimiser.clip}")
    if optimiser.schedule not in ("constant", "cosine", "linear"):
        raise ValueError(
            f"schedule: expected 'constant', 'cosine' or 'linear', got {optimiser.schedule!r}"
        )
