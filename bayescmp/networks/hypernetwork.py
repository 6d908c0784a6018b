"""Networks that write the weights of another one: a hierarchy, learnt in place of derived."""

from dataclasses import dataclass, field
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Key
from bayescmp.networks.config import AbstractNetworkConfig, check_at_least
from bayescmp.networks.heads import FiniteHead, Head
from bayescmp.networks.network import AbstractNetwork
from bayescmp.networks.parts.affine import Affine
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.embedding import embed_inputs
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.parts.windows import FullWindow
from bayescmp.networks.shape import TaskShape

LARGEST_WRITER = 10_000_000
"""Entries above which the matrix that writes weights is refused."""


@final
@dataclass(frozen=True, kw_only=True)
class HypernetworkConfig(AbstractNetworkConfig):
    """The shape of a context encoder that writes the weights of a small main MLP.

    Example:
        >>> config = bc.networks.HypernetworkConfig(main_size=8)
        >>> config.num_written(bc.networks.TaskShape(5, 3, 6))  # 5 x 8 + 8 + 8 x 3 + 3
        75
    """

    feature_size: int = 64
    """Width of the features of each input, and of their mean."""
    hidden_size: int = 128
    """Width inside the MLP that makes features."""
    code_size: int = 64
    """Width of the code from which weights are written."""
    main_size: int = 32
    """Width inside the main MLP."""
    window: int = 2
    """Inputs that a feature is made of; 2 lets a value be seen with the key before it."""
    head: Head = field(default_factory=FiniteHead)
    """How the main MLP's outputs become a law over outcomes."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        check_at_least(self, 1, "feature_size", "hidden_size", "code_size", "main_size", "window")

    def num_written(self, shape: TaskShape) -> int:
        """Count the weights and biases of the main MLP.

        Args:
            shape: What the model fixes.

        Returns:
            Their number.
        """
        return sum(int(np.prod(part)) for part in self.written_shapes(shape))

    def written_shapes(self, shape: TaskShape) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the main MLP's arrays.

        Args:
            shape: What the model fixes.

        Returns:
            Of the first matrix, its bias, the second matrix and its bias.
        """
        width, num_outputs = self.main_size, self.head.num_outputs(shape)
        return (shape.input_size, width), (width,), (width, num_outputs), (num_outputs,)

    def build(self, shape: TaskShape, *, key: Key) -> "Hypernetwork":
        """Draw the weights of a hypernetwork."""
        return eqx.filter_jit(Hypernetwork)(self, shape, key=key)


