"""Tables of logits for the last few tokens."""

from dataclasses import dataclass
from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Key
from bayescmp.networks.config import AbstractNetworkConfig, check_at_least
from bayescmp.networks.network import AbstractNetwork
from bayescmp.networks.parts.windows import lagged
from bayescmp.networks.shape import TaskShape

LARGEST_TABLE = 10_000_000
"""Entries above which a table is refused."""


@final
@dataclass(frozen=True, kw_only=True)
class NGramConfig(AbstractNetworkConfig):
    """The shape of a table with logits of its own for every run of the last tokens.

    Before the first token stands a padding symbol, so that a table of ``V`` tokens has
    ``(V + 1)^order`` rows. Trained long enough it gives the best answer that the last
    ``order`` tokens allow, without any sharing between runs.

    Source: Shannon, "A mathematical theory of communication", 1948, section 3.

    Example:
        >>> config = bc.networks.NGramConfig(order=2)
        >>> network = config.build(bc.networks.TaskShape(4, 2, 6), key=jax.random.key(0))
        >>> network.table.shape
        (25, 2)
    """

    order: int = 2
    """Number of last tokens that an answer depends on, the current one among them."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        check_at_least(self, 1, "order")

    def build(self, shape: TaskShape, *, key: Key) -> "NGram":
        """Make a table of zeros, which answers uniformly; the key is not used."""
        return NGram(self, shape)


@final
class NGram(AbstractNetwork):
    """``logits_t = table[x_t, x_(t-1), ..., x_(t-order+1)]``."""

    table: Float[Array, "run outcome"]
    """Row ``sum_j x_(t-j) (V + 1)^j``, where ``V`` stands for what is before the first token."""
    config: NGramConfig = eqx.field(static=True)
    shape: TaskShape = eqx.field(static=True)

    def __init__(self, config: NGramConfig, shape: TaskShape) -> None:
        """Begin with the uniform answer.

        Args:
            config: Shape of the table.
            shape: What the model fixes.

        Raises:
            ValueError: If the table would be too large.
        """
        num_rows = (shape.input_size + 1) ** config.order
        num_entries = num_rows * shape.num_outcomes
        if num_entries > LARGEST_TABLE:
            raise ValueError(
                f"order: expected a table of at most {LARGEST_TABLE:,} entries, got "
                f"{num_entries:,} for order = {config.order} and {shape.input_size} tokens"
            )
        self.table = jnp.zeros((num_rows, shape.num_outcomes))
        self.config, self.shape = config, shape

    def __call__(self, inputs: Inputs) -> Float[Array, "*sequence input_position outcome"]:
        """Look the logits of every position up.

        Args:
            inputs: Tokens of one sequence; leading axes are sequences.

        Returns:
            Unnormalised log probabilities.

        Raises:
            TypeError: If inputs are vectors.
        """
        if not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise TypeError(f"inputs: expected tokens, got {inputs.dtype} of shape {inputs.shape}")
        base, order = self.shape.input_size + 1, self.config.order
        tokens = inputs.astype(jnp.int32)[..., None]
        runs = lagged(tokens, order, fill=self.shape.input_size)[..., 0]
        places = jnp.array([base**lag for lag in range(order)], jnp.int32)
        return self.table[jnp.sum(runs * places, axis=-1)]
