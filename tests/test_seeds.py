"""Seeds as a batch: each ends as if it were trained alone, whatever becomes of the others."""

import dataclasses
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jaxtyping import Array, Float
from small_networks import Table

import bayescmp as bc
from bayescmp import experiment
from bayescmp.models import Bijection
from bayescmp.training import TrainingDivergedError, loop
from bayescmp.training.loop import Training, fit, fit_seeds
from bayescmp.training.problem import place, pose, stack_keys
from bayescmp.training.progress import advance, begin
from bayescmp.training.steps import compile_chunk, start_state
from bayescmp.workspace import Workspace

MODEL = Bijection(3)
ORACLE = bc.derive_oracle(MODEL)
FEW = Training(num_steps=12, batch_size=8, chunk_size=6, optimiser=bc.AdamW(learning_rate=1e-2))
KEYS = [jax.random.key(seed) for seed in range(4)]
RNG = np.random.default_rng(0)
TABLES = [RNG.normal(size=(6, 3)) for _ in KEYS]
# One step's gradient is a sum of 8 * 2 terms, in another order here and there: a relative error
# of 16 units of rounding at most. Adam keeps relative errors within a factor of ten where they
# are largest, near a zero of the gradient, and 12 steps add up: 12 * 16 * 10 units.
UNITS = 12 * 16 * 10
RTOL = UNITS * np.finfo(np.float32).eps


class Root(eqx.Module):
    """Finite everywhere, with a gradient that is NaN at zero."""

    weight: Float[Array, "token outcome"]

    def __call__(self, tokens: Array) -> Array:
        return jnp.sqrt(self.weight**2)[tokens]


def roots(*broken: int) -> list[Root]:
    """Networks of which some break at the first step."""
    return [
        Root(jnp.asarray(np.where(seed in broken, 0.0, table), jnp.float32))
        for seed, table in enumerate(TABLES[:3])
    ]


def fit_all(networks: list, **settings) -> tuple[bc.Fit, ...]:
    keys = KEYS[: len(networks)]
    settings = {"training": FEW, "progress": False} | settings
    return fit_seeds(networks, MODEL, ORACLE, keys=keys, **settings)


def fit_alone(network: eqx.Module, seed: int) -> bc.Fit:
    return fit(network, MODEL, ORACLE, key=KEYS[seed], training=FEW, progress=False)


def assert_same(left: bc.Fit, right: bc.Fit) -> None:
    """Every bit of the result, apart from the clock."""
    assert eqx.tree_equal(left.network, right.network)
    np.testing.assert_array_equal(left.loss, right.loss)
    np.testing.assert_array_equal(left.excess, right.excess)
    assert (left.outcome, left.num_steps) == (right.outcome, right.num_steps)


# ------------------------------------------------------------- alone and together


def train_tables(seeds: list[int], dtype: type, *, vectorised: bool) -> np.ndarray:
    """Train some seeds together and return their tables."""
    networks = [Table(jnp.asarray(TABLES[seed], dtype)) for seed in seeds]
    problem, params = pose(networks, MODEL, ORACLE, FEW)
    problem = dataclasses.replace(problem, vectorised=vectorised)
    keys = place(problem, stack_keys([KEYS[seed] for seed in seeds]))
    run = begin(start_state(problem, params))
    run = advance(run, compile_chunk(problem, 12, run.state, keys=keys), 12, keys=keys)
    return np.asarray(run.state.params.table)


@pytest.mark.parametrize("vectorised", [False, True], ids=["one by one", "vectorised"])
@pytest.mark.parametrize("num_seeds", [3, 4])
def test_seeds_together_equal_seeds_alone(num_seeds: int, vectorised: bool):
    # On two devices, four seeds are spread in pairs, and of three seeds the batches are.
    with jax.enable_x64(True):
        seeds = list(range(num_seeds))
        together = train_tables(seeds, np.float64, vectorised=vectorised)
        alone = [train_tables([seed], np.float64, vectorised=False)[0] for seed in seeds]
        rtol = UNITS * np.finfo(np.float64).eps
        np.testing.assert_allclose(together, alone, rtol=rtol, atol=rtol)
    assert abs(together[0] - TABLES[0])[:3].min() > 1e-3, "each row that is read has moved"


def test_single_precision_fits_agree_too():
    networks = [Table(jnp.asarray(table, jnp.float32)) for table in TABLES[:3]]
    together = fit_all(networks)
    for seed, (network, result) in enumerate(zip(networks, together, strict=True)):
        alone = fit_alone(network, seed)
        np.testing.assert_allclose(result.loss, alone.loss, rtol=RTOL)
        np.testing.assert_allclose(result.excess, alone.excess, rtol=RTOL, atol=RTOL)
        np.testing.assert_allclose(result.network.table, alone.network.table, rtol=RTOL, atol=RTOL)
        assert result.flops_per_step == alone.flops_per_step
        assert result.num_parameters == alone.num_parameters == 18
        assert result.tokens_per_step == alone.tokens_per_step
    assert len({float(result.loss[0]) for result in together}) == 3
    assert len({result.seconds for result in together}) == 1, "equal shares of the time"


