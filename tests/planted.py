"""Networks whose inside is known: one head carries the posterior, or nothing carries anything.

The process is a coin with a uniform bias: after ``k`` heads in ``t`` tosses the next one is heads
with probability ``(k + 1) / (t + 2)``. The planted head attends with the weight ``1 / (t + 2)``
to the start and to each toss, and its values are ``(1, 1)`` for the start and one-hot for a toss,
so that it writes the exact predictive. The feed-forward part of its block takes the logarithm,
by linear interpolation. All other heads mix what does not depend on the tosses.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bayescmp.models import beta_bernoulli
from bayescmp.networks import TaskShape, Transformer, TransformerConfig

LENGTH, NUM_LAYERS, NUM_HEADS = 6, 2, 3
MODEL = beta_bernoulli(length=LENGTH)
CONFIG = TransformerConfig(
    num_layers=NUM_LAYERS,
    num_heads=NUM_HEADS,
    model_size=18,
    mlp_size=64,
    norm="none",
    positions="learned",
    kernel="linear",
    activation="relu",
)
EVIDENCE, SCALE, ONE, PLACE = slice(0, 2), 2, 3, slice(4, 8)
"""What the embedding writes: values of tokens, a factor on weights, a one, other positions."""
ANSWER, LOG_ANSWER, REST = slice(8, 10), slice(10, 12), slice(12, 18)
"""What the planted head, its feed-forward part and all other parts write."""


def planted_network(layer: int, head: int, seed: int = 0) -> Transformer:
    """Build a network in which one head carries the posterior.

    Args:
        layer: Block of the head, from zero.
        head: Head in the block, from zero.
        seed: Seed of what the other parts do.
    """
    rng = np.random.default_rng(seed)
    shapes = eqx.filter_eval_shape(Transformer, CONFIG, TaskShape.of(MODEL), key=jax.random.key(0))
    network = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    weights = _embed(network, rng) | _distract(network, rng)
    _plant(weights, layer, head)
    return _with_weights(network, weights)


def random_network(seed: int) -> Transformer:
    """Draw a network that nobody trained."""
    return CONFIG.build(TaskShape.of(MODEL), key=jax.random.key(seed))


def deaf_network(seed: int) -> Transformer:
    """Draw a network that ignores its context: no attention writes anything."""
    network = random_network(seed)
    silent = jnp.zeros_like(network.blocks.mixer.out)
    return eqx.tree_at(lambda n: n.blocks.mixer.out, network, silent)


def _with_weights(network: Transformer, weights: dict[str, np.ndarray]) -> Transformer:
    """Put weights into a network of zeros."""
    placed = eqx.tree_at(_leaves, network, tuple(weights.values()))
    return jax.tree.map(jnp.asarray, placed)


def _leaves(network: Transformer) -> tuple[Array, ...]:
    """The arrays that are set, in the order of the dictionaries below."""
    mixer, mlp = network.blocks.mixer, network.blocks.mlp
    outer = (network.embedding, network.position_embedding, network.unembedding)
    return (*outer, mixer.query, mixer.key, mixer.value, mixer.out, mlp.up, mlp.up_bias, mlp.down)


def _embed(network: Transformer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Let tokens carry their values, and positions what the planted head weighs with."""
    tokens, places = (np.array(a) for a in (network.embedding, network.position_embedding))
    tokens[0, EVIDENCE] = 1.0  # the start token: one imagined toss of each side
    tokens[-2:, EVIDENCE] = np.eye(2)
    count = np.arange(1, places.shape[0] + 1)
    places[:, SCALE] = count / (count + 1.0)  # the linear kernel divides by the count
    places[:, ONE] = 1.0
    places[:, PLACE] = rng.normal(size=places[:, PLACE].shape)
    unembedding = np.array(network.unembedding)
    unembedding[LOG_ANSWER] = np.eye(2)
    return {"tokens": tokens, "places": places, "unembedding": unembedding}


def _distract(network: Transformer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Let all heads and feed-forward parts compute something from positions alone."""
    mixer, mlp = network.blocks.mixer, network.blocks.mlp
    names = ("query", "key", "value", "out")
    weights = {name: np.array(getattr(mixer, name)) for name in names}
    weights |= {name: np.array(getattr(mlp, name)) for name in ("up", "up_bias", "down")}
    for name in ("query", "key", "value", "up"):
        weights[name][:, PLACE] = 0.5 * rng.normal(size=weights[name][:, PLACE].shape)
    for name in ("out", "down"):
        weights[name][..., REST] = 0.2 * rng.normal(size=weights[name][..., REST].shape)
    return weights


def _plant(weights: dict[str, np.ndarray], layer: int, head: int) -> None:
    """Give one head, and the feed-forward part after it, their task."""
    size = CONFIG.head_size
    own = slice(head * size, (head + 1) * size)
    for name in ("query", "key", "value"):
        weights[name][layer, :, own] = 0.0
    weights["out"][layer, own] = 0.0
    weights["query"][layer, SCALE, head * size] = np.sqrt(size)
    weights["key"][layer, ONE, head * size] = 1.0
    weights["value"][layer, EVIDENCE, head * size : head * size + 2] = np.eye(2)
    weights["out"][layer, head * size : head * size + 2, ANSWER] = np.eye(2)
    _take_logarithm(weights, layer)


def _take_logarithm(weights: dict[str, np.ndarray], layer: int) -> None:
    """Interpolate ``log p`` between points: slopes begin at each point, and a constant unit."""
    points = np.geomspace(1.0 / (LENGTH + 2.0), 1.0, CONFIG.mlp_size // 2)
    slopes = np.diff(np.log(points)) / np.diff(points)
    changes = np.diff(slopes, prepend=0.0)
    for name in ("up", "up_bias", "down"):
        weights[name][layer] = 0.0
    for outcome in range(2):
        first = outcome * (CONFIG.mlp_size // 2)
        units = slice(first, first + len(changes))
        weights["up"][layer, ANSWER.start + outcome, units] = 1.0
        weights["up_bias"][layer, units] = -points[:-1]
        weights["down"][layer, units, LOG_ANSWER.start + outcome] = changes
        weights["up_bias"][layer, units.stop] = 1.0
        weights["down"][layer, units.stop, LOG_ANSWER.start + outcome] = np.log(points[0])
