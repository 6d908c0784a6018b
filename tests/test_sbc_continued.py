"""Replicates that the posterior under test makes itself, given an observation."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from complaints import unchecked
from jaxtyping import Array
from scipy import stats
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing import LatentDraws, LatentTable, simulate_calibration
from bayescmp.auditing.sbc import SimulatedCalibration
from bayescmp.auditing.sbc_continued import continue_sequences, draw_from_posterior
from bayescmp.auditing.sbc_groups import sbc_groups
from bayescmp.models import Bijection, Urns, beta_bernoulli, linear_regression, markov_chain
from bayescmp.montecarlo.nuts import NutsSettings
from bayescmp.records import Batch
from bayescmp.report.sbc import build_sbc_section
from bayescmp.results.tree import make_tree

LENGTH, NUM_SEEN = 6, 3
COIN = beta_bernoulli(length=LENGTH)
SEEN = COIN.batch_from_sites({"token": jnp.array([1, 1, 1, 0, 0, 0])}, lengths=NUM_SEEN)


@pytest.fixture(scope="module")
def coin() -> bc.Oracle:
    return bc.derive_oracle(COIN)


def coin_posterior(defect: str, num_draws: int = 60):
    """Return the coin's posterior given all tosses that count, with one defect."""

    def posterior(batch: Batch, key: Array) -> Mapping[str, LatentDraws]:
        rng = np.random.default_rng(int(jax.random.bits(key)))
        tosses, counts = np.asarray(batch.outcomes), np.asarray(batch.supervised)
        if defect == "dropped observation":
            counts = counts & (np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] > 1)
        tosses = 1 - tosses if defect == "swapped classes" else tosses
        prior = (3.0, 1.0 / 3.0) if defect == "prior shifted" else (1.0, 1.0)
        power = 1.0 / float(defect.split()[1]) if defect.startswith("temperature") else 1.0
        power = 0.0 if defect == "data-blind" else power
        ones, zeros = (power * np.sum(counts & (tosses == k), axis=1) for k in (1, 0))
        shape = (len(tosses), num_draws)
        values = rng.beta(prior[0] + ones[:, None], prior[1] + zeros[:, None], shape)
        return {"bias": LatentDraws(values)}

    return posterior


def check(subject, oracle: bc.Oracle, num: int, seed: int = 0, **options) -> SimulatedCalibration:
    given = {"observed": SEEN, "replicates": "posterior", **options}
    return simulate_calibration(
        subject, oracle, key=jax.random.key(seed), num_replicates=num, **given
    )


# ---------------------------------------------------------------- what is drawn


def test_latents_come_from_the_posterior_and_sequences_go_on_from_them(coin: bc.Oracle):
    batch = draw_from_posterior(coin, COIN, SEEN, 4_000, key=jax.random.key(1))
    bias, tosses = np.asarray(batch.latents["bias"], float), np.asarray(batch.outcomes)
    assert stats.kstest(bias, stats.beta(1 + NUM_SEEN, 1).cdf).pvalue > 0.01
    np.testing.assert_array_equal(tosses[:, :NUM_SEEN], 1)
    # Given the bias, tosses are independent: standardised sums have variance one. The variance of
    # 12,000 products of independent standardised tosses is known within 3 %; five errors.
    apart = (tosses[:, NUM_SEEN:] - bias[:, None]) / np.sqrt(bias * (1.0 - bias))[:, None]
    assert abs(apart.mean()) < 5 / np.sqrt(apart.size)
    product = apart[:, :-1] * apart[:, 1:]
    assert abs(product.mean()) < 5 * product.std() / np.sqrt(product.size)
    assert np.all(np.asarray(batch.supervised))


def test_steps_that_lean_on_earlier_ones_go_on_from_what_was_seen():
    model = markov_chain(num_states=3, length=5)
    names = sorted(set(model.sites) - {model.layout.outcome.name})
    drawn = model.sample(1, key=jax.random.key(0))
    one = jax.tree.map(lambda x: x[0], drawn)
    outcome = model.layout.outcome.name
    seen = model.batch_from_sites({outcome: jnp.array([2, 0, 0, 0, 0])}, lengths=1)
    num = 6_000
    latents = {name: np.repeat(np.asarray(one.latents[name])[None], num, axis=0) for name in names}
    batch = continue_sequences(model, seen, latents, key=jax.random.key(1))
    states = np.asarray(batch.outcomes)
    rows = next(x[0] for x in latents.values() if x.shape[1:] == (3, 3))
    assert (states[:, 0] == 2).all()
    for step in range(4):
        for state in range(3):
            came = states[states[:, step] == state, step + 1]
            if not came.size:
                continue
            share = np.bincount(came, minlength=3) / came.size
            error = np.sqrt(rows[state] * (1.0 - rows[state]) / came.size)
            assert np.all(np.abs(share - rows[state]) < 5 * error + 1e-6)


def test_urns_are_never_emptied_beyond_what_they_hold():
    model = Urns(((2, 2), (3, 1)), length=4, replace=False)
    oracle = bc.derive_oracle(model)
    seen = model.batch_from_sites({"ball": jnp.array([1, 0, 0, 0])}, lengths=1)
    batch = draw_from_posterior(oracle, model, seen, 500, key=jax.random.key(2))
    urn, ones = np.asarray(batch.latents["urn"]), np.asarray(batch.outcomes).sum(axis=1)
    # Without replacement all four balls are drawn, the first a one: the urn is known by the count.
    np.testing.assert_array_equal(ones, np.array([2, 1])[urn])
    # One ball of two against one of four: posterior 2/3; binomial error 0.021, five of them.
    assert abs(np.mean(urn == 0) - 2 / 3) < 0.105
    found = check(oracle, oracle, 300, observed=seen)
    assert found.p_value > 0.01


