"""The transformer against plain NumPy, and the laws that every network must meet."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
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
    small_config,
    small_tokens,
    small_transformer,
    trace_fields,
)

import bayescmp as bc
from bayescmp.models import Bijection
from bayescmp.networks import (
    TaskShape,
    Transformer,
    TransformerConfig,
    check_answers,
    count_parameters,
    logits_at,
)
from bayescmp.networks.parts.feed_forward import GROUPED, FeedForward
from bayescmp.networks.parts.positions import rotate

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


# ------------------------------------------------------------------ positions


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


# ------------------------------------------------------------------- read-out


def test_a_tied_read_out_is_the_embedding_of_the_outcomes():
    network = small_transformer(CONFIGS["no positions, tied"])
    stream = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    rows = network.embedding[INPUT_SIZE - NUM_OUTCOMES :]
    assert network.unembedding is None
    expected = oracles_network.read_out(network, np.asarray(stream))
    np.testing.assert_allclose(network.read_out(stream), expected, **FLOAT32)
    np.testing.assert_allclose(network.read_out(stream), network.final_norm(stream) @ rows.T)
    # Token 5 is not shown, so only the read-out can pass its row a gradient.
    tokens = jnp.array([0, 1, 2, 3])
    grads = jax.jit(jax.grad(lambda net: jnp.sum(net(tokens) ** 2)))(network)
    assert np.abs(grads.embedding[5]).max() > 0


def test_a_network_for_a_model_has_the_sizes_that_the_model_needs(getkey):
    model = Bijection(size=3)  # reads key, value, key: 2 questions, 6 tokens
    config = small_config(1, 2, 4, 6, tied=True)
    network = Transformer.for_model(model, config, key=getkey())
    assert network.embedding.shape == (6, 4)
    assert network.position_embedding is not None
    assert network.position_embedding.shape == (3, 4)
    assert network.shape.outcome_token == 3
    embeddings, attention, mlp, norms = 6 * 4 + 3 * 4, 4 * 4 * 4, 2 * 4 * 6 + 6, 3 * 4
    assert count_parameters(network) == embeddings + attention + mlp + norms
    inputs = model.sample(5, key=getkey()).inputs
    asked = jax.jit(lambda inputs: logits_at(network, inputs, model.asked_positions))(inputs)
    np.testing.assert_allclose(asked, answer(network, inputs)[:, [0, 2]], **FLOAT32)


def test_any_callable_of_one_sequence_is_a_network(getkey):
    model = Bijection(size=3)
    table = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)

    def bigram(tokens: jax.Array) -> jax.Array:
        return table[tokens]

    check_answers(bigram, model)
    inputs = model.sample(4, key=getkey()).inputs
    answers = logits_at(bigram, inputs, model.asked_positions)
    np.testing.assert_array_equal(answers, table[inputs[:, ::2]])


# --------------------------------------------------------------------- errors


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the tests' type checker off, so that a user's error message is seen."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "num_layers: expected at least 1, got 0"),
        ({"num_heads": 0}, "num_heads: expected at least 1, got 0"),
        ({"model_size": -4}, "model_size: expected at least 1, got -4"),
        ({"mlp_size": -1}, "mlp_size: expected at least 0, got -1"),
        ({"model_size": 10}, "model_size: expected a multiple of num_heads = 4, got 10"),
        (
            {"positions": "sine"},
            "positions: expected 'learned', 'sinusoidal', 'rotary', 'alibi' or 'none', got 'sine'",
        ),
        (
            {"activation": "tanh"},
            "activation: expected 'gelu', 'relu', 'silu', 'sigmoid', 'softplus', 'swiglu', "
            "'softmax' or 'logsumexp', got 'tanh'",
        ),
        ({"kernel": "relu"}, "kernel: expected 'softmax', 'sigmoid' or 'linear', got 'relu'"),
        ({"window": 0}, "window: expected None or at least 1, got 0"),
        ({"causal": False, "window": 3}, "window: expected None with causal=False, got 3"),
        (
            {"causal": False, "hide_start": True},
            "hide_start: expected False with causal=False, got True",
        ),
        (
            {"activation": "softmax"},
            "activation_group: expected at least 2 with activation='softmax', got 1",
        ),
        (
            {"activation_group": 2},
            "activation_group: expected 1 with activation='gelu', got 2",
        ),
        (
            {"activation": "logsumexp", "activation_group": 3, "mlp_size": 256},
            "mlp_size: expected a multiple of activation_group = 3, got 256",
        ),
        (
            {"num_source_heads": 3},
            "num_source_heads: expected a divisor of num_heads = 4, got 3",
        ),
        (
            {"num_active_experts": 2},
            "num_active_experts: expected at most num_experts = 1, got 2",
        ),
        (
            {"num_experts": 2, "mlp_size": 0},
            "num_experts: expected 1 with mlp_size = 0, which leaves the feed-forward part out, "
            "got 2",
        ),
        (
            {"positions": "rotary", "model_size": 12},
            "model_size: expected an even head size for rotary positions, got 3",
        ),
    ],
)
def test_impossible_shapes_are_refused_in_one_line(settings: dict, message: str, untyped):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TransformerConfig(**settings)


def test_a_tied_read_out_needs_outcomes_among_the_tokens():
    with pytest.raises(ValueError, match=r"^tied: expected outcomes that are among the input"):
        TransformerConfig(tied=True).build(TaskShape(3, 2, 4), key=jax.random.key(0))


def test_who_looks_both_ways_needs_a_task_that_shows_all_first():
    config = TransformerConfig(num_layers=1, model_size=4, mlp_size=4, causal=False)
    with pytest.raises(ValueError, match=r"^causal: expected True with a task that shows inputs"):
        Transformer.for_model(Bijection(size=3), config, key=jax.random.key(0))
    shape = TaskShape(3, 2, 4, shows_all_first=True)
    network = eqx.filter_eval_shape(config.build, shape, key=jax.random.key(0))
    assert network.blocks.mixer.mask(3).all()


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


@pytest.mark.parametrize("shape", [(INPUT_SIZE,), (5, INPUT_SIZE + 1)])
def test_vectors_of_another_size_are_refused(shape: tuple[int, ...], untyped):
    network = small_transformer(CONFIGS["learned positions"])
    with pytest.raises(ValueError, match=r"^inputs: expected tokens, or vectors of size 6"):
        network(jnp.zeros(shape))


def test_a_network_for_other_outcomes_is_refused():
    network = small_transformer(CONFIGS["learned positions"])
    with pytest.raises(
        ValueError,
        match=re.escape("expected logits of shape (3, 3) (input_position, outcome) for bijection"),
    ):
        check_answers(network, Bijection(size=3))
