"""The optimisers that laws are stated about, and small trees of parameters for them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bayescmp.training.optimisers import SGD, Adam, AdamW, Lion, Muon, ScheduleFree

OPTIMISERS = {
    "SGD": SGD(),
    "SGD, Nesterov": SGD(nesterov=True),
    "SGD, no momentum": SGD(momentum=0.0),
    "Adam": Adam(),
    "AdamW": AdamW(),
    "Lion": Lion(),
    "Muon": Muon(),
    "ScheduleFree": ScheduleFree(),
}

SHAPES = {
    "blocks": {"query": (2, 3, 3), "value": (2, 3, 3), "norm": (2, 3)},
    "embedding": (4, 3),
}
"""A stack of two layers, and a matrix outside it."""


def random_tree(seed: int, size: float = 1.0, dtype=np.float32):
    """Draw a tree of arrays."""
    rng = np.random.default_rng(seed)

    def draw(shape):
        return np.asarray(size * rng.normal(size=shape), dtype)

    return jax.tree.map(draw, SHAPES, is_leaf=lambda leaf: isinstance(leaf, tuple))


def take_steps(optimiser, params, grads: Sequence):
    """Apply given gradients, and return the parameters and the state after the last."""
    transformation = optimiser.build(len(grads))

    def run(params, grads):
        def step(carry, grad):
            params, state = carry
            updates, state = transformation.update(grad, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, transformation.init(params)), grads)[0]

    # So few numbers are computed that optimising the code takes most of the time.
    jitted = jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})
    return jitted(params, stack(grads))


def stack(trees: Sequence):
    """Put trees of the same shapes behind a common leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def assert_same_bits(found, expected):
    """Compare two trees exactly."""
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), found, expected)


def assert_close(found, expected, rtol: float = 1e-5, atol: float = 1e-6):
    """Compare two trees up to rounding in 32 bits."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected
    )
