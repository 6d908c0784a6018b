"""Interventions do what they say, and the identity does nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import oracles_interventions
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
from bayescmp.networks.interventions import Replacement

EVERY_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # as in test_transformer


def random_interventions(network: Transformer, *shape: int, seed: int = 0) -> Interventions:
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-1.0, 2.0, (*shape, *leaf.shape)), jnp.float32),
        network.no_interventions,
    )


def expected_logits(network: Transformer, tokens: jax.Array, changes: Interventions) -> np.ndarray:
    names = ("head_scale", "mixer_scale", "mlp_scale")
    scales = {name: np.asarray(getattr(changes, name)) for name in names}
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


# ------------------------------------------------------------- replacements and streams


def random_arrays(network: Transformer, rank: int = 2) -> dict[str, np.ndarray]:
    """Draw every field of interventions and of what they put in place."""
    rng, config = np.random.default_rng(4), network.config
    depth, length, width = config.num_layers, MAX_LENGTH, config.model_size
    places, rows = 2 * depth + 1, (length, width)
    bases = [np.linalg.qr(rng.normal(size=(width, rank)))[0] for _ in range(places)]
    return {
        "head_scale": rng.uniform(-1, 2, (depth, config.num_heads)),
        "mixer_scale": rng.uniform(-1, 2, depth),
        "mlp_scale": rng.uniform(-1, 2, depth),
        "stream_scale": rng.uniform(-1, 2, (places, length)),
        "basis": np.stack(bases),
        "shift": 0.3 * rng.normal(size=(places, *rows)),
        "heads": rng.normal(size=(depth, config.num_heads, length, config.head_size)),
        "mixer_out": rng.normal(size=(depth, *rows)),
        "mlp_out": rng.normal(size=(depth, *rows)),
        "streams": rng.normal(size=(places, *rows)),
    }


def as_interventions(arrays: dict[str, np.ndarray]) -> Interventions:
    """Turn arrays by name into interventions."""
    given = {name: jnp.asarray(value, jnp.float32) for name, value in arrays.items()}
    inside = ("heads", "mixer_out", "mlp_out", "streams")
    replacement = Replacement(**{name: given.pop(name) for name in inside if name in given})
    return Interventions(**given, replacement=replacement)


@EVERY_CONFIG
def test_replacements_and_streams_do_what_they_do_in_numpy(config: TransformerConfig):
    network, tokens = small_transformer(config), small_tokens(MAX_LENGTH)
    arrays = random_arrays(network)
    expected = oracles_interventions.logits(network, np.asarray(tokens), arrays)
    found = answer(network, tokens, as_interventions(arrays))
    # As FLOAT32, through streams that replacements make some ten times as large.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_basis_of_the_whole_stream_is_no_basis():
    network, tokens = small_transformer(CONFIGS["rotary positions"]), small_tokens(MAX_LENGTH)
    arrays = random_arrays(network)
    arrays["basis"] = np.tile(np.eye(network.config.model_size), (len(arrays["basis"]), 1, 1))
    whole = answer(network, tokens, as_interventions(arrays))
    del arrays["basis"]
    none = answer(network, tokens, as_interventions(arrays))
    np.testing.assert_allclose(whole, none, rtol=1e-4, atol=1e-4)


def test_batches_carry_replacements_of_their_own():
    network, tokens = small_transformer(CONFIGS["learned positions"]), small_tokens(2, MAX_LENGTH)
    trace = network.trace_layers(tokens[::-1])
    plain = network.no_interventions
    changes = Interventions(
        plain.head_scale,
        0.0 * plain.mixer_scale,
        plain.mlp_scale,
        replacement=Replacement(mixer_out=trace.mixer_out),
    )
    together = answer(network, tokens, changes)
    for row in range(2):
        own = eqx.tree_at(lambda i: i.replacement.mixer_out, changes, trace.mixer_out[:, row])
        np.testing.assert_allclose(together[row], answer(network, tokens[row], own), **FLOAT32)


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the tests' type checker off, so that a user's error message is seen."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        (
            "streams",
            (5, 6, 8),
            r"replacement\.streams of shape \(5, \.\.\., 7, 8\), got \(5, 6, 8\)",
        ),
        ("heads", (2, 3, 7, 4), r"replacement\.heads of shape \(2, \.\.\., 2, 7, any\)"),
        ("mlp_out", (2, 7, 9), r"replacement\.mlp_out of shape \(2, \.\.\., 7, 8\)"),
        ("shift", (4, 7, 8), r"shift of shape \(5, \.\.\., 7, 8\), got \(4, 7, 8\)"),
        ("basis", (5, 9, 2), r"basis of shape \(5, \.\.\., 8, any\)"),
    ],
)
def test_a_donor_of_another_shape_is_refused(
    name: str, shape: tuple[int, ...], wanted: str, untyped
):
    network = small_transformer(CONFIGS["learned positions"])  # 2 blocks, 2 heads, width 8
    arrays = random_arrays(network) | {name: np.zeros(shape)}
    with pytest.raises(ValueError, match=f"^interventions: expected {wanted}"):
        network(small_tokens(MAX_LENGTH), as_interventions(arrays))


def test_a_basis_that_acts_nowhere_is_refused():
    network = small_transformer(CONFIGS["learned positions"])
    arrays = random_arrays(network)
    del arrays["stream_scale"]
    with pytest.raises(ValueError, match=r"^basis: expected stream_scale too"):
        network(small_tokens(MAX_LENGTH), as_interventions(arrays))
