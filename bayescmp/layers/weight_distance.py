"""How far one transformer's weights are from another's once symmetries are removed."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from bayescmp._types import Key
from bayescmp.layers.balanced_weights import BalancedWeights, Part, balance_weights
from bayescmp.networks.transformer import Transformer

MOST_ROUNDS = 200
"""Rounds of matching and turning, at most."""

SMALLEST_GAIN = 1e-4
"""The search ends where a round lowers the square of the distance by less than this share."""

Parts = Mapping[str, Part]
Weights = Mapping[str, float]


@dataclass(frozen=True)
class WeightDistance:
    """How far a network is from a reference, part by part."""

    parts: tuple[str, ...]
    """Names: embedding, scores, values, units and shifts of each block, read-out."""
    relative: Float[np.ndarray, " part"]
    """Length of the difference in units of the reference's own length: zero for the same, one
    for weights of zero."""

    @property
    def total(self) -> float:
        """Root of the mean square over parts."""
        return float(np.sqrt(np.mean(np.square(self.relative))))


def weight_distance(network: Transformer, reference: Transformer) -> WeightDistance:
    """Measure how far a network is from a reference, apart from symmetries.

    Removed are, exactly: scales within a head (``Q A, K A^-T``, and ``V B, B^-1 O``), scales of
    hidden units (``relu``, and the linear part of ``swiglu``), signs of hidden units (``swiglu``,
    and ``sigmoid`` with biases), scales of an RMS norm, biases that a softmax does not see. And
    by a search: the order of heads within a block, the order of hidden units, and turns and
    reflections of the residual stream. Each step of the search finds the best order or the best
    turn given the others, from two starts (no turn, and the turn that brings embedding and
    read-out together), so that it ends where no single step helps: the distance found is an upper
    bound of the least one, and zero where it is zero.

    Not removed are stretches of the residual stream, which without a norm change nothing either;
    shifts of the stream that later biases undo; and networks that compute the same by other
    means, with other units for instance.

    Args:
        network: Transformer that is judged.
        reference: Transformer of the same shape; where one has loops, they are written out.

    Returns:
        The distance.

    Raises:
        TypeError: If one is no transformer.
        ValueError: If the two differ in shape, activation, norm or kernel of attention, or are of
            a kind with other symmetries.

    Example:
        >>> from bayescmp.layers import weight_distance
        >>> network = bc.Transformer.for_model(bc.models.Bijection(4), key=jax.random.key(0))
        >>> weight_distance(network, network).total < 1e-9  # rounding
        True
    """
    _check_kinds(network, reference)
    moved, fixed = balance_weights(network), balance_weights(reference)
    _check_alike(moved, fixed)
    weights = _weigh(fixed.parts)
    ends = {name: weights[name] for name in ("embedding", "read-out")}
    width = moved.parts["embedding"].shape[-1] - 1
    starts = (np.eye(width), _best_turn(moved.parts, fixed.parts, ends))
    found = [_search(moved, fixed, weights, start) for start in starts]
    squares = min(found, key=lambda one: sum(one.values()))
    return WeightDistance(tuple(squares), np.sqrt(np.array(list(squares.values()))))


def random_distances(
    reference: Transformer, num_draws: int, *, key: Key
) -> Float[np.ndarray, " draw"]:
    """Measure how far networks with fresh initial weights are from a reference.

    Args:
        reference: Transformer whose configuration is used.
        num_draws: How many networks.
        key: Typed key of their weights.

    Returns:
        Total distance of each, after the same search for symmetries.

    Raises:
        ValueError: If the reference is of a kind with other symmetries.

    Example:
        >>> from bayescmp.layers.weight_distance import random_distances
        >>> network = bc.Transformer.for_model(bc.models.Bijection(4), key=jax.random.key(0))
        >>> bool((random_distances(network, 2, key=jax.random.key(1)) > 0.5).all())
        True
    """
    config, shape = reference.config, reference.shape
    drawn = (config.build(shape, key=one) for one in jax.random.split(key, num_draws))
    return np.array(
        [weight_distance(one, reference).total for one in drawn if isinstance(one, Transformer)]
    )


def _weigh(parts: Parts) -> dict[str, float]:
    """Return one over the square of each part's length; a part of zeros counts as a mean one."""
    squares = {name: float(np.sum(np.square(part))) for name, part in parts.items()}
    mean = float(np.mean(list(squares.values()))) or 1.0
    return {name: 1.0 / (square or mean) for name, square in squares.items()}


def _search(
    moved: BalancedWeights,
    fixed: BalancedWeights,
    weights: Weights,
    start: Float[np.ndarray, "feature feature"],
) -> dict[str, float]:
    """Match and turn by turns until nothing helps, and return the squares that are left."""
    alike = moved.num_distinct == fixed.num_distinct
    period = moved.num_distinct if alike else len(moved.parts)
    parts, before = _turn(moved.parts, start), np.inf
    for _ in range(MOST_ROUNDS):
        parts = _match(parts, fixed, weights, period)
        parts = _turn(parts, _best_turn(parts, fixed.parts, weights))
        squares = _measure(parts, fixed.parts, weights)
        total = sum(squares.values())
        if before - total <= SMALLEST_GAIN * total:
            break
        before = total
    return squares


