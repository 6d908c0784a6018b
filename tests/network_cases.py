"""Every kind of network at a tiny size: name to configuration and shape.

Inputs are ``SHAPE.input_size`` tokens, or vectors of that size where ``takes_vectors``.
"""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
from small_networks import SHAPE, random_like

from bayescmp.networks import (
    AbstractNetworkConfig,
    ConvConfig,
    GRUConfig,
    HypernetworkConfig,
    LinearSSMConfig,
    LSTMConfig,
    NGramConfig,
    PositionwiseConfig,
    PrefixMLPConfig,
    SelectiveSSMConfig,
    TaskShape,
    TransformerConfig,
)
from bayescmp.networks.config import AbstractResidualConfig
from bayescmp.networks.heads import MixtureHead

SMALL = {"num_layers": 2, "model_size": 8, "mlp_size": 12}

CASES: dict[str, tuple[AbstractNetworkConfig, TaskShape]] = {
    "lstm": (LSTMConfig(**SMALL), SHAPE),
    "lstm, other state, biases": (LSTMConfig(**SMALL, state_size=5, bias=True), SHAPE),
    "gru": (GRUConfig(**SMALL), SHAPE),
    "gru, other state, biases": (GRUConfig(**SMALL, state_size=5, bias=True), SHAPE),
    "linear ssm": (LinearSSMConfig(**SMALL, state_size=3), SHAPE),
    "linear ssm, biases, post": (
        LinearSSMConfig(**SMALL, state_size=3, bias=True, norm_place="post"),
        SHAPE,
    ),
    "selective ssm": (SelectiveSSMConfig(**SMALL, state_size=3), SHAPE),
    "selective ssm, no mlp": (
        SelectiveSSMConfig(
            num_layers=2, model_size=4, mlp_size=0, state_size=2, window=2, step_rank=2, bias=True
        ),
        SHAPE,
    ),
    "full convolution": (ConvConfig(**SMALL, window=3, bias=True), SHAPE),
    "depthwise convolution": (ConvConfig(**SMALL, window=2, depthwise=True), SHAPE),
    "position-wise mlp": (PositionwiseConfig(**SMALL), SHAPE),
    "prefix mlp": (PrefixMLPConfig(**SMALL), SHAPE),
    "window net": (PrefixMLPConfig(**SMALL, window=3), SHAPE),
    "n-gram": (NGramConfig(order=2), SHAPE),
    "hypernetwork": (
        HypernetworkConfig(feature_size=4, hidden_size=5, code_size=3, main_size=6),
        SHAPE,
    ),
}
"""A dozen and more small networks besides transformers; no weight of any is drawn here."""

SHALLOW = SMALL | {"num_layers": 1}
BINNED_SHAPE = replace(SHAPE, outcome_token=None, edges=(-1.0, 0.2, 0.9))
TRANSFORMERS: dict[str, tuple[AbstractNetworkConfig, TaskShape]] = {
    "transformer": (TransformerConfig(**SMALL), SHAPE),
    "rotary, layer norm after, biases, silu": (
        TransformerConfig(
            **SHALLOW,
            positions="rotary",
            norm="layer",
            norm_place="post",
            bias=True,
            activation="silu",
        ),
        SHAPE,
    ),
    "sigmoid kernel, alibi, groups, window, relu": (
        TransformerConfig(
            **SHALLOW,
            kernel="sigmoid",
            positions="alibi",
            num_source_heads=2,
            window=3,
            activation="relu",
        ),
        SHAPE,
    ),
    "linear kernel, sinusoids, one source, swiglu, no norm": (
        TransformerConfig(
            **SHALLOW,
            kernel="linear",
            positions="sinusoidal",
            num_source_heads=1,
            activation="swiglu",
            norm="none",
        ),
        SHAPE,
    ),
    "two experts of three, biases, sigmoid": (
        TransformerConfig(
            **SHALLOW, num_experts=3, num_active_experts=2, bias=True, activation="sigmoid"
        ),
        SHAPE,
    ),
    "one expert of two": (TransformerConfig(**SHALLOW, num_experts=2), SHAPE),
    "looped, attention only, tied, no positions": (
        TransformerConfig(
            num_layers=1, model_size=8, mlp_size=0, num_loops=3, tied=True, positions="none"
        ),
        SHAPE,
    ),
    "both ways, alibi, logsumexp of threes": (
        TransformerConfig(
            **SHALLOW, causal=False, positions="alibi", activation="logsumexp", activation_group=3
        ),
        replace(SHAPE, shows_all_first=True),
    ),
    "mixture head": (TransformerConfig(**SHALLOW, head=MixtureHead(2)), BINNED_SHAPE),
}
"""Every option of a transformer at least once."""

EVERY = TRANSFORMERS | CASES

VARIANTS = (
    "lstm, other state, biases",
    "gru, other state, biases",
    "linear ssm, biases, post",
    "selective ssm, no mlp",
)
"""Cases that differ from their neighbours in a mixer's sizes alone."""


def with_one_layer(config: AbstractNetworkConfig) -> AbstractNetworkConfig:
    """Take all blocks but one away, where there are blocks."""
    return replace(config, num_layers=1) if isinstance(config, AbstractResidualConfig) else config


CONTRACT = TRANSFORMERS | {
    name: (with_one_layer(config), shape)
    for name, (config, shape) in CASES.items()
    if name not in VARIANTS
}
"""What is held to the laws of all networks; blocks are stacked by code that all kinds share."""

RESIDUAL = tuple(name for name in CASES if name not in ("n-gram", "hypernetwork"))
"""Names of those with a residual stream, which can be traced."""


def takes_vectors(name: str) -> bool:
    """Tell whether a case reads vectors as well as tokens."""
    return name != "n-gram"


def small_network(name: str, seed: int = 0, dtype=np.float32):
    """Build a case with every weight random: no scale is one, no bias zero."""
    return build_small(*EVERY[name], seed=seed, dtype=dtype)


def build_small(
    config: AbstractNetworkConfig, shape: TaskShape, *, seed: int = 0, dtype=np.float32
):
    """Build any network with every weight random, without compiling."""
    shapes = eqx.filter_eval_shape(config.build, shape, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(seed), dtype)


def small_vectors(*shape: int, seed: int = 2) -> np.ndarray:
    """Draw input vectors of the cases' size."""
    values = np.random.default_rng(seed).normal(size=(*shape, SHAPE.input_size))
    return values.astype(np.float32)
