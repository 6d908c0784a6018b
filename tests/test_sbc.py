"""Simulation-based calibration: it fires on what is wrong, and on nothing else."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array
from scipy import stats

import bayescmp as bc
from bayescmp.auditing import LatentDraws, LatentTable, simulate_calibration
from bayescmp.auditing.sbc import SimulatedCalibration
from bayescmp.auditing.sbc_chains import sample_beliefs
from bayescmp.auditing.sbc_density import Density
from bayescmp.auditing.sbc_exact import exact_beliefs
from bayescmp.auditing.sbc_groups import sbc_groups
from bayescmp.auditing.sbc_observed import draw_beginning_with
from bayescmp.measures.ranks import judge_places, place_in_table, place_ranks, rank_draws
from bayescmp.models import Bijection, beta_bernoulli
from bayescmp.montecarlo.nuts import NutsSettings
from bayescmp.montecarlo.smc import SmcSettings
from bayescmp.montecarlo.target import build_target
from bayescmp.records import Batch

LENGTH = 6
COIN = beta_bernoulli(length=LENGTH)
QUICK = NutsSettings(num_chains=2, num_warmup=100, num_draws=100)
RNG = np.random.default_rng(0)
HALVES = np.full((1, 2), 0.5)


@pytest.fixture(scope="module")
def coin() -> bc.Oracle:
    return bc.derive_oracle(COIN)


# ---------------------------------------------------------------- ranks and places


def test_ranks_count_smaller_draws_and_share_ties_evenly():
    draws = RNG.integers(0, 4, (3_000, 5))
    truth = RNG.integers(0, 4, 3_000)
    ranks = rank_draws(truth, draws, RNG)
    for value, row, rank in zip(truth[:200], draws[:200], ranks[:200], strict=True):
        below = sum(other < value for other in row)
        assert below <= rank <= below + sum(other == value for other in row)
    # Truth and draws are alike, so all six ranks are equally likely: 500 each, error 20.
    assert np.all(np.abs(np.bincount(ranks, minlength=6) - 500) < 5 * 20.4)


def test_places_in_a_table_are_the_randomised_distribution_function():
    probs, truth = RNG.dirichlet(np.ones(4), 50), RNG.integers(0, 4, 50)
    places = place_in_table(truth, probs, RNG)
    order = RNG.integers(0, 2, (50, 4)).astype(float)  # ties between states
    ordered = place_in_table(truth, probs, RNG, order)
    for row, state, place, other, place_by in zip(
        probs, truth, places, order, ordered, strict=True
    ):
        low = sum(row[:state])
        assert low <= place <= low + row[state]
        low = sum(p for p, f in zip(row, other, strict=True) if f < other[state])
        equal = sum(p for p, f in zip(row, other, strict=True) if f == other[state])
        assert low <= place_by <= low + equal


def test_randomisation_is_what_keeps_discrete_truths_silent():
    # A coin that shows its side with 80 %: two states, so few places that they would look wrong.
    probs = np.where(RNG.random(1_000)[:, None] < 0.5, [0.2, 0.8], [0.8, 0.2])
    truth = (RNG.random(1_000) < probs[:, 1]).astype(int)
    assert judge_places(place_in_table(truth, probs, RNG)).p_value > 0.01
    assert judge_places(np.take_along_axis(probs.cumsum(1), truth[:, None], 1)[:, 0]).p_value < 1e-9


def test_ranks_among_few_draws_stay_silent():
    ranks = rank_draws(RNG.random(2_000), RNG.random((2_000, 9)), RNG)
    assert judge_places(place_ranks(ranks, 9, RNG)).p_value > 0.01


def test_errors_are_in_points_with_the_right_sign():
    grid = (np.arange(2_000) + 0.5) / 2_000
    narrow = judge_places(stats.beta(0.5, 0.5).ppf(grid))
    wide = judge_places(stats.beta(2.0, 2.0).ppf(grid))
    shifted = judge_places(grid**2)
    # Coverage of central 90 % intervals and the greatest gap, from the distributions themselves;
    # 2,000 places put both ends within 0.05 points.
    inside = np.diff(stats.beta(0.5, 0.5).cdf([0.05, 0.95]))[0]
    assert narrow.interval_error == pytest.approx(100 * (inside - 0.9), abs=0.1)
    inside = np.diff(stats.beta(2.0, 2.0).cdf([0.05, 0.95]))[0]
    assert wide.interval_error == pytest.approx(100 * (inside - 0.9), abs=0.1)
    assert shifted.coverage_error == pytest.approx(25.0, abs=0.1)  # of sqrt(z) - z, at 1/4
    assert shifted.noise == pytest.approx(100 * stats.kstwo.ppf(0.95, 2_000))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: rank_draws(np.zeros(2), np.zeros((2, 0)), RNG), "draws: expected at least one"),
        (lambda: rank_draws(np.zeros(1), np.full((1, 2), np.nan), RNG), "draws: expected numbers"),
        (lambda: rank_draws(np.full(1, np.nan), np.zeros((1, 2)), RNG), "truth: expected numbers"),
        (lambda: place_in_table(np.zeros(1, int), np.full((1, 2), 0.4), RNG), "probs: expected"),
        (
            lambda: place_in_table(np.zeros(1, int), HALVES, RNG, np.nan * HALVES),
            "order: expected numbers",
        ),
    ],
)
def test_numbers_that_have_no_rank_are_refused(act, message: str):
    with pytest.raises(ValueError, match=message):
        act()


# ---------------------------------------------------------------- exact oracles


def test_exact_oracles_are_silent(coin: bc.Oracle):
    for number, oracle in enumerate((coin, bc.derive_oracle(Bijection(size=4)))):
        found = simulate_calibration(oracle, key=jax.random.key(number + 1), num_replicates=500)
        assert found.p_value > 0.01
        assert found.num_draws == 0
        assert all(one.coverage_error < 2 * one.noise for one in found.found)


def test_exact_places_are_the_beta_distribution(coin: bc.Oracle):
    batch = COIN.sample(5, key=jax.random.key(0))
    beliefs = exact_beliefs(coin, batch, position=LENGTH - 1)
    heads = np.asarray(batch.outcomes)[:, :-1].sum(axis=1)
    expected = stats.beta.cdf(np.asarray(batch.latents["bias"]), 1 + heads, LENGTH - heads)
    np.testing.assert_allclose(beliefs.laws["bias"].places, expected, rtol=1e-5)


def test_prior_before_any_question_is_silent(coin: bc.Oracle):
    found = simulate_calibration(coin, key=jax.random.key(3), num_replicates=500, position=0)
    assert found.p_value > 0.05


# ---------------------------------------------------------------- posteriors with a defect


def coin_posterior(defect: str, num_draws: int = 60):
    """Return the coin's posterior given all tosses but the last, with one defect."""

    def posterior(batch: Batch, key: Array) -> Mapping[str, LatentDraws]:
        rng = np.random.default_rng(int(jax.random.bits(key)))
        tosses = np.asarray(batch.outcomes)[:, : LENGTH - 1]
        tosses = tosses[:, :-1] if defect == "dropped observation" else tosses
        tosses = 1 - tosses if defect == "swapped classes" else tosses
        prior = {"prior shifted": (3.0, 1.0 / 3.0)}.get(defect, (1.0, 1.0))
        power = 1.0 / float(defect.split()[1]) if defect.startswith("temperature") else 1.0
        ones = prior[0] + power * tosses.sum(axis=1)
        zeros = prior[1] + power * (1 - tosses).sum(axis=1)
        if defect == "data-blind":
            ones, zeros = np.ones((2, len(tosses)))
        return {
            "bias": LatentDraws(rng.beta(ones[:, None], zeros[:, None], (len(ones), num_draws)))
        }

    return posterior


