"""Distances of transformers apart from symmetries: each symmetry by itself, noise and chance."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import answer, small_config, small_tokens, small_transformer

from bayescmp.layers import random_distances, weight_distance
from bayescmp.layers.balanced_weights import balance_weights
from bayescmp.networks import Transformer

# Transformed weights carry 64-bit rounding of a few products with matrices whose condition is
# below a hundred: about 1e-13 of their size. A missed symmetry leaves a distance near one.
ROUNDING = 1e-9

KINDS = {
    "relu": {"activation": "relu", "norm": "none"},
    "sigmoid with biases": {"activation": "sigmoid", "norm": "none", "bias": True},
    "gelu after a norm": {"activation": "gelu", "norm": "rms"},
    "swiglu with biases": {"activation": "swiglu", "norm": "rms", "bias": True},
}


def make(kind: str, seed: int = 0) -> Transformer:
    """Build a small network in 64 bits; to be called where these are switched on."""
    return small_transformer(small_config(2, 2, 8, 6, **KINDS[kind]), seed, np.float64)


def change(network: Transformer, where: Callable, new: Callable) -> Transformer:
    """Replace arrays by a function of them."""
    old = where(network)
    return eqx.tree_at(where, network, jax.tree.map(lambda x: jnp.asarray(new(np.asarray(x))), old))


def swap_heads(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Exchange the two heads of each block, biases with them."""
    mixer = network.blocks.mixer

    def columns(x: np.ndarray) -> np.ndarray:
        return np.roll(x, x.shape[-1] // 2, axis=-1)

    network = change(network, lambda n: [n.blocks.mixer.query, n.blocks.mixer.key], columns)
    network = change(network, lambda n: n.blocks.mixer.value, columns)
    network = change(network, lambda n: n.blocks.mixer.out, lambda x: np.roll(x, 4, axis=1))
    if mixer.biases is None:
        return network
    return change(network, lambda n: list(n.blocks.mixer.biases[:3]), columns)


def mix_directions(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Mix the directions within each head: by A and A^-T, and by B and its inverse."""
    query, value = rng.normal(size=(2, 2, 2, 4, 4)) + 2.0 * np.eye(4)  # layer, head
    for name, matrix in (
        ("query", query),
        ("key", np.swapaxes(np.linalg.inv(query), -1, -2)),
        ("value", value),
    ):
        network = _mix(network, name, matrix)
    inverse = np.linalg.inv(value)

    def mix_out(x: np.ndarray) -> np.ndarray:
        heads = x.reshape(2, 2, 4, 8)
        return np.einsum("lhij,lhjf->lhif", inverse, heads).reshape(2, 8, 8)

    return change(network, lambda n: n.blocks.mixer.out, mix_out)


def _mix(network: Transformer, name: str, matrix: np.ndarray) -> Transformer:
    def weights(x: np.ndarray) -> np.ndarray:
        heads = x.reshape(2, -1, 2, 4)
        return np.einsum("lfhi,lhij->lfhj", heads, matrix).reshape(x.shape)

    network = change(network, lambda n: getattr(n.blocks.mixer, name), weights)
    if network.blocks.mixer.biases is None:
        return network
    index = ("query", "key", "value").index(name)
    return change(
        network,
        lambda n: n.blocks.mixer.biases[index],
        lambda b: np.einsum("lhi,lhij->lhj", b.reshape(2, 2, 4), matrix).reshape(2, 8),
    )


def shuffle_units(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Put hidden units into another order."""
    order = rng.permutation(6)

    def inward(n: Transformer) -> list:
        mlp = n.blocks.mlp
        return [mlp.up, mlp.up_bias] + ([] if mlp.gate is None else [mlp.gate])

    network = change(network, inward, lambda x: x[..., order])
    return change(network, lambda n: n.blocks.mlp.down, lambda x: x[:, order])


def scale_units(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Scale units where that changes nothing, and flip signs where that changes nothing."""
    mlp = network.blocks.mlp
    sizes = np.exp(rng.normal(size=6))
    signs = np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])
    factor = {"relu": sizes, "swiglu": sizes * signs, "sigmoid": signs, "gelu": np.ones(6)}
    c = factor[mlp.activation]
    if mlp.activation == "sigmoid":  # sigmoid(-z) = 1 - sigmoid(z)
        flipped = (np.asarray(mlp.down) * (c < 0)[:, None]).sum(axis=1)
        network = change(network, lambda n: n.blocks.mlp.down_bias, lambda x: x + flipped)
    network = change(network, lambda n: [n.blocks.mlp.up, n.blocks.mlp.up_bias], lambda x: x * c)
    return change(network, lambda n: n.blocks.mlp.down, lambda x: x / c[:, None])


def turn_stream(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Turn the residual stream, after the scales of norms are multiplied into what follows."""
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    if network.final_norm is not None:
        network = _fold(network)

    def readers(n: Transformer) -> list:
        mixer, mlp = n.blocks.mixer, n.blocks.mlp
        found = [mixer.query, mixer.key, mixer.value, mlp.up, n.unembedding]
        return found if mlp.gate is None else [*found, mlp.gate]

    def writers(n: Transformer) -> list:
        mixer, mlp = n.blocks.mixer, n.blocks.mlp
        found = [n.embedding, n.position_embedding, mixer.out, mlp.down]
        return found if mlp.down_bias is None else [*found, mixer.biases[3], mlp.down_bias]

    return change(change(network, readers, lambda x: turn.T @ x), writers, lambda x: x @ turn)


def _fold(network: Transformer) -> Transformer:
    """Multiply the scales of norms into what reads after them."""
    for norm, names in (
        ("mixer_norm", ("mixer.query", "mixer.key", "mixer.value")),
        ("mlp_norm", ("mlp.up", "mlp.gate")),
    ):
        scale = np.asarray(getattr(network.blocks, norm).scale)
        for part, field in (name.split(".") for name in names):
            if getattr(getattr(network.blocks, part), field) is not None:
                network = change(
                    network,
                    lambda n, part=part, field=field: getattr(getattr(n.blocks, part), field),
                    lambda x, scale=scale: x * scale[..., None],
                )
        network = change(network, lambda n, norm=norm: getattr(n.blocks, norm).scale, np.ones_like)
    final = np.asarray(network.final_norm.scale)
    network = change(network, lambda n: n.unembedding, lambda x: x * final[:, None])
    return change(network, lambda n: n.final_norm.scale, np.ones_like)


def move_biases(network: Transformer, rng: np.random.Generator) -> Transformer:
    """Change what a softmax does not see: biases of keys, and where those of values stand."""
    mixer = network.blocks.mixer
    if mixer.biases is None:
        return network
    network = change(network, lambda n: n.blocks.mixer.biases[1], lambda x: x + 1.0)
    moved = np.einsum("lh,lhf->lf", np.asarray(mixer.biases[2]), np.asarray(mixer.out))
    network = change(network, lambda n: n.blocks.mixer.biases[3], lambda x: x + moved)
    return change(network, lambda n: n.blocks.mixer.biases[2], np.zeros_like)


SYMMETRIES = {
    "heads": (swap_heads,),
    "directions of heads": (mix_directions,),
    "units": (shuffle_units,),
    "scales of units": (scale_units,),
    "turns": (turn_stream,),
    "biases": (move_biases,),
    "all": (
        turn_stream,
        move_biases,
        scale_units,
        shuffle_units,
        mix_directions,
        swap_heads,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_symmetry_is_no_distance(kind):
    tokens = small_tokens(7)
    with jax.enable_x64(True):
        network = make(kind)
        answers = np.asarray(answer(network, tokens))
        for name, transforms in SYMMETRIES.items():
            other, rng = network, np.random.default_rng(3)
            for transform in transforms:
                other = transform(other, rng)
            # That it is a symmetry at all: the same answers but for rounding.
            np.testing.assert_allclose(np.asarray(answer(other, tokens)), answers, atol=1e-9)
            assert weight_distance(other, network).total < ROUNDING, name
            assert weight_distance(network, other).total < ROUNDING, name


def test_what_is_no_symmetry_is_a_distance():
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        gelu, relu = make("gelu after a norm"), make("relu")
        doubled = change(gelu, lambda n: n.blocks.mlp.up, lambda x: 2.0 * x)
        doubled = change(doubled, lambda n: n.blocks.mlp.down, lambda x: 0.5 * x)
        assert weight_distance(doubled, gelu).total > 0.1  # a scale that only relu does not see
        negated = change(relu, lambda n: n.blocks.mlp.up, lambda x: -x)
        negated = change(negated, lambda n: n.blocks.mlp.down, lambda x: -x)
        assert weight_distance(negated, relu).total > 0.1  # a sign that relu sees
        alone = change(relu, lambda n: n.blocks.mixer.query, lambda x: np.roll(x, 4, axis=-1))
        found = weight_distance(alone, relu)
        assert found.relative[found.parts.index("scores 1")] > 0.3  # queries of other heads' keys
        turned = np.linalg.qr(rng.normal(size=(8, 8)))[0]
        once = change(relu, lambda n: n.unembedding, lambda x: turned @ x)
        assert weight_distance(once, relu).total > 0.1  # a turn of one place alone


@pytest.mark.parametrize("kind", ["relu", "swiglu with biases"])
def test_distance_grows_with_noise_and_stays_below_that_of_chance(kind):
    sizes = (0.01, 0.03, 0.1, 0.3)
    with jax.enable_x64(True):
        network, noise = make(kind), make(kind, seed=1)
        moved = [jax.tree.map(lambda a, b, s=s: a + s * b, network, noise) for s in sizes]
        found = np.array([weight_distance(one, network).total for one in moved])
        assert (np.diff(found) > 0.0).all()
        # Noise as large as the weights: some is along symmetries, and products and balanced
        # factors magnify some of it. Both are of order one.
        assert (found > 0.2 * np.array(sizes)).all()
        assert (found < 5.0 * np.array(sizes)).all()
        assert found[1] < 0.2 * weight_distance(noise, network).total


def test_chance_is_as_far_as_weights_of_zero():
    network = small_transformer(small_config(1, 1, 4, 3, norm="none"))
    silent = jax.tree.map(jnp.zeros_like, network)
    assert weight_distance(silent, network).total == pytest.approx(1.0)
    assert (np.abs(random_distances(network, 2, key=jax.random.key(0)) - 1.0) < 0.5).all()


def test_distances_go_together_as_distances_do():
    with jax.enable_x64(True):
        first, noise = make("relu"), [make("relu", seed=seed) for seed in (1, 2)]
        second, third = (jax.tree.map(lambda a, b: a + 0.02 * b, first, one) for one in noise)
        ways = [
            weight_distance(a, b).total
            for a, b in ((first, second), (second, third), (first, third), (second, first))
        ]
    # Lengths are in units of each reference, which differ by some hundredths.
    assert ways[2] <= 1.1 * (ways[0] + ways[1])
    assert ways[0] == pytest.approx(ways[3], rel=0.1)


def test_loops_are_written_out():
    with jax.enable_x64(True):
        config = small_config(1, 2, 8, 6, num_loops=2, norm="none", activation="relu")
        looped = small_transformer(config, 0, np.float64)
        stacked = make("relu")
        blocks = jax.tree.map(lambda x: jnp.concatenate([x, x]), looped.blocks)
        flat = eqx.tree_at(
            lambda n: list(jax.tree.leaves((n.blocks, n.embedding, n.position_embedding))),
            stacked,
            jax.tree.leaves((blocks, looped.embedding, looped.position_embedding)),
        )
        flat = eqx.tree_at(lambda n: n.unembedding, flat, looped.unembedding)
        assert weight_distance(flat, looped).total < ROUNDING
        # What repeats in both is matched once; against the stack, each block by itself.
        other = small_transformer(config, 1, np.float64)
        short, long = (weight_distance(other, one) for one in (looped, flat))
    np.testing.assert_allclose(short.relative, long.relative, rtol=ROUNDING)
    assert short.total > 0.5


def test_balanced_factors_keep_products():
    with jax.enable_x64(True):
        network = make("gelu after a norm")
        parts = balance_weights(network).parts
        mixer, scale = network.blocks.mixer, np.asarray(network.blocks.mixer_norm.scale)
        query, key = (np.asarray(x)[1, :, 4:] * scale[1][:, None] for x in (mixer.query, mixer.key))
        balanced = parts["scores 2"][1, :, :, :-1]
        np.testing.assert_allclose(balanced[:, 0].T @ balanced[:, 1], query @ key.T, atol=1e-12)
        lengths = np.linalg.norm(balanced, axis=-1)
        np.testing.assert_allclose(lengths[:, 0], lengths[:, 1], rtol=1e-10)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"positions": "rotary"}, "positions"),
        ({"num_source_heads": 1}, "num_source_heads"),
        ({"norm": "layer"}, "norm"),
        ({"norm_place": "post"}, "norm"),
        ({"num_experts": 2}, "num_experts"),
    ],
)
def test_other_kinds_are_refused(options, name):
    network = small_transformer(small_config(1, 2, 8, 6, **options))
    with pytest.raises(ValueError, match=f"got {name} ="):
        weight_distance(network, network)


def test_other_shapes_are_refused():
    small, large = (small_transformer(small_config(1, 2, 8, size)) for size in (6, 7))
    with pytest.raises(ValueError, match="got others in units 1"):
        weight_distance(small, large)
