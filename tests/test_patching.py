"""Swaps, removals and steering: laws that hold for every network, and one that is known."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import planted
import pytest
from network_cases import CONTRACT, build_small
from small_networks import MAX_LENGTH, small_tokens
from synthetic_tree import synthetic_tree

import bayescmp as bc
from bayescmp.inspection.evidence_edits import edit_evidence
from bayescmp.inspection.intervention_cases import choose_cases
from bayescmp.inspection.interventions import Intervened, intervene, interventions_group
from bayescmp.inspection.recording import Recording, record
from bayescmp.inspection.removal import find_place, remove_directions
from bayescmp.layers.directions import shared_directions
from bayescmp.layers.interventions import read_activations
from bayescmp.networks.interventions import Interventions, Replacement
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.plots.interventions import (
    plot_ablations,
    plot_steering,
    plot_swaps,
    read_ablations,
)
from bayescmp.report.interventions import build_interventions_section

LAW_CASES = (
    "lstm",
    "gru",
    "linear ssm",
    "selective ssm",
    "full convolution",
    "position-wise mlp",
    "prefix mlp",
    "rotary, layer norm after, biases, silu",
    "sigmoid kernel, alibi, groups, window, relu",
)
"""Every kind of mixer, norms before and after, shared keys and values, and none of it."""

ORACLE = bc.derive_oracle(planted.MODEL)
LAYER, HEAD = 1, 0


@cache
def planted_recording() -> Recording:
    return record(planted.planted_network(LAYER, HEAD), ORACLE, key=jax.random.key(0))


@cache
def planted_result() -> Intervened:
    return intervene(planted_recording(), key=jax.random.key(1), num_controls=16)


# ---------------------------------------------------------------------- laws


@eqx.filter_jit
def run_laws(network: AbstractResidualNetwork, tokens: jax.Array):
    """Answers to two sequences, and to the first one with the second one's activations."""
    plain, others = network.no_interventions, read_activations(network, tokens[1])
    own = read_activations(network, tokens[0])

    def swapped(place: jax.Array) -> jax.Array:
        scale = 1.0 - jax.nn.one_hot(place, others.streams.shape[0])
        scale = jnp.broadcast_to(scale[:, None], others.streams.shape[:2])
        changes = Interventions(
            plain.head_scale,
            plain.mixer_scale,
            plain.mlp_scale,
            stream_scale=scale,
            replacement=Replacement(streams=others.streams),
        )
        return network(tokens[0], changes)

    heads = plain.head_scale if own.heads is None else 0.0 * plain.head_scale
    same = Interventions(heads, 0.0 * plain.mixer_scale, 0.0 * plain.mlp_scale, replacement=own)
    places = jnp.arange(others.streams.shape[0])
    return network(tokens), jax.vmap(swapped)(places), network(tokens[0], same)


@pytest.mark.parametrize("name", LAW_CASES)
def test_a_swap_of_the_whole_stream_gives_the_donors_answer(name: str):
    network = build_small(*CONTRACT[name])
    answers, swapped, same = run_laws(network, small_tokens(2, MAX_LENGTH))
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    # As for one network batched and not, in test_networks.
    size = max(1.0, np.abs(answers).max())
    for place in swapped:  # at the embedding, too, and at all input positions
        np.testing.assert_allclose(place, answers[1], rtol=0, atol=2e-5 * size)
    np.testing.assert_allclose(same, answers[0], rtol=0, atol=2e-5 * size)


def test_at_the_last_place_the_donors_answer_comes_out():
    swaps = planted_result().swaps
    np.testing.assert_allclose(swaps.after[-1], swaps.donor, atol=1e-5)
    np.testing.assert_allclose(swaps.mean_after[-1], swaps.mean_donor, atol=1e-5)


def test_donors_read_the_same_and_imply_something_else():
    cases = choose_cases(planted_recording(), 128, key=jax.random.key(1))
    rows = np.arange(len(cases.weights))
    own, donor = (np.asarray(cases.inputs)[each] for each in (rows, cases.donors))
    at = cases.asked_inputs
    assert cases.matched.all()
    np.testing.assert_array_equal(own[rows, at], donor[rows, at])
    gap = np.abs(
        np.exp(cases.log_p[rows, cases.questions])
        - np.exp(cases.log_p[cases.donors, cases.questions])
    ).max(axis=-1)
    # Two sequences that end alike differ in their counts from the third toss on.
    assert (gap[cases.questions >= 2] > 1e-3).all()


# ------------------------------------------------------------------- planted truth