def check(defect: str, oracle: bc.Oracle, num: int, key: int = 0) -> SimulatedCalibration:
    subject = coin_posterior(defect)
    return simulate_calibration(subject, oracle, key=jax.random.key(key), num_replicates=num)


def test_right_posterior_is_silent(coin: bc.Oracle):
    found = check("none", coin, 4_000)
    assert found.names == ("bias", "log likelihood")
    assert found.p_value > 0.05


# At six tosses the coin says less than the die of the benchmark: temperatures take more
# replicates. The likelihood sees all five.
@pytest.mark.parametrize(
    "defect",
    [
        "temperature 0.8",
        "temperature 1.25",
        "prior shifted",
        "dropped observation",
        "swapped classes",
    ],
)
def test_each_defect_fires(coin: bc.Oracle, defect: str):
    assert check(defect, coin, 4_000).p_value < 0.01


@pytest.mark.parametrize("defect", ["data-blind", "dropped observation"])
def test_right_given_less_passes_for_latents_and_fails_for_the_likelihood(
    coin: bc.Oracle, defect: str
):
    found = check(defect, coin, 4_000)
    latents, likelihood = found.found
    assert latents.p_value > 0.05
    assert likelihood.p_value < 1e-3
    assert found.oddest == "log likelihood"


def test_data_blind_table_is_caught_by_the_exact_posterior():
    model = Bijection(size=3)
    oracle = bc.derive_oracle(model)

    def uniform(batch: Batch, key: Array) -> Mapping[str, LatentTable]:
        return {"mapping": LatentTable(np.full((batch.outcomes.shape[0], 3, 3), 1 / 3))}

    found = simulate_calibration(uniform, oracle, key=jax.random.key(0), num_replicates=500)
    by_name = dict(zip(found.names, found.found, strict=True))
    assert min(by_name[f"mapping[{k}]"].p_value for k in range(3)) > 0.01
    assert max(by_name[f"log posterior of mapping[{k}]"].p_value for k in range(3)) < 1e-9


