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
from bayescmp.inspection.ablation import Ablations, ablate
from bayescmp.inspection.ablation_runs import WAYS
from bayescmp.inspection.effect import select
from bayescmp.inspection.intervention_cases import Cases, choose_cases
from bayescmp.inspection.interventions import intervene
from bayescmp.inspection.recording import Recording, record
from bayescmp.layers.interventions import read_activations
from bayescmp.networks import LSTMConfig, TaskShape
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
    (effect,) = select(ablations.candidates())
    assert effect.where == f"block {layer + 1} head {head}"
    assert effect.value > 5 * effect.control
    # No other head writes anything that is read: their damage is rounding, of 32 bits.
    others = np.delete(ablations.heads.reshape(3, -1), layer * HEADS + head, axis=1)
    np.testing.assert_allclose(others, 0.0, atol=1e-6)


def test_nothing_is_named_where_attention_writes_nothing():
    for seed in range(3):
        ablations = found("deaf", seed)
        assert select(ablations.candidates()) == ()
        np.testing.assert_allclose(ablations.heads, 0.0, atol=1e-6)


def test_heads_of_random_networks_are_like_random_directions():
    p_values = [
        effect.p_value for seed in range(12) for effect in found("random", seed).candidates()
    ]
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
    assert [effect.where for effect in ablations.candidates()] == ["mixer 1"]
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
