"""Ablations: equal to a loop, named where something is planted, silent where nothing is."""

import math
from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import planted
import pytest

import bayescmp as bc
from bayescmp.inspection.ablation import Ablations, ablate, draw_maps
from bayescmp.inspection.ablation_runs import WAYS
from bayescmp.inspection.effect import select
from bayescmp.inspection.intervention_cases import Cases, choose_cases
from bayescmp.inspection.interventions import intervene
from bayescmp.inspection.recording import Recording, record
from bayescmp.layers.interventions import read_activations
from bayescmp.networks import LSTMConfig, TaskShape, Transformer
from bayescmp.networks.interventions import Replacement

ORACLE = bc.derive_oracle(planted.MODEL)
DEPTH, HEADS = planted.NUM_LAYERS, planted.NUM_HEADS


def recording(network) -> Recording:
    return record(network, ORACLE, key=jax.random.key(0))


def cases_of(network, seed: int = 0) -> Cases:
    return choose_cases(recording(network), 128, key=jax.random.key(seed))


@cache
def found(kind: str, seed: int) -> Ablations:
    networks = {"random": planted.random_network, "deaf": planted.deaf_network}
    return ablate(cases_of(networks[kind](seed)), 16, key=jax.random.key(seed))


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 2)])
def test_the_planted_head_is_named_and_no_other(layer: int, head: int):
    network = planted.planted_network(layer, head)
    ablations = ablate(cases_of(network), 16, key=jax.random.key(3))
    assert select(ablations.candidates()) == select(ablations.candidates(WAYS.index("mean")))
    for way in ("mean", "resample"):
        (effect,) = select(ablations.candidates(WAYS.index(way)))
        assert effect.where == f"block {layer + 1} head {head}"
        assert effect.value > 5 * effect.control
        parts = ablations.parts[WAYS.index(way), :, layer]
        assert (parts > 2 * ablations.part_controls[WAYS.index(way), :, layer].max(axis=-1)).all()
    # No other head writes anything that is read: their damage is rounding, of 32 bits.
    others = np.delete(ablations.heads.reshape(3, -1), layer * HEADS + head, axis=1)
    np.testing.assert_allclose(others, 0.0, atol=1e-6)


def without_constants(network: Transformer, layer: int, head: int) -> Transformer:
    """Return the same function with nothing gathered that is the same for every sequence.

    Tokens carry ``-1/2`` and ``1/2`` in place of 0 and 1, and the start nothing, so that the
    planted head writes ``p - 1/2``; the units that read it add the half. Other heads, which
    nothing reads, gather nothing.
    """
    size = planted.CONFIG.head_size
    own = slice(head * size, (head + 1) * size)
    tokens, mlp = network.embedding.at[:, planted.EVIDENCE].set(0.0), network.blocks.mlp
    tokens = tokens.at[-2:, planted.EVIDENCE].set(np.eye(2) - 0.5)
    up_bias = mlp.up_bias + 0.5 * mlp.up[:, planted.ANSWER].sum(axis=1)
    old = network.blocks.mixer.value
    value = jnp.zeros_like(old).at[layer, :, own].set(old[layer, :, own])
    return eqx.tree_at(
        lambda n: (n.embedding, n.blocks.mlp.up_bias, n.blocks.mixer.value),
        network,
        (tokens, up_bias, value),
    )


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 2)])
def test_with_zeros_the_planted_head_stands_out_where_constants_do_not(layer: int, head: int):
    network, zero = planted.planted_network(layer, head), WAYS.index("zero")
    centred = without_constants(network, layer, head)
    # The same function; 32 bits of logits of size one.
    np.testing.assert_allclose(recording(centred).log_q, recording(network).log_q, atol=1e-5)
    ablations = ablate(cases_of(centred), 16, key=jax.random.key(3))
    (effect,) = select(ablations.candidates(zero))
    assert effect.where == f"block {layer + 1} head {head}"
    assert effect.value > 5 * effect.control
    # With constants, random directions set to zero cost the more for them, and the head does not.
    mixed = ablate(cases_of(network), 16, key=jax.random.key(3))
    np.testing.assert_allclose(mixed.heads[zero], ablations.heads[zero], atol=1e-5)
    assert mixed.head_controls[zero, layer].mean() > 2 * effect.control


