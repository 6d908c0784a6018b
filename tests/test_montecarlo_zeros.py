"""What sampling does where a program gives probability zero."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

from bayescmp.generative import GenerativeModel
from bayescmp.montecarlo import MonteCarloOracle, SmcSettings, derive_by_sampling
from bayescmp.montecarlo.diagnostics import evidence_of_runs
from bayescmp.montecarlo.nuts import draw_start
from bayescmp.montecarlo.target import build_target

LENGTH = 4
X = np.array([0.2, 1.1, 0.4, 0.9])
LABELS = np.array([0, 1, 0, 1])


def gate(length: int) -> None:
    """Label points; under a level above one half no label can be one."""
    level = numpyro.sample("level", dist.Uniform(0.0, 1.0))
    with numpyro.plate("position", length):
        chance = jnp.where(level > 0.5, 0.0, 0.5)
        label = numpyro.sample("label", dist.Categorical(jnp.stack([1.0 - chance, chance])))
        numpyro.sample("x", dist.Normal(level + label, 0.5))


def one_way(length: int) -> None:
    """Walk through three states, one at a time and never back, with unknown haste."""
    haste = numpyro.sample("haste", dist.Beta(2.0, 2.0))

    def step(state: jax.Array, _: None) -> tuple[jax.Array, None]:
        stay, go = 1.0 - haste, haste
        rows = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) * stay
        rows = rows + jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]) * go
        rows = rows.at[2, 2].set(1.0)
        state = numpyro.sample("state", dist.Categorical(rows[state]))
        numpyro.sample("symbol", dist.Bernoulli(jnp.array([0.2, 0.5, 0.9])[state]))
        return state, None

    scan(step, jnp.zeros((), int), None, length=length)


@cache
def gated() -> MonteCarloOracle:
    model = GenerativeModel(gate, outcome="label", query=("x",), length=LENGTH)
    settings = SmcSettings(num_runs=8, num_particles=256)
    return derive_by_sampling(model, settings=settings, num_trials=1, progress=False)


def by_grid() -> tuple[np.ndarray, np.ndarray]:
    """Integrate over a fine grid of levels, on which the jump falls between two points."""
    level = (np.arange(20_000) + 0.5) / 20_000
    prior = np.where(level > 0.5, 0.0, 0.5)
    weights, predictive, evidence = np.ones_like(level), [], []
    for x, label in zip(X, LABELS, strict=True):
        joint = [
            weights * chance * np.exp(-0.5 * ((x - level - value) / 0.5) ** 2)
            for value, chance in enumerate((1.0 - prior, prior))
        ]
        predictive.append(joint[1].mean() / (joint[0].mean() + joint[1].mean()))
        weights = joint[label] / np.sqrt(2.0 * np.pi * 0.25)
        evidence.append(np.log(weights.mean()))
    return np.array(predictive), np.array(evidence)


def test_draws_that_make_a_prefix_impossible_have_no_weight() -> None:
    oracle = gated()
    batch = oracle.model.batch_from_sites({"x": jnp.array(X), "label": jnp.array(LABELS)})
    found = oracle.estimate(batch)
    law, evidence = by_grid()
    # Of 8 numbers, whose errors follow Student's law with 7 degrees of freedom,
    # P(|t| > 6) = 0.0005: all of them stay below with probability 0.996.
    assert np.all(np.abs(found.predictive.mean[:, 1] - law) < 6.0 * found.standard_error[:, 1])
    assert np.all(np.abs(found.log_evidence - evidence) < 6.0 * found.evidence_error)


def test_paths_are_impossible_from_the_impossible_outcome_on() -> None:
    oracle = gated()
    target = build_target(oracle.model)
    batch = oracle.model.batch_from_sites({"x": jnp.array(X), "label": jnp.array(LABELS)})
    with jax.enable_x64(True):
        sites = target.in_64_bits(oracle.model.engine_sites(batch))
        path = jax.jit(target.path)(jnp.array([1.0]), sites)  # a level of 0.73
    np.testing.assert_array_equal(np.isneginf(path.log_after), [False, True, True, True])
    # When the second question is asked nothing impossible has been shown yet.
    np.testing.assert_array_equal(np.isneginf(path.log_before), [False, False, True, True])
    assert np.isfinite(path.log_before[:2]).all()


def test_chains_start_where_the_prefix_is_possible() -> None:
    oracle = gated()
    target = build_target(oracle.model)
    batch = oracle.model.batch_from_sites({"x": jnp.array(X), "label": jnp.array(LABELS)})
    with jax.enable_x64(True):
        sites = target.in_64_bits(oracle.model.engine_sites(batch))
        keys = jax.random.split(jax.random.key(0), 20)
        start = jax.jit(jax.vmap(lambda k: draw_start(target, sites, jnp.array(3), k)))
        starts = start(keys)
    # A level below one half is a negative coordinate; half of the prior lies above.
    assert np.all(np.asarray(starts) < 0.0)


def test_states_that_cannot_be_reached_leave_a_derivative() -> None:
    model = GenerativeModel(
        one_way, outcome="state", query=("symbol",), reveal=False, length=LENGTH
    )
    target = build_target(model)
    batch = model.batch_from_sites(
        {"state": jnp.array([0, 1, 1, 2]), "symbol": jnp.array([0, 1, 0, 1])}
    )
    with jax.enable_x64(True):
        sites = target.in_64_bits(model.engine_sites(batch))
        both = jax.jit(jax.value_and_grad(lambda x: target.log_posterior(x, sites, jnp.array(3))))
        x, step = jnp.array([0.3]), 1e-5
        slope = float(both(x)[1][0])
        above, below = float(both(x + step)[0]), float(both(x - step)[0])
    # Central differences are off by step^2 = 1e-10 and by rounding, 1e-16 / step = 1e-11.
    np.testing.assert_allclose(slope, (above - below) / (2.0 * step), rtol=1e-7)


def test_supplied_sequences_that_are_impossible_are_named() -> None:
    def program() -> None:
        bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
        with numpyro.plate("position", LENGTH):
            law = jnp.stack([bias, 1.0 - bias, 0.0 * bias])
            numpyro.sample("token", dist.Categorical(law))

    model = GenerativeModel(program, outcome="token")
    few = SmcSettings(num_runs=8, num_particles=256)
    oracle = derive_by_sampling(model, settings=few, num_trials=1, progress=False)
    batch = model.batch_from_sites({"token": jnp.array([[0, 1, 1, 0], [0, 1, 2, 0]])})
    with pytest.raises(ValueError, match="probability zero at sequence 1, position 2"):
        oracle(batch)


def test_evidence_that_no_run_finds_is_minus_infinity() -> None:
    found, _ = evidence_of_runs(np.array([[-np.inf, 0.0], [-np.inf, -np.inf]]))
    np.testing.assert_array_equal(found, [-np.inf, np.log(0.5)])
