"""One number for each outcome."""

from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.heads.binned import BinnedDensity
from bayescmp.networks.shape import TaskShape


@final
@dataclass(frozen=True)
class FiniteHead:
    """Logits over outcomes, or over the bins of a continuous outcome, as they are."""

    def num_outputs(self, shape: TaskShape) -> int:
        """Return how many numbers the read-out has to give.

        Args:
            shape: What the model fixes.

        Returns:
            One for each outcome.
        """
        return shape.num_outcomes

    def logits(
        self, outputs: Float[Array, "*rows output"], shape: TaskShape
    ) -> Float[Array, "*rows outcome"]:
        """Return logits over outcomes.

        Args:
            outputs: What the read-out gives.
            shape: What the model fixes.

        Returns:
            The same numbers.
        """
        return outputs

    def density(self, outputs: Float[Array, "*rows output"], shape: TaskShape) -> BinnedDensity:
        """Return the law of a continuous outcome.

        Args:
            outputs: What the read-out gives.
            shape: What the model fixes.

        Returns:
            One law for each row, constant inside bins.

        Raises:
            ValueError: If the model's outcome has no bins, or only two.
        """
        if not shape.edges:
            raise ValueError(
                f"shape: expected a model with edges of a continuous outcome, got one with "
                f"{shape.num_outcomes} outcomes and no edges"
            )
        edges = jnp.asarray(shape.edges, outputs.dtype)
        return BinnedDensity(edges, jax.nn.log_softmax(outputs, axis=-1))