def test_swaps_work_from_the_planted_layer_on_and_not_before():
    result = planted_result()
    place = result.stream_names.index(f"mixer {LAYER + 1}")
    swaps = result.swaps
    np.testing.assert_allclose(swaps.mean_after[:place], swaps.mean_before, atol=1e-5)
    np.testing.assert_allclose(swaps.mean_after[place:], swaps.mean_donor, atol=1e-5)
    assert swaps.mean_before < -0.05 < 0.05 < swaps.mean_donor
    # One direction tells the odds of a coin: it does what the whole stream does there, and a
    # random direction of 18 does next to nothing.
    assert swaps.subspace[place] > 0.9 * swaps.mean_donor
    assert (swaps.controls[place] < 0.5 * swaps.mean_before).all()


def test_a_belief_is_steered_where_it_is_planted():
    result = planted_result()
    place = result.stream_names.index(f"mixer {LAYER + 1}")
    steerings = result.steerings
    # The predictive itself stands in the stream there; the rest is interpolation of its log.
    np.testing.assert_allclose(steerings.after[place], 0.0, atol=1e-4)
    assert (steerings.controls[place] > 0.5 * steerings.before).all()
    assert (steerings.before > 4e-3).all()


def test_removing_what_tells_the_predictive_costs_what_the_head_does():
    result = planted_result()
    place = result.stream_names.index(f"mixer {LAYER + 1}")
    damage, controls = result.removals.damage[1], result.removals.controls[1]
    head = result.ablations.heads[1, LAYER, HEAD]
    np.testing.assert_allclose(damage[place], head, rtol=0.1)
    assert (damage[place] > 5 * controls[place]).all()
    # The entropy of a coin is even in its log-odds: no direction tells it, and none is read.
    np.testing.assert_allclose(result.removals.damage[0], 0.0, atol=1e-3)


def test_removals_stand_out_where_the_predictive_is_carried_and_nowhere_after():
    result = planted_result()
    place = result.stream_names.index(f"mixer {LAYER + 1}")
    p_values = result.removals.p_values()
    assert p_values[1, place] < 0.01
    assert (p_values[0] > 0.1).all()  # nothing tells the entropy
    # Keys of the planted head are the same for every sequence, and nothing is read after block 2.
    np.testing.assert_allclose(result.removals.damage[2, :3], 0.0, atol=1e-5)
    assert (p_values[2, :3] > 0.1).all()
    assert np.isnan(result.removals.damage[2, 3:]).all()
    assert np.isnan(p_values[2, 3:]).all()


def test_swaps_stand_beside_those_of_strangers():
    result = planted_result()
    place = result.stream_names.index(f"mixer {LAYER + 1}")
    p_values = result.swaps.p_values()
    assert (p_values[:place] > 0.1).all()  # the stream says nothing of the evidence yet
    assert (p_values[place:] < 0.05).all()
    # A stranger's evidence often points the donor's way, so that its margin lies between.
    strangers = result.swaps.strangers[place:].mean(axis=-1)
    assert (strangers > result.swaps.mean_before).all()
    assert (strangers < result.swaps.mean_after[place:]).all()


def test_another_token_counts_where_it_stands_until_it_is_read():
    """The planted mixer reads every toss where it stands; from there on nobody does again."""
    result = planted_result()
    place, edited = result.stream_names.index(f"mixer {LAYER + 1}"), result.edited
    assert 0.5 < edited.share < 1.0  # two tosses have to be shown before the question
    np.testing.assert_allclose(edited.mean_after[:place], edited.mean_after[0], atol=1e-6)
    np.testing.assert_allclose(edited.mean_after[place:], edited.mean_before, atol=1e-6)
    # The network is exact but for interpolation, so that margins are those of exact answers.
    assert edited.mean_before < -0.05 < 0.05 < edited.mean_after[0]
    assert np.isnan(edited.before[:2]).all()


def test_a_changed_token_is_one_token_and_its_answer_exact():
    cases = choose_cases(planted_recording(), 64, key=jax.random.key(1))
    edits = edit_evidence(cases, np.random.default_rng(0))
    changed = np.asarray(edits.inputs) != np.asarray(cases.inputs)
    np.testing.assert_array_equal(changed, edits.at)
    np.testing.assert_array_equal(edits.at.sum(axis=1), edits.there)
    np.testing.assert_array_equal(edits.there, cases.questions >= 2)
    for row in np.flatnonzero(edits.there):
        position = cases.asked_inputs[row]
        assert np.flatnonzero(edits.at[row]) < position
        # Input t > 0 is toss t - 1; heads is the second outcome, and the last token.
        tosses = np.asarray(edits.inputs)[row, 1 : position + 1]
        heads = (tosses == tosses.max(initial=2)).sum() if tosses.max() == 2 else 0
        expected = (heads + 1) / (len(tosses) + 2)
        assert np.exp(edits.log_p[row, 1]) == pytest.approx(expected, rel=1e-6)


