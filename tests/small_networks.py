"""Small transformers for tests, with every weight random: no scale is one, no bias zero.

Weights come from NumPy, and calls are compiled once for each shape: both save much time.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks import TaskShape, Transformer, TransformerConfig

INPUT_SIZE, NUM_OUTCOMES, MAX_LENGTH = 6, 4, 7
SHAPE = TaskShape(INPUT_SIZE, NUM_OUTCOMES, MAX_LENGTH, outcome_token=INPUT_SIZE - NUM_OUTCOMES)


def small_config(
    num_layers: int, num_heads: int, model_size: int, mlp_size: int, **options
) -> TransformerConfig:
    """Return the shape of a small transformer."""
    return TransformerConfig(
        num_layers=num_layers,
        num_heads=num_heads,
        model_size=model_size,
        mlp_size=mlp_size,
        **options,
    )


CONFIGS = {
    "learned positions": small_config(2, 2, 8, 12, positions="learned", activation="gelu"),
    "rotary positions": small_config(2, 3, 12, 9, positions="rotary", activation="silu"),
    "no positions, tied": small_config(3, 1, 6, 5, positions="none", activation="relu", tied=True),
}
"""Three kinds of positions, of activations and both read-outs; test_networks has the others."""


def random_like(tree, rng: np.random.Generator, dtype=np.float32):
    """Fill the array leaves of a tree of shapes with random numbers of moderate size."""

    def fill(leaf):
        fan_in = leaf.shape[-2] if len(leaf.shape) > 1 else 1
        return jnp.asarray(rng.normal(size=leaf.shape) / np.sqrt(fan_in), dtype)

    return jax.tree.map(fill, tree)


def small_transformer(
    config: TransformerConfig, seed: int = 0, dtype=np.float32, max_length: int = MAX_LENGTH
) -> Transformer:
    """Build a transformer of six tokens and four outcomes, which are the last four tokens."""
    shape = replace(SHAPE, max_length=max_length)
    shapes = eqx.filter_eval_shape(Transformer, config, shape, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(seed), dtype)


def transformer_for(
    model: AbstractGenerativeModel, config: TransformerConfig, seed: int = 0
) -> Transformer:
    """Build a transformer that fits a model."""
    shapes = eqx.filter_eval_shape(Transformer.for_model, model, config, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(seed))


class Table(eqx.Module):
    """The smallest network: each token has its own logits."""

    table: Float[Array, "token outcome"]

    @staticmethod
    def zeros(model: AbstractGenerativeModel) -> "Table":
        """Begin with the uniform answer."""
        return Table(jnp.zeros((model.layout.input_size, model.num_outcomes)))

    def __call__(self, tokens: Int[Array, " token"]) -> Float[Array, "token outcome"]:
        """Look the logits up."""
        return self.table[tokens]


def small_tokens(*shape: int, seed: int = 1) -> jax.Array:
    """Draw tokens."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, INPUT_SIZE, shape), jnp.int32)


@eqx.filter_jit
def answer(network: Transformer, inputs: jax.Array, *changes) -> jax.Array:
    """Call a network."""
    return network(inputs, *changes)


@eqx.filter_jit
def trace_fields(network: Transformer, inputs: jax.Array, *changes) -> dict[str, jax.Array]:
    """Trace a network and return the fields by name."""
    trace = network.trace_layers(inputs, *changes)
    return {name: getattr(trace, name) for name in trace.__dataclass_fields__}
