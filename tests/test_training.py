"""Training: the same result on any devices, learning that works, failures that explain."""

import dataclasses
import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float
from small_networks import Table, small_config, transformer_for

import bayescmp as bc
from bayescmp.models import Bijection, beta_bernoulli
from bayescmp.training import TrainingDivergedError, steps
from bayescmp.training.devices.mesh import BATCH_AXIS, SEED_AXIS, share_work, training_mesh
from bayescmp.training.gradients import Gradients, add_over_devices, sum_gradients
from bayescmp.training.loop import Training, fit
from bayescmp.training.problem import pose
from bayescmp.training.settings import choose_objective

MODEL = Bijection(3)
ORACLE = bc.derive_oracle(MODEL)
SMALL = small_config(1, 1, 4, 6)
FEW = Training(num_steps=12, batch_size=8, chunk_size=6)

on_host_devices = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="is about the two host devices that conftest.py makes"
)


def fit_small(network=None, *, seed: int = 0, oracle: bc.Oracle | None = ORACLE, **settings):
    network = transformer_for(MODEL, SMALL, seed) if network is None else network
    key = jax.random.key(seed)
    return fit(network, MODEL, oracle, key=key, progress=False, **{"training": FEW} | settings)


# ------------------------------------------------------------ reproducibility


def test_the_same_key_gives_the_same_bits_and_another_does_not():
    network = transformer_for(MODEL, SMALL)
    first, again = fit_small(network), fit_small(network)
    assert eqx.tree_equal(first.network, again.network)
    np.testing.assert_array_equal(first.loss, again.loss)
    other = fit_small(network, seed=1)
    assert not np.array_equal(first.loss, other.loss)


def test_golden_losses():
    # Numbers of the first run ever. They may change when the data, the initial weights, an
    # optimiser's defaults or JAX's random numbers change on purpose; say so in the changelog.
    golden = [1.136289, 1.107373, 1.132954, 1.088030]
    np.testing.assert_allclose(fit_small().loss[:4], golden, rtol=1e-4)


def test_more_seeds_compile_nothing_more():
    fit_small()
    before = steps._compile.cache_info()
    fit_small(seed=2)
    after = steps._compile.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


def test_the_given_network_is_not_touched():
    network = transformer_for(MODEL, SMALL)
    before = [np.array(leaf) for leaf in jax.tree.leaves(network)]
    result = fit_small(network)
    for leaf, kept, trained in zip(
        jax.tree.leaves(network), before, jax.tree.leaves(result.network), strict=True
    ):
        np.testing.assert_array_equal(leaf, kept)
        assert not np.array_equal(leaf, trained)


# -------------------------------------------------------------------- devices


class HalfAsked(Bijection):
    """A bijection in which questions count only where the outcome is zero."""

    def draw(self, *, key: bc.Key) -> bc.Batch:
        batch = super().draw(key=key)
        return eqx.tree_at(lambda b: b.supervised, batch, batch.outcomes == 0)


def gradients_on(num_devices: int, model: Bijection, table: Array) -> Gradients:
    """Return the sums of a batch of eight, spread over some devices."""
    training = Training(
        num_steps=1,
        batch_size=8,
        optimiser=bc.AdamW(),
        objective="sampled",
        num_devices=num_devices,
    )
    problem, params = pose([Table(table)], model, bc.derive_oracle(model), training)

    def of_device(params: Table, key: bc.Key) -> Gradients:
        first = jax.tree.map(lambda leaf: leaf[0], params)
        return add_over_devices(sum_gradients(problem, first, jnp.int32(0), key=key, spread=True))

    mapped = jax.shard_map(
        of_device, mesh=problem.mesh, in_specs=P(), out_specs=P(), check_vma=False
    )
    return jax.jit(mapped)(params, jax.random.key(0))


@on_host_devices
def test_batch_loss_and_gradient_do_not_depend_on_the_number_of_devices():
    table = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    one, two = (gradients_on(num_devices, HalfAsked(3), table) for num_devices in (1, 2))
    assert 0 < float(one[1].weight) < 16, "some of the 8 * 2 questions count"
    # Another batch, or a missing half, would differ by about 0.1.
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@on_host_devices
def test_training_on_two_devices_equals_training_on_one():
    two = fit_small()
    one = fit_small(training=dataclasses.replace(FEW, num_devices=1))
    assert (one.num_devices, two.num_devices) == (1, 2)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-4)
    assert one.flops_per_step == two.flops_per_step