# ---------------------------------------------------------------- chains


def swapped_coin(length: int) -> None:
    """Toss a coin whose sides may have been exchanged."""
    bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
    swap = numpyro.sample("swap", dist.Bernoulli(0.3))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(jnp.where(swap == 1, 1.0 - bias, bias)))


def test_density_sums_over_discrete_latents():
    model = bc.GenerativeModel(swapped_coin, "token", length=3)
    density = Density(build_target(model), 2)
    assert not density.is_direct
    with jax.enable_x64(True):
        found = density.log_likelihood({"bias": jnp.array(0.2)}, {"token": jnp.array([1, 1, 0])})
    # Two ones were shown before the last question.
    assert float(found) == pytest.approx(np.log(0.7 * 0.2**2 + 0.3 * 0.8**2), rel=1e-6)


def test_direct_density_is_prior_times_likelihood():
    density = Density(build_target(COIN), 4)
    tosses = np.array([1, 1, 0, 1, 0, 0])
    assert density.is_direct
    with jax.enable_x64(True):
        sites = {"token": jnp.array(tosses)}
        found = [float(density.log_posterior(jnp.array([x]), sites)) for x in (-0.7, 1.1)]
        bias = 1.0 / (1.0 + np.exp(-np.array([-0.7, 1.1])))
        likelihood = 3 * np.log(bias) + np.log1p(-bias)  # four tosses were shown
        expected = likelihood + np.log(bias) + np.log1p(-bias)  # and the volume of the log odds
        latents = {"bias": jnp.array(bias[0])}
        # The program's constants and its Beta law are in 64 bits: 1e-10, and room for log gamma.
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        assert float(density.log_likelihood(latents, sites)) == pytest.approx(likelihood[0])
        np.testing.assert_allclose(
            density.log_next(latents, sites), np.log([1 - bias[0], bias[0]]), rtol=1e-8
        )


def test_chains_place_the_truth_where_the_exact_posterior_does(coin: bc.Oracle):
    batch = COIN.sample(60, key=jax.random.key(1))
    target, position = build_target(COIN), LENGTH - 1
    beliefs = sample_beliefs(target, QUICK, batch, position, key=jax.random.key(2))
    kept = beliefs.laws["bias"].values
    exact = exact_beliefs(coin, batch, position).laws["bias"].places
    shares = np.mean(kept < np.asarray(batch.latents["bias"])[:, None], axis=1)
    # Thinned draws are nearly independent: the share has the error of so many coin tosses.
    # The mean over 60 replicates of squared errors in units of it is 1, with error sqrt(2/60).
    error = (shares - exact) ** 2 / (exact * (1.0 - exact) / kept.shape[1])
    assert np.mean(error) < 1.0 + 5 * np.sqrt(2 / 60)
    assert 1.0 < beliefs.worst_r_hat < 1.2
    assert beliefs.thinning == np.ceil(200 / beliefs.least_ess)


def test_chains_are_silent(coin: bc.Oracle):
    found = simulate_calibration(QUICK, coin, key=jax.random.key(5), num_replicates=60)
    assert found.names == ("bias", "log likelihood", "next outcome")
    assert found.p_value > 0.05
    assert found.num_draws == 2 * int(np.ceil(100 / found.thinning))


# ---------------------------------------------------------------- given an observation


