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
from bayescmp.inspection.intervention_cases import choose_cases
from bayescmp.inspection.interventions import Intervened, intervene, interventions_group
from bayescmp.inspection.recording import Recording, record
from bayescmp.inspection.removal import find_place, remove_directions
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
    np.testing.assert_allclose(group["head_p_value"].min(), result.effects()[0].p_value)
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
    ]
    names, _, controls = read_ablations(tree)
    assert names[3] == "block 2, head 0"  # after three heads of the first block
    highest = planted_result().ablations.head_controls[:, LAYER].max(axis=-1)
    np.testing.assert_allclose(controls[:, 3], highest / np.log(2.0), rtol=1e-12)
    assert "block 2, head 0" in section.paragraphs[0]
    assert "from mixer 2 on" in section.paragraphs[0]
    for plot in (plot_ablations, plot_swaps, plot_steering):
        assert plot(tree).axes
