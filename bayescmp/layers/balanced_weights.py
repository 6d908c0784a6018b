"""A transformer's weights without the scales that its answers do not depend on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.feed_forward import GROUPED, FeedForward
from bayescmp.networks.parts.norms import Norm
from bayescmp.networks.transformer import Transformer, TransformerConfig

Part = Float[np.ndarray, "... feature_and_bias"]
"""Vectors of the residual stream that are read with or written, one in each row; a last column
holds the bias that goes with what is read, and zero elsewhere."""

PLACELESS = ("learned", "none")
"""Positions that are weights, or nothing: others single directions of the stream out."""


@dataclass(frozen=True)
class BalancedWeights:
    """Weights of a transformer in a form in which only turns and permutations are left.

    What a head reads by is ``Q K^T`` and what it carries is ``V O``; of all pairs of matrices
    with these products the shortest is taken, whose singular values are shared out evenly. So is
    the shortest of all ways to scale a unit up and its output down, where that changes nothing:
    for ``relu`` and for the linear part of ``swiglu``. Scales of an RMS norm are multiplied into
    what reads after it. Under a softmax a bias of the keys does nothing and one of the values is
    one of the output; both move. Loops are written out.
    """

    parts: Mapping[str, Part]
    """By name: ``embedding`` and ``read-out``; of each block ``scores`` and ``values`` with axes
    (head, direction, side), ``units`` with axes (unit, role), and ``shifts``, where it has any."""
    flipped: tuple[int, ...]
    """Roles of a unit whose signs may change together; none where no sign is free."""
    num_distinct: int
    """Blocks before the first repeats; as many as there are without loops."""


def balance_weights(network: Transformer) -> BalancedWeights:
    """Read a transformer's weights, each scale that does not matter set to its shortest.

    Args:
        network: Transformer whose heads have keys of their own, with learned positions or none,
            and with no norm or the RMS norm before each part.

    Returns:
        Its weights, in 64 bits.

    Raises:
        TypeError: If its configuration is not that of a transformer.
        ValueError: If it is of another kind.

    Example:
        >>> from bayescmp.layers.balanced_weights import balance_weights
        >>> network = bc.Transformer.for_model(bc.models.Bijection(4), key=jax.random.key(0))
        >>> balance_weights(network).parts["scores 1"].shape  # heads, directions, query and key
        (4, 16, 2, 65)
    """
    _check_kind(network)
    config = network.config
    rows = [network.embedding]
    if network.position_embedding is not None:
        rows.append(network.position_embedding)
    parts = {"embedding": _rows(np.concatenate([_wide(part) for part in rows]))}
    for place in range(config.depth):
        parts |= _read_block(network, place % config.num_layers, f" {place + 1}")
    weight = network.unembedding
    if weight is None:
        first = network.shape.outcome_token or 0
        weight = network.embedding[first : first + network.shape.num_outcomes].T
    bias = network.unembedding_bias
    parts["read-out"] = _reader(weight, bias, _scale(network.final_norm))
    return BalancedWeights(parts, _flipped(network), config.num_layers)


def _read_block(network: Transformer, layer: int, name: str) -> dict[str, Part]:
    """Read one block; what it adds in any case comes last."""
    blocks = network.blocks
    parts, shifts = {}, []
    if isinstance(blocks.mixer, Attention):
        scale = _scale(blocks.mixer_norm, layer)
        scores, values, shift = _read_attention(blocks.mixer, layer, scale)
        parts |= {"scores" + name: scores, "values" + name: values}
        shifts.append(shift)
    if isinstance(blocks.mlp, FeedForward):
        units, shift = _read_units(blocks.mlp, layer, _scale(blocks.mlp_norm, layer))
        parts["units" + name] = units
        shifts.append(shift)
    if network.config.bias:
        parts["shifts" + name] = _rows(np.stack(shifts))
    return parts


def _read_attention(
    mixer: Attention, layer: int, scale: np.ndarray | None
) -> tuple[Part, Part, Float[np.ndarray, " feature"]]:
    """Return scores, values and what is added in any case."""
    query, key, value, out = (
        _wide(x[layer]) for x in (mixer.query, mixer.key, mixer.value, mixer.out)
    )
    biases = [np.zeros(x.shape[1]) for x in (query, key, value, out)]
    if mixer.biases is not None:
        biases = [_wide(x[layer]) for x in mixer.biases]
    if mixer.kernel == "softmax":
        biases[3] = biases[3] + biases[2] @ out
        biases[1], biases[2] = np.zeros_like(biases[1]), np.zeros_like(biases[2])
    sides = [_reader(x, b, scale) for x, b in zip((query, key, value), biases[:3], strict=True)]
    queries, keys, values, outputs = (
        rows.reshape(mixer.num_heads, -1, rows.shape[-1]) for rows in (*sides, _rows(out))
    )
    return _balance(queries, keys), _balance(values, outputs), biases[3]


def _balance(
    left: Float[np.ndarray, "head size column"], right: Float[np.ndarray, "head size column"]
) -> Float[np.ndarray, "head size 2 column"]:
    """Return the shortest factors with the same product ``left^T right``, head by head.

    Over all invertible ``A``, ``|A left|^2 + |A^-T right|^2`` is least where both factors share
    the singular values of the product evenly; only an orthogonal ``A`` stays free.
    """
    (q, r), (p, t) = (np.linalg.qr(np.swapaxes(x, 1, 2)) for x in (left, right))
    u, s, vt = np.linalg.svd(r @ np.swapaxes(t, 1, 2))
    root = np.sqrt(s)[:, None, :]
    factors = (q @ (u * root), p @ (np.swapaxes(vt, 1, 2) * root))
    return np.stack([np.swapaxes(x, 1, 2) for x in factors], axis=2)


def _read_units(
    mlp: FeedForward, layer: int, scale: np.ndarray | None
) -> tuple[Part, Float[np.ndarray, " feature"]]:
    """Return what each unit reads and writes, and what is added in any case."""
    up, down = _reader(mlp.up[layer], mlp.up_bias[layer], scale), _rows(mlp.down[layer])
    shift = np.zeros(mlp.down.shape[-1])
    if mlp.down_bias is not None:
        shift = _wide(mlp.down_bias[layer])
    if mlp.activation in ("relu", "swiglu"):
        up, down = _even(up, down)
    if mlp.activation == "sigmoid" and mlp.down_bias is not None:
        # sigmoid(z) = 1/2 + tanh(z/2)/2: an odd function, whose sign is free, and a constant.
        shift = shift + 0.5 * down[:, :-1].sum(axis=0)
    roles = [up, down]
    if mlp.gate is not None:
        used = np.any(up != 0.0, axis=1, keepdims=True)
        roles.insert(0, np.where(used, _reader(mlp.gate[layer], None, scale), 0.0))
    return np.stack(roles, axis=1), shift


def _even(up: Part, down: Part) -> tuple[Part, Part]:
    """Share each unit's length out evenly; a unit that does nothing becomes zero."""
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (up, down)]
    used = (lengths[0] > 0.0) & (lengths[1] > 0.0)
    ratio = np.sqrt(np.divide(lengths[1], lengths[0], out=np.ones_like(lengths[0]), where=used))
    return np.where(used, up * ratio, 0.0), np.where(used, down / ratio, 0.0)


