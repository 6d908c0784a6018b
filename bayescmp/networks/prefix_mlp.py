"""Plain MLPs over everything seen so far, or over the last few inputs."""

from dataclasses import dataclass
from typing import final

import equinox as eqx

from bayescmp._types import Key
from bayescmp.networks.config import AbstractResidualConfig, check_at_least
from bayescmp.networks.parts.windows import FullWindow
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape


@final
@dataclass(frozen=True, kw_only=True)
class PrefixMLPConfig(AbstractResidualConfig):
    """The shape of a residual MLP over the flattened prefix, or over a window of it.

    For every position, the embedded inputs up to its own stand side by side, the newest
    first, followed by zeros up to the full length; one matrix maps this long vector to the
    residual stream, and position-wise blocks do the rest.
    Nothing after a position enters its vector, so the network is causal by construction.

    The prefix reaches ``max_length`` inputs back, as far as the model's sequences are long;
    on longer sequences a position sees that many last inputs. With ``window`` this is the
    window net: it sees the last ``window`` inputs whatever their place.

    Source: Tong and Pehlevan, "MLPs learn in-context on regression and classification
        tasks", arXiv 2405.15618, section 2, for MLPs over flattened contexts.

    Example:
        >>> config = bc.networks.PrefixMLPConfig(num_layers=1, model_size=8, window=2)
        >>> network = config.build(bc.networks.TaskShape(4, 2, 6), key=jax.random.key(0))
        >>> logits = network(jnp.array([3, 0, 1, 2, 0, 1]))  # two times 0, 1
        >>> bool(jnp.allclose(logits[2], logits[5]))
        True
    """

    window: int | None = None
    """Last inputs that a position sees, its own among them; None for all of them."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "mlp_size")
        if self.window is not None:
            check_at_least(self, 1, "window")

    def make_entry(self, shape: TaskShape, *, key: Key) -> FullWindow:
        """Draw the matrix that maps the flattened prefix."""
        width = shape.max_length if self.window is None else self.window
        if width > shape.max_length:
            raise ValueError(
                f"window: expected at most the {shape.max_length} input positions of the model, "
                f"got {width}; use window=None for the whole prefix"
            )
        return FullWindow(width, self.model_size, self.model_size, key=key)

    def make_mixer(self, *, key: Key) -> None:
        """Mix nothing further."""
        return

    def build(self, shape: TaskShape, *, key: Key) -> "PrefixMLP":
        """Draw the weights of an MLP over the prefix."""
        return eqx.filter_jit(PrefixMLP)(self, shape, key=key)


@final
class PrefixMLP(AbstractResidualNetwork):
    """A stack of feed-forward parts over the flattened prefix of each position."""

    def __init__(self, config: PrefixMLPConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
