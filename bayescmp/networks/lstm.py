"""Long short-term memory in place of attention."""

from dataclasses import dataclass
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
from bayescmp.networks.parts.scans import scan_positions
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape

State = tuple[Float[Array, "*sequence state"], Float[Array, "*sequence state"]]


class LSTMMixer(AbstractMixer):
    """A hidden state ``h`` and a cell ``c``, carried from position to position.

    With ``(i, f, g, o) = x_t W + h_(t-1) U + b``::

        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    and an output projection of ``h_t``. The forget gate ``f`` begins with a bias of one.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997); Gers et al., Neural
        Computation 12 (2000), for the forget gate; Jozefowicz et al., ICML 2015, for its bias.
    """

    input_weight: Float[Array, "feature gates"]
    """``W``; gates ``i, f, g, o`` side by side."""
    state_weight: Float[Array, "state gates"]
    """``U``."""
    gate_bias: Float[Array, " gates"]
    out: Affine

    def __init__(
        self, model_size: int, state_size: int, *, bias: bool, out_scale: float, key: Key
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            state_size: Width of the hidden state.
            bias: Whether the output projection has a bias.
            out_scale: Factor on the initial output projection.
            key: Typed key.
        """
        key_input, key_state, key_out = jax.random.split(key, 3)
        gates = 4 * state_size
        weight = jax.random.normal(key_input, (model_size, gates))
        self.input_weight = weight / jnp.sqrt(model_size)
        weight = jax.random.normal(key_state, (state_size, gates))
        self.state_weight = weight / jnp.sqrt(state_size)
        self.gate_bias = jnp.zeros(gates).at[state_size : 2 * state_size].set(1.0)
        self.out = Affine(state_size, model_size, bias=bias, scale=out_scale, key=key_out)

    def __call__(
        self, x: Stream, head_scale: HeadScale, instead: Heads | None = None
    ) -> MixerResult:
        """Carry the state through all positions."""
        # All positions enter by one product; only the state's product waits its turn.
        drives = dense(x, self.input_weight) + self.gate_bias
        start = jnp.zeros((*x.shape[:-2], self.state_weight.shape[0]), drives.dtype)
        states = scan_positions(self._step, (start, start), drives)
        return MixerResult(self.out(scale_rows(states, head_scale, instead)), None)

    def _step(self, state: State, drive: Array) -> tuple[State, Array]:
        hidden, cell = state
        gates = drive + dense(hidden, self.state_weight)
        enter, keep, candidate, show = jnp.split(gates, 4, axis=-1)
        cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
        hidden = jax.nn.sigmoid(show) * jnp.tanh(cell)
        return (hidden, cell), hidden


@final
@dataclass(frozen=True, kw_only=True)
class LSTMConfig(AbstractResidualConfig):
    """The shape of a network whose blocks carry an LSTM's state in place of attending.

    Embedding, norms, feed-forward parts and read-out are a transformer's, so that the two
    can be compared layer by layer. The state tells positions apart.

    Example:
        >>> config = bc.networks.LSTMConfig(num_layers=1, model_size=8, mlp_size=16)
        >>> shape = bc.networks.TaskShape.of(bc.models.Bijection(4))
        >>> config.build(shape, key=jax.random.key(0))(jnp.array([0, 5, 1])).shape
        (3, 4)
    """

    state_size: int | None = None
    """Width of the hidden state; None for ``model_size``."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        if self.state_size is not None:
            check_at_least(self, 1, "state_size")

    def make_mixer(self, *, key: Key) -> LSTMMixer:
        """Draw the weights of one block's recurrence."""
        return LSTMMixer(
            self.model_size,
            self.state_size or self.model_size,
            bias=self.bias,
            out_scale=self.out_scale,
            key=key,
        )

    def build(self, shape: TaskShape, *, key: Key) -> "LSTM":
        """Draw the weights of an LSTM."""
        return eqx.filter_jit(LSTM)(self, shape, key=key)


@final
class LSTM(AbstractResidualNetwork):
    """A stack of blocks whose positions learn of their past through an LSTM's state."""

    def __init__(self, config: LSTMConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`."""
        super().__init__(config, shape, key=key)
