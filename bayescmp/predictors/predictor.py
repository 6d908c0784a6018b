"""Predictors: anything that gives a law over the outcomes at each question."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.oracle import Oracle
from bayescmp.records import Batch

Predictive = Float[Array, "sequence position outcome"]


class AbstractPredictor(eqx.Module):
    """A rival explanation: it answers the same questions as a network.

    Law: the answers normalise over outcomes.
    """

    name: eqx.AbstractVar[str]
    """Name in tables."""

    @abc.abstractmethod
    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer every question of a batch, log probabilities in nats."""


class FixedLaw(AbstractPredictor):
    """The same law at every question, or one law for each position."""

    log_law: Float[Array, "*position outcome"]
    """Log probabilities, with or without an axis for positions."""
    name: str = eqx.field(static=True)

    def log_predictive(self, batch: Batch) -> Predictive:
        """Repeat the law for every question."""
        shape = (*batch.outcomes.shape, self.log_law.shape[-1])
        return jnp.broadcast_to(self.log_law, shape)


class WindowPredictor(AbstractPredictor):
    """The oracle with a short memory: exact given the last steps alone."""

    oracle: Oracle
    window: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, oracle: Oracle, window: int) -> None:
        """Shorten an oracle's memory.

        Args:
            oracle: Oracle to shorten.
            window: Number of last steps that it remembers, at least one.

        Raises:
            ValueError: If ``window`` is less than one.
        """
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        self.oracle = oracle
        self.window = window
        self.name = f"window {window}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer from the last steps."""
        return self.oracle.windowed(batch, self.window)