def test_nothing_is_named_where_attention_writes_nothing():
    for seed in range(3):
        ablations = found("deaf", seed)
        for way in range(len(WAYS)):
            assert select(ablations.candidates(way)) == ()
        np.testing.assert_allclose(ablations.heads, 0.0, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_heads_of_random_networks_are_like_random_directions(way: str):
    effects = [found("random", seed).candidates(WAYS.index(way)) for seed in range(12)]
    p_values = [effect.p_value for each in effects for effect in each]
    # 72 p-values, uniform up to the shape of their law: their mean has a standard error of
    # 1 / sqrt(12 * 72) = 0.034, and more than 12 of 72 below 0.05 have a chance of 1e-4.
    assert abs(np.mean(p_values) - 0.5) < 5 * 0.034
    assert np.sum(np.array(p_values) < 0.05) <= 12


@eqx.filter_jit
def answers(network, inputs, changes):
    logits = network(inputs, changes)[:, planted.MODEL.asked_positions]
    return jax.nn.log_softmax(logits, axis=-1)


def mean_kl(cases: Cases, log_q: jax.Array) -> float:
    """KL in NumPy, sequence by sequence and question by question."""
    total = 0.0
    for row, weight in enumerate(cases.weights):
        for question in range(len(cases.asked)):
            log_p = cases.log_p[row, question]
            total += weight * np.sum(np.exp(log_p) * (log_p - log_q[row, question]))
    return total / len(cases.asked)


def test_ablations_equal_a_loop_over_runs():
    network = planted.random_network(7)
    cases = cases_of(network)
    ablations = ablate(cases, 16, key=jax.random.key(0))
    gathered = read_activations(network, cases.inputs).heads
    mean = jnp.tensordot(jnp.asarray(cases.weights, jnp.float32), gathered, (0, 1))[:, None]
    mean = jnp.broadcast_to(mean, gathered.shape)
    stand_ins = {"zero": 0.0 * gathered, "mean": mean, "resample": gathered[:, cases.others]}
    untouched = replace(network.no_interventions, replacement=Replacement(gathered))
    plain = mean_kl(cases, answers(network, cases.inputs, untouched))
    for way, heads in stand_ins.items():
        for layer, head in ((0, 0), (1, 2)):
            changes = network.no_interventions.without_head(layer, head)
            changes = replace(changes, replacement=Replacement(heads))
            damage = mean_kl(cases, answers(network, cases.inputs, changes)) - plain
            # Differences of divergences of size one, in 32 bits.
            index = WAYS.index(way), layer, head
            np.testing.assert_allclose(ablations.heads[index], damage, atol=2e-6)
    without = replace(network.no_interventions.without_layer(1), replacement=Replacement(gathered))
    without = answers(network, cases.inputs, without)
    block = mean_kl(cases, without) - plain
    np.testing.assert_allclose(ablations.parts[0, 2, 1], block, atol=2e-6)


LAYER, DRAWS = 1, 3


def stand_ins(cases: Cases, own: np.ndarray) -> np.ndarray:
    """Zeros, the mean over sequences, and another sequence, of one layer's activations."""
    mean = np.broadcast_to(np.average(own, axis=0, weights=cases.weights), own.shape)
    return np.stack([0.0 * own, mean, own[cases.others]])


def damage_with(cases: Cases, names: tuple[str, ...], new: dict[str, np.ndarray]) -> float:
    """Put activations into one layer, and return what that costs."""
    scale = {"heads": "head_scale", "mixer_out": "mixer_scale", "mlp_out": "mlp_scale"}
    network, clean = cases.network, read_activations(cases.network, cases.inputs)
    plain = replace(network.no_interventions, replacement=replace(clean, streams=None))
    changes = plain
    for name in names:
        whole = getattr(clean, name).at[LAYER].set(new[name])
        kept = getattr(plain, scale[name]).at[LAYER].set(0.0)
        other = replace(changes.replacement, **{name: whole})
        changes = replace(changes, **{scale[name]: kept}, replacement=other)
    runs = [mean_kl(cases, answers(network, cases.inputs, each)) for each in (changes, plain)]
    return runs[0] - runs[1]


@pytest.mark.parametrize("way", WAYS)
def test_as_many_random_directions_get_what_a_head_gets(way: str):
    cases, key, index = cases_of(planted.random_network(7)), jax.random.key(0), WAYS.index(way)
    ablations = ablate(cases, DRAWS, key=key)
    own = np.asarray(read_activations(cases.network, cases.inputs).heads[LAYER], np.float64)
    rows, size = np.moveaxis(own, 1, 2), planted.CONFIG.head_size
    own, instead = rows.reshape(-1, HEADS * size), stand_ins(cases, rows)[index]
    instead = instead.reshape(own.shape)
    head_maps = np.asarray(draw_maps(cases, DRAWS, key=key)[0], np.float64)[HEADS:]
    for draw, span in enumerate(head_maps):
        change = (instead - own) @ span
        # Numbers of size one, multiplied in 32 bits: beyond the rank nothing above 1e-6 is left.
        assert np.linalg.matrix_rank(change, tol=1e-4) == size
        basis = np.linalg.svd(change)[2][:size].T
        new = own + change
        np.testing.assert_allclose(new @ basis, instead @ basis, atol=1e-5)
        kept = np.eye(len(basis)) - basis @ basis.T
        np.testing.assert_allclose(new @ kept, own @ kept, atol=1e-5)
        heads = np.moveaxis(new.reshape(rows.shape), 2, 1)
        damage = damage_with(cases, ("heads",), {"heads": heads})
        np.testing.assert_allclose(ablations.head_controls[index, LAYER, draw], damage, atol=2e-6)


@pytest.mark.parametrize("way", WAYS)
def test_the_control_of_a_part_is_a_change_of_the_same_size(way: str):
    cases, key, index = cases_of(planted.random_network(7)), jax.random.key(0), WAYS.index(way)
    ablations, clean = ablate(cases, DRAWS, key=key), read_activations(cases.network, cases.inputs)
    turns = np.asarray(draw_maps(cases, DRAWS, key=key)[1], np.float64)[1:]
    for draw, turn in enumerate(turns):
        new = {}
        for name in ("mixer_out", "mlp_out"):
            own = np.asarray(getattr(clean, name)[LAYER], np.float64)
            whole = stand_ins(cases, own)[index] - own
            # Rotations in 32 bits keep lengths to a few times 1e-7.
            sizes = [np.linalg.norm(change, axis=-1) for change in (whole, whole @ turn)]
            np.testing.assert_allclose(*sizes, rtol=1e-5, atol=1e-12)
            new[name] = own + whole @ turn
        for part, names in enumerate((("mixer_out",), ("mlp_out",), ("mixer_out", "mlp_out"))):
            damage = damage_with(cases, names, new)
            seen = ablations.part_controls[index, part, LAYER, draw]
            np.testing.assert_allclose(seen, damage, atol=2e-6)


def test_sequences_come_with_their_exact_weights():
    cases = cases_of(planted.random_network(0))
    # With a uniform bias, k heads in n tosses have the probability 1 / (n + 1), shared evenly.
    n = planted.LENGTH
    wanted = [1 / ((n + 1) * math.comb(n, bin(row).count("1"))) for row in range(2**n)]
    np.testing.assert_allclose(np.sort(cases.weights), np.sort(wanted), rtol=1e-9)


def test_a_network_without_heads_has_mixers_taken_away():
    config = LSTMConfig(num_layers=1, model_size=6, mlp_size=0)
    network = config.build(TaskShape.of(planted.MODEL), key=jax.random.key(1))
    ablations = ablate(cases_of(network), 3, key=jax.random.key(0))
    assert ablations.heads is None
    for way in range(len(WAYS)):
        assert [effect.where for effect in ablations.candidates(way)] == ["mixer 1"]
    assert np.isfinite(ablations.parts[:, 0]).all()
    assert np.isnan(ablations.parts[:, 1]).all()  # it has no feed-forward part


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_controls": 2}, r"^num_controls: expected at least 3, got 2$"),
        ({"num_sequences": 3}, r"^num_sequences: expected at least 4, got 3$"),
    ],
)
def test_too_few_sequences_or_controls_are_refused(settings: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        intervene(recording(planted.random_network(0)), key=jax.random.key(0), **settings)
