"""Places of inputs: what positions make of them, and how random ones are drawn."""

from functools import cache
from itertools import combinations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from network_cases import small_network
from place_cases import CHAIN, KEY
from scipy import stats
from small_networks import (
    INPUT_SIZE,
    MAX_LENGTH,
    Table,
    answer,
    small_config,
    small_tokens,
    small_transformer,
)

import bayescmp as bc
from bayescmp.networks import TaskShape, TransformerConfig, logits_at
from bayescmp.networks.parts.positions import POSITIONS, Positions, rotate
from bayescmp.training.curriculum import Curriculum
from bayescmp.training.places import PlaceKind, RandomPlaces, draw_places

# Sums of about a dozen terms of size one, through two blocks: some ten roundings of 6e-8, and
# angles up to 30 that are rounded as much.
FLOAT32 = {"rtol": 2e-5, "atol": 2e-5}
ROWS = 30
PLAIN = np.arange(MAX_LENGTH)
PLACES = np.stack([PLAIN, PLAIN + 17, [0, 1, 4, 5, 11, 12, 29], [0, 2, 3, 7, 8, 20, 21]])
TOKENS = np.stack([small_tokens(MAX_LENGTH)] * 3 + [small_tokens(MAX_LENGTH, seed=2)])
KINDS = tuple(kind for kind in POSITIONS if kind != "none")
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def network_of(kind: Positions):
    num_positions = ROWS if kind == "learned" else None
    return small_transformer(small_config(2, 2, 8, 6, positions=kind, num_positions=num_positions))


@eqx.filter_jit
def ask(network, tokens: jax.Array, places: jax.Array | None):
    """Answer by call, by trace and at some positions."""
    trace = network.trace_layers(tokens, places=places)
    at = network.logits_at(tokens, jnp.array([2, 5]), places=places)
    return network(tokens, places=places), trace, at


@cache
def answers(kind: Positions):
    """Ask about four sequences with places of their own; the first three are the same."""
    return ask(network_of(kind), jnp.asarray(TOKENS), jnp.asarray(PLACES))


# ---------------------------------------------------------------------- answers


@EVERY_KIND
def test_places_act_as_in_plain_numpy_for_each_sequence_of_a_batch(kind: Positions):
    called, trace, at = answers(kind)
    np.testing.assert_array_equal(called, trace.logits)
    for number in range(4):
        expected = oracles_network.trace(network_of(kind), TOKENS[number], places=PLACES[number])
        for name, value in expected.items():
            found = getattr(trace, name)
            found = found[number] if name == "logits" else found[:, number]
            np.testing.assert_allclose(found, value, **FLOAT32, err_msg=name)
        np.testing.assert_allclose(at[number], expected["logits"][[2, 5]], **FLOAT32)


@EVERY_KIND
def test_distances_alone_count_where_positions_are_relative(kind: Positions):
    plain, moved, spread, _ = answers(kind)[0]
    change = np.abs(moved - plain).max()
    assert change < 2e-5 if kind in ("rotary", "alibi") else change > 1e-3
    assert np.abs(spread - plain).max() > 1e-3


@pytest.mark.parametrize("kind", ["sinusoidal", "rotary"])
def test_places_may_be_those_of_all_sequences_or_plain_by_default(kind: Positions):
    network, tokens = network_of(kind), jnp.asarray(TOKENS[2:])
    both = ask(network, tokens, jnp.asarray(PLACES[3]))[0]
    np.testing.assert_allclose(both[1], answers(kind)[0][3], **FLOAT32)
    default = ask(network, tokens, None)[0]
    np.testing.assert_allclose(default[0], answers(kind)[0][0], **FLOAT32)


def test_learned_positions_reach_as_far_as_they_have_rows():
    network = network_of("learned")
    tokens = small_tokens(ROWS)
    assert network.position_embedding.shape == (ROWS, 8)
    expected = oracles_network.trace(network, np.asarray(tokens))["logits"]
    np.testing.assert_allclose(answer(network, tokens), expected, **FLOAT32)
    with pytest.raises(ValueError, match=r"^inputs: expected at most 30 positions.* got 31; use"):
        network(small_tokens(ROWS + 1))
    beyond = network.embed(tokens[:3], places=jnp.array([0, 1, ROWS]))
    assert np.isfinite(beyond[:2]).all()
    assert np.isnan(beyond[2]).all()


