"""The three networks whose training steps are timed, on the bijection of 20 symbols."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The shape of a transformer with rows of tokens; numbers that need no JAX."""

    num_layers: int
    num_heads: int
    model_size: int
    mlp_size: int
    batch_size: int = 64


SIZES = {
    "0.15 M": Size(3, 4, 64, 256),
    "0.7 M": Size(4, 4, 128, 448),
    "2.7 M": Size(6, 6, 192, 768),
}
"""By their number of parameters: the default study's, one between, and that of the papers."""

VOCABULARY, OUTCOMES, LENGTH = 40, 20, 37
