"""The transformer against plain NumPy, and the laws that every network must meet."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from small_networks import (
    CONFIGS,
    INPUT_SIZE,
    MAX_LENGTH,
    NUM_OUTCOMES,
    answer,
    random_like,
    small_tokens,
    small_transformer,
    trace_fields,
)

import bayescmp as bc
from bayescmp.networks import Transformer, TransformerConfig
from bayescmp.networks.parts.feed_forward import GROUPED, FeedForward

EVERY_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
# Sums of about a dozen terms of size one, through three blocks: some ten roundings of 6e-8.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


# ------------------------------------------------------------- against NumPy


@EVERY_CONFIG
def test_trace_equals_plain_numpy(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    expected = oracles_network.trace(network, np.asarray(tokens))
    for name, value in trace_fields(network, tokens).items():
        np.testing.assert_allclose(value, expected[name], **FLOAT32, err_msg=name)


def test_trace_of_vectors_equals_plain_numpy():
    network = small_transformer(CONFIGS["learned positions"])
    vectors = jax.nn.one_hot(small_tokens(MAX_LENGTH), INPUT_SIZE) - 0.3
    expected = oracles_network.trace(network, np.asarray(vectors))
    for name, value in trace_fields(network, vectors).items():
        np.testing.assert_allclose(value, expected[name], **FLOAT32, err_msg=name)


@EVERY_CONFIG
def test_trace_equals_plain_numpy_in_double_precision(config: TransformerConfig):
    with jax.enable_x64(True):
        network = small_transformer(config, dtype=np.float64)
        inputs = small_tokens(MAX_LENGTH)
        fields = trace_fields(network, inputs)
    expected = oracles_network.trace(network, np.asarray(inputs))
    for name, value in fields.items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected[name], **FLOAT64, err_msg=name)


@pytest.mark.parametrize("activation", ["softplus", "softmax", "logsumexp"])
def test_activations_of_units_and_of_groups_equal_numpy(activation: str):
    group = 3 if activation in GROUPED else 1
    config = TransformerConfig(
        model_size=4, mlp_size=6, activation=activation, activation_group=group
    )
    options = {"activation": activation, "bias": True, "out_scale": 1.0, "group": group}
    with jax.enable_x64(True):
        shapes = eqx.filter_eval_shape(FeedForward, 4, 6, key=jax.random.key(0), **options)
        part = random_like(shapes, np.random.default_rng(0), np.float64)
        rows = np.random.default_rng(1).normal(size=(5, 4))
        found = part(jnp.asarray(rows))
        far = part(jnp.asarray(1e3 * rows))  # where every exponential overflows
    assert part.down.shape[0] == (2 if activation == "logsumexp" else 6)
    expected = [oracles_network.feed_forward(config, part, row) for row in rows]
    np.testing.assert_allclose(found, expected, **FLOAT64)
    assert np.isfinite(far).all()


# ------------------------------------------------------------------ causality


@EVERY_CONFIG
def test_gradients_reach_the_past_and_never_the_future(config: TransformerConfig):
    network = small_transformer(config)
    vectors = jax.nn.one_hot(small_tokens(MAX_LENGTH), INPUT_SIZE)
    jacobian = jax.jit(jax.jacrev(lambda vectors: network(vectors)))(vectors)
    reach = np.abs(jacobian).max(axis=(1, 3))  # answer's position, input's position
    past = np.tril(np.ones((MAX_LENGTH, MAX_LENGTH), bool))
    assert (reach[past] > 1e-6).all()
    assert (reach[~past] == 0).all()


@EVERY_CONFIG
def test_later_tokens_change_no_bit_of_earlier_answers(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    changed = tokens.at[4:].set((tokens[4:] + 1) % INPUT_SIZE)
    before, after = answer(network, tokens), answer(network, changed)
    np.testing.assert_array_equal(before[:4], after[:4])
    assert (np.abs(before[4:] - after[4:]).max(axis=-1) > 1e-3).all()


# ------------------------------------------------------------------- batching


@EVERY_CONFIG
def test_batched_equals_looped_equals_vmapped(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(2, 3, MAX_LENGTH)
    batched = trace_fields(network, tokens)
    vmapped = jax.jit(jax.vmap(jax.vmap(lambda row: trace_fields(network, row))))(tokens)
    looped = {index: trace_fields(network, tokens[index]) for index in np.ndindex(2, 3)}
    for name, value in batched.items():
        sequences = (0, 1) if name == "logits" else (1, 2)
        rows = np.moveaxis(np.asarray(value), sequences, (0, 1))
        np.testing.assert_allclose(rows, vmapped[name], **FLOAT32, err_msg=name)
        for index, single in looped.items():
            np.testing.assert_allclose(rows[index], single[name], **FLOAT32, err_msg=name)


def test_one_compilation_serves_all_batches_of_a_shape():
    network = small_transformer(CONFIGS["learned positions"])
    count = 0

    @jax.jit
    def counted(network: Transformer, tokens: jax.Array) -> jax.Array:
        nonlocal count
        count += 1
        return network(tokens)

    answers = [counted(network, small_tokens(4, MAX_LENGTH, seed=seed)) for seed in range(5)]
    answers += [counted(small_transformer(network.config, seed=9), small_tokens(4, MAX_LENGTH))]
    assert count == 1
    assert not any(np.array_equal(answers[0], other) for other in answers[1:])


# ---------------------------------------------------------------------- trace


def test_trace_has_these_fields_and_shapes():
    network = small_transformer(CONFIGS["rotary positions"])  # 2 blocks, 3 heads, width 12
    trace = bc.LayerTrace(**trace_fields(network, small_tokens(5)))
    stream, heads = (2, 5, 12), (2, 3, 5, 4)
    assert {name: getattr(trace, name).shape for name in trace.__dataclass_fields__} == {
        "resid_pre": stream,
        "mixer_out": stream,
        "resid_mid": stream,
        "mlp_out": stream,
        "resid_post": stream,
        "attn_pattern": (2, 3, 5, 5),
        "queries": heads,
        "keys": heads,
        "values": heads,
        "logits": (5, NUM_OUTCOMES),
    }
    assert trace.residuals.shape == (3, 5, 12)


@EVERY_CONFIG
def test_trace_hangs_together_and_ends_in_the_plain_answer(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(2, 3, MAX_LENGTH)
    trace = bc.LayerTrace(**trace_fields(network, tokens))
    np.testing.assert_array_equal(trace.logits, answer(network, tokens))
    read_out = jax.jit(lambda stream: network.read_out(stream))
    np.testing.assert_allclose(trace.logits, read_out(trace.resid_post[-1]), **FLOAT32)
    np.testing.assert_array_equal(trace.resid_post[:-1], trace.resid_pre[1:])
    np.testing.assert_array_equal(trace.resid_pre + trace.mixer_out, trace.resid_mid)
    np.testing.assert_array_equal(trace.resid_mid + trace.mlp_out, trace.resid_post)
    np.testing.assert_allclose(trace.attn_pattern.sum(-1), 1.0, rtol=1e-6)
    assert (np.triu(trace.attn_pattern, 1) == 0).all()


def test_a_trace_that_nobody_reads_costs_nothing():
    network = small_transformer(CONFIGS["learned positions"])
    tokens = small_tokens(3, MAX_LENGTH)

    def bare(network: Transformer, tokens: jax.Array) -> jax.Array:
        """The same products without trace, interventions or scan."""
        stream = network.embed(tokens)
        for layer in range(network.config.num_layers):
            block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], network.blocks)
            normed = block.mixer_norm(stream).reshape(-1, stream.shape[-1])
            mixer = block.mixer
            joined = jnp.concatenate([mixer.query, mixer.key, mixer.value], axis=-1)
            heads = (normed @ joined).reshape(*stream.shape[:-1], 3 * mixer.num_heads, -1)
            queries, keys, values = jnp.split(jnp.moveaxis(heads, -2, -3), 3, axis=-3)
            mixed = jnp.moveaxis(mixer.attend(queries, keys) @ values, -3, -2)
            written = mixed.reshape(normed.shape) @ mixer.out
            stream = stream + written.reshape(stream.shape)
            stream = stream + block.mlp(block.mlp_norm(stream))
        return network.read_out(stream)

    def cost(function) -> tuple[float, float, int]:
        compiled = jax.jit(function).lower(network, tokens).compile()
        analysis = compiled.cost_analysis()
        return (
            analysis["flops"],
            analysis["bytes accessed"],
            compiled.memory_analysis().temp_size_in_bytes,
        )

    plain = cost(lambda network, tokens: network(tokens))
    wanted = cost(bare)
    whole = cost(lambda network, tokens: network.trace_layers(tokens))
    np.testing.assert_allclose(plain, wanted, rtol=1e-3)
    assert whole[1] > 1.1 * plain[1], "the whole trace should be seen to write more"
