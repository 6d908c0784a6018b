"""Places of inputs: what positions make of them, and random ones in training."""

import dataclasses
import json
import zipfile
from functools import cache
from itertools import combinations
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from network_cases import small_network
from scipy import stats
from small_networks import (
    INPUT_SIZE,
    MAX_LENGTH,
    Table,
    answer,
    small_config,
    small_tokens,
    small_transformer,
    transformer_for,
)

import bayescmp as bc
from bayescmp.models import HiddenMarkov, beta_bernoulli
from bayescmp.networks import TaskShape, TransformerConfig, logits_at
from bayescmp.networks.parts.positions import POSITIONS, Positions, rotate
from bayescmp.training import loop
from bayescmp.training.curriculum import Curriculum
from bayescmp.training.gradients import weights_at
from bayescmp.training.places import PlaceKind, RandomPlaces, draw_places
from bayescmp.training.problem import pose

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

CHAIN = HiddenMarkov(num_states=2, num_symbols=2, length=3)  # two rows, then three symbols
KEY = jax.random.key(0)


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


# --------------------------------------------------------------------- training

ORACLE = bc.derive_oracle(CHAIN)
SPREAD = RandomPlaces(12, "spread")
FEW = bc.Training(
    num_steps=7, batch_size=8, chunk_size=2, checkpoint_every=2, optimiser=bc.AdamW(), places=SPREAD
)


def chain_network(kind: str = "rotary", **options):
    return transformer_for(CHAIN, small_config(1, 1, 4, 4, positions=kind, **options))


def run(path: Path | None = None, training: bc.Training = FEW, **settings) -> bc.Fit:
    settings = {"key": KEY, "progress": False} | settings
    return bc.fit(
        chain_network(), CHAIN, ORACLE, training=training, checkpoint=path, resume=True, **settings
    )


@pytest.fixture(scope="module")
def spread() -> bc.Fit:
    return run()


def test_a_step_trains_at_the_places_that_its_keys_draw(spread: bc.Fit):
    keys = jax.random.split(jax.random.fold_in(KEY, 0), 8)
    batch = jax.vmap(lambda key: CHAIN.draw(key=key))(keys)
    log_p, losses = np.asarray(ORACLE(batch).log_predictive, float), []
    for number, key in enumerate(keys):
        places = np.asarray(draw_places(SPREAD, CHAIN, key=key))
        inputs = np.asarray(batch.inputs[number])
        logits = oracles_network.trace(chain_network(), inputs, places=places)["logits"][2:]
        log_q = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses.append(-np.sum(np.exp(log_p[number]) * log_q, axis=1))
    np.testing.assert_allclose(spread.loss[0], np.mean(losses), rtol=1e-5)


def test_random_places_leave_the_data_as_they_are_and_change_the_loss(spread: bc.Fit):
    plain = run(training=dataclasses.replace(FEW, places=None))
    # The floor, which is what loss and excess differ by, is that of the same sequences.
    floor = plain.loss - plain.excess
    np.testing.assert_allclose(spread.loss - spread.excess, floor, rtol=1e-5)
    assert np.abs(spread.loss - plain.loss).max() > 1e-4