# ---------------------------------------------------------------- silent and firing


def test_right_posteriors_are_silent(coin: bc.Oracle):
    found = check(coin, coin, 1_000)
    assert found.names == ("bias", "log likelihood", "next outcome")
    assert (found.replicates, found.num_observed) == ("posterior", NUM_SEEN)
    assert found.p_value > 0.05
    assert check(coin_posterior("none"), coin, 4_000).p_value > 0.05


@pytest.mark.parametrize(
    "defect", ["temperature 0.5", "dropped observation", "swapped classes", "data-blind"]
)
def test_posteriors_that_disagree_with_themselves_fire(coin: bc.Oracle, defect: str):
    assert check(coin_posterior(defect), coin, 4_000).p_value < 0.01


def test_the_posterior_of_another_prior_agrees_with_itself(coin: bc.Oracle):
    """The trap: replicates of the model see what its own replicates cannot."""
    wrong = coin_posterior("prior shifted")
    assert check(wrong, coin, 4_000).p_value > 0.05
    assert check(wrong, coin, 4_000, replicates="model").p_value < 1e-3


def test_numbers_may_be_observed():
    """Where keeping sequences that begin as observed would keep none."""
    model = linear_regression(num_features=1, length=4, num_bins=4)
    oracle = bc.derive_oracle(model)
    sites = {"x": jnp.array([[1.0], [-0.5], [0.0], [0.0]]), "y": jnp.array([0.8, 0.1, 0.0, 0.0])}
    seen = model.batch_from_sites(sites, lengths=2)
    found = check(oracle, oracle, 500, observed=seen)
    assert found.p_value > 0.05
    assert "weight[0]" in found.names
    with pytest.raises(ValueError, match="discrete values, got the continuous"):
        check(oracle, oracle, 500, observed=seen, replicates="model")


@pytest.mark.slow
def test_chains_are_silent(coin: bc.Oracle):
    quick = NutsSettings(num_chains=2, num_warmup=100, num_draws=100)
    found = check(quick, coin, 60)
    assert found.p_value > 0.01
    assert found.thinning >= 1


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observed": None}, "replicates: expected 'model' without an observation"),
        ({"position": NUM_SEEN}, f"position: expected {NUM_SEEN + 1} .. 5, got 3"),
        ({"position": 6}, f"position: expected {NUM_SEEN + 1} .. 5, got 6"),
    ],
)
def test_bad_arguments_get_one_line(coin: bc.Oracle, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        check(coin, coin, 20, **options)
    with unchecked(), pytest.raises(ValueError, match="expected 'model' or 'posterior', got 'me'"):
        check(coin, coin, 20, replicates="me")


def test_posteriors_without_joint_draws_get_one_line(coin: bc.Oracle):
    model = Bijection(size=4)
    oracle = bc.derive_oracle(model)
    sample = jax.tree.map(lambda x: x[0], model.sample(1, key=jax.random.key(0)))
    seen = model.batch_from_sites(model.engine_sites(sample), lengths=1)
    with pytest.raises(ValueError, match="subject: expected joint draws of all latents"):
        check(oracle, oracle, 20, observed=seen)

    def table(batch: Batch, key: Array) -> Mapping[str, LatentTable]:
        return {"bias": LatentTable(np.full((len(batch.outcomes), 2), 0.5))}

    with pytest.raises(ValueError, match="got neither"):
        check(table, coin, 20)


def telling_queries(length: int) -> None:
    """Toss a coin, and tell something of its bias before each toss."""
    bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
    with numpyro.plate("position", length):
        numpyro.sample("hint", dist.Bernoulli(bias))
        numpyro.sample("token", dist.Bernoulli(bias))


def test_queries_that_tell_of_latents_get_one_line():
    model = bc.GenerativeModel(telling_queries, "token", length=3, query=("hint",))
    zeros = {"hint": jnp.zeros(3, int), "token": jnp.zeros(3, int)}
    seen = model.batch_from_sites(zeros, lengths=1)
    with pytest.raises(ValueError, match=r"depend on no draw for 'posterior', got \['hint'\]"):
        draw_from_posterior(coin_posterior("none"), model, seen, 20, key=jax.random.key(0))


# ---------------------------------------------------------------- groups and page


def test_the_group_and_page_say_where_replicates_come_from(coin: bc.Oracle):
    rng = np.random.default_rng(0)
    found = SimulatedCalibration(
        ("bias",), rng.random((1, 100)), "exact", 5, 3, 0, 1, np.nan, np.nan, "posterior"
    )
    groups = sbc_groups([found])
    assert list(groups) == ["/sbc", "/posterior_sbc"]
    assert groups["/sbc"].attrs["replicates"] == "posterior"
    base, attrs = split(synthetic_tree(num_seeds=1))
    tree: xr.DataTree = make_tree({**base, **groups}, attrs)
    assert "agrees with itself and passes" in build_sbc_section(tree).paragraphs[1]