@pytest.mark.parametrize(
    ("num_seeds", "batch_size", "num_devices", "shape"),
    [
        (1, 8, 1, (1, 1)),
        (1, 8, 2, (1, 2)),
        (1, 7, 2, None),
        (2, 7, 2, (2, 1)),
        (4, 8, 2, (2, 1)),
        (3, 8, 2, (1, 2)),
        (2, 8, 8, (2, 4)),
        (6, 8, 8, (2, 4)),
        (6, 6, 8, None),
        (16, 1, 8, (8, 1)),
    ],
)
def test_work_is_shared_by_seeds_first(num_seeds, batch_size, num_devices, shape):
    assert share_work(num_seeds, batch_size, num_devices) == shape


@on_host_devices
@pytest.mark.parametrize(
    ("num_seeds", "batch_size", "rows", "columns"), [(1, 8, 1, 2), (4, 7, 2, 1), (3, 7, 1, 1)]
)
def test_a_mesh_takes_as_many_devices_as_can_share_the_work(
    num_seeds: int, batch_size: int, rows: int, columns: int
):
    mesh = training_mesh(num_seeds, batch_size)
    assert dict(mesh.shape) == {SEED_AXIS: rows, BATCH_AXIS: columns}


@on_host_devices
def test_devices_that_are_not_there_or_cannot_share_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"^num_devices: expected at most 2, .* got 3$"):
        fit_small(training=dataclasses.replace(FEW, num_devices=3))
    with pytest.raises(ValueError, match=r"^num_devices: expected .* share 7 sequences .* got 2;"):
        fit_small(training=dataclasses.replace(FEW, batch_size=7, num_devices=2))
    halves = dataclasses.replace(FEW, batch_size=6, accumulate=2, num_devices=2)
    with pytest.raises(ValueError, match=r"share 3 sequences at once of each seed \(seeds: 1\)"):
        fit_small(training=halves)


@on_host_devices
def test_arrays_may_lie_on_any_device():
    away = jax.devices()[1]
    network = jax.device_put(transformer_for(MODEL, SMALL), away)
    key = jax.device_put(jax.random.key(0), away)
    result = fit(network, MODEL, ORACLE, key=key, training=FEW, progress=False)
    np.testing.assert_array_equal(result.loss, fit_small().loss)


# ------------------------------------------------------------------- learning


def test_learns_a_coin():
    length = 4
    model = beta_bernoulli(length)
    oracle = bc.derive_oracle(model)
    network = transformer_for(model, small_config(1, 2, 8, 16))
    training = Training(num_steps=400, batch_size=32, optimiser=bc.Muon(learning_rate=1e-2))
    result = fit(network, model, oracle, key=jax.random.key(0), training=training, progress=False)
    assert result.objective == "rao_blackwell"
    tosses = np.array(list(itertools.product([0, 1], repeat=length)))
    inputs = model.batch_from_sites({"token": jnp.asarray(tosses)}).inputs
    answers = jax.nn.softmax(result.network(inputs)[:, model.asked_positions])
    ones = np.cumsum(tosses, axis=1) - tosses
    laplace = (1.0 + ones) / (2.0 + np.arange(length))
    # Runs end with probabilities off by some 1e-5; an untrained network is off by 0.2.
    np.testing.assert_allclose(answers[..., 1], laplace, atol=1e-3)
    assert result.excess[0] > 0.03
    assert np.mean(result.excess[-50:]) < 1e-5


def test_what_a_fit_tells():
    result = fit_small()
    assert result.outcome == "completed"
    assert result.objective == "rao_blackwell"
    assert result.loss.shape == result.excess.shape == (12,)
    assert result.training == FEW
    assert (result.excess > 0).all()
    # The loss is the excess above the floor: the mean of log 3 and log 2.
    np.testing.assert_allclose(result.loss - result.excess, np.log(6.0) / 2, rtol=1e-5)
    assert result.tokens_per_step == 8 * 3
    assert (result.sequences_per_step, result.num_steps) == (8, 12)
    assert result.averaged is None
    assert result.num_parameters == sum(leaf.size for leaf in jax.tree.leaves(result.network))
    assert result.seconds > 0
    assert np.isfinite(result.flops_per_step)
    # Six operations for each weight of a matrix and each token, at the very least.
    assert result.flops_per_step > 6 * 8 * 3 * (4 * 16 + 2 * 24)


def test_progress_is_shown_in_bits_above_the_floor(capsys: pytest.CaptureFixture[str]):
    key = jax.random.key(0)
    fit(Table.zeros(MODEL), MODEL, ORACLE, key=key, training=FEW, description="seed 1 of 2")
    said = capsys.readouterr().err
    assert "seed 1 of 2" in said
    assert "12/12" in said
    assert re.search(r"0\.\d{5} bits above the entropy floor", said)


