"""Transformers of every common kind, causal ones and such as look both ways."""

from dataclasses import dataclass
from typing import final

import equinox as eqx

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.config import AbstractResidualConfig, check_at_least, check_choice
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.kernels import KERNELS, KernelName
from bayescmp.networks.parts.positions import POSITIONS, Positions
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.shape import TaskShape


@final
@dataclass(frozen=True, kw_only=True)
class TransformerConfig(AbstractResidualConfig):
    """The shape of a transformer, apart from what the model's inputs and outcomes fix.

    Example:
        >>> bc.TransformerConfig(num_layers=1, num_loops=4, positions="rotary").depth
        4
    """

    num_heads: int = 4
    num_source_heads: int | None = None
    """Heads that have keys and values of their own: None for all (multi-head attention), 1
    for one that all share (multi-query), a divisor of ``num_heads`` for groups of them."""
    kernel: KernelName = "softmax"
    """How scores become attention weights."""
    window: int | None = None
    """Positions that are attended to, itself among them; None for the whole past."""
    positions: Positions = "learned"
    features_per_head: int | None = None
    """Width of one attention head; None for ``model_size / num_heads``."""
    hide_start: bool = False
    """Whether the first input is seen by itself alone, as by a network from elsewhere that
    knows no start token."""
    num_positions: int | None = None
    """Rows of learned positions, where more are wanted than a sequence has inputs: training
    on random places, or answers at other lengths; None for as many."""
    causal: bool = True
    """Whether a position sees itself and its past alone; otherwise it sees every position, which
    only tasks allow that show all inputs before their first question."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        super().__post_init__()
        check_at_least(self, 1, "num_heads")
        check_choice(self, "kernel", KERNELS)
        check_choice(self, "positions", POSITIONS)
        if self.features_per_head is not None:
            check_at_least(self, 1, "features_per_head")
        elif self.model_size % self.num_heads:
            raise ValueError(
                f"model_size: expected a multiple of num_heads = {self.num_heads}, "
                f"got {self.model_size}"
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(
                f"model_size: expected an even head size for rotary positions, got {self.head_size}"
            )
        if self.positions == "alibi" and self.kernel == "linear":
            raise ValueError(
                "positions: expected another kind than 'alibi' with kernel='linear', whose weights "
                "are no function of a difference of scores"
            )
        self._check_sight()
        if self.num_source_heads is not None:
            self._check_source_heads(self.num_source_heads)
        if self.num_positions is not None:
            check_at_least(self, 1, "num_positions")
        if self.num_positions is not None and self.positions != "learned":
            raise ValueError(
                f"num_positions: expected None with positions={self.positions!r}, which has no "
                f"rows, got {self.num_positions}"
            )

    def _check_sight(self) -> None:
        if self.window is not None and self.window < 1:
            raise ValueError(f"window: expected None or at least 1, got {self.window}")
        if not self.causal and self.window is not None:
            raise ValueError(f"window: expected None with causal=False, got {self.window}")
        if not self.causal and self.hide_start:
            raise ValueError("hide_start: expected False with causal=False, got True")

    def _check_source_heads(self, count: int) -> None:
        if count < 1 or self.num_heads % count:
            raise ValueError(
                f"num_source_heads: expected a divisor of num_heads = {self.num_heads}, got {count}"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.features_per_head or self.model_size // self.num_heads

    @property
    def heads_per_layer(self) -> int:
        """Number of heads whose writing can be scaled."""
        return self.num_heads

    @property
    def embedded_positions(self) -> Positions:
        """What the embedding tells of positions; attention tells the rest."""
        return self.positions if self.positions in ("learned", "sinusoidal") else "none"

    @property
    def knows_places(self) -> bool:
        """Whether there are positions of some kind."""
        return self.positions != "none"

    def num_learned_positions(self, shape: TaskShape) -> int:
        """Count the places of which learned positions have a row."""
        if self.num_positions is not None and self.num_positions < shape.max_length:
            raise ValueError(
                f"num_positions: expected at least {shape.max_length}, the inputs of a sequence, "
                f"got {self.num_positions}"
            )
        return self.num_positions or shape.max_length

    def make_mixer(self, *, key: Key) -> Attention:
        """Draw the weights of one block's attention."""
        return Attention(
            self.model_size,
            num_heads=self.num_heads,
            num_source_heads=self.num_source_heads or self.num_heads,
            head_size=self.head_size,
            kernel=self.kernel,
            window=self.window,
            positions=self.positions,
            bias=self.bias,
            out_scale=self.out_scale,
            key=key,
            hide_start=self.hide_start,
            causal=self.causal,
        )

    def build(self, shape: TaskShape, *, key: Key) -> "Transformer":
        """Draw the weights of a transformer.

        Args:
            shape: What the model fixes.
            key: Typed key.

        Returns:
            The transformer.

        Raises:
            ValueError: If a tied read-out is asked for and outcomes are no tokens, or both ways
                are to be seen and inputs follow the first question.
        """
        return eqx.filter_jit(Transformer)(self, shape, key=key)


@final
class Transformer(AbstractResidualNetwork):
    """A transformer from the inputs of one sequence to logits at each position."""

    def __init__(self, config: TransformerConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights; see :class:`AbstractResidualNetwork`.

        Args:
            config: Shape of the network.
            shape: What the model fixes.
            key: Typed key.

        Raises:
            ValueError: As ``config.build`` does.
        """
        if not config.causal and not shape.shows_all_first:
            raise ValueError(
                "causal: expected True with a task that shows inputs after its first question, "
                "among them answers it may look ahead to, got False"
            )
        super().__init__(config, shape, key=key)

    @staticmethod
    def for_model(
        model: AbstractGenerativeModel,
        config: TransformerConfig | None = None,
        *,
        key: Key,
    ) -> "Transformer":
        """Build a transformer that reads a model's inputs and answers its questions.

        Args:
            model: Generative model.
            config: Shape of the network.
            key: Typed key.

        Returns:
            The network, with random weights.

        Raises:
            ValueError: As ``config.build`` does.

        Example:
            >>> network = bc.Transformer.for_model(bc.models.Bijection(4), key=jax.random.key(0))
            >>> network(jnp.array([0, 5, 1])).shape
            (3, 4)
        """
        return (config or TransformerConfig()).build(TaskShape.of(model), key=key)
