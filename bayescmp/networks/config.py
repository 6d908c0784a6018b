"""The shapes of networks, as frozen records that a file, a table and a command line can hold."""

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bayescmp._types import Key
from bayescmp.networks.heads import FiniteHead, Head
from bayescmp.networks.parts.feed_forward import ACTIVATIONS, GROUPED, Activation
from bayescmp.networks.parts.mixer import AbstractMixer
from bayescmp.networks.parts.norms import NormName, NormPlace
from bayescmp.networks.parts.positions import Positions
from bayescmp.networks.parts.windows import FullWindow
from bayescmp.networks.shape import TaskShape

if TYPE_CHECKING:
    from bayescmp.networks.network import AbstractNetwork


class AbstractNetworkConfig(abc.ABC):
    """The shape of a network, apart from what its model fixes; two equal ones build the same."""

    @abc.abstractmethod
    def build(self, shape: TaskShape, *, key: Key) -> "AbstractNetwork":
        """Draw the weights of a network.

        Args:
            shape: What the model fixes.
            key: Typed key.

        Returns:
            The network.

        Raises:
            ValueError: If the two do not go together.
        """


@dataclass(frozen=True, kw_only=True)
class AbstractResidualConfig(AbstractNetworkConfig):
    """What networks with a residual stream have in common."""

    num_layers: int = 3
    """Number of different blocks."""
    model_size: int = 64
    """Width of the residual stream."""
    mlp_size: int = 256
    """Width inside the feed-forward part; 0 leaves it out."""
    activation: Activation = "gelu"
    """Nonlinearity of the feed-forward part, gated with ``swiglu``. ``softmax`` and ``logsumexp``
    act on groups of hidden units."""
    activation_group: int = 1
    """Hidden units that make up one group; 1 with activations of single units."""
    num_experts: int = 1
    """Feed-forward parts of a block, of which a router picks some at each position."""
    num_active_experts: int = 1
    norm: NormName = "rms"
    norm_place: NormPlace = "pre"
    bias: bool = False
    """Whether projections and read-out have biases."""
    tied: bool = False
    """Whether the read-out is the embedding of the outcomes' tokens."""
    num_loops: int = 1
    """How often the stack of blocks is applied, each time with the same weights."""
    head: Head = field(default_factory=FiniteHead)
    """How the last stream becomes a law over outcomes."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        check_at_least(
            self, 1, "num_layers", "model_size", "num_experts", "num_active_experts", "num_loops"
        )
        check_at_least(self, 0, "mlp_size")
        check_choice(self, "activation", ACTIVATIONS)
        self._check_groups()
        check_choice(self, "norm", ("rms", "layer", "none"))
        check_choice(self, "norm_place", ("pre", "post"))
        if self.num_active_experts > self.num_experts:
            raise ValueError(
                f"num_active_experts: expected at most num_experts = {self.num_experts}, "
                f"got {self.num_active_experts}"
            )
        if self.num_experts > 1 and self.mlp_size == 0:
            raise ValueError(
                f"num_experts: expected 1 with mlp_size = 0, which leaves the feed-forward part "
                f"out, got {self.num_experts}"
            )
        if self.tied and not isinstance(self.head, FiniteHead):
            raise ValueError(
                f"tied: expected False with a head of kind {type(self.head).__name__}, got True"
            )

    def _check_groups(self) -> None:
        size, of = self.activation_group, f"with activation={self.activation!r}"
        if self.activation in GROUPED and size < 2:
            raise ValueError(f"activation_group: expected at least 2 {of}, got {size}")
        if self.activation not in GROUPED and size != 1:
            raise ValueError(f"activation_group: expected 1 {of}, got {size}")
        if self.mlp_size % size:
            raise ValueError(
                f"mlp_size: expected a multiple of activation_group = {size}, got {self.mlp_size}"
            )

    @property
    def depth(self) -> int:
        """Number of blocks that a sequence passes, loops counted."""
        return self.num_layers * self.num_loops

    @property
    def heads_per_layer(self) -> int:
        """Number of heads whose writing can be scaled; 1 where a mixer has none."""
        return 1

    @property
    def embedded_positions(self) -> Positions:
        """What the embedding tells of positions."""
        return "none"

    @property
    def knows_places(self) -> bool:
        """Whether answers depend on where inputs stand, apart from their order."""
        return False

    def num_learned_positions(self, shape: TaskShape) -> int:
        """Count the places of which learned positions have a row.

        Args:
            shape: What the model fixes.

        Returns:
            As many as a sequence has inputs.

        Raises:
            ValueError: If fewer are asked for.
        """
        return shape.max_length

    @abc.abstractmethod
    def make_mixer(self, *, key: Key) -> AbstractMixer | None:
        """Draw the weights of one block's mixer.

        Args:
            key: Typed key.

        Returns:
            The mixer, or None where positions are never mixed.
        """

    def make_entry(self, shape: TaskShape, *, key: Key) -> FullWindow | None:
        """Draw the weights of a map between the embedding and the first block.

        Args:
            shape: What the model fixes.
            key: Typed key.

        Returns:
            The map, or None where embedded inputs enter the first block as they are.

        Raises:
            ValueError: If the two do not go together.
        """
        return None

    @property
    def out_scale(self) -> float:
        """Factor on the initial matrices that write to the residual stream."""
        return (2.0 * self.depth) ** -0.5


def check_at_least(config: object, least: int, *names: str) -> None:
    """Check that fields are large enough.

    Args:
        config: Record.
        least: Smallest value allowed.
        names: Fields.

    Raises:
        ValueError: If one is smaller.
    """
    for name in names:
        if getattr(config, name) < least:
            raise ValueError(f"{name}: expected at least {least}, got {getattr(config, name)}")


def check_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    """Check that a field holds one of some words.

    Args:
        config: Record.
        name: Field.
        choices: Words, two or more.

    Raises:
        ValueError: If it holds another one.
    """
    value = getattr(config, name)
    if value not in choices:
        *first, last = [repr(choice) for choice in choices]
        raise ValueError(f"{name}: expected {', '.join(first)} or {last}, got {value!r}")
