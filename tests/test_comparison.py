"""A comparison says what it should of predictors whose distance from exact is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayescmp as bc
from bayescmp.comparison.evaluation import answer_exactly, ask, draw_evaluation, measure
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli

SIZE = 5
SMALL = bc.TransformerConfig(num_layers=2, num_heads=2, model_size=8, mlp_size=16)


class Swapped(bc.AbstractPredictor):
    """The exact law of a coin with its outcomes exchanged: right entropy, wrong law."""

    oracle: bc.Oracle
    name: str = eqx.field(static=True, default="swapped")

    def log_predictive(self, batch: bc.Batch) -> jax.Array:
        return self.oracle(batch).log_predictive[..., ::-1]


class Tempered(bc.AbstractPredictor):
    """The exact law raised to a power and normalised: overconfident above one."""

    oracle: bc.Oracle
    power: float
    name: str = eqx.field(static=True, default="tempered")

    def log_predictive(self, batch: bc.Batch) -> jax.Array:
        return jax.nn.log_softmax(self.power * self.oracle(batch).log_predictive, axis=-1)


@pytest.fixture(scope="module")
def bijection_oracle() -> bc.Oracle:
    return bc.derive_oracle(Bijection(size=SIZE))


@pytest.fixture(scope="module")
def coin_oracle() -> bc.Oracle:
    return bc.derive_oracle(beta_bernoulli(length=8))


def scalars(tree: xr.DataTree) -> dict[str, float]:
    group = tree["/divergence"].to_dataset()
    return {str(name): float(row[0]) for name, row in group.items() if row.dims == ("seed",)}


def test_the_oracle_is_at_distance_zero_from_itself(bijection_oracle: bc.Oracle):
    tree = bc.compare(bijection_oracle, bijection_oracle, key=jax.random.key(0), num_sequences=64)
    found = scalars(tree)
    assert found.pop("mean_argmax_agreement") == 1.0
    # Two evaluations of one float64 formula differ by rounding alone, 1e-16 a term.
    assert all(abs(value) < 1e-12 for value in found.values()), found
    assert "/layers" not in tree.groups, "an oracle has no layers to look at"


def test_uniform_is_at_its_known_distance(bijection_oracle: bc.Oracle):
    tree = bc.compare(bijection_oracle, bijection_oracle, key=jax.random.key(0), num_sequences=64)
    uniform = tree["/ladder"].sel(rung="uniform")
    positions = np.arange(SIZE - 1)
    # KL of uniform over SIZE - t values from uniform over SIZE values, at every sequence;
    # log(1/5) is stored in 32 bits, which leaves 1e-7 relative.
    np.testing.assert_allclose(uniform["kl"], np.log2(SIZE / (SIZE - positions)), atol=1e-6)
    np.testing.assert_allclose(uniform["impossible_mass"], positions / SIZE, atol=1e-6)
    np.testing.assert_allclose(uniform["mean_kl"], uniform["kl"].mean(), rtol=1e-12)


def test_right_entropy_and_wrong_law_is_rejected(coin_oracle: bc.Oracle):
    found = scalars(bc.compare(Swapped(coin_oracle), coin_oracle, key=jax.random.key(0)))
    assert found["entropy_mae_a"] < 1e-12
    assert found["entropy_mae_b"] < 1e-12
    assert found["mean_kl"] > 0.1
    assert found["mean_total_variation"] > 0.1


def test_kl_is_the_expectation_of_excess_log_loss(coin_oracle: bc.Oracle):
    tree = bc.compare(
        Tempered(coin_oracle, 1.5), coin_oracle, key=jax.random.key(0), num_sequences=4_096
    )
    group = tree["/divergence"]
    evaluation = draw_evaluation(coin_oracle, 4_096, key=jax.random.split(jax.random.key(0))[0])
    log_q = ask(Tempered(coin_oracle, 1.5), evaluation)
    drawn = np.asarray(evaluation.batch.outcomes)[..., None]
    excess = np.take_along_axis(evaluation.log_p - log_q, drawn, axis=-1)[..., 0] / np.log(2)
    error = excess.mean(axis=1).std(ddof=1) / np.sqrt(len(excess))
    assert abs(group["mean_excess_log_loss"][0] - group["mean_kl"][0]) < 5 * error
    np.testing.assert_allclose(group["mean_excess_log_loss"][0], excess.mean(), rtol=1e-10)


def test_calibration_fires_on_an_overconfident_predictor_alone(coin_oracle: bc.Oracle):
    fired, silent = (
        bc.compare(
            Tempered(coin_oracle, power), coin_oracle, key=jax.random.key(1), num_sequences=4_096
        )["/calibration"]
        for power in (2.0, 1.0)
    )
    assert fired["exact_ece"][0] > 0.03
    assert silent["exact_ece"][0] < 1e-12
    counted = silent["count"][0] > 0
    covered = (silent["observed_low"] <= silent["predicted"]) & (
        silent["predicted"] <= silent["observed_high"]
    )
    # 15 bins at 95 %: five or more misses have a probability below 1e-3.
    assert int((~covered[0] & counted).sum()) < 5


def test_seeds_are_rows_and_share_their_sequences(bijection_oracle: bc.Oracle):
    networks = [
        bc.Transformer.for_model(bijection_oracle.model, SMALL, key=jax.random.key(seed))
        for seed in (0, 1)
    ]
    both = bc.compare(networks, bijection_oracle, key=jax.random.key(2), num_sequences=32)
    alone = bc.compare(networks[1], bijection_oracle, key=jax.random.key(2), num_sequences=32)
    assert both["/divergence"].sizes["seed"] == 2
    np.testing.assert_array_equal(both["/divergence/kl"][1], alone["/divergence/kl"][0])


def test_the_last_lens_is_the_output(bijection_oracle: bc.Oracle):
    network = bc.Transformer.for_model(bijection_oracle.model, SMALL, key=jax.random.key(0))
    tree = bc.compare(network, bijection_oracle, key=jax.random.key(2), num_sequences=300)
    layers = tree["/layers"]
    assert layers.sizes["layer"] == SMALL.num_layers + 1
    assert float(layers["kl_to_output"].isel(layer=-1).max()) < 1e-9
    # 300 sequences span two chunks. Logits differ by float32 rounding between two programs.
    np.testing.assert_allclose(
        layers["kl"].isel(layer=-1, seed=0), tree["/divergence/kl"][0], rtol=1e-4, atol=1e-6
    )
    pattern = layers["attention_pattern"].values
    np.testing.assert_allclose(pattern.sum(axis=-1), 1.0, atol=1e-5)
    assert np.all(np.triu(pattern, k=1) == 0), "attention looks into the future"
    bound = np.log2(np.arange(1, pattern.shape[-1] + 1))
    assert np.all(layers["attention_entropy"].values <= bound + 1e-5)


def test_any_callable_can_be_compared(bijection_oracle: bc.Oracle):
    def uniform(inputs: jax.Array) -> jax.Array:
        return jnp.zeros((inputs.shape[0], SIZE))

    tree = bc.compare(uniform, bijection_oracle, key=jax.random.key(0), num_sequences=32)
    ladder = tree["/ladder"].sel(rung="uniform")
    np.testing.assert_allclose(tree["/divergence/kl"][0], ladder["kl"], atol=1e-6)
    assert "/layers" not in tree.groups


def test_a_tree_survives_the_disk_and_makes_a_report(bijection_oracle: bc.Oracle, tmp_path):
    network = bc.Transformer.for_model(bijection_oracle.model, SMALL, key=jax.random.key(0))
    tree = bc.compare(network, bijection_oracle, key=jax.random.key(2), num_sequences=32)
    bc.validate_tree(tree)
    bc.save_tree(tree, tmp_path / "results.nc")
    assert bc.load_tree(tmp_path / "results.nc").identical(tree)
    page = bc.write_report(tree, tmp_path / "report.html").read_text()
    assert "bijection of 5" in page


@pytest.mark.parametrize("model", [Bijection(size=3), HiddenMarkov(2, 3, 4)], ids=str)
def test_examples_say_what_stands_where(model: bc.AbstractGenerativeModel):
    oracle = bc.derive_oracle(model)
    tree = bc.compare(oracle, oracle, key=jax.random.key(0), num_sequences=8)
    texts = tree["/observed_data/shown_text"].values
    assert texts.shape[1] == model.layout.input_length
    assert all(texts.ravel())


def test_supplied_sequences_that_are_impossible_are_named(bijection_oracle: bc.Oracle):
    sites = {"key": jnp.array([[0, 1, 2, 3]] * 2), "value": jnp.array([[0, 1, 2, 3], [0, 1, 1, 2]])}
    batch = bijection_oracle.model.batch_from_sites(sites)
    with pytest.raises(ValueError, match="sequence 1, position 2"):
        answer_exactly(bijection_oracle, batch)


def test_wrong_answers_are_refused(bijection_oracle: bc.Oracle):
    evaluation = draw_evaluation(bijection_oracle, 4, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"expected answers of shape \(4, 4, 5\)"):
        ask(lambda inputs: jnp.zeros((inputs.shape[0], 7)), evaluation)
    with pytest.raises(ValueError, match="NaN at sequence 0, position 0"):
        ask(lambda inputs: jnp.full((inputs.shape[0], SIZE), jnp.nan), evaluation)
    with pytest.raises(ValueError, match="at least one predictor"):
        bc.compare([], bijection_oracle, key=jax.random.key(0))
    with pytest.raises(ValueError, match="num_sequences: expected at least 2, got 1"):
        bc.compare(bijection_oracle, bijection_oracle, key=jax.random.key(0), num_sequences=1)


def test_unsupervised_positions_are_masked(bijection_oracle: bc.Oracle):
    evaluation = draw_evaluation(bijection_oracle, 16, key=jax.random.key(0))
    mask = jnp.ones((16, SIZE - 1), bool).at[:, -1].set(False)
    batch = eqx.tree_at(lambda b: b.supervised, evaluation.batch, mask)
    masked = answer_exactly(bijection_oracle, batch)
    log_q = np.full(masked.log_p.shape, -np.log(SIZE))
    measured = measure(log_q, masked)
    assert np.isnan(measured.kl[-1])
    positions = np.arange(SIZE - 2)
    expected = np.log2(SIZE / (SIZE - positions)).mean()
    np.testing.assert_allclose(measured.means["mean_kl"], expected, rtol=1e-12)


def test_a_run_that_diverged_keeps_the_history_it_has(bijection_oracle: bc.Oracle):
    network = bc.Transformer.for_model(bijection_oracle.model, SMALL, key=jax.random.key(0))
    short = np.full(3, np.nan, np.float32)
    result = bc.Fit(
        network=network,
        outcome="diverged",
        training=bc.Training(num_steps=100),
        objective="rao_blackwell",
        loss=short,
        excess=short,
        seconds=1.0,
        flops_per_step=1.0,
        tokens_per_step=1,
        num_devices=1,
        num_parameters=1,
    )
    key = jax.random.key(0)
    tree = bc.compare(network, bijection_oracle, key=key, num_sequences=8, fits=[result])
    assert tree["/training"].attrs["num_steps"] == 3
    assert np.isnan(tree["/training/loss"].values).all()
