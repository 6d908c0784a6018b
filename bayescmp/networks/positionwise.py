"""Networks that see the current input only."""

from dataclasses import dataclass
from typing import final

import equinox as eqx

from bayescmp._types import Key
from bayescmp.networks.config import AbstractResidualConfig, check_at_least
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape


@final
@dataclass(frozen=True, kw_only=True)
class PositionwiseConfig(AbstractResidualConfig):
    """The shape of a residual MLP that is applied at each position by itself.

    It knows neither the past nor the place of the current input: a transformer without
    attention. What it reaches is what a task gives away without any memory.

    Source: Tolstikhin et al., "MLP-Mixer", arXiv 2105.01601, for such blocks, which there
        alternate with others that mix positions.

    Example:
        >>> config = bc.networks.PositionwiseConfig(num_layers=1, model_size=8, mlp_size=16)
        >>> network = config.build(bc.networks.TaskShape(4, 2, 3), key=jax.random.key(0))
        >>> logits = network(jnp.array([1, 3, 1]))
        >>> bool(jnp.allclose(logits[0], logits[2]))
        True
    """

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "mlp_size")

    def make_mixer(self, *, key: Key) -> None:
        """Mix nothing."""
        return

    def build(self, shape: TaskShape, *, key: Key) -> "Positionwise":
        """Draw the weights of a position-wise MLP."""
        return eqx.filter_jit(Positionwise)(self, shape, key=key)


@final
class Positionwise(AbstractResidualNetwork):
    """A stack of feed-forward parts, each position by itself."""

    def __init__(self, config: PositionwiseConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
