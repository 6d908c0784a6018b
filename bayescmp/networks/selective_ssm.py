"""Selective state-space models in place of attention."""

from dataclasses import dataclass
from functools import partial
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
from bayescmp.networks.parts.scans import linear_recurrence, scan_positions
from bayescmp.networks.parts.single import at_least_single
from bayescmp.networks.parts.windows import DepthwiseWindow
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape

SHORTEST_STEP, LONGEST_STEP = 0.001, 0.1
"""Steps between which channels begin, evenly in logarithms."""

Channels = Float[Array, "*sequence input_position channel"]
States = Float[Array, "*sequence input_position state"]
Rates = Float[Array, "state channel"]


class SelectiveSSMMixer(AbstractMixer):
    """States whose step, entry and exit depend on the input, so that they can choose.

    The stream gives ``u`` (through a short causal filter and silu) and a gate ``z``. Each
    channel ``c`` has states ``h`` that decay at rates ``A``; step ``s``, entry ``B`` and exit
    ``C`` are functions of ``u_t``::

        h_t = exp(-s_t A) h_(t-1) + s_t B_t u_t
        y_t = (C_t . h_t + d u_t) silu(z_t)

    and an output projection of ``y_t``. Rates begin as 1, 2, 3, ...

    Source: Gu and Dao, "Mamba", arXiv 2312.00752, section 3.2 and figure 3; the entry is
        discretised by Euler's rule, as in the authors' code.
    """

    inward: Float[Array, "feature two_channels"]
    """Gives ``u`` before its filter, and ``z``."""
    short: DepthwiseWindow
    short_bias: Float[Array, " channel"]
    select: Float[Array, "channel rank_and_two_states"]
    """From ``u`` to a code of the step, ``B`` and ``C``."""
    step_weight: Float[Array, "rank channel"]
    step_bias: Float[Array, " channel"]
    """Steps are the softplus of what these two give."""
    log_rate: Float[Array, "state channel"]
    """Logarithm of ``A``."""
    skip: Float[Array, " channel"]
    """``d``."""
    out: Affine

    def __init__(
        self,
        model_size: int,
        *,
        num_channels: int,
        state_size: int,
        step_rank: int,
        window: int,
        bias: bool,
        out_scale: float,
        key: Key,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            num_channels: Number of channels.
            state_size: Number of states in each channel.
            step_rank: Width of the code that steps are made of.
            window: Inputs that the short filter sees.
            bias: Whether the output projection has a bias.
            out_scale: Factor on the initial output projection.
            key: Typed key.
        """
        keys = jax.random.split(key, 6)
        weight = jax.random.normal(keys[0], (model_size, 2 * num_channels))
        self.inward = weight / jnp.sqrt(model_size)
        self.short = DepthwiseWindow(window, num_channels, key=keys[1])
        self.short_bias = jnp.zeros(num_channels)
        weight = jax.random.normal(keys[2], (num_channels, step_rank + 2 * state_size))
        self.select = weight / jnp.sqrt(num_channels)
        weight = jax.random.normal(keys[3], (step_rank, num_channels))
        self.step_weight = weight / jnp.sqrt(step_rank)
        low, high = jnp.log(SHORTEST_STEP), jnp.log(LONGEST_STEP)
        steps = jnp.exp(jax.random.uniform(keys[4], (num_channels,), minval=low, maxval=high))
        self.step_bias = jnp.log(jnp.expm1(steps))  # softplus gives the step back
        rates = jnp.arange(1.0, state_size + 1.0)
        self.log_rate = jnp.broadcast_to(jnp.log(rates)[:, None], (state_size, num_channels))
        self.skip = jnp.ones(num_channels)
        self.out = Affine(num_channels, model_size, bias=bias, scale=out_scale, key=keys[5])

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Filter, carry the states through all positions, and gate."""
        entering, gate = jnp.split(dense(x, self.inward), 2, axis=-1)
        u = jax.nn.silu(self.short(entering) + self.short_bias)
        y = (self.recur(u) + self.skip * u) * jax.nn.silu(gate)
        return MixerResult(self.out(scale_rows(y, head_scale, instead)), None)

    def recur(self, u: Channels) -> Channels:
        """Return what the states give at every position.

        Args:
            u: Input of each channel.

        Returns:
            ``C_t . h_t``.
        """
        rank, size = self.step_weight.shape[0], self.log_rate.shape[0]
        code, entry, leave = jnp.split(dense(u, self.select), [rank, rank + size], axis=-1)
        step = jax.nn.softplus(dense(code, self.step_weight) + self.step_bias)
        # States are many times as large as all else here. One position after another they stay
        # in a CPU's cache and need a fifth of the time that all at once need (64 sequences, 37
        # positions, 128 channels of 16 states, with gradients). Accelerators, which would wait
        # at every position, get them all at once.
        parts = (jnp.exp(self.log_rate), step, u, entry, leave)
        wide = [at_least_single(part) for part in parts]
        y = jax.lax.platform_dependent(*wide, cpu=run_states, default=join_states)
        return y.astype(u.dtype)


def join_states(
    rates: Rates, step: Channels, u: Channels, entry: States, leave: States
) -> Channels:
    """Run the states over all positions at once.

    Args:
        rates: Rate of decay of every state.
        step: Length of each step.
        u: Input of each channel.
        entry: ``B``.
        leave: ``C``.

    Returns:
        ``C_t . h_t``.
    """
    decay = jnp.exp(-step[..., None, :] * rates)
    drive = (step * u)[..., None, :] * entry[..., None]
    return jnp.sum(linear_recurrence(decay, drive, axis=-3) * leave[..., None], axis=-2)


def run_states(rates: Rates, step: Channels, u: Channels, entry: States, leave: States) -> Channels:
    """Run the states over one position after another, keeping none for the backward pass.

    Args:
        rates: Rate of decay of every state.
        step: Length of each step.
        u: Input of each channel.
        entry: ``B``.
        leave: ``C``.

    Returns:
        ``C_t . h_t``.
    """

    @partial(jax.checkpoint, prevent_cse=False)
    def move(state: Array, here: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        step, u, entry, leave = here
        drive = (step * u)[..., None, :] * entry[..., None]
        state = jnp.exp(-step[..., None, :] * rates) * state + drive
        return state, jnp.sum(state * leave[..., None], axis=-2)

    start = jnp.zeros((*u.shape[:-2], *rates.shape), u.dtype)
    return scan_positions(move, start, (step, u, entry, leave))


@final
@dataclass(frozen=True, kw_only=True)
class SelectiveSSMConfig(AbstractResidualConfig):
    """The shape of a network whose blocks carry states that choose what they keep (Mamba).

    Embedding, norms, feed-forward parts and read-out are a transformer's, so that the two
    can be compared layer by layer. ``mlp_size=0`` leaves the feed-forward parts out, as Mamba
    itself does.

    Example:
        >>> config = bc.networks.SelectiveSSMConfig(num_layers=1, model_size=8, mlp_size=0)
        >>> shape = bc.networks.TaskShape.of(bc.models.Bijection(4))
        >>> config.build(shape, key=jax.random.key(0))(jnp.array([0, 5, 1])).shape
        (3, 4)
    """

    state_size: int = 16
    """Number of states in each channel."""
    expansion: int = 2
    """Channels for each feature of the residual stream."""
    window: int = 4
    """Inputs that the short filter sees, the current one among them."""
    step_rank: int | None = None
    """Width of the code that steps are made of; None for a sixteenth of ``model_size``."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "state_size", "expansion", "window")
        if self.step_rank is not None:
            check_at_least(self, 1, "step_rank")

    def make_mixer(self, *, key: Key) -> SelectiveSSMMixer:
        """Draw the weights of one block's recurrence."""
        return SelectiveSSMMixer(
            self.model_size,
            num_channels=self.expansion * self.model_size,
            state_size=self.state_size,
            step_rank=self.step_rank or -(-self.model_size // 16),
            window=self.window,
            bias=self.bias,
            out_scale=self.out_scale,
            key=key,
        )

    def build(self, shape: TaskShape, *, key: Key) -> "SelectiveSSM":
        """Draw the weights of a selective state-space model."""
        return eqx.filter_jit(SelectiveSSM)(self, shape, key=key)


@final
class SelectiveSSM(AbstractResidualNetwork):
    """A stack of blocks whose positions learn of their past through states that choose."""

    def __init__(self, config: SelectiveSSMConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