def test_far_rotations_keep_their_distances_in_half_precision():
    rng = np.random.default_rng(0)
    query, key = (jnp.asarray(rng.normal(size=(1, 2, 8)), jnp.bfloat16) for _ in range(2))
    places = jnp.array([0, 1])
    near, far = (
        np.sum(rotate(query, p)[0, 1].astype(float) * rotate(key, p)[0, 0].astype(float))
        for p in (places, places + 1_000)
    )
    # Sixteen products of numbers that are right to 2^-8, of size one.
    assert abs(near - far) < 16 * 2**-8
    assert rotate(query, places).dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["lstm", "position-wise mlp", "full convolution"])
def test_networks_that_go_by_order_alone_refuse_places(name: str):
    with pytest.raises(
        ValueError, match=r"^places: expected None for \w+ without positions, got some$"
    ):
        small_network(name)(small_tokens(7), places=jnp.arange(7))


def test_so_do_a_transformer_without_positions_and_a_function():
    network = small_transformer(small_config(1, 2, 8, 6, positions="none"))
    with pytest.raises(
        ValueError, match=r"^places: expected None for TransformerConfig without pos"
    ):
        network.logits_at(small_tokens(7), np.array([1]), places=jnp.arange(7))
    table = Table(jnp.zeros((INPUT_SIZE, 2)))
    with pytest.raises(ValueError, match=r"^places: expected None for Table, which knows none"):
        logits_at(table, small_tokens(2, 7), np.array([1]), places=jnp.arange(7))


# ------------------------------------------------------------------------ draws


def draws(random: RandomPlaces, count: int = 2_000, model=CHAIN) -> np.ndarray:
    keys = jax.random.split(KEY, count)
    return np.asarray(jax.jit(jax.vmap(lambda key: draw_places(random, model, key=key)))(keys))


@pytest.mark.parametrize("kind", ["shift", "after_prompt", "spread"])
def test_places_increase_below_the_limit_and_are_plain_where_there_is_no_room(kind: PlaceKind):
    found = draws(RandomPlaces(9, kind))
    assert (np.diff(found, axis=1) > 0).all()
    assert found.min() == 0
    assert found.max() == 8
    np.testing.assert_array_equal(draws(RandomPlaces(5, kind)), np.tile(np.arange(5), (2_000, 1)))


def test_every_set_of_places_is_as_likely_as_any_other():
    found = draws(RandomPlaces(7, "spread"))
    counts = [np.all(found == chosen, axis=1).sum() for chosen in combinations(range(7), 5)]
    assert sum(counts) == 2_000
    assert stats.chisquare(counts).pvalue > 1e-3  # 21 sets; the draws are fixed


@pytest.mark.parametrize(("kind", "first"), [("shift", 0), ("after_prompt", 2)])
def test_one_number_is_added_to_all_places_or_to_those_after_the_prompt(
    kind: PlaceKind, first: int
):
    added = draws(RandomPlaces(9, kind)) - np.arange(5)
    assert (added[:, :first] == 0).all()
    assert (np.ptp(added[:, first:], axis=1) == 0).all()
    assert stats.chisquare(np.bincount(added[:, -1], minlength=5)).pvalue > 1e-3


# ----------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: RandomPlaces(0), "limit: expected at least 1, got 0"),
        (lambda: Curriculum(0, 4), "start: expected at least 1, got 0"),
        (lambda: Curriculum(1, 0), "steps: expected at least 1, got 0"),
        (
            lambda: bc.Training(num_steps=5, curriculum=Curriculum(1, 6)),
            "curriculum: expected at most num_steps=5 steps, got 6",
        ),
        (
            lambda: TransformerConfig(num_positions=9, positions="rotary"),
            "num_positions: expected None with positions='rotary', which has no rows, got 9",
        ),
        (
            lambda: TransformerConfig(num_positions=0),
            "num_positions: expected at least 1, got 0",
        ),
        (
            lambda: TransformerConfig(num_positions=6).num_learned_positions(TaskShape(3, 3, 7)),
            "num_positions: expected at least 7, the inputs of a sequence, got 6",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, told: str):
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert str(caught.value) == told