def _measure(parts: Parts, fixed: Parts, weights: Weights) -> dict[str, float]:
    return {
        name: weights[name] * float(np.sum(np.square(part - fixed[name])))
        for name, part in parts.items()
    }


def _turn(parts: Parts, turn: Float[np.ndarray, "feature feature"]) -> dict[str, Part]:
    """Turn the residual stream; biases stay."""
    return {
        name: np.concatenate([part[..., :-1] @ turn, part[..., -1:]], axis=-1)
        for name, part in parts.items()
    }


def _best_turn(
    parts: Parts, fixed: Parts, weights: Weights
) -> Float[np.ndarray, "feature feature"]:
    """Return the orthogonal matrix that brings parts nearest to others.

    ``sum_p w_p |X_p R - Y_p|^2`` is least at ``R = U V^T`` for the singular vectors of
    ``sum_p w_p X_p^T Y_p``.

    Source: Schoenemann, Psychometrika 31 (1966).
    """
    width = parts["embedding"].shape[-1] - 1
    products = (
        weight
        * parts[name][..., :-1].reshape(-1, width).T
        @ fixed[name][..., :-1].reshape(-1, width)
        for name, weight in weights.items()
    )
    u, _, vt = np.linalg.svd(sum(products, np.zeros((width, width))))
    return u @ vt


def _match(parts: Parts, fixed: BalancedWeights, weights: Weights, period: int) -> dict[str, Part]:
    """Put heads and units of each block into the order of the others; what repeats, once."""
    matched = dict(parts)
    for name in parts:
        kind, _, block = name.partition(" ")
        if block and int(block) > period:
            matched[name] = matched[f"{kind} {int(block) - period}"]
        elif kind == "scores":
            pair = (name, f"values {block}")
            matched |= _match_heads(parts, fixed.parts, weights, pair)
        elif kind == "units":
            matched[name] = _match_units(parts[name], fixed.parts[name], fixed.flipped)
    return matched


def _match_heads(
    parts: Parts, fixed: Parts, weights: Weights, names: tuple[str, str]
) -> dict[str, Part]:
    """Find the best order of heads, and the best turn within each."""
    gain, products = np.zeros(()), {}
    for name in names:
        ours, theirs = (x[name].reshape(*x[name].shape[:2], -1) for x in (parts, fixed))
        products[name] = np.einsum("ihx,jkx->ijhk", theirs, ours)
        gain = gain + weights[name] * np.linalg.svd(products[name], compute_uv=False).sum(-1)
    heads, order = linear_sum_assignment(gain, maximize=True)
    matched = {}
    for name in names:
        u, _, vt = np.linalg.svd(products[name][heads, order])
        matched[name] = np.einsum("ihk,iksf->ihsf", u @ vt, parts[name][order])
    return matched


def _match_units(units: Part, fixed: Part, flipped: tuple[int, ...]) -> Part:
    """Find the best order of hidden units, and the best sign of each where it is free."""
    kept = [role for role in range(units.shape[1]) if role not in flipped]
    own = np.einsum("irf,jrf->ij", fixed[:, kept], units[:, kept])
    turned = np.einsum("irf,jrf->ij", fixed[:, list(flipped)], units[:, list(flipped)])
    rows, order = linear_sum_assignment(own + np.abs(turned), maximize=True)
    matched = units[order].copy()
    signs = np.where(turned[rows, order] < 0.0, -1.0, 1.0)
    matched[:, list(flipped)] *= signs[:, None, None]
    return matched


def _check_kinds(network: Transformer, reference: Transformer) -> None:
    """Check that equal weights would mean equal networks."""
    for name, one in (("network", network), ("reference", reference)):
        if not isinstance(one, Transformer):
            raise TypeError(f"{name}: expected a Transformer, got {type(one).__name__}")
    for name in ("activation", "norm", "kernel"):
        own, other = (getattr(one.config, name, None) for one in (network, reference))
        if own != other:
            raise ValueError(f"network: expected the reference's {name} {other!r}, got {own!r}")


def _check_alike(moved: BalancedWeights, fixed: BalancedWeights) -> None:
    """Check that weights can be laid over one another."""
    shapes = [
        {name: part.shape for name, part in one.parts.items()} | {"signs": one.flipped}
        for one in (moved, fixed)
    ]
    if shapes[0] != shapes[1]:
        different = [
            name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name)
        ]
        raise ValueError(
            "network: expected the shape and the kind of units of the reference, got others in "
            f"{', '.join(different)}"
        )