def _flipped(network: Transformer) -> tuple[int, ...]:
    """Return the roles of a unit whose signs may change together."""
    mlp = network.blocks.mlp
    if not isinstance(mlp, FeedForward):
        return ()
    if mlp.activation == "swiglu":
        return (1, 2)
    return (0, 1) if mlp.activation == "sigmoid" and mlp.down_bias is not None else ()


def _reader(weight: Array | np.ndarray, bias: Array | np.ndarray | None, scale: object) -> Part:
    """Return the columns of a matrix as rows, with their biases, after a norm's scale."""
    columns = _wide(weight).T * (1.0 if scale is None else np.asarray(scale))
    last = np.zeros(len(columns)) if bias is None else _wide(bias)
    return np.concatenate([columns, last[:, None]], axis=1)


def _rows(written: Array | np.ndarray) -> Part:
    """Return vectors that are written, which have no bias."""
    return np.pad(_wide(written), ((0, 0), (0, 1)))


def _wide(values: Array | np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64)


def _scale(norm: Norm | None, layer: int | None = None) -> np.ndarray | None:
    if norm is None:
        return None
    return _wide(norm.scale if layer is None else norm.scale[layer])


def _check_kind(network: Transformer) -> None:
    """Reject transformers with other symmetries than those that are removed."""
    config = network.config
    if not isinstance(config, TransformerConfig):
        raise TypeError(f"network: expected a TransformerConfig, got {type(config).__name__}")
    wanted = {
        "positions": config.positions in PLACELESS,
        "num_source_heads": config.num_source_heads in (None, config.num_heads),
        "num_experts": config.num_experts == 1,
        "activation": config.activation not in GROUPED,
        "norm": config.norm == "none" or (config.norm == "rms" and config.norm_place == "pre"),
    }
    for name, holds in wanted.items():
        if not holds:
            raise ValueError(
                "network: expected learned positions or none, keys of its own for each head, one "
                "feed-forward part a block whose units act one by one, and no norm or an RMS norm "
                "before each part, got "
                f"{name} = {getattr(config, name)!r}"
            )
