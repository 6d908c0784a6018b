"""How the mixers of the tests are made and asked."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from small_networks import random_like

from bayescmp.networks.config import AbstractResidualConfig
from bayescmp.networks.parts.mixer import AbstractMixer

# Some hundred products and sums of size one, each with a relative rounding of 6e-8.
FLOAT32 = {"rtol": 2e-5, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}
SCALE = 0.7
"""Factor on what the one head of a mixer writes."""


def random_mixer(config: AbstractResidualConfig, dtype=np.float32) -> AbstractMixer:
    """Build the mixer of one block with every weight random."""
    shapes = eqx.filter_eval_shape(config.make_mixer, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(0), dtype)


@eqx.filter_jit
def mix(mixer: AbstractMixer, x: jax.Array) -> jax.Array:
    """Ask a mixer."""
    return mixer(x, jnp.array([SCALE], x.dtype)).output


def check_mixer(config: AbstractResidualConfig, oracle) -> None:
    """Compare two times three sequences, at once, with the oracle's sequence by sequence."""
    x = np.random.default_rng(1).normal(size=(2, 3, 7, config.model_size))
    for dtype, tolerance in ((np.float32, FLOAT32), (np.float64, FLOAT64)):
        with jax.enable_x64(dtype == np.float64):
            mixer = random_mixer(config, dtype)
            outputs = np.asarray(mix(mixer, jnp.asarray(x, dtype)))
        assert outputs.dtype == dtype
        for place in np.ndindex(2, 3):
            expected = oracle(mixer, x[place].astype(dtype).astype(np.float64), SCALE)
            np.testing.assert_allclose(outputs[place], expected, **tolerance)


@eqx.filter_jit
def mix_and_differentiate(mixer: AbstractMixer, x: jax.Array):
    """Return outputs and the gradient of their squares by the weights."""

    def loss(mixer):
        output = mixer(x, jnp.ones(1)).output
        return jnp.mean(jnp.square(output)), output

    (_, output), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(mixer)
    return output, gradient


def all_finite(tree) -> bool:
    """Tell whether every array of a tree is finite."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)))
