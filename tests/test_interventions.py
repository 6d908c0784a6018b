"""Interventions do what they say, and the identity does nothing."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from small_networks import (
    CONFIGS,
    MAX_LENGTH,
    answer,
    small_tokens,
    small_transformer,
    trace_fields,
)

from bayescmp.networks import Interventions, Transformer, TransformerConfig

EVERY_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # as in test_transformer


def random_interventions(network: Transformer, *shape: int, seed: int = 0) -> Interventions:
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-1.0, 2.0, (*shape, *leaf.shape)), jnp.float32),
        network.no_interventions,
    )


def expected_logits(network: Transformer, tokens: jax.Array, changes: Interventions) -> np.ndarray:
    scales = {f.name: np.asarray(getattr(changes, f.name)) for f in dataclasses.fields(changes)}
    return oracles_network.trace(network, np.asarray(tokens), **scales)["logits"]


@EVERY_CONFIG
def test_the_identity_changes_no_bit(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    plain = trace_fields(network, tokens)
    changed = trace_fields(network, tokens, network.no_interventions)
    for name, value in plain.items():
        np.testing.assert_array_equal(value, changed[name], err_msg=name)
    identity = Interventions.identity(config.num_layers, config.num_heads)
    np.testing.assert_array_equal(answer(network, tokens), answer(network, tokens, identity))


@EVERY_CONFIG
def test_any_factors_do_what_they_do_in_numpy(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    changes = random_interventions(network)
    expected = expected_logits(network, tokens, changes)
    np.testing.assert_allclose(answer(network, tokens, changes), expected, **FLOAT32)
    assert np.abs(expected - answer(network, tokens)).max() > 1e-2


def test_without_head_removes_that_head_alone():
    network = small_transformer(CONFIGS["rotary positions"])  # 2 blocks of 3 heads of width 4
    tokens = small_tokens(MAX_LENGTH)
    for layer in range(2):
        for head in range(3):
            changes = network.no_interventions.without_head(layer, head)
            # The head's rows of the output projection are all that lets it write.
            rows = slice(4 * head, 4 * head + 4)
            out = network.blocks.mixer.out.at[layer, rows].set(0.0)
            cut = eqx.tree_at(lambda net: net.blocks.mixer.out, network, out)
            changed = answer(network, tokens, changes)
            np.testing.assert_allclose(changed, answer(cut, tokens), **FLOAT32)
            assert np.abs(changed - answer(network, tokens)).max() > 1e-2


@EVERY_CONFIG
def test_without_layer_skips_that_block(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    for layer in range(config.num_layers):
        changes = network.no_interventions.without_layer(layer)
        fields = trace_fields(network, tokens, changes)
        np.testing.assert_array_equal(fields["resid_pre"][layer], fields["resid_post"][layer])
        # A block whose two output matrices are zero adds nothing either.
        outputs = (network.blocks.mixer.out, network.blocks.mlp.down)
        zeroed = tuple(matrix.at[layer].set(0.0) for matrix in outputs)
        cut = eqx.tree_at(lambda net: (net.blocks.mixer.out, net.blocks.mlp.down), network, zeroed)
        np.testing.assert_allclose(fields["logits"], answer(cut, tokens), **FLOAT32)


def test_without_all_blocks_only_the_embedding_is_read_out():
    network = small_transformer(CONFIGS["learned positions"])
    tokens = np.asarray(small_tokens(MAX_LENGTH))
    changes = network.no_interventions.without_layer(0).without_layer(1)
    embedding = oracles_network.embed(network, tokens)
    expected = oracles_network.read_out(network, embedding)
    np.testing.assert_allclose(answer(network, jnp.asarray(tokens), changes), expected, **FLOAT32)


def test_a_thousand_interventions_are_one_vmap():
    network = small_transformer(CONFIGS["learned positions"])
    tokens = small_tokens(MAX_LENGTH)
    thousand = random_interventions(network, 1_000)
    count = 0

    def counted(changes: Interventions) -> jax.Array:
        nonlocal count
        count += 1
        return network(tokens, changes)

    logits = jax.jit(jax.vmap(counted))(thousand)
    assert logits.shape == (1_000, MAX_LENGTH, 4)
    assert count == 1
    for index in (0, 1, 499, 999):
        changes = jax.tree.map(lambda leaf, index=index: leaf[index], thousand)
        expected = expected_logits(network, tokens, changes)
        np.testing.assert_allclose(logits[index], expected, **FLOAT32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.without_head(2, 0), r"^layer: expected 0 to 1, got 2$"),
        (lambda i: i.without_head(0, -1), r"^head: expected 0 to 2, got -1$"),
        (lambda i: i.without_layer(-1), r"^layer: expected 0 to 1, got -1$"),
    ],
)
def test_parts_that_do_not_exist_are_refused(change, message: str):
    with pytest.raises(ValueError, match=message):
        change(Interventions.identity(num_layers=2, num_heads=3))


@pytest.mark.parametrize(("num_layers", "num_heads"), [(2, 1), (1, 2), (3, 2)])
def test_interventions_on_another_shape_are_refused(num_layers: int, num_heads: int):
    network = small_transformer(CONFIGS["learned positions"])  # 2 blocks of 2 heads
    with pytest.raises(ValueError, match=r"^interventions: expected head_scale, mixer_scale"):
        network(small_tokens(3), Interventions.identity(num_layers, num_heads))
