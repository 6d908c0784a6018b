"""The weight, location and scale of each component of a mixture."""

from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.heads.mixture_density import MixtureDensity
from bayescmp.networks.heads.standard_laws import STANDARD_LAWS, Family
from bayescmp.networks.shape import TaskShape


@final
@dataclass(frozen=True)
class MixtureHead:
    """A mixture for a continuous outcome, whose logits are its bins' log probabilities.

    It is trained and judged as the bins are, and answers for any number between them. At
    outputs of zero the components have equal weights, stand evenly between the outermost
    edges, and are as wide as their distance; outputs count in these units.

    Source: Bishop, "Mixture density networks" (1994).

    Example:
        >>> model = bc.models.linear_regression(num_features=1, length=3)
        >>> config = bc.TransformerConfig(num_layers=1, head=bc.networks.MixtureHead(2))
        >>> network = bc.build_network(config, model, key=jax.random.key(0))
        >>> network.unembedding.shape[1], network.shape.num_outcomes
        (6, 16)
    """

    num_components: int = 4
    family: Family = "normal"

    def __post_init__(self) -> None:
        """Reject a mixture of nothing, and laws that do not exist."""
        if self.num_components < 1:
            raise ValueError(f"num_components: expected at least 1, got {self.num_components}")
        if self.family not in STANDARD_LAWS:
            raise ValueError(f"family: expected 'normal' or 'logistic', got {self.family!r}")

    def num_outputs(self, shape: TaskShape) -> int:
        """Return how many numbers the read-out has to give.

        Args:
            shape: What the model fixes.

        Returns:
            Three for each component.

        Raises:
            ValueError: If the model's outcome has no bins, or only two.
        """
        if len(shape.edges) < 2:
            raise ValueError(
                f"head: expected a model with two or more edges of a continuous outcome for "
                f"MixtureHead, got {shape.num_outcomes} outcomes and {len(shape.edges)} edges; "
                f"use FiniteHead"
            )
        return 3 * self.num_components

    def logits(
        self, outputs: Float[Array, "*rows output"], shape: TaskShape
    ) -> Float[Array, "*rows outcome"]:
        """Return log probabilities of the model's bins.

        Args:
            outputs: What the read-out gives.
            shape: What the model fixes.

        Returns:
            Log probabilities in nats.
        """
        edges = jnp.asarray(shape.edges, outputs.dtype)
        return self.density(outputs, shape).bin_log_probs(edges)

    def density(self, outputs: Float[Array, "*rows output"], shape: TaskShape) -> MixtureDensity:
        """Return the law of a continuous outcome.

        Args:
            outputs: What the read-out gives: weights, then locations, then scales.
            shape: What the model fixes.

        Returns:
            One law for each row.
        """
        weights, locations, scales = jnp.split(outputs, 3, axis=-1)
        first, last = shape.edges[0], shape.edges[-1]
        spacing = (last - first) / self.num_components
        places = first + spacing * (0.5 + jnp.arange(self.num_components, dtype=outputs.dtype))
        return MixtureDensity(
            jax.nn.log_softmax(weights, axis=-1),
            places + spacing * locations,
            jnp.log(spacing) + scales,
            self.family,
        )
