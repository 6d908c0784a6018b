"""Positions of a transformer: order, distance, and how far they reach."""

import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from small_networks import (
    CONFIGS,
    MAX_LENGTH,
    answer,
    small_config,
    small_tokens,
    small_transformer,
    trace_fields,
)

from bayescmp.networks.parts.positions import rotate

FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # as in test_transformer


def test_without_positions_the_order_of_the_past_does_not_matter():
    # True of one block; the second sees what each position made of its own past.
    tokens, shuffled = jnp.array([1, 4, 0, 2, 5]), jnp.array([2, 1, 4, 0, 5])
    change = {}
    for positions in ("none", "rotary", "learned"):
        config = small_config(1, 2, 8, 12, positions=positions)
        network = small_transformer(config)
        last, same = answer(network, tokens)[-1], answer(network, shuffled)[-1]
        change[positions] = float(np.abs(last - same).max())
    assert change["none"] < 1e-5
    assert change["rotary"] > 1e-3
    assert change["learned"] > 1e-3


def test_rotary_products_depend_on_the_distance_only():
    rng = np.random.default_rng(0)
    query, key = (jnp.asarray(np.tile(rng.normal(size=8), (1, 9, 1))) for _ in range(2))
    products = np.asarray(rotate(query)[0] @ rotate(key)[0].T)
    for distance in range(-8, 9):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert np.ptp(products[0]) > 0.1
    lengths = np.linalg.norm(rotate(query), axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(query[0, 0]), rtol=1e-6)


@pytest.mark.parametrize("name", ["rotary positions", "no positions, tied"])
def test_other_positions_reach_further_than_the_trained_length(name: str):
    network = small_transformer(CONFIGS[name])
    tokens = small_tokens(2 * MAX_LENGTH)
    expected = oracles_network.trace(network, np.asarray(tokens))["logits"]
    np.testing.assert_allclose(answer(network, tokens), expected, **FLOAT32)


def test_learned_positions_end_with_a_clear_error():
    network = small_transformer(CONFIGS["learned positions"])
    with pytest.raises(ValueError, match=r"^inputs: expected at most 7 positions.* got 8; use"):
        network(small_tokens(8))
    with pytest.raises(ValueError, match="positions='rotary'"):
        trace_fields(network, small_tokens(2, 8))
