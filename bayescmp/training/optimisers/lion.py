"""Lion: steps of one size, by the sign of an averaged gradient."""

from dataclasses import dataclass

import optax

from bayescmp.training.optimisers.optimiser import AbstractOptimiser


@dataclass(frozen=True)
class Lion(AbstractOptimiser):
    """A step along ``-sign(b1 m + (1 - b1) g)``, then ``m <- b2 m + (1 - b2) g``.

    Weight decay is decoupled. Steps are larger than Adam's at the same learning rate, so it
    wants a smaller one.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", arXiv 2302.06675,
    program 1.
    """

    learning_rate: float = 2e-4
    """Peak learning rate."""
    b1: float = 0.9
    """Share of the averaged gradient in the direction."""
    b2: float = 0.99
    """Share of the averaged gradient that is kept."""

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        return optax.chain(optax.scale_by_lion(self.b1, self.b2), decay)
