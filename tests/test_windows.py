"""Networks of windows: convolutions, MLPs over prefixes, single positions and n-gram tables."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_mixers
import pytest
from mixer_checks import FLOAT32, FLOAT64, check_mixer
from network_cases import CASES, small_network, small_vectors
from small_networks import INPUT_SIZE, MAX_LENGTH, answer, small_tokens

from bayescmp.networks import (
    ConvConfig,
    NGramConfig,
    PositionwiseConfig,
    PrefixMLPConfig,
    TaskShape,
)
from bayescmp.networks.parts.windows import lagged

CONVOLUTIONS = {
    "full convolution": oracles_mixers.full_convolution,
    "depthwise convolution": oracles_mixers.depthwise_convolution,
}


@pytest.mark.parametrize("fill", [0, 9])
def test_lags_stand_side_by_side(fill: int):
    rows = jnp.arange(1, 7).reshape(1, 3, 2)
    expected = [
        [[1, 2], [fill, fill]],
        [[3, 4], [1, 2]],
        [[5, 6], [3, 4]],
    ]
    np.testing.assert_array_equal(lagged(rows, 2, fill=fill), [expected])


# --------------------------------------------------------------- convolutions


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_equals_loops(name: str):
    check_mixer(CASES[name][0], CONVOLUTIONS[name])


def test_windows_wider_than_the_sequence_see_zeros_before_it():
    config = ConvConfig(model_size=2, window=9)
    check_mixer(config, oracles_mixers.full_convolution)


@pytest.mark.parametrize("name", ["depthwise convolution", "window net", "position-wise mlp"])
def test_receptive_field_ends_where_it_is_said_to(name: str):
    network = small_network(name)
    field = {"depthwise convolution": 3, "window net": 3, "position-wise mlp": 1}[name]
    if name == "depthwise convolution":
        assert network.config.receptive_field == field
    tokens = np.asarray(small_tokens(MAX_LENGTH))
    reference = np.asarray(answer(network, jnp.asarray(tokens)))[-1]
    for back in range(MAX_LENGTH):
        changed = tokens.copy()
        changed[-1 - back] = (changed[-1 - back] + 1) % INPUT_SIZE
        change = np.abs(np.asarray(answer(network, jnp.asarray(changed)))[-1] - reference).max()
        # Nothing that a position does not see may change a single bit of its answer.
        assert (change > 1e-4) if back < field else (change == 0.0)


# ----------------------------------------------------------------- prefix MLP


@eqx.filter_jit
def embed(network, inputs: jax.Array) -> jax.Array:
    return network.embed(inputs)


@pytest.mark.parametrize("name", ["prefix mlp", "window net"])
@pytest.mark.parametrize("length", [MAX_LENGTH, MAX_LENGTH + 3])
def test_prefix_is_padded_flattened_and_mapped(name: str, length: int):
    vectors = small_vectors(length)
    for dtype, tolerance in ((np.float32, FLOAT32), (np.float64, FLOAT64)):
        with jax.enable_x64(dtype == np.float64):
            network = small_network(name, dtype=dtype)
            streams = np.asarray(embed(network, jnp.asarray(vectors, dtype)))
        embedded = vectors.astype(np.float64) @ oracles_mixers.double(network.embedding)
        expected = oracles_mixers.full(network.entry, embedded)
        np.testing.assert_allclose(streams, expected, **tolerance)


def test_prefix_reaches_to_the_first_input():
    network = small_network("prefix mlp")
    assert network.entry.weight.shape == (MAX_LENGTH, 8, 8)
    tokens = np.asarray(small_tokens(MAX_LENGTH))
    other = tokens.copy()
    other[0] = (other[0] + 1) % INPUT_SIZE
    change = answer(network, jnp.asarray(other)) - answer(network, jnp.asarray(tokens))
    assert (np.abs(change).max(axis=-1) > 1e-4).all()


def test_a_window_beyond_the_sequence_is_refused():
    config = PrefixMLPConfig(model_size=2, mlp_size=2, window=8)
    message = "window: expected at most the 7 input positions of the model, got 8"
    with pytest.raises(ValueError, match=f"^{message}"):
        config.build(TaskShape(6, 4, 7), key=jax.random.key(0))


@pytest.mark.parametrize("make", [PrefixMLPConfig, PositionwiseConfig])
def test_an_mlp_without_hidden_units_is_refused(make):
    with pytest.raises(ValueError, match=r"^mlp_size: expected at least 1, got 0$"):
        make(mlp_size=0)


@pytest.mark.parametrize("make", [PrefixMLPConfig, ConvConfig])
def test_an_empty_window_is_refused(make):
    with pytest.raises(ValueError, match=r"^window: expected at least 1, got 0$"):
        make(window=0)


# --------------------------------------------------------------------- n-gram


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ngram_equals_a_dictionary(order: int):
    network = NGramConfig(order=order).build(TaskShape(3, 2, 7), key=jax.random.key(0))
    table = np.random.default_rng(order).normal(size=network.table.shape).astype(np.float32)
    network = eqx.tree_at(lambda network: network.table, network, jnp.asarray(table))
    tokens = np.random.default_rng(0).integers(0, 3, (2, 2, 9)).astype(np.int32)
    logits = np.asarray(answer(network, jnp.asarray(tokens)))
    for place in np.ndindex(2, 2):
        expected = oracles_mixers.ngram(network, tokens[place])
        np.testing.assert_array_equal(logits[place], expected)


def test_ngram_begins_with_the_uniform_answer():
    network = NGramConfig(order=2).build(TaskShape(3, 2, 7), key=jax.random.key(0))
    assert not np.any(answer(network, small_tokens(5) % 3))


def test_ngram_reads_tokens_only():
    network = small_network("n-gram")
    with pytest.raises(
        TypeError, match=r"^inputs: expected tokens, got float32 of shape \(7, 6\)$"
    ):
        network(jnp.zeros((MAX_LENGTH, INPUT_SIZE)))


def test_a_table_beyond_memory_is_refused():
    # (9 + 1)^6 runs with 11 outcomes each.
    message = (
        "order: expected a table of at most 10,000,000 entries, "
        "got 11,000,000 for order = 6 and 9 tokens"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        NGramConfig(order=6).build(TaskShape(9, 11, 7), key=jax.random.key(0))


def test_an_ngram_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^order: expected at least 1, got 0$"):
        NGramConfig(order=0)
