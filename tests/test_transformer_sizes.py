"""Sizes of a transformer: its read-out, what a model needs, and what is refused."""

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
    NUM_OUTCOMES,
    answer,
    small_config,
    small_transformer,
)

from bayescmp.models import Bijection
from bayescmp.networks import (
    TaskShape,
    Transformer,
    TransformerConfig,
    check_answers,
    count_parameters,
    logits_at,
)

FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # as in test_transformer


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