# ----------------------------------------------------------------- objectives


@pytest.fixture
def slow_oracle(monkeypatch: pytest.MonkeyPatch) -> bc.Oracle:
    """An oracle that cannot be compiled, and fails the test if it is asked."""
    certificate = dataclasses.replace(ORACLE.certificate, jittable=False)
    oracle = bc.Oracle(model=MODEL, engine=ORACLE.engine, certificate=certificate)

    def refuse(*_: object) -> None:
        raise AssertionError("an oracle that cannot be compiled was asked in a compiled step")

    monkeypatch.setattr(type(oracle), "__call__", refuse)
    return oracle


def test_training_without_an_oracle_is_sampled():
    result = fit_small(Table.zeros(MODEL), oracle=None, steps=6)
    assert result.training == dataclasses.replace(FEW, num_steps=6)
    assert result.loss.shape == (6,)
    assert result.objective == "sampled"
    assert np.isfinite(result.loss).all()
    assert np.isnan(result.excess).all()


def test_an_oracle_that_cannot_be_compiled_is_not_asked(slow_oracle: bc.Oracle):
    result = fit_small(Table.zeros(MODEL), oracle=slow_oracle, steps=6)
    assert result.objective == "sampled"
    assert np.isnan(result.excess).all()


def test_the_objective_is_chosen_by_the_oracle(slow_oracle: bc.Oracle):
    assert choose_objective(Training(), ORACLE) == "rao_blackwell"
    assert choose_objective(Training(), slow_oracle) == "sampled"
    assert choose_objective(Training(), None) == "sampled"
    assert choose_objective(Training(objective="sampled"), ORACLE) == "sampled"
    wanted = Training(objective="rao_blackwell")
    with pytest.raises(ValueError, match=r"^objective: expected an oracle .* got none$"):
        choose_objective(wanted, None)
    with pytest.raises(ValueError, match=r"got 'closed form', which cannot$"):
        choose_objective(wanted, slow_oracle)


# ----------------------------------------------------------------- divergence


class Root(eqx.Module):
    """Finite everywhere, with a gradient that is NaN at zero."""

    weight: Float[Array, "token outcome"]

    def __call__(self, tokens: Array) -> Array:
        return jnp.sqrt(self.weight**2)[tokens]


def test_a_loss_that_is_not_finite_stops_training_and_says_what_to_try():
    wild = dataclasses.replace(FEW, optimiser=bc.AdamW(learning_rate=1e38, warmup=0.0))
    with pytest.raises(TrainingDivergedError) as caught:
        fit_small(training=wild)
    told = str(caught.value)
    assert re.match(r"training diverged: the loss is (nan|inf) at step [1-5]; try a lower", told)
    assert "learning_rate (it was 1e+38), a longer warmup, or a smaller clip" in told
    assert "\n" not in told
    result = fit_small(training=wild, throw=False)
    assert result.outcome == "diverged"
    assert not np.isfinite(result.loss[-1]), "the history ends where it went wrong"
    assert np.isfinite(result.loss[:-1]).all()
    assert result.num_steps == result.loss.size < 6
    for leaf in jax.tree.leaves(result.network):
        assert np.isfinite(leaf).all(), "the last good weights"


def test_a_weight_that_is_not_finite_stops_training_before_it_is_saved(tmp_path):
    root = Root(jnp.zeros((6, 3)))
    path = tmp_path / "seed.ckpt"
    settings = {"training": dataclasses.replace(FEW, chunk_size=1, checkpoint_every=1)}
    with pytest.raises(TrainingDivergedError, match="a weight is not finite after step 0; try"):
        fit_small(root, checkpoint=path, **settings)
    assert not path.exists()


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "name",
    [
        "num_steps",
        "batch_size",
        "chunk_size",
        "checkpoint_every",
        "accumulate",
        "horizon",
        "seeds_at_once",
        "num_devices",
    ],
)
def test_sizes_of_zero_are_refused(name: str):
    with pytest.raises(ValueError, match=f"^{name}: expected at least 1, got 0$"):
        Training(**{name: 0})


def test_steps_of_zero_are_refused():
    with pytest.raises(ValueError, match=r"^num_steps: expected at least 1, got 0$"):
        fit_small(steps=0)


def test_a_network_for_another_model_is_refused():
    with pytest.raises(ValueError, match=r"^network: expected logits of shape \(3, 3\)"):
        fit_small(Table(jnp.zeros((6, 4))))


def test_a_function_without_arrays_is_refused():
    table = jnp.zeros((6, 3))
    with pytest.raises(ValueError, match=r"^network: expected a module with trainable arrays"):
        fit_small(lambda tokens: table[tokens])
