"""Options of training: each does what it says, and options that exclude each other are refused."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from small_networks import Table

import bayescmp as bc
from bayescmp.models import Bijection
from bayescmp.training.checkpoints.snapshots import load_snapshots
from bayescmp.training.loggers import AbstractLogger
from bayescmp.training.loop import Training, fit, fit_seeds
from bayescmp.training.objectives import batch_losses
from bayescmp.training.precision import choose_precision, lower
from bayescmp.training.problem import place, pose, stack_keys
from bayescmp.training.progress import advance, begin
from bayescmp.training.settings import choose_objective, question_weights
from bayescmp.training.steps import compile_chunk, start_state

MODEL = Bijection(4)  # three questions
ORACLE = bc.derive_oracle(MODEL)
FEW = Training(num_steps=12, batch_size=8, chunk_size=5, optimiser=bc.AdamW(learning_rate=1e-2))
KEY = jax.random.key(0)
WEIGHTS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
EPS = np.finfo(np.float32).eps
# As in test_seeds.py: sums of 8 * 3 terms in another order, 12 steps, a factor of ten for Adam.
RTOL = 12 * 24 * 10 * EPS


def fit_table(network: eqx.Module | None = None, oracle: bc.Oracle | None = ORACLE, **changes):
    """Train a table; settings that are fields of ``Training`` change it."""
    fields = {field.name for field in dataclasses.fields(Training)}
    training = dataclasses.replace(FEW, **{k: v for k, v in changes.items() if k in fields})
    others = {name: value for name, value in changes.items() if name not in fields}
    network = Table(jnp.asarray(WEIGHTS)) if network is None else network
    return fit(network, MODEL, oracle, key=KEY, training=training, progress=False, **others)


def assert_same_bits(left: bc.Fit, right: bc.Fit) -> None:
    assert eqx.tree_equal(left.network, right.network)
    np.testing.assert_array_equal(left.loss, right.loss)
    np.testing.assert_array_equal(left.excess, right.excess)


@pytest.fixture(scope="module")
def plain() -> bc.Fit:
    return fit_table()


def batch_of_step(step: int) -> bc.Batch:
    """Draw what a step sees."""
    keys = jax.random.split(jax.random.fold_in(KEY, step), FEW.batch_size)
    return jax.vmap(lambda key: MODEL.draw(key=key))(keys)


# --------------------------------------------------------------------- chunks


@pytest.mark.parametrize("chunk_size", [1, 12])
def test_chunks_of_any_size_give_the_same_bits(chunk_size: int, plain: bc.Fit):
    assert_same_bits(fit_table(chunk_size=chunk_size), plain)


# ------------------------------------------------- horizon and weights of questions


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, (1, 1, 1)),
        ({"horizon": 1}, (1, 0, 0)),
        ({"horizon": 3}, (1, 1, 1)),
        ({"position_weights": (0.0, 2.0, 0.5)}, (0, 2, 0.5)),
        ({"horizon": 2, "position_weights": (3.0, 1.0)}, (3, 1, 0)),
    ],
)
def test_the_loss_is_the_weighted_mean_over_questions(settings: dict, weights: tuple[float, ...]):
    batch, network = batch_of_step(0), Table(jnp.asarray(WEIGHTS))
    chosen = question_weights(dataclasses.replace(FEW, **settings), 3)
    sums = batch_losses(network, MODEL, None, "sampled", batch, weights=chosen)
    total = 0.0
    for inputs, outcomes in zip(np.asarray(batch.inputs), np.asarray(batch.outcomes), strict=True):
        for question, position in enumerate(MODEL.asked_positions):
            log_q = log_softmax(WEIGHTS[inputs[position]].astype(np.float64))
            total -= weights[question] * log_q[outcomes[question]]
    # A sum of 24 float32 numbers.
    np.testing.assert_allclose(sums.loss, total, rtol=24 * EPS)
    np.testing.assert_allclose(sums.weight, 8 * sum(weights), rtol=24 * EPS)


def test_questions_without_weight_move_nothing():
    # Only what a question reads before its answer is learnt: with the first question alone, rows
    # of the tokens that stand there, which are the keys.
    result = fit_table(horizon=1)
    first = batch_of_step(0)
    sums = batch_losses(
        Table(jnp.asarray(WEIGHTS)), MODEL, ORACLE, "rao_blackwell", first, weights=(1.0, 0.0, 0.0)
    )
    np.testing.assert_allclose(result.loss[0], sums.loss / 8, rtol=24 * EPS)
    moved = np.any(np.asarray(result.network.table) != WEIGHTS, axis=1)
    asked = np.unique([batch_of_step(s).inputs[:, MODEL.asked_positions[0]] for s in range(12)])
    assert set(np.flatnonzero(moved)) == set(asked.tolist())


def test_scaling_all_weights_changes_nothing_but_rounding(plain: bc.Fit):
    scaled = fit_table(position_weights=(4.0, 4.0, 4.0))
    np.testing.assert_allclose(scaled.loss, plain.loss, rtol=RTOL)


def test_weights_by_horizon():
    assert question_weights(Training(), 3) is None
    assert question_weights(Training(horizon=1), 3) == (1.0, 0.0, 0.0)
    assert question_weights(Training(position_weights=(1.0, 0.0, 2.0)), 3) == (1.0, 0.0, 2.0)


# ------------------------------------------------- accumulation and precision


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_add_up_to_the_batch(accumulate: int, plain: bc.Fit):
    parts = fit_table(accumulate=accumulate)
    np.testing.assert_allclose(parts.loss, plain.loss, rtol=RTOL)
    np.testing.assert_allclose(parts.excess, plain.excess, rtol=RTOL, atol=RTOL)
    np.testing.assert_allclose(parts.network.table, plain.network.table, rtol=RTOL, atol=RTOL)
    assert parts.flops_per_step == plain.flops_per_step
    assert parts.tokens_per_step == plain.tokens_per_step


def test_mixed_precision_rounds_the_logits_and_nothing_else(plain: bc.Fit):
    mixed = fit_table(precision="mixed")
    batch = batch_of_step(0)
    rounded = np.asarray(jnp.asarray(WEIGHTS).astype(jnp.bfloat16).astype(jnp.float32))
    answers = log_softmax(rounded[batch.inputs[:, MODEL.asked_positions]], axis=-1)
    exact = np.exp(ORACLE(batch).log_predictive)
    np.testing.assert_allclose(mixed.loss[0], -np.sum(exact * answers) / 24, rtol=100 * EPS)
    assert mixed.loss[0] != plain.loss[0]
    assert mixed.loss.dtype == np.float32
    assert mixed.network.table.dtype == jnp.float32
    # Small steps would be lost if the weights themselves had eight bits.
    fine = np.asarray(mixed.network.table)
    assert np.any(fine != np.asarray(mixed.network.table.astype(jnp.bfloat16), np.float32))
    # A bfloat16 number is off by 2^-9 of itself, and a gradient by as much; Adam's step by twice.
    np.testing.assert_allclose(mixed.network.table, plain.network.table, atol=12 * 1e-2 * 2**-6)


def test_float32_is_what_it_was_on_a_cpu(plain: bc.Fit):
    assert_same_bits(fit_table(precision="float32"), plain)


@pytest.mark.parametrize(
    ("backend", "products", "chosen"),
    [
        ("cpu", None, "float32"),
        ("gpu", None, "mixed"),
        ("gpu", "tensorfloat32", "mixed"),
        ("gpu", "highest", "float32"),
        ("tpu", "float32", "float32"),
    ],
)
def test_the_precision_is_chosen_by_the_machine(
    backend: str, products: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    with jax.default_matmul_precision(products):
        assert choose_precision("auto") == chosen
        assert choose_precision("float32") == "float32"
        assert choose_precision("mixed") == "mixed"


def test_integers_and_float32_are_left_alone():
    tree = {"weight": jnp.ones(2), "token": jnp.arange(2)}
    assert lower(tree, "float32") is tree
    assert lower(tree, "mixed")["token"].dtype == tree["token"].dtype


# -------------------------------------------------------------------- average


def test_the_average_is_the_weighted_mean_of_all_weights_so_far():
    decay = 0.7
    training = dataclasses.replace(FEW, average=decay)
    problem, params = pose([Table(jnp.asarray(WEIGHTS))], MODEL, ORACLE, training)
    keys = place(problem, stack_keys([KEY]))
    run = begin(start_state(problem, params))
    chunk = compile_chunk(problem, 5, run.state, keys=keys)
    history = []
    for count in range(1, 6):
        run = advance(run, chunk, 1, keys=keys)
        history.append(np.asarray(run.state.params.table[0], np.float64))
        shares = decay ** np.arange(count - 1, -1, -1.0)
        wanted = np.tensordot(shares / shares.sum(), np.stack(history), axes=1)
        # Two roundings in a step and one of the share.
        np.testing.assert_allclose(run.state.average.table[0], wanted, rtol=0, atol=15 * EPS * 4)
    assert np.ptp(np.stack(history), axis=0).max() > 1e-3


def test_a_fit_holds_the_average_only_if_asked(plain: bc.Fit):
    averaged = fit_table(average=0.9)
    assert_same_bits(averaged, plain)
    assert plain.averaged is None
    assert isinstance(averaged.averaged, Table)
    moved = np.abs(plain.network.table - WEIGHTS)[:4]  # the rows of keys, which are read
    assert np.mean(np.abs(averaged.averaged.table - WEIGHTS)[:4] < moved) > 0.7, "it lags behind"


def test_a_run_that_never_took_a_step_has_no_average():
    broken = Table(jnp.asarray(np.where(WEIGHTS > 0, np.inf, WEIGHTS), jnp.float32))
    result = fit_table(broken, average=0.9, throw=False)
    assert (result.outcome, result.num_steps, result.averaged) == ("diverged", 1, None)


# ----------------------------------------------------------------- early stop


def test_seeds_stop_by_themselves_once_they_are_close_enough():
    near, far = Table(jnp.zeros((8, 4))), Table(jnp.asarray(5 * WEIGHTS))
    results = {}
    for stop_below in (None, 0.6):
        training = dataclasses.replace(FEW, stop_below=stop_below)
        results[stop_below] = fit_seeds(
            [near, far], MODEL, ORACLE, keys=[KEY, KEY], training=training, progress=False
        )
    stopped, goes_on = results[0.6]
    assert results[None][0].excess[:5].mean() < 0.6 < results[None][1].excess.min()
    assert (stopped.outcome, stopped.num_steps) == ("stopped early", 5)
    np.testing.assert_array_equal(stopped.loss, results[None][0].loss[:5])
    assert (goes_on.outcome, goes_on.num_steps) == ("completed", 12)
    assert_same_bits(goes_on, results[None][1])


def test_an_early_stop_is_kept_and_resumed(tmp_path: Path):
    path = tmp_path / "seed_0.ckpt"
    first = fit_table(stop_below=10.0, checkpoint=path)
    again = fit_table(stop_below=10.0, checkpoint=path, resume=True)
    assert first.outcome == again.outcome == "stopped early"
    assert first.num_steps == again.num_steps == 5
    assert_same_bits(first, again)


def test_a_threshold_that_is_not_reached_stops_nothing(plain: bc.Fit):
    result = fit_table(stop_below=1e-6)
    assert result.outcome == "completed"
    assert_same_bits(result, plain)


# ------------------------------------------------------- snapshots and logging


def test_snapshots_change_nothing_and_hold_the_weights_of_their_steps(
    tmp_path: Path, plain: bc.Fit
):
    path = tmp_path / "seed_0.ckpt"
    result = fit_table(num_snapshots=4, checkpoint=path)
    assert_same_bits(result, plain)
    kept = load_snapshots(path)
    assert len(kept) == 4
    assert (kept[0].step, kept[-1].step) == (0, 12)
    first, last = (snapshot.network(like=result.network) for snapshot in (kept[0], kept[-1]))
    np.testing.assert_array_equal(first.table, WEIGHTS)
    np.testing.assert_array_equal(last.table, result.network.table)


def test_a_stop_is_looked_for_after_whole_chunks_with_snapshots_too(tmp_path: Path):
    result = fit_table(stop_below=10.0, num_snapshots=6, checkpoint=tmp_path / "seed_0.ckpt")
    assert result.num_steps == 5


class Notes(AbstractLogger):
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.lines.append((step, dict(values)))

    def close(self) -> None:
        raise AssertionError("whoever opened a logger closes it")


def test_a_logger_is_told_the_mean_of_each_chunk(plain: bc.Fit):
    notes = Notes()
    assert_same_bits(fit_table(logger=notes), plain)
    assert [step for step, _ in notes.lines] == [5, 10, 12]
    for (step, values), first in zip(notes.lines, (0, 5, 10), strict=True):
        assert values == {
            "loss": pytest.approx(plain.loss[first:step].mean(), rel=1e-6),
            "excess": pytest.approx(plain.excess[first:step].mean(), rel=1e-6),
        }


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"accumulate": 3}, r"^accumulate: expected a number that divides batch_size=64, got 3$"),
        ({"average": 1.0}, r"^average: expected a decay between 0 and 1, got 1.0$"),
        ({"average": 0.0}, r"^average: expected a decay between 0 and 1, got 0.0$"),
        ({"stop_below": 0.0}, r"^stop_below: expected a positive number, got 0.0$"),
        ({"stop_below": float("nan")}, r"^stop_below: expected a positive number, got nan$"),
        ({"num_snapshots": -1}, r"^num_snapshots: expected at least 0, got -1$"),
        ({"position_weights": (0.0, 0.0)}, r"^position_weights: expected .* one of them positive"),
        ({"position_weights": (1.0, -1.0)}, r"^position_weights: expected numbers of at least"),
        ({"position_weights": ()}, r"^position_weights: expected numbers .* got \(\)$"),
        ({"position_weights": (float("nan"), 1.0)}, r"^position_weights: expected numbers"),
        (
            {"horizon": 2, "position_weights": (1.0, 1.0, 1.0)},
            r"^position_weights: expected 2 numbers, one for each question below horizon=2, got 3$",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, told: str):
    with pytest.raises(ValueError, match=told) as caught:
        Training(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"horizon": 4}, r"^horizon: expected at most 3, the questions of a sequence, got 4$"),
        ({"position_weights": (1.0, 1.0)}, r"^position_weights: expected 3 numbers, .* got 2$"),
        ({"num_snapshots": 2}, r"^num_snapshots: expected 0 for a run without a checkpoint"),
    ],
)
def test_settings_that_do_not_fit_the_run_are_refused(settings: dict, told: str):
    with pytest.raises(ValueError, match=told):
        fit_table(**settings)


def test_an_early_stop_needs_an_oracle():
    with pytest.raises(ValueError, match=r"^stop_below: expected an oracle .* got none$"):
        fit_table(oracle=None, stop_below=0.1)
    assert choose_objective(Training(stop_below=0.1, objective="sampled"), ORACLE) == "sampled"
