"""Transformers from elsewhere, against a forward pass in plain NumPy, and back to their names."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer
import pytest
from mess3_network import CONTEXT, WEIGHTS
from small_networks import SHAPE, answer, small_config, small_tokens, small_transformer

import bayescmp as bc
from bayescmp.inspection.initial import draw_initial
from bayescmp.models import Bijection, HiddenMarkov, Mess3, linear_regression
from bayescmp.networks.exporting import export_transformer
from bayescmp.networks.importing import import_transformer
from bayescmp.networks.network import count_parameters

CACHED = (
    "resid_pre",
    "mixer_out",
    "resid_mid",
    "mlp_out",
    "resid_post",
    "attn_pattern",
    "queries",
    "keys",
    "values",
)

NAMED = {"norm": "layer", "bias": True, "positions": "learned", "activation": "relu"}
SMALL = {
    "plain": small_config(2, 2, 8, 12, **NAMED),
    "narrow heads": small_config(1, 2, 8, 12, features_per_head=3, **NAMED),
    "wide heads in groups": small_config(
        2, 4, 6, 5, features_per_head=5, num_source_heads=2, **NAMED
    ),
    "attention only": small_config(2, 2, 8, 0, **NAMED),
}


def mess3_arrays() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@cache
def mess3_network(length: int = CONTEXT) -> bc.Transformer:
    return import_transformer(WEIGHTS, Mess3(length=length))


def scale_of(values: np.ndarray) -> float:
    return max(1.0, float(np.abs(values).max()))


# ----------------------------------------------------- a network that others trained


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_everything_inside_agrees_with_plain_numpy(wide: bool):
    """In 32 bits within 1e-5 of the largest entry, which is some 80 roundings of it."""
    tokens = np.random.default_rng(0).integers(0, 3, (4, CONTEXT))
    with jax.enable_x64(wide):
        network = import_transformer(WEIGHTS, Mess3(length=CONTEXT + 1))
        inputs = jnp.asarray(np.pad(tokens + 1, ((0, 0), (1, 0))))
        trace = jax.jit(lambda inputs: network.trace_layers(inputs))(inputs)
        lens = jax.nn.log_softmax(network.read_out(bc.layers.all_streams(trace)), axis=-1)
        found = {name: np.asarray(getattr(trace, name)) for name in (*CACHED, "logits")}
        found["lens"] = np.asarray(lens)
    tolerance = 1e-11 if wide else 1e-5
    for row, sequence in enumerate(tokens):
        expected = plain_transformer.run(mess3_arrays(), sequence)
        for name in (*CACHED, "lens", "logits"):
            own = found[name][row] if name == "logits" else found[name][:, row]
            # The start token stands first, and nothing after it sees it.
            own = own[..., 1:, 1:] if name == "attn_pattern" else own[..., 1:, :]
            error = np.abs(own - expected[name]).max()
            assert error < tolerance * scale_of(expected[name]), name
    np.testing.assert_array_equal(found["attn_pattern"][..., 1:, 0], 0.0)
    np.testing.assert_array_equal(found["attn_pattern"][..., 0, 0], 1.0)


def test_it_answers_evenly_where_it_was_never_asked():
    network = mess3_network()
    logits = np.asarray(answer(network, jnp.zeros(1, int)))
    # Sixteen roundings of logits of size one to ten, with a factor to spare.
    assert np.ptp(logits) < 1e-4
    assert network.config.hide_start
    assert network.config.head_size == 8
    assert network.shape.max_length == CONTEXT + 1


def test_its_start_says_nothing_to_later_positions():
    network = mess3_network()
    tokens = jnp.array([0, 1, 3, 2])
    other = tokens.at[0].set(3)
    np.testing.assert_array_equal(answer(network, tokens)[1:], answer(network, other)[1:])
    assert np.ptp(answer(network, other)[0]) > 0.1


def test_instruments_find_all_they_need():
    oracle = bc.derive_oracle(Mess3(length=4))
    network = mess3_network()
    seen = bc.inspection.record(network, oracle, key=jax.random.key(0))
    assert seen.is_exhaustive
    assert seen.streams.shape == (9, 81, 4, 64)
    exact = np.exp(seen.evaluation.log_p)
    assert np.abs(np.exp(seen.log_q) - exact).max() < 0.1
    (fresh,) = draw_initial(network, 1, key=jax.random.key(1))
    assert count_parameters(fresh) == count_parameters(network)
    tokens = jnp.array([0, 1, 2, 3])
    none = network.no_interventions
    # Another program; sums of 64 terms in another order, in logits of about 1.
    again = answer(network, tokens, none)
    np.testing.assert_allclose(again, answer(network, tokens), rtol=0, atol=64 * 1.2e-7)
    ablated = answer(network, tokens, none.without_head(layer=0, head=0))
    assert np.abs(ablated - answer(network, tokens))[1:].max() > 0.1


def test_it_has_ten_tokens_of_context():
    assert mess3_network(11).shape.max_length == 11
    with pytest.raises(ValueError, match=r"^model: expected sequences of at most 10 .* got 11"):
        import_transformer(WEIGHTS, Mess3(length=12))


def test_without_a_model_it_reads_its_own_tokens():
    network = import_transformer(WEIGHTS)
    tokens = np.array([2, 0, 0, 1])
    expected = plain_transformer.run(mess3_arrays(), tokens)["logits"]
    np.testing.assert_allclose(answer(network, jnp.asarray(tokens)), expected, atol=1e-4)
    assert not network.config.hide_start


# -------------------------------------------------------------------- the round trip


def test_what_was_imported_comes_out_again():
    arrays = mess3_arrays()
    again = export_transformer(mess3_network())
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_what_was_exported_is_the_same_network(config: bc.TransformerConfig, tmp_path: Path):
    network = small_transformer(config)
    arrays = export_transformer(network)
    np.savez(tmp_path / "weights.npz", **arrays)
    again = import_transformer(tmp_path / "weights.npz")
    assert replace(again.config, num_source_heads=config.num_source_heads) == config
    tokens = small_tokens(5)
    np.testing.assert_array_equal(answer(again, tokens), answer(network, tokens))
    expected = plain_transformer.run(arrays, np.asarray(tokens))["logits"]
    np.testing.assert_allclose(answer(again, tokens), expected, rtol=1e-4, atol=1e-5)


def test_names_of_shared_keys_and_stored_constants_are_known():
    arrays = export_transformer(small_transformer(SMALL["wide heads in groups"]))
    others = {name.replace("attn.W_K", "attn._W_K"): values for name, values in arrays.items()}
    others["blocks.0.attn.mask"] = np.ones((7, 7), bool)
    others["blocks.1.attn.IGNORE"] = np.array(-np.inf)
    found = export_transformer(import_transformer(others))
    assert found.keys() == arrays.keys()


def test_outputs_over_the_whole_vocabulary_are_cut_to_the_outcomes():
    """Tokens 1 to 3 of a network that knows a start token are the outcomes of Mess3."""
    shape = replace(SHAPE, max_length=8)
    config = small_config(1, 2, 8, 12, **NAMED)
    arrays = export_transformer(small_transformer(config, max_length=shape.max_length))
    rng = np.random.default_rng(0)
    arrays["embed.W_E"] = rng.normal(size=(4, 8))
    arrays["unembed.W_U"], arrays["unembed.b_U"] = rng.normal(size=(8, 4)), rng.normal(size=4)
    network = import_transformer(arrays, Mess3(length=8))
    assert not network.config.hide_start
    tokens = np.array([0, 2, 1])
    expected = plain_transformer.run(arrays, tokens)["logits"][:, 1:]
    np.testing.assert_allclose(answer(network, jnp.asarray(tokens)), expected, rtol=1e-4, atol=1e-5)


def test_names_cannot_hold_every_kind_of_network():
    config = replace(SMALL["plain"], norm="rms", tied=True)
    with pytest.raises(ValueError, match="expected one with norm='layer', tied=False, got norm="):
        export_transformer(small_transformer(config))
    groups = replace(SMALL["plain"], activation="softmax", activation_group=3)
    with pytest.raises(ValueError, match="activation='one of single units', got activation="):
        export_transformer(small_transformer(groups))


# ------------------------------------------------------------------------- bad input


def test_every_wrong_array_is_listed():
    arrays = mess3_arrays()
    del arrays["blocks.0.attn.b_Q"], arrays["ln_final.w"]
    arrays["blocks.3.attn.W_Q"] = arrays["blocks.3.attn.W_Q"][0]
    arrays["blocks.1.mlp.W_in"] = arrays["blocks.1.mlp.W_in"].T
    arrays["blocks.2.attn.rotary"] = np.zeros(3)
    arrays["embed.W_E"] = arrays["embed.W_E"][:, :60]
    with pytest.raises(ValueError, match="4 blocks") as caught:
        import_transformer(arrays, Mess3())
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "no blocks.0.attn.b_Q",
        "no ln_final.w",
        "blocks.3.attn.W_Q of shape (64, 8) in place of (1, 64, 8)",
        "blocks.1.mlp.W_in of shape (256, 64) in place of (64, 256)",
        "blocks.2.attn.rotary, which is not known",
        "embed.W_E of shape (3, 60) in place of (3, 64)",
    ):
        assert part in message
    assert message.count(";") == 5


def test_nothing_at_all_is_many_missing_arrays():
    with pytest.raises(ValueError, match=r"no embed\.W_E; .*no blocks\.0\.attn\.b_O"):
        import_transformer({})


def test_every_array_that_is_not_finite_is_named():
    arrays = mess3_arrays()
    arrays["blocks.2.ln1.b"] = np.full_like(arrays["blocks.2.ln1.b"], np.nan)
    arrays["unembed.b_U"] = arrays["unembed.b_U"] + np.inf
    found = r"NaN or infinity in unembed\.b_U; NaN or infinity in blocks\.2\.ln1\.b$"
    with pytest.raises(ValueError, match=found):
        import_transformer(arrays)
    arrays["unembed.b_U"] = np.array(["a", "b", "c"])
    with pytest.raises(ValueError, match=r"unembed\.b_U of type <U1"):
        import_transformer(arrays)


@pytest.mark.parametrize("content", ["text", "empty", "one array", "pickle"])
def test_other_files_are_refused(content: str, tmp_path: Path):
    path = tmp_path / "weights.npz"
    if content == "pickle":
        np.savez(path, values=np.array([{}], dtype=object))
    elif content == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_text("not numbers" if content == "text" else "")
    with pytest.raises(ValueError, match=r"weights: expected an \.npz file of plain numbers, got"):
        import_transformer(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear_regression(num_features=1, length=3), "expected one whose inputs are tokens"),
        (Bijection(size=4), "expected one that shows 3 tokens, .* got 8 of"),
        (HiddenMarkov(num_states=2, num_symbols=3, length=4), "expected .* got"),
    ],
    ids=["vectors", "other tokens", "other outcomes"],
)
def test_models_that_it_cannot_answer(model: bc.AbstractGenerativeModel, message: str):
    with pytest.raises(ValueError, match=f"^model: {message}"):
        import_transformer(WEIGHTS, model)


def test_a_network_that_cannot_answer_evenly():
    arrays = mess3_arrays()
    arrays["unembed.W_U"] = np.zeros_like(arrays["unembed.W_U"])
    arrays["unembed.b_U"] = np.array([1.0, 0.0, 0.0], np.float32)
    with pytest.raises(ValueError, match="weights: expected a network that can answer evenly"):
        import_transformer(arrays, Mess3())


def test_sizes_of_heads_and_hidden_starts_in_a_configuration():
    with pytest.raises(ValueError, match="features_per_head: expected at least 1, got 0"):
        bc.TransformerConfig(features_per_head=0)
    assert bc.TransformerConfig(model_size=10, num_heads=4, features_per_head=3).head_size == 3
