"""Diagonal linear state-space models in place of attention."""

from dataclasses import dataclass
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from bayescmp._types import Key
from bayescmp.networks.config import AbstractResidualConfig, check_at_least
from bayescmp.networks.parts.affine import Affine
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.mixer import (
    AbstractMixer,
    Heads,
    HeadScale,
    MixerResult,
    Stream,
    scale_rows,
)
from bayescmp.networks.parts.scans import linear_recurrence
from bayescmp.networks.parts.single import at_least_single
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape

SLOWEST, FASTEST = 0.99, 0.5
"""Moduli between which decays begin."""


class LinearSSMMixer(AbstractMixer):
    """``h_t = a * h_(t-1) + g * B x_t`` and ``y_t = Re(C h_t) + d * x_t``, with complex states.

    ``a = exp(-exp(rate) + i phase)`` lies inside the unit circle whatever the weights are,
    and ``g = sqrt(1 - |a|^2)`` keeps a state driven by white noise as large as its drive.
    At first ``|a|^2`` is uniform between the squares of 0.5 and 0.99, and the phase between
    0 and pi (the other half plane gives the same real parts).

    Source: Orvieto et al., "Resurrecting recurrent neural networks for long sequences" (LRU),
        arXiv 2303.06349, section 3; Gu et al. (S4D), arXiv 2206.11893, for diagonal states.
    """

    rate: Float[Array, " state"]
    """Logarithm of the rate of decay."""
    phase: Float[Array, " state"]
    """Rotation in one step, in radians."""
    drive_weight: Float[Array, "feature parts"]
    """``B``: real parts of all states, then imaginary ones."""
    out: Affine
    """``C``: real parts of all states, then minus the imaginary ones."""
    skip: Float[Array, " feature"]
    """``d``."""

    def __init__(
        self, model_size: int, state_size: int, *, bias: bool, out_scale: float, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            state_size: Number of complex states.
            bias: Whether the output projection has a bias.
            out_scale: Factor on the initial output projection and skip.
            key: Typed key.
        """
        key_rate, key_phase, key_drive, key_out, key_skip = jax.random.split(key, 5)
        low, high = FASTEST**2, SLOWEST**2
        square = jax.random.uniform(key_rate, (state_size,), minval=low, maxval=high)
        self.rate = jnp.log(-0.5 * jnp.log(square))
        self.phase = jax.random.uniform(key_phase, (state_size,), maxval=jnp.pi)
        weight = jax.random.normal(key_drive, (model_size, 2 * state_size))
        self.drive_weight = weight / jnp.sqrt(2 * model_size)
        self.out = Affine(2 * state_size, model_size, bias=bias, scale=out_scale, key=key_out)
        self.skip = out_scale * jax.random.normal(key_skip, (model_size,))

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Run the recurrence over all positions at once."""
        states = self.states(x)
        parts = jnp.concatenate([states.real, states.imag], axis=-1).astype(x.dtype)
        size = parts.shape[-1]  # what takes their place has the states first, then the inputs
        other = (None, None) if instead is None else (instead[..., :size], instead[..., size:])
        mapped = self.out(scale_rows(parts, head_scale, other[0]))
        return MixerResult(mapped + self.skip * scale_rows(x, head_scale, other[1]), None)

    @property
    def decay(self) -> Complex[Array, " state"]:
        """The factor ``a`` of each state in one step."""
        rate, phase = at_least_single(self.rate), at_least_single(self.phase)
        return jnp.exp(jax.lax.complex(-jnp.exp(rate), phase))

    def states(self, x: Stream) -> Complex[Array, "*sequence input_position state"]:
        """Return the state after every position.

        Args:
            x: Normalised residual stream.

        Returns:
            ``h_t``.
        """
        # sqrt(1 - |a|^2), without the loss of digits where |a| is almost one.
        gain = jnp.sqrt(-jnp.expm1(-2.0 * jnp.exp(at_least_single(self.rate))))
        real, imaginary = jnp.split(dense(x, self.drive_weight), 2, axis=-1)
        drive = jax.lax.complex(gain * real, gain * imaginary)
        decay = jnp.broadcast_to(self.decay, (*(1,) * (x.ndim - 2), x.shape[-2], gain.size))
        return linear_recurrence(decay, drive, axis=-2)


@final
@dataclass(frozen=True, kw_only=True)
class LinearSSMConfig(AbstractResidualConfig):
    """The shape of a network whose blocks carry a linear, diagonal, complex state.

    Embedding, norms, feed-forward parts and read-out are a transformer's, so that the two
    can be compared layer by layer; all that is not linear stands in the feed-forward parts.

    Example:
        >>> config = bc.networks.LinearSSMConfig(num_layers=1, model_size=8, mlp_size=16)
        >>> shape = bc.networks.TaskShape.of(bc.models.Bijection(4))
        >>> config.build(shape, key=jax.random.key(0))(jnp.array([0, 5, 1])).shape
        (3, 4)
    """

    state_size: int = 64
    """Number of complex states."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "state_size")

    def make_mixer(self, *, key: Key) -> LinearSSMMixer:
        """Draw the weights of one block's recurrence."""
        return LinearSSMMixer(
            self.model_size, self.state_size, bias=self.bias, out_scale=self.out_scale, key=key
        )

    def build(self, shape: TaskShape, *, key: Key) -> "LinearSSM":
        """Draw the weights of a linear state-space model."""
        return eqx.filter_jit(LinearSSM)(self, shape, key=key)


@final
class LinearSSM(AbstractResidualNetwork):
    """A stack of blocks whose positions learn of their past through linear states."""

    def __init__(self, config: LinearSSMConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
