"""The logit lens and attention entropy, inside a network."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from small_networks import (
    CONFIGS,
    MAX_LENGTH,
    NUM_OUTCOMES,
    answer,
    small_tokens,
    small_transformer,
    trace_fields,
)

import bayescmp as bc
from bayescmp.layers import attention_entropy, logit_lens
from bayescmp.networks import Transformer, TransformerConfig

ASKED = jnp.array([0, 2, 6])


def traced(network: Transformer, tokens: jax.Array) -> bc.LayerTrace:
    return bc.LayerTrace(**trace_fields(network, tokens))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_lens_reads_every_stream_out_as_if_it_were_the_last(config: TransformerConfig):
    network = small_transformer(config)
    tokens = small_tokens(MAX_LENGTH)
    lens = np.asarray(logit_lens(network, traced(network, tokens), ASKED))
    assert lens.shape == (config.num_layers + 1, 3, NUM_OUTCOMES)
    fields = oracles_network.trace(network, np.asarray(tokens))
    streams = [fields["resid_pre"][0], *fields["resid_post"]]
    for layer, stream in enumerate(streams):
        expected = log_softmax(oracles_network.read_out(network, stream[np.asarray(ASKED)]))
        np.testing.assert_allclose(lens[layer], expected, rtol=1e-5, atol=1e-5)


def test_the_lens_at_the_last_layer_is_the_networks_own_answer():
    network = small_transformer(CONFIGS["learned positions"])
    tokens = small_tokens(MAX_LENGTH)
    own = jax.nn.log_softmax(answer(network, tokens)[ASKED])
    lens = logit_lens(network, traced(network, tokens), ASKED)
    np.testing.assert_allclose(lens[-1], own, rtol=1e-5, atol=1e-6)
    assert np.abs(lens[0] - own).max() > 0.1


def test_the_lens_of_a_batch_is_that_of_each_sequence():
    network = small_transformer(CONFIGS["learned positions"])
    tokens = small_tokens(2, 3, MAX_LENGTH)
    batched = logit_lens(network, traced(network, tokens), ASKED)
    assert batched.shape == (3, 2, 3, 3, NUM_OUTCOMES)
    for index in np.ndindex(2, 3):
        single = logit_lens(network, traced(network, tokens[index]), ASKED)
        np.testing.assert_allclose(batched[:, *index], single, rtol=1e-5, atol=1e-5)


def test_attention_entropy_at_known_patterns():
    pattern = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25] * 4])
    expected = [0.0, np.log(2.0), np.log(4.0)]
    np.testing.assert_allclose(attention_entropy(pattern), expected, rtol=1e-6)


def test_attention_entropy_lies_between_zero_and_the_size_of_the_past():
    network = small_transformer(CONFIGS["rotary positions"])
    pattern = traced(network, small_tokens(2, 3, MAX_LENGTH)).attn_pattern
    entropy = np.asarray(attention_entropy(pattern))
    assert entropy.shape == (2, 2, 3, 3, MAX_LENGTH)
    np.testing.assert_array_equal(entropy[..., 0], 0.0)  # only itself to attend to
    assert (entropy[..., 1:] > 0).all()
    assert (entropy <= np.log(np.arange(1, MAX_LENGTH + 1)) + 1e-6).all()


def test_attention_entropy_hides_no_nan_and_has_a_finite_gradient():
    assert jnp.isnan(attention_entropy(jnp.array([[0.5, jnp.nan]]))).all()
    gradient = jax.grad(lambda p: attention_entropy(p).sum())(jnp.array([[0.5, 0.5, 0.0]]))
    assert jnp.isfinite(gradient).all()
