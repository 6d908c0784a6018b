"""The hypernetwork against plain NumPy, and what a mean over a set can and cannot know."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_mixers
import pytest
from mixer_checks import FLOAT32, FLOAT64, all_finite
from network_cases import CASES, small_network, small_vectors
from small_networks import MAX_LENGTH, answer, random_like, small_tokens

from bayescmp.networks import HypernetworkConfig, TaskShape

CONFIG, SHAPE = CASES["hypernetwork"]


def of_window(window: int):
    """Build the case with another window."""
    config = replace(CONFIG, window=window)
    shapes = eqx.filter_eval_shape(config.build, SHAPE, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["tokens", "vectors"])
def test_logits_equal_plain_numpy(kind: str):
    inputs = small_tokens(2, 3, MAX_LENGTH) if kind == "tokens" else small_vectors(2, 3, MAX_LENGTH)
    for dtype, tolerance in ((np.float32, FLOAT32), (np.float64, FLOAT64)):
        with jax.enable_x64(dtype == np.float64):
            network = small_network("hypernetwork", dtype=dtype)
            shown = jnp.asarray(inputs, np.int32 if kind == "tokens" else dtype)
            logits = np.asarray(answer(network, shown))
        assert logits.dtype == dtype
        for place in np.ndindex(2, 3):
            expected = oracles_mixers.hypernetwork(network, np.asarray(inputs)[place])
            np.testing.assert_allclose(logits[place], expected, **tolerance)


def test_the_order_of_single_inputs_is_not_seen():
    network = of_window(1)
    tokens = np.array([0, 1, 2, 3, 4, 5, 1], np.int32)
    other = np.array([4, 2, 5, 0, 3, 1, 1], np.int32)
    one, two = (np.asarray(answer(network, jnp.asarray(x)))[-1] for x in (tokens, other))
    np.testing.assert_allclose(one, two, **FLOAT32)


def test_pairs_are_seen():
    network = of_window(2)
    tokens = np.array([0, 1, 2, 3, 4, 5, 1], np.int32)
    swapped = np.array([0, 3, 2, 1, 4, 5, 1], np.int32)  # values 1 and 3 of keys 0 and 2
    one, two = (np.asarray(answer(network, jnp.asarray(x)))[-1] for x in (tokens, swapped))
    assert np.abs(one - two).max() > 1e-3


def test_the_number_of_inputs_is_seen():
    logits = np.asarray(answer(of_window(1), jnp.zeros(MAX_LENGTH, jnp.int32)))
    # The mean of equal features is the same everywhere but at the first position.
    assert np.abs(np.diff(logits[1:], axis=0)).max(axis=1).min() > 1e-4


def test_fresh_weights_write_a_main_network_of_ordinary_size():
    network = HypernetworkConfig(main_size=64).build(TaskShape(20, 8, 200), key=jax.random.key(0))
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 20, 200), jnp.int32)
    first, first_bias, second, second_bias = (
        np.asarray(part)
        for part in eqx.filter_jit(lambda n, x: n.write(n.encode(x)))(network, tokens)
    )
    # One for the first matrix, 1 / sqrt(64) for the second, twice in variance at most: from the
    # base and from the code, whose entries are of size one or less.
    assert 1.0 - 0.1 < first.std() < np.sqrt(2.0) + 0.1
    assert 1.0 - 0.1 < 8.0 * second.std() < np.sqrt(2.0) + 0.1
    assert not first_bias.any()
    assert not second_bias.any()
    # Written anew from every prefix, not once for all.
    assert first.std(axis=0).min() > 0.0


def test_gradients_are_finite_and_reach_everything():
    network = small_network("hypernetwork")

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(network, tokens):
        return jnp.mean(jnp.square(network(tokens)))

    found = gradient(network, small_tokens(3, MAX_LENGTH))
    assert all_finite(found)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(found))


def test_a_writer_beyond_memory_is_refused():
    # 1,000 x 200 + 200 + 200 x 4 + 4 = 201,004 weights, written from 64 numbers.
    message = (
        "main_size: expected a writing matrix of at most 10,000,000 entries, got 12,864,256 for "
        "201,004 weights and code_size = 64"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        HypernetworkConfig(main_size=200).build(TaskShape(1000, 4, 7), key=jax.random.key(0))


@pytest.mark.parametrize(
    "name", ["feature_size", "hidden_size", "code_size", "main_size", "window"]
)
def test_sizes_of_nothing_are_refused(name: str):
    with pytest.raises(ValueError, match=f"^{name}: expected at least 1, got 0$"):
        HypernetworkConfig(**{name: 0})
