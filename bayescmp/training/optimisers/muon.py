"""Muon: orthogonalised momentum for the matrices inside blocks."""

from dataclasses import dataclass

import jax
import optax
from jaxtyping import Array, PyTree

from bayescmp.training.optimisers.optimiser import AbstractOptimiser


@dataclass(frozen=True)
class Muon(AbstractOptimiser):
    """Momentum, orthogonalised for the matrices inside blocks; Nesterov's Adam for the rest.

    Matrices inside blocks are those that are stacked along a leading axis, so that embedding,
    read-out, scales and biases are the rest. Weight decay is decoupled for both.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

    learning_rate: float = 1e-2
    """Peak learning rate."""
    momentum: float = 0.95

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        descent = optax.contrib.muon(
            1.0,
            beta=self.momentum,
            adam_b2=0.99,
            muon_weight_dimension_numbers=_block_matrices,
        )
        return optax.chain(descent, optax.scale(-1.0), decay)


def _block_matrices(params: PyTree[Array]) -> PyTree:
    """Mark arrays that are stacks of matrices: three axes or more, the last two a matrix."""

    def mark(leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim < 3:
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree.map(mark, params)
