"""Causal convolutions in place of attention: networks that see a window of the past."""

from dataclasses import dataclass
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.config import AbstractResidualConfig, check_at_least
from bayescmp.networks.parts.affine import Affine
from bayescmp.networks.parts.mixer import (
    AbstractMixer,
    Heads,
    HeadScale,
    MixerResult,
    Stream,
    scale_rows,
)
from bayescmp.networks.parts.windows import DepthwiseWindow, FullWindow
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape


class DepthwiseConvolution(AbstractMixer):
    """``(sum_j x_(t-j) * w_j) out``: each feature filtered by itself, then mixed."""

    filter: DepthwiseWindow
    out: Affine

    def __init__(
        self, model_size: int, window: int, *, bias: bool, out_scale: float, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            window: Inputs that a position sees, its own among them.
            bias: Whether the output projection has a bias.
            out_scale: Factor on the initial output projection.
            key: Typed key.
        """
        key_filter, key_out = jax.random.split(key)
        self.filter = DepthwiseWindow(window, model_size, key=key_filter)
        self.out = Affine(model_size, model_size, bias=bias, scale=out_scale, key=key_out)

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Filter all positions."""
        return MixerResult(self.out(scale_rows(self.filter(x), head_scale, instead)), None)


class FullConvolution(AbstractMixer):
    """``sum_j x_(t-j) W_j + b``: a matrix for each lag."""

    filter: FullWindow
    bias: Float[Array, " feature"] | None

    def __init__(
        self, model_size: int, window: int, *, bias: bool, out_scale: float, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            window: Inputs that a position sees, its own among them.
            bias: Whether there is a bias.
            out_scale: Factor on the initial matrices.
            key: Typed key.
        """
        self.filter = FullWindow(window, model_size, model_size, scale=out_scale, key=key)
        self.bias = jnp.zeros(model_size) if bias else None

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Filter all positions."""
        output = scale_rows(self.filter(x), head_scale, instead)
        return MixerResult(output if self.bias is None else output + self.bias, None)


@final
@dataclass(frozen=True, kw_only=True)
class ConvConfig(AbstractResidualConfig):
    """The shape of a network whose blocks filter a window of the past in place of attending.

    Before the first input stand zeros. Embedding, norms, feed-forward parts and read-out are
    a transformer's, so that the two can be compared layer by layer.

    Source: Bai, Kolter and Koltun, arXiv 1803.01271, for causal convolutions as a rival of
        recurrence; here without dilation.

    Example:
        >>> bc.networks.ConvConfig(num_layers=3, window=4).receptive_field
        10
    """

    window: int = 4
    """Inputs that a position sees in each block, its own among them."""
    depthwise: bool = False
    """Whether features are filtered each by itself and then mixed."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "window")

    @property
    def receptive_field(self) -> int:
        """Number of last inputs that an answer can depend on."""
        return self.depth * (self.window - 1) + 1

    def make_mixer(self, *, key: Key) -> DepthwiseConvolution | FullConvolution:
        """Draw the weights of one block's convolution."""
        make = DepthwiseConvolution if self.depthwise else FullConvolution
        return make(self.model_size, self.window, bias=self.bias, out_scale=self.out_scale, key=key)

    def build(self, shape: TaskShape, *, key: Key) -> "ConvNet":
        """Draw the weights of a convolutional network."""
        return eqx.filter_jit(ConvNet)(self, shape, key=key)


@final
class ConvNet(AbstractResidualNetwork):
    """A stack of blocks whose positions learn of their past through causal convolutions."""

    def __init__(self, config: ConvConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
