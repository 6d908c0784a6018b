"""Stochastic gradient descent."""

from dataclasses import dataclass

import optax

from bayescmp.training.optimisers.optimiser import AbstractOptimiser


@dataclass(frozen=True)
class SGD(AbstractOptimiser):
    """``m <- momentum m + g``, then a step along ``-m``.

    Weight decay is the gradient of a penalty, ``weight_decay / 2`` times the squared norm.
    """

    learning_rate: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Share of the sum of gradients that is kept; zero for none."""
    nesterov: bool = False
    """Whether the step goes along ``g + momentum m`` (Nesterov's momentum)."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError(
                f"nesterov: expected False with momentum={self.momentum}, got {self.nesterov}"
            )

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        if not self.momentum:
            return decay
        return optax.chain(decay, optax.trace(self.momentum, nesterov=self.nesterov))
