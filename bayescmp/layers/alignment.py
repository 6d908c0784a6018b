"""How an update of a network moves its scores and values, beside a direction and random updates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Bool, Float, PyTree

from bayescmp._types import Inputs, Key
from bayescmp.layers.attention_gradients import Pattern, SourceVectors, share
from bayescmp.layers.attention_offsets import score
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork

Shown = Bool[Array, "sequence input_position"]


class HeadState(eqx.Module):
    """What every head routes by and what it carries, zero where nothing counts."""

    scores: Pattern
    """Scores less their row's mean over allowed places: a softmax does not see the mean."""
    values: SourceVectors


def read_heads(network: AbstractResidualNetwork, inputs: Inputs, shown: Shown) -> HeadState:
    """Read scores and values off a network.

    Args:
        network: Network without loops that attends.
        inputs: Inputs of some sequences.
        shown: Which input positions count.

    Returns:
        Scores and values of every block.

    Raises:
        ValueError: If nothing attends.
    """
    trace, mixer = network.trace_layers(inputs), network.blocks.mixer
    queries, keys, values = trace.queries, trace.keys, trace.values
    if not isinstance(mixer, Attention) or queries is None or keys is None or values is None:
        raise ValueError("network: expected one that attends, got one without queries and keys")
    allowed = allowed_places(mixer, shown)
    scores = score(mixer, queries, keys)
    count = jnp.maximum(allowed.sum(axis=-1, keepdims=True), 1)
    mean = jnp.sum(jnp.where(allowed, scores, 0.0), axis=-1, keepdims=True) / count
    carried = jnp.where(shown[:, None, :, None], values, 0.0)
    return HeadState(jnp.where(allowed, scores - mean, 0.0), carried)


def allowed_places(
    attention: Attention, shown: Shown
) -> Bool[Array, "sequence 1 input_position source_position"]:
    """Tell which scores matter: those of allowed places, at positions that count.

    Args:
        attention: Attention.
        shown: Which input positions count.

    Returns:
        True where a score matters, the same for each head.
    """
    return shown[:, None, :, None] & jnp.asarray(attention.mask(shown.shape[-1]))


def cosine(
    change: Float[Array, "layer sequence head *rest"],
    direction: Float[Array, "layer sequence head *rest"],
    weights: Float[Array, " sequence"],
) -> Float[Array, "layer head"]:
    """Return the cosine between two changes of every head, over all sequences.

    ``<x, y> / (|x| |y|)`` with ``<x, y> = sum_s w_s x_s . y_s``.

    Args:
        change: What has changed.
        direction: A direction.
        weights: Weight of each sequence.

    Returns:
        Cosines; NaN where one of the two is zero.

    Example:
        >>> from bayescmp.layers.alignment import cosine
        >>> x = jnp.array([3.0, 4.0]).reshape(1, 1, 1, 2)
        >>> cosine(x, x.at[..., 1].set(0.0), jnp.ones(1))
        Array([[0.6]], dtype=float32)
    """
    rest = tuple(range(3, change.ndim))

    def inner(x: Array, y: Array) -> Float[Array, "layer head"]:
        return jnp.einsum("lsh,s->lh", jnp.sum(x * y, axis=rest), weights)

    sizes = inner(change, change) * inner(direction, direction)
    return inner(change, direction) / jnp.sqrt(sizes)


def cosines(
    before: HeadState,
    after: HeadState,
    routing: Pattern,
    carrying: SourceVectors,
    weights: Float[Array, " sequence"],
) -> Float[Array, "kind layer head"]:
    """Return how an update of scores and of values lies to a direction of each.

    Args:
        before: Scores and values before the update.
        after: The same after it.
        routing: Direction of the scores.
        carrying: Direction of the values.
        weights: Weight of each sequence.

    Returns:
        Cosines of scores and of values; heads that share values have the same.
    """
    num_heads = routing.shape[-3]
    values = share(after.values - before.values, num_heads), share(carrying, num_heads)
    return jnp.stack(
        [cosine(after.scores - before.scores, routing, weights), cosine(*values, weights)]
    )


def shake(before: PyTree[Array], after: PyTree[Array], *, key: Key) -> PyTree[Array]:
    """Draw an update in a random direction, as large as a given one in every array.

    Args:
        before: Arrays before the update.
        after: Arrays after it.
        key: Typed key.

    Returns:
        Arrays after the random update.

    Example:
        >>> from bayescmp.layers.alignment import shake
        >>> moved = shake(jnp.zeros(3), jnp.array([0.0, 3.0, 4.0]), key=jax.random.key(0))
        >>> round(float(jnp.linalg.norm(moved)), 4)
        5.0
    """
    leaves, structure = jax.tree.flatten(before)
    keys = jax.tree.unflatten(structure, list(jax.random.split(key, len(leaves))))

    def move(old: Array, new: Array, key: Key) -> Array:
        noise = jax.random.normal(key, old.shape, old.dtype)
        return old + noise * (jnp.linalg.norm(new - old) / jnp.linalg.norm(noise))

    return jax.tree.map(move, before, after, keys)


def random_cosine(dimension: int, level: float = 0.95) -> float:
    """Return what the cosine of a random direction stays below, in absolute value.

    For a direction that is uniform on the sphere in ``n`` dimensions, ``cos^2`` follows a
    beta law with parameters ``1/2`` and ``(n - 1)/2``, whatever the other direction is.

    Args:
        dimension: Number of dimensions, at least two.
        level: Share of random directions below it.

    Returns:
        The quantile of ``|cos|``.

    Raises:
        ValueError: If there are fewer than two dimensions.

    Example:
        >>> from bayescmp.layers.alignment import random_cosine
        >>> round(random_cosine(2), 4)  # the angle is uniform: cos(0.05 pi / 2)
        0.9969
    """
    if dimension < 2:
        raise ValueError(f"dimension: expected at least 2, got {dimension}")
    return float(np.sqrt(scipy.stats.beta(0.5, (dimension - 1) / 2.0).ppf(level)))
