"""Adam, with weight decay in the gradient or beside it."""

from dataclasses import dataclass

import optax

from bayescmp.training.optimisers.optimiser import AbstractOptimiser


@dataclass(frozen=True)
class Adam(AbstractOptimiser):
    """Gradients averaged over steps, divided by the root of their averaged squares.

    Weight decay is the gradient of a penalty, so that it is divided like the rest.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980.
    """

    b1: float = 0.9
    """Share of the averaged gradient that is kept."""
    b2: float = 0.99
    """Share of the averaged squares that is kept."""

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        return optax.chain(decay, optax.scale_by_adam(self.b1, self.b2))


@dataclass(frozen=True)
class AdamW(AbstractOptimiser):
    """Adam with decoupled weight decay: parameters shrink by the learning rate times it.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", arXiv 1711.05101.
    """

    b1: float = 0.9
    """Share of the averaged gradient that is kept."""
    b2: float = 0.99
    """Share of the averaged squares that is kept."""

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        return optax.chain(optax.scale_by_adam(self.b1, self.b2), decay)