# ----------------------------------------------------------------- divergence


def test_a_seed_that_diverges_does_not_spoil_the_others(tmp_path: Path):
    path = tmp_path / "seed_0_to_2.ckpt"
    results = fit_all(roots(1), throw=False, checkpoint=path)
    assert [result.outcome for result in results] == ["completed", "diverged", "completed"]
    assert [result.num_steps for result in results] == [12, 1, 12]
    np.testing.assert_array_equal(results[1].network.weight, 0.0)
    for seed in (0, 2):
        alone = fit_alone(roots()[seed], seed)
        np.testing.assert_allclose(results[seed].loss, alone.loss, rtol=RTOL)
    # Of the first chunk of six steps, the broken seed took one.
    assert results[0].clock[0, 1] == pytest.approx(6 * results[1].seconds)
    resumed = fit_all(roots(1), throw=False, checkpoint=path, resume=True)
    for again, result in zip(resumed, results, strict=True):
        assert_same(again, result)


def test_the_seed_and_the_step_that_went_wrong_are_named(tmp_path: Path):
    with pytest.raises(TrainingDivergedError) as caught:
        fit_all(roots(1), checkpoint=tmp_path / "seeds.ckpt")
    told = "training diverged for seed 2 of 3: a weight is not finite after step 0; try a lower"
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_trained_once_all_have_diverged():
    results = fit_all(roots(0, 1, 2), throw=False)
    assert [result.outcome for result in results] == ["diverged"] * 3
    assert [result.num_steps for result in results] == [1, 1, 1]


# ---------------------------------------------------------------- checkpoints


def test_one_file_holds_all_seeds_and_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, uninterrupted = tmp_path / "seed_0_to_2.ckpt", fit_all(roots())

    def pressed(*args, **settings):
        signal.raise_signal(signal.SIGINT)
        return advance(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "advance", pressed)
        with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 6; the checkpoint"):
            fit_all(roots(), checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    resumed = fit_all(roots(), checkpoint=path, resume=True)
    for left, right in zip(resumed, uninterrupted, strict=True):
        assert_same(left, right)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit_all(roots()[:2], checkpoint=path, resume=True)


# --------------------------------------------------------------------- errors


def test_networks_that_differ_in_more_than_weights_are_refused():
    networks = [Table(jnp.zeros((6, 3))), Table(jnp.zeros((6, 4)))]
    with pytest.raises(ValueError, match=r"^networks: expected .* alone, .* for seed 1; train"):
        fit_all(networks)
    with pytest.raises(ValueError, match=r"^networks: expected .* for seed 1"):
        fit_all([Table(jnp.zeros((6, 3))), Root(jnp.zeros((6, 3)))])


def test_numbers_of_networks_and_keys_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"^keys: expected 3, one for each network, got 2$"):
        fit_seeds(roots(), MODEL, keys=KEYS[:2])
    with pytest.raises(ValueError, match=r"^networks: expected at least one, got none$"):
        fit_seeds([], MODEL, keys=[])


# ------------------------------------------------------------ train_and_compare


@pytest.mark.parametrize(
    ("seeds_at_once", "files", "words"),
    [
        (None, ["seed_0_to_4.ckpt"], ["seeds 1 to 5 of 5"]),
        (
            2,
            ["seed_0_to_1.ckpt", "seed_2_to_3.ckpt", "seed_4.ckpt"],
            ["seeds 1 to 2 of 5", "seeds 3 to 4 of 5", "seed 5 of 5"],
        ),
        (7, ["seed_0_to_4.ckpt"], ["seeds 1 to 5 of 5"]),
    ],
)
def test_a_comparison_trains_its_seeds_in_groups(
    seeds_at_once: int | None,
    files: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    calls, keys, networks = [], [], []

    def record(group, model, oracle, **settings):
        calls.append(settings)
        keys.extend(settings["keys"])
        return tuple(SimpleNamespace(network=network) for network in group)

    def compare(subjects, *_, **__):
        networks.extend(subjects)
        return xr.DataTree()

    monkeypatch.setattr(experiment, "fit_seeds", record)
    monkeypatch.setattr(experiment, "compare", compare)
    experiment.train_and_compare(
        MODEL,
        lambda model, key: jax.random.key_data(key),
        dataclasses.replace(FEW, seeds_at_once=seeds_at_once),
        seeds=5,
        key=jax.random.key(7),
        workspace=Workspace(tmp_path),
    )
    assert [call["checkpoint"].name for call in calls] == files
    assert all(re.match(r"seed_\d+", name) for name in files)
    assert [call["description"] for call in calls] == words
    pairs = [jax.random.split(jax.random.fold_in(jax.random.key(7), seed)) for seed in range(5)]
    for (key_network, key_data), network, key in zip(pairs, networks, keys, strict=True):
        np.testing.assert_array_equal(network, jax.random.key_data(key_network))
        assert key == key_data