def test_a_run_with_random_places_resumes_bit_for_bit(
    tmp_path: Path, spread: bc.Fit, monkeypatch: pytest.MonkeyPatch
):
    path, advance, calls = tmp_path / "run.ckpt", loop.advance, []

    def interrupted(*args, **settings):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advance(*args, **settings)

    monkeypatch.setattr(loop, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    monkeypatch.setattr(loop, "advance", advance)
    resumed = run(path)
    np.testing.assert_array_equal(resumed.loss, spread.loss)
    assert eqx.tree_equal(resumed.network, spread.network)
    assert bc.training.load_training(path) == FEW
    with pytest.raises(ValueError, match=r"training.places.limit is 12 there and 13 here$"):
        run(path, training=dataclasses.replace(FEW, places=RandomPlaces(13)))


def test_seeds_together_draw_the_places_of_seeds_alone(spread: bc.Fit):
    fits = bc.fit_seeds(
        [chain_network(), chain_network()],
        CHAIN,
        ORACLE,
        keys=[jax.random.key(5), KEY],
        training=FEW,
        progress=False,
    )
    # Sums of 24 terms, seven steps, a factor of ten for Adam.
    np.testing.assert_allclose(fits[1].loss, spread.loss, rtol=7 * 24 * 10 * 6e-8)
    assert np.abs(fits[0].loss - spread.loss).max() > 1e-3


def test_a_checkpoint_from_before_there_were_places_still_resumes(tmp_path: Path):
    path, older = tmp_path / "run.ckpt", tmp_path / "older.ckpt"
    training = dataclasses.replace(FEW, places=None)
    whole = run(path, training=training)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(older, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "header.json":
                header = json.loads(content)
                for part, field in (
                    ("training", "places"),
                    ("training", "curriculum"),
                    ("network", "num_positions"),
                ):
                    del header["run"][part][field]
                content = json.dumps(header).encode()
            if name != "clock.npy":
                new.writestr(name, content)
    again = run(older, training=training)
    np.testing.assert_array_equal(again.loss, whole.loss)
    assert eqx.tree_equal(bc.training.load_network(older), whole.network)
    assert again.seconds == pytest.approx(whole.seconds)
    np.testing.assert_array_equal(again.clock[:, 0], [7])
    with pytest.raises(ValueError, match=r"training.places is None there and RandomPlaces here$"):
        run(older)


def test_a_trained_network_may_be_trained_on_with_longer_sequences(spread: bc.Fit):
    longer = HiddenMarkov(num_states=2, num_symbols=2, length=6)
    problem, _ = pose([spread.network], longer, None, dataclasses.replace(FEW, places=None))
    assert problem.model is longer
    with pytest.raises(ValueError, match=r"^inputs: expected at most 5 positions"):
        pose([chain_network("learned")], longer, None, dataclasses.replace(FEW, places=None))


# ------------------------------------------------------------------- curriculum


def weights_of(step: int, **settings) -> list[float]:
    training = dataclasses.replace(FEW, places=None, **settings)
    problem, _ = pose([chain_network()], CHAIN, ORACLE, training)
    return weights_at(problem, jnp.asarray(step)).tolist()


@pytest.mark.parametrize(
    ("start", "steps", "count", "expected"),
    [(1, 6, 4, (0, 2, 4, 6)), (2, 3, 4, (0, 0, 2, 3)), (1, 1, 3, (0, 1, 1)), (3, 9, 3, (0, 0, 0))],
)
def test_questions_begin_to_count_one_after_the_other(
    start: int, steps: int, count: int, expected: tuple[int, ...]
):
    assert Curriculum(start, steps).first_steps(count) == expected
    for step in range(steps + 3):  # the formula of the docstring
        horizon = min(count, start + (count - start) * step // steps)
        assert sum(first <= step for first in expected) == horizon


@pytest.mark.parametrize(("step", "horizon"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (9, 3)])
def test_a_curriculum_asks_exactly_the_first_questions(step: int, horizon: int):
    assert weights_of(step, curriculum=Curriculum(1, 4)) == [1.0] * horizon + [0.0] * (3 - horizon)
    settings = {"curriculum": Curriculum(1, 4), "horizon": 2, "position_weights": (0.5, 3.0)}
    assert weights_of(step, **settings) == [0.5, 3.0 if step >= 4 else 0.0, 0.0]


def test_a_curriculum_trains_as_its_horizon_does_and_nobody_stops_on_easy_questions():
    short = run(training=dataclasses.replace(FEW, places=None, horizon=1, stop_below=10.0))
    assert short.num_steps == 2
    settings = dataclasses.replace(FEW, places=None, stop_below=10.0, curriculum=Curriculum(1, 4))
    grown = run(training=settings)
    assert grown.num_steps == 6
    np.testing.assert_array_equal(grown.loss[:2], short.loss)


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


NEAR = RandomPlaces(12, "after_prompt")
BAD = {
    "too short": (
        "rotary",
        RandomPlaces(4),
        "limit: expected at least 5, the inputs of a sequence, got 4",
    ),
    "no positions": (
        "none",
        RandomPlaces(9, "shift"),
        "places: expected None with positions='none', which tells no places apart, got "
        "RandomPlaces(limit=9, kind='shift')",
    ),
    "relative positions": (
        "alibi",
        RandomPlaces(9, "shift"),
        "kind: expected 'spread' with positions='alibi', where a common shift changes nothing, "
        "got 'shift'",
    ),
    "a short table": (
        "learned",
        RandomPlaces(9),
        "limit: expected at most 5, the rows of learned positions (num_positions), got 9",
    ),
}


@pytest.mark.parametrize(("kind", "places", "told"), BAD.values(), ids=BAD)
def test_places_that_do_not_fit_the_network_are_refused(kind: str, places: RandomPlaces, told: str):
    with pytest.raises(ValueError, match=r".") as caught:
        pose([chain_network(kind)], CHAIN, None, dataclasses.replace(FEW, places=places))
    assert str(caught.value) == told


def test_places_are_refused_for_other_networks_and_models():
    bijection = bc.models.Bijection(3)
    with pytest.raises(ValueError, match=r"^places: expected None for Table, which knows no pl"):
        pose([Table.zeros(bijection)], bijection, None, FEW)
    coin = beta_bernoulli(length=3)  # a start token is all that stands before it
    network = transformer_for(coin, small_config(1, 1, 4, 4, positions="rotary"))
    problem, _ = pose([network], coin, None, dataclasses.replace(FEW, places=NEAR))
    assert problem.places == NEAR
    network = transformer_for(bijection, small_config(1, 1, 4, 4, positions="rotary"))
    with pytest.raises(ValueError, match=r"^kind: .*'rotary' and a model without a prompt, where"):
        pose([network], bijection, None, dataclasses.replace(FEW, places=NEAR))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"curriculum": Curriculum(4, 5)},
            "curriculum: expected start of at most 3, the questions that count in the end, got 4",
        ),
        (
            {"curriculum": Curriculum(3, 5), "horizon": 2},
            "curriculum: expected start of at most 2, the questions that count in the end, got 3",
        ),
        (
            {"curriculum": Curriculum(1, 5), "position_weights": (0.0, 1.0, 1.0)},
            "curriculum: expected to start with a question of positive weight, got weights (0.0,) "
            "for the first 1",
        ),
    ],
)
def test_a_curriculum_that_does_not_fit_is_refused(settings: dict, told: str):
    with pytest.raises(ValueError, match=r".") as caught:
        pose([chain_network()], CHAIN, None, dataclasses.replace(FEW, places=None, **settings))
    assert str(caught.value) == told
