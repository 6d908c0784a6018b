"""The shape of a transformer."""

from dataclasses import dataclass
from typing import Literal

from bayescmp.networks.block import Activation

Positions = Literal["learned", "rotary", "none"]


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a transformer, apart from what the model's inputs and outcomes fix."""

    num_layers: int = 3
    num_heads: int = 4
    model_size: int = 64
    """Width of the residual stream."""
    mlp_size: int = 256
    """Width inside the feed-forward part."""
    positions: Positions = "learned"
    activation: Activation = "gelu"
    tied: bool = False
    """Whether the read-out is the embedding of the outcomes' tokens."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        for name in ("num_layers", "num_heads", "model_size", "mlp_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.model_size % self.num_heads:
            raise ValueError(
                f"model_size: expected a multiple of num_heads = {self.num_heads}, "
                f"got {self.model_size}"
            )
        if self.positions not in ("learned", "rotary", "none"):
            raise ValueError(
                f"positions: expected 'learned', 'rotary' or 'none', got {self.positions!r}"
            )
        if self.activation not in ("gelu", "relu", "silu"):
            raise ValueError(
                f"activation: expected 'gelu', 'relu' or 'silu', got {self.activation!r}"
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(
                f"model_size: expected an even head size for rotary positions, got {self.head_size}"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.model_size // self.num_heads