def test_replicates_begin_as_observed():
    seen = COIN.batch_from_sites({"token": jnp.array([1, 1, 0, 0, 0, 0])}, lengths=3)
    batch = draw_beginning_with(COIN, seen, 2_000, key=jax.random.key(0))
    np.testing.assert_array_equal(batch.outcomes[:, :3], np.tile([1, 1, 0], (2_000, 1)))
    # The bias of such replicates is Beta(3, 2): exact draws from the posterior given them.
    bias = np.asarray(batch.latents["bias"], float)
    assert stats.kstest(bias, stats.beta(3, 2).cdf).pvalue > 0.01


def test_posterior_calibration_is_silent_and_fires(coin: bc.Oracle):
    seen = COIN.batch_from_sites({"token": jnp.array([1, 1, 1, 0, 0, 0])}, lengths=3)
    keys = jax.random.split(jax.random.key(6))
    right = simulate_calibration(coin, key=keys[0], num_replicates=500, observed=seen)
    assert right.num_observed == 3
    assert right.p_value > 0.05
    wrong = simulate_calibration(
        coin_posterior("temperature 0.8"), coin, key=keys[1], num_replicates=4_000, observed=seen
    )
    assert wrong.p_value < 0.01
    assert list(sbc_groups([right])) == ["/sbc", "/posterior_sbc"]


@pytest.mark.parametrize(
    ("tosses", "lengths", "message"),
    [
        ([1] * 6, 6, "observed: expected from 1 to 5 questions"),
        ([[1] * 6] * 2, [3, 3], "observed: expected one sequence"),
    ],
)
def test_bad_observations_get_one_line(tosses: list, lengths: int | list, message: str):
    seen = COIN.batch_from_sites({"token": jnp.array(tosses)}, lengths=jnp.array(lengths))
    with pytest.raises(ValueError, match=message):
        draw_beginning_with(COIN, seen, 10, key=jax.random.key(0))


def test_rare_and_continuous_observations_get_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bayescmp.auditing.sbc_observed.MOST_ROUNDS", 1)
    monkeypatch.setattr("bayescmp.auditing.sbc_observed.ROUND", 64)
    seen = COIN.batch_from_sites({"token": jnp.array([1] * 6)}, lengths=5)
    with pytest.raises(ValueError, match="among 64 sequences"):
        draw_beginning_with(COIN, seen, 1_000, key=jax.random.key(0))
    model = bc.models.logistic_regression(num_features=1, length=3)
    shown = jax.tree.map(lambda x: x[0], model.sample(1, key=jax.random.key(0)))
    shown = Batch(
        shown.inputs, shown.outcomes, jnp.array([True, False, False]), shown.shown, shown.latents
    )
    with pytest.raises(ValueError, match="discrete values, got the continuous"):
        draw_beginning_with(model, shown, 10, key=jax.random.key(0))


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_replicates": 5}, "num_replicates: expected at least 20"),
        ({"position": 6}, "position: expected 0 .. 5, got 6"),
        ({"quantities": ("bias",)}, "quantities: expected some of"),
        ({"quantities": ()}, "quantities: expected some of"),
        ({"quantities": ("posterior",)}, "quantities: expected some that the subject has"),
    ],
)
def test_bad_arguments_get_one_line(coin: bc.Oracle, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        simulate_calibration(coin, key=jax.random.key(0), **{"num_replicates": 20, **options})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"luck": LatentDraws(np.zeros((20, 3)))}, "subject: expected laws of .*luck"),
        ({}, "subject: expected laws of"),
        ({"bias": LatentDraws(np.zeros((19, 3)))}, "subject: expected one law of 'bias'"),
        ({"bias": LatentDraws(np.full((20, 3), np.nan))}, "draws: expected numbers, got NaN"),
    ],
)
def test_bad_answers_get_one_line(coin: bc.Oracle, answer: dict, message: str):
    with pytest.raises(ValueError, match=message):
        simulate_calibration(
            lambda batch, key: answer, coin, key=jax.random.key(0), num_replicates=20
        )


def test_subjects_that_cannot_be_asked_get_one_line(coin: bc.Oracle):
    with pytest.raises(ValueError, match="oracle: expected one of the model"):
        simulate_calibration(coin_posterior("none"), key=jax.random.key(0))
    sampled = bc.montecarlo.MonteCarloOracle(
        model=COIN,
        settings=SmcSettings(),
        key=jax.random.key(0),
        certificate=coin.certificate,
    )
    with pytest.raises(ValueError, match="subject: expected chains, got SMC"):
        simulate_calibration(sampled, key=jax.random.key(0), num_replicates=20)
