"""Closed posteriors in simulated calibration, family by family, against SciPy."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array
from scipy import stats

import bayescmp as bc
from bayescmp.auditing import LatentDraws, simulate_calibration
from bayescmp.auditing.sbc_exact import closed_draws, exact_beliefs
from bayescmp.auditing.sbc_posterior import Placed
from bayescmp.models import hierarchical_normal, linear_regression, markov_chain
from bayescmp.records import Batch

NOISE, LENGTH, NUM = 0.5, 4, 200
SHAPE, RATE = 2.0, 0.7


def buses(length: int) -> None:
    """Draw how many buses come in an hour, then count them for one hour or two."""
    rate = numpyro.sample("rate", dist.Gamma(SHAPE, RATE))
    with numpyro.plate("position", length):
        hours = numpyro.sample("hours", dist.DiscreteUniform(1, 2))
        numpyro.sample("count", dist.Poisson(rate * hours))


def two_rates(length: int) -> None:
    """Draw two rates, and count at a stop that is shown."""
    rates = numpyro.sample("rates", dist.Gamma(SHAPE, RATE).expand([2]).to_event(1))
    with numpyro.plate("position", length):
        stop = numpyro.sample("stop", dist.DiscreteUniform(0, 1))
        numpyro.sample("count", dist.Poisson(rates[stop]))


EDGES = (0.5, 1.5, 3.5)
MODELS: Mapping[str, bc.AbstractGenerativeModel] = {
    "regression": linear_regression(num_features=2, length=LENGTH, noise=NOISE, num_bins=4),
    "hierarchy": hierarchical_normal(num_groups=2, length=LENGTH, num_bins=4),
    "chain": markov_chain(num_states=3, length=LENGTH),
    "rate": bc.GenerativeModel(buses, "count", length=LENGTH, query=("hours",), edges=EDGES),
    "rates": bc.GenerativeModel(two_rates, "count", length=LENGTH, query=("stop",), edges=EDGES),
}
Placing = Callable[[Batch], dict[str, np.ndarray]]


def of(batch: Batch, name: str) -> np.ndarray:
    values = {**batch.shown, **batch.latents}
    return np.asarray(values[name], float)


def place_regression(batch: Batch) -> dict[str, np.ndarray]:
    x, y = of(batch, "x")[:, :-1], of(batch, "y")[:, :-1]
    precision = np.eye(2) + np.einsum("nti,ntj->nij", x, x) / NOISE**2
    covariance = np.linalg.inv(precision)
    mean = np.einsum("nij,ntj,nt->ni", covariance, x, y) / NOISE**2
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return {"weight": stats.norm.cdf(of(batch, "weight"), mean, deviation)}


def place_hierarchy(batch: Batch) -> dict[str, np.ndarray]:
    """Mean and group means are jointly normal: condition by the formula for normal vectors."""
    prior = np.array([[1.0, 1.0, 1.0], [1.0, 1.25, 1.0], [1.0, 1.0, 1.25]])
    truth = np.concatenate([of(batch, "mean")[:, None], of(batch, "group_mean")], axis=1)
    places = np.empty_like(truth)
    for row, (groups, y) in enumerate(zip(of(batch, "group"), of(batch, "y"), strict=True)):
        rows = 1 + groups[:-1].astype(int)
        gain = prior[:, rows] @ np.linalg.inv(prior[np.ix_(rows, rows)] + 0.25 * np.eye(len(rows)))
        mean, covariance = gain @ y[:-1], prior - gain @ prior[rows]
        places[row] = stats.norm.cdf(truth[row], mean, np.sqrt(np.diag(covariance)))
    return {"mean": places[:, 0], "group_mean": places[:, 1:]}


def place_chain(batch: Batch) -> dict[str, np.ndarray]:
    tokens, truth = np.asarray(batch.outcomes), of(batch, "row")
    counts = np.ones((len(tokens), 3, 3))
    for t in range(LENGTH - 2):  # the last outcome is asked, not shown
        np.add.at(counts, (np.arange(len(tokens)), tokens[:, t], tokens[:, t + 1]), 1.0)
    total = counts.sum(axis=-1, keepdims=True)
    return {"row": stats.beta.cdf(truth, counts, total - counts)}


def place_rate(batch: Batch) -> dict[str, np.ndarray]:
    shape = SHAPE + of(batch, "count")[:, :-1].sum(axis=1)
    rate = RATE + of(batch, "hours")[:, :-1].sum(axis=1)
    return {"rate": stats.gamma.cdf(of(batch, "rate"), shape, scale=1.0 / rate)}


def place_rates(batch: Batch) -> dict[str, np.ndarray]:
    here = of(batch, "stop")[:, :-1, None] == np.arange(2)
    shape = SHAPE + np.sum(here * of(batch, "count")[:, :-1, None], axis=1)
    rate = RATE + here.sum(axis=1)
    return {"rates": stats.gamma.cdf(of(batch, "rates"), shape, scale=1.0 / rate)}


PLACINGS: Mapping[str, Placing] = {
    "regression": place_regression,
    "hierarchy": place_hierarchy,
    "chain": place_chain,
    "rate": place_rate,
    "rates": place_rates,
}


@pytest.fixture(scope="module", params=list(MODELS))
def family(request: pytest.FixtureRequest) -> tuple[str, bc.Oracle, Batch]:
    model = MODELS[request.param]
    return request.param, bc.derive_oracle(model), model.sample(NUM, key=jax.random.key(0))


def test_places_are_those_of_the_law_worked_out_by_hand(
    family: tuple[str, bc.Oracle, Batch],
) -> None:
    name, oracle, batch = family
    beliefs = exact_beliefs(oracle, batch, LENGTH - 1)
    for latent, expected in PLACINGS[name](batch).items():
        law = beliefs.laws[latent]
        assert isinstance(law, Placed)
        # The oracle works in 32 bits: parameters to 1e-6, and places no worse than 1e-4.
        np.testing.assert_allclose(law.places, expected, atol=1e-4)
    assert set(beliefs.laws) == set(PLACINGS[name](batch))


def test_exact_oracles_are_silent(family: tuple[str, bc.Oracle, Batch]) -> None:
    _, oracle, _ = family
    found = simulate_calibration(oracle, key=jax.random.key(1), num_replicates=NUM)
    assert found.p_value > 0.01
    assert found.num_draws == 0 or "log likelihood" in found.names


def test_joint_draws_are_of_the_law_that_places_truths(
    family: tuple[str, bc.Oracle, Batch],
) -> None:
    name, oracle, batch = family
    few = jax.tree.map(lambda x: x[:4], batch)
    drawn = closed_draws(oracle, few, LENGTH - 1, 2_000, np.random.default_rng(0))
    if name == "hierarchy":  # two sites that depend on each other: no joint law by site
        assert drawn == {}
        return
    for latent, law in drawn.items():
        values = law.values
        assert values.shape == (4, 2_000, *oracle.model.sites[latent].shape)
        for number in range(4):
            one = jax.tree.map(lambda x, n=number: x[n : n + 1], few)
            many = jax.tree.map(lambda x: jnp.repeat(x, 2_000, axis=0), one)
            latents = {**many.latents, latent: jnp.asarray(values[number])}
            moved = Batch(many.inputs, many.outcomes, many.supervised, many.shown, latents)
            places = PLACINGS[name](moved)[latent].reshape(2_000, -1)
            for column in places.T:  # some forty tests of a right law: 1e-4 for each
                assert stats.kstest(column, "uniform").pvalue > 1e-4


def test_draws_of_correlated_weights_are_correlated() -> None:
    oracle = bc.derive_oracle(MODELS["regression"])
    x = np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 1.1], [0.0, 0.0]])
    sites = {"x": jnp.asarray(x), "y": jnp.array([1.0, 2.0, 1.0, 0.0])}
    batch = jax.tree.map(lambda one: one[None], oracle.model.batch_from_sites(sites))
    drawn = closed_draws(oracle, batch, 3, 4_000, np.random.default_rng(1))["weight"].values[0]
    covariance = np.linalg.inv(np.eye(2) + x[:3].T @ x[:3] / NOISE**2)
    # Covariances of 4,000 draws are known within 1/63 of the product of deviations; five of them.
    room = 5.0 / 63.0 * np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < room)


@pytest.mark.parametrize("name", ["regression", "chain"])
def test_a_posterior_that_dropped_an_observation_fires(name: str) -> None:
    """The likelihood sees it, from the joint draws of the exact law of one question less."""
    model = MODELS[name]
    oracle = bc.derive_oracle(model)

    def forgetful(batch: Batch, key: Array) -> Mapping[str, LatentDraws]:
        rng = np.random.default_rng(int(jax.random.bits(key)))
        return closed_draws(oracle, batch, 1 if name == "chain" else LENGTH - 3, 60, rng)

    found = simulate_calibration(forgetful, oracle, key=jax.random.key(2), num_replicates=1_500)
    assert found.p_value < 0.01
    assert found.oddest == "log likelihood"
