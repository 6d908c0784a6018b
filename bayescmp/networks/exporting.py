"""Transformers of ours by the array names of TransformerLens."""

import numpy as np

from bayescmp.networks.array_fields import fields_by_name, split_heads
from bayescmp.networks.array_names import OUTSIDE
from bayescmp.networks.heads import FiniteHead
from bayescmp.networks.parts.feed_forward import GROUPED
from bayescmp.networks.transformer import Transformer, TransformerConfig

_NAMED = {
    "kernel": "softmax",
    "window": None,
    "positions": "learned",
    "num_experts": 1,
    "num_loops": 1,
    "norm": "layer",
    "norm_place": "pre",
    "bias": True,
    "tied": False,
    "head": FiniteHead(),
    "causal": True,
}
"""Fields of a configuration, with the only value that the names can hold."""


def export_transformer(network: Transformer) -> dict[str, np.ndarray]:
    """Return a transformer's weights by the names of TransformerLens.

    Law: what :func:`bayescmp.networks.import_transformer` is given comes out of here again.

    Args:
        network: Transformer with LayerNorm before each part, biases, learned positions and a
            read-out of its own.

    Returns:
        Arrays by name, as ``np.savez`` takes them; without the rows of a hidden start.

    Raises:
        ValueError: If the names cannot hold such a network.

    Example:
        >>> config = bc.TransformerConfig(num_layers=1, norm="layer", bias=True)
        >>> network = bc.build_network(config, bc.models.Mess3(), key=jax.random.key(0))
        >>> export_transformer(network)["blocks.0.attn.W_Q"].shape  # head, width, head size
        (4, 64, 16)
    """
    config = _check_kind(network)
    heads, sources = config.num_heads, config.num_source_heads or config.num_heads
    arrays = {}
    for name, field in fields_by_name(network).items():
        values = np.asarray(field)
        if name in OUTSIDE:
            has_start = config.hide_start and name in ("embed.W_E", "pos_embed.W_pos")
            arrays[name] = values[1:] if has_start else values
            continue
        num_heads = sources if name[-1] in "KV" else heads
        for block, own in enumerate(values):
            arrays[f"blocks.{block}.{name}"] = split_heads(name, own, num_heads)
    return arrays


def _check_kind(network: Transformer) -> TransformerConfig:
    """Return the configuration, if the names can hold such a network."""
    config = network.config
    if not isinstance(config, TransformerConfig):
        raise ValueError(f"network: expected a transformer, got {type(network).__name__}")
    other = [name for name, value in _NAMED.items() if getattr(config, name) != value]
    if config.activation in ("swiglu", *GROUPED):
        other.append("activation")
    if other:
        wanted = ", ".join(f"{name}={_NAMED.get(name, 'one of single units')!r}" for name in other)
        got = ", ".join(f"{name}={getattr(config, name)!r}" for name in other)
        raise ValueError(f"network: expected one with {wanted}, got {got}")
    return config