@final
class Hypernetwork(AbstractNetwork):
    """``logits_t = main(x_t; weights written from the inputs before t)``.

    With features ``f_s`` that an MLP makes of inputs ``s-window+1 .. s``::

        code_t = gelu([mean of f_s over s < t, 1 / t] lift + b),   t = 1, 2, ...
        (W, b, V, c)_t = base + code_t writer
        outputs_t = gelu(x_t W + b) V + c

    where ``x_t`` is the vector, or the one-hot code of the token. The mean is over a set: of
    the order of the past the network knows no more than a window holds. It stands between
    one network for all tasks and an isolated one for each, as a hierarchical model does.

    Source: Ha, Dai and Le, arXiv 1609.09106, for written weights; Zaheer et al., "Deep sets",
        arXiv 1703.06114, for the mean; Chang et al., ICLR 2020, for beginning with a main
        network of ordinary size.

    Example:
        >>> shape = bc.networks.TaskShape(5, 3, 6)
        >>> network = bc.networks.HypernetworkConfig().build(shape, key=jax.random.key(0))
        >>> network(jnp.array([0, 4, 1])).shape
        (3, 3)
    """

    embedding: Float[Array, "input_size feature"]
    """Rows for tokens, or a linear map where inputs are vectors."""
    join: FullWindow
    features: FeedForward
    lift: Affine
    """From the mean and ``1 / t`` to the code."""
    writer: Float[Array, "code written"]
    base: Float[Array, " written"]
    """The main MLP's weights for a code of zeros."""
    config: HypernetworkConfig = eqx.field(static=True)
    shape: TaskShape = eqx.field(static=True)

    def __init__(self, config: HypernetworkConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights.

        Args:
            config: Shape of the network.
            shape: What the model fixes.
            key: Typed key.

        Raises:
            ValueError: If the matrix that writes weights would be too large.
        """
        _check_writer(config, shape)
        keys, width = jax.random.split(key, 6), config.feature_size
        self.embedding = jax.random.normal(keys[0], (shape.input_size, width))
        self.join = FullWindow(config.window, width, width, key=keys[1])
        self.features = FeedForward(
            width, config.hidden_size, activation="gelu", bias=True, out_scale=1.0, key=keys[2]
        )
        self.lift = Affine(width + 1, config.code_size, bias=True, key=keys[3])
        sizes = jnp.asarray(_initial_sizes(config, shape))
        writer = jax.random.normal(keys[4], (config.code_size, sizes.size))
        self.writer = sizes * writer / jnp.sqrt(config.code_size)
        self.base = sizes * jax.random.normal(keys[5], (sizes.size,))
        self.config, self.shape = config, shape

    def __call__(self, inputs: Inputs) -> Float[Array, "*sequence input_position outcome"]:
        """Return logits at every input position of one sequence.

        Args:
            inputs: Tokens or vectors of one sequence; leading axes are sequences.

        Returns:
            Unnormalised log probabilities.

        Raises:
            ValueError: If vectors have another size than the network's.
        """
        code = self.encode(inputs)
        first, first_bias, second, second_bias = self.write(code)
        is_tokens = jnp.issubdtype(inputs.dtype, jnp.integer)
        x = jax.nn.one_hot(inputs, self.shape.input_size, dtype=code.dtype) if is_tokens else inputs
        hidden = jax.nn.gelu(jnp.einsum("...i,...ih->...h", x, first) + first_bias)
        outputs = jnp.einsum("...h,...ho->...o", hidden, second) + second_bias
        return self.config.head.logits(outputs, self.shape)

    def encode(self, inputs: Inputs) -> Float[Array, "*sequence input_position code"]:
        """Return the code of what stands before each position.

        Args:
            inputs: Tokens or vectors of one sequence.

        Returns:
            Codes.
        """
        features = self.features(self.join(embed_inputs(self.embedding, inputs)))
        length = features.shape[-2]
        place = jnp.arange(length, dtype=features.dtype)[:, None]
        before = [(0, 0)] * (features.ndim - 2) + [(1, 0), (0, 0)]
        total = jnp.pad(jnp.cumsum(features, axis=-2), before)[..., :length, :]
        share = jnp.broadcast_to(1.0 / (place + 1.0), (*total.shape[:-1], 1))
        mean = total / jnp.maximum(place, 1.0)
        return jax.nn.gelu(self.lift(jnp.concatenate([mean, share], axis=-1)))

    def write(self, code: Float[Array, "*rows code"]) -> tuple[Array, Array, Array, Array]:
        """Write the main MLP's weights.

        Args:
            code: Codes.

        Returns:
            First matrix, its bias, second matrix and its bias, for each code.
        """
        shapes = self.config.written_shapes(self.shape)
        ends = np.cumsum([np.prod(part) for part in shapes])[:-1]
        parts = jnp.split(self.base + dense(code, self.writer), ends, axis=-1)
        first, first_bias, second, second_bias = (
            part.reshape(*code.shape[:-1], *shape)
            for part, shape in zip(parts, shapes, strict=True)
        )
        return first, first_bias, second, second_bias


def _check_writer(config: HypernetworkConfig, shape: TaskShape) -> None:
    num_written = config.num_written(shape)
    num_entries = config.code_size * num_written
    if num_entries > LARGEST_WRITER:
        raise ValueError(
            f"main_size: expected a writing matrix of at most {LARGEST_WRITER:,} entries, got "
            f"{num_entries:,} for {num_written:,} weights and code_size = {config.code_size}"
        )


def _initial_sizes(config: HypernetworkConfig, shape: TaskShape) -> np.ndarray:
    """Return the initial standard deviation of each written weight; biases begin at zero.

    Inputs are one-hot codes, or a few numbers among zeros: the first matrix sums few rows.
    """
    arrays = config.written_shapes(shape)
    sizes = (1.0, 0.0, config.main_size**-0.5, 0.0)
    return np.concatenate(
        [np.full(int(np.prod(array)), size) for array, size in zip(arrays, sizes, strict=True)]
    )