def test_a_bijection_is_changed_into_a_possible_one():
    oracle = bc.derive_oracle(bc.models.Bijection(size=4))
    config = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=4, mlp_size=4)
    network = bc.Transformer.for_model(oracle.model, config, key=jax.random.key(0))
    seen = record(network, oracle, key=jax.random.key(0), num_sequences=16)
    cases = choose_cases(seen, 8, key=jax.random.key(1))
    edits = edit_evidence(cases, np.random.default_rng(0))
    assert edits.there.any()
    for row in np.flatnonzero(edits.there):
        shown = np.asarray(edits.inputs)[row, 1 : cases.asked_inputs[row] : 2]
        assert len(set(shown.tolist())) == len(shown)
        left = 4 - len(shown)
        law = np.exp(edits.log_p[row])
        np.testing.assert_allclose(np.sort(law)[-left:], 1.0 / left, rtol=1e-6)


def test_directions_of_keys_are_those_that_keys_are_made_of():
    """Keys that are one feature of the stream differ along that feature, and along no other."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5))
    rows -= rows.mean(axis=0)
    white = np.linalg.qr(rows)[0]  # uncorrelated features
    found = shared_directions(white, white[:, 2:3] * 3.0, np.full(200, 1 / 200), 2)
    np.testing.assert_allclose(np.abs(found), np.eye(5)[:, [2, 2]] * [1.0, 0.0], atol=1e-12)
    nothing = shared_directions(white, np.zeros((200, 3)), np.full(200, 1 / 200), 2)
    np.testing.assert_array_equal(nothing, 0.0)


def test_given_directions_are_removed_beside_random_ones():
    basis = np.eye(18)[:, planted.ANSWER]
    found = remove_directions(
        planted_recording(), "mixer 2", basis, key=jax.random.key(0), num_controls=8
    )
    assert found.damage > 0.05
    # A random plane of 18 dimensions may come near, and draws of a damage are skewed.
    assert found.damage > found.controls.max()
    assert found.p_value < 0.05
    unread = remove_directions(
        planted_recording(), "block 2", basis, key=jax.random.key(0), num_controls=8
    )
    np.testing.assert_allclose(unread.damage, 0.0, atol=1e-6)
    assert unread.p_value > 0.1


# ------------------------------------------------------------------------ bad input


def test_a_place_that_does_not_exist_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"^place: expected 'mixer 1'.*, got 'mixr 1'$"):
        find_place("mixr 1", bc.layers.stream_names(2))


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        (np.ones((17, 1)), r"^basis: expected shape \(18, rank\)"),
        (np.ones((18, 1)), r"^basis: expected orthonormal columns"),
    ],
)
def test_a_basis_that_does_not_fit_is_refused(basis: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        remove_directions(planted_recording(), "block 1", basis, key=jax.random.key(0))


# ----------------------------------------------------------------- tree, page, figures


def test_results_of_several_networks_are_one_group_in_bits():
    result = planted_result()
    group = interventions_group([result, result])
    assert group.sizes["seed"] == 2
    np.testing.assert_allclose(
        group["head_damage"][0], result.ablations.heads / np.log(2.0), rtol=1e-12
    )
    np.testing.assert_allclose(
        group["head_control_highest"].transpose("seed", "way", "block")[1],
        result.ablations.head_controls.max(axis=-1) / np.log(2.0),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        group["part_control"].transpose("seed", "way", "part", "block")[1],
        result.ablations.part_controls.mean(axis=-1) / np.log(2.0),
        rtol=1e-12,
    )
    heads = [effect for effect in result.effects() if " head " in effect.where]
    np.testing.assert_allclose(group["head_p_value"].min(), heads[0].p_value)
    np.testing.assert_allclose(group["swap_p_value"][0], result.swaps.p_values())
    np.testing.assert_allclose(group["edit_mean"][1], result.edited.mean_after / np.log(2.0))
    assert group["steering_kl"].attrs["units"] == "bit"
    with pytest.raises(ValueError, match=r"^results: expected one for each network, got none$"):
        interventions_group([])


def test_the_section_says_what_is_lost_and_where_the_answer_stands():
    tree = synthetic_tree(
        num_seeds=2,
        length=6,
        num_outcomes=6,
        num_layers=planted.NUM_LAYERS,
        num_heads=planted.NUM_HEADS,
    )
    section = build_interventions_section(tree)
    assert section.missing
    assert "examine(...)" in section.missing[0]
    tree["/interventions"] = interventions_group([planted_result()] * 2)
    section = build_interventions_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == [
        "fig-ablations",
        "fig-swaps",
        "fig-steering",
        "fig-edits",
    ]
    names, _, controls = read_ablations(tree)
    assert names[3] == "block 2, head 0"  # after three heads of the first block
    highest = planted_result().ablations.head_controls[:, LAYER].max(axis=-1)
    np.testing.assert_allclose(controls[:, 3], highest / np.log(2.0), rtol=1e-12)
    assert "block 2, head 0" in section.paragraphs[0]
    assert "from mixer 2 on" in section.paragraphs[0]
    for plot in (plot_ablations, plot_swaps, plot_steering):
        assert plot(tree).axes
