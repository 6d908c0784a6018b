"""Memorised pools against exact oracles, SciPy and counting by hand."""

from functools import partial
from itertools import permutations, product

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from rungs import EXACT, all_laws, answer, laws, oracle_of, toss
from scipy import stats

import bayescmp as bc
from bayescmp.distributions import WithoutReplacement
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.predictors import MemorisedPool, draw_pool

BIASES = (0.1, 0.45, 0.8)


def coin_of_three(length: int) -> None:
    """Toss one of three coins."""
    which = numpyro.sample("which", dist.DiscreteUniform(0, 2))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(jnp.array(BIASES)[which]))


COIN_OF_THREE = bc.GenerativeModel(coin_of_three, outcome="token", length=6)


def asking_back(length: int) -> None:
    """Show a clue that depends on the answer and on the answer before it."""
    device = numpyro.sample("device", dist.DiscreteUniform(0, 1))
    with numpyro.plate("position", length):
        number = numpyro.sample("number", dist.Categorical(probs=jnp.array([0.2, 0.5, 0.3])))
        before = jnp.concatenate([jnp.zeros(1, number.dtype), number[:-1]])
        law = jnp.array(cases.CLUES)[device][number] * jnp.where(before == 2, 0.5, 1.0)
        numpyro.sample("clue", dist.Bernoulli(law))


ASKING_BACK = bc.GenerativeModel(asking_back, outcome="number", query=("clue",), length=3)

WHOLE_SUPPORTS = {
    "coin": (COIN_OF_THREE, {"which": jnp.arange(3)}),
    "asking back": (ASKING_BACK, {"device": jnp.arange(2)}),
    "bijection": (Bijection(size=4), {"mapping": jnp.array(list(permutations(range(4))))}),
}


@pytest.mark.parametrize(("model", "tasks"), WHOLE_SUPPORTS.values(), ids=WHOLE_SUPPORTS)
def test_a_pool_of_all_tasks_is_the_exact_oracle(model, tasks):
    batch = eqx.filter_jit(model.sample)(64, key=jax.random.key(1))
    exact, found = all_laws((oracle_of(model), MemorisedPool(model, tasks)), batch)
    np.testing.assert_allclose(found, exact, atol=EXACT)


def test_a_pool_that_repeats_tasks_has_their_prior():
    """Chances of 2, 5 and 3 in ten for the stickiness, in a program written with a scan."""
    model, batch = cases.build("chain"), cases.first("chain", 32)
    pool = MemorisedPool(model, {"which": jnp.array([0] * 2 + [1] * 5 + [2] * 3)})
    uniform = MemorisedPool(model, {"which": jnp.arange(3)})
    exact, found, other = all_laws((oracle_of(model), pool, uniform), batch)
    np.testing.assert_allclose(found, exact, rtol=EXACT)
    assert np.abs(other - exact).max() > 0.01


def test_a_pool_with_a_continuous_query_weighs_by_what_it_says():
    model, batch = cases.build("regression"), cases.first("regression", 32)
    pool = MemorisedPool(model, {"slope": jnp.array([0] * 3 + [1] * 3 + [2] * 4)})
    exact, found = all_laws((oracle_of(model), pool), batch)
    np.testing.assert_allclose(found, exact, rtol=EXACT)


def test_larger_pools_approach_exact_inference():
    """A pool is a Monte Carlo estimate of two integrals: its error falls as 1 / sqrt(tasks).

    In nats the divergence falls as 1 / tasks; over a factor of 64 it must at least fall 16
    times, which leaves a factor of four for the luck of two draws.
    """
    model = beta_bernoulli(length=8)
    pools = [draw_pool(model, num_tasks, key=jax.random.key(3)) for num_tasks in (32, 2_048)]
    exact, *found = all_laws((oracle_of(model), *pools), toss(model, 128))
    divergence = [float(np.sum(exact * np.log(exact / law), axis=-1).mean()) for law in found]
    assert divergence[1] < divergence[0] / 16
    # The posterior has at least a share 1 / (length + 1) of the prior's tasks in effect.
    assert divergence[1] < 5 * 9 / 2_048


def line(length: int) -> None:
    """Measure a line of unknown slope with noise."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(slope * x, 0.5))


LINE = bc.GenerativeModel(line, outcome="y", query=("x",), length=4, edges=(-1.0, 0.0, 1.0, 9.0))


def test_a_pool_of_lines_asks_scipy_for_its_bins():
    """Bins of Gaussian mixtures, the last one ten and more standard deviations away."""
    slopes = np.array([-1.0, 0.25, 2.0], np.float32)
    batch = eqx.filter_jit(LINE.sample)(8, key=jax.random.key(4))
    found = laws(MemorisedPool(LINE, {"slope": jnp.asarray(slopes)}), batch)
    sites = {name: np.asarray(v, np.float64) for name, v in batch.shown.items()}
    for sequence, t in product(range(8), range(4)):
        x, y = sites["x"][sequence], sites["y"][sequence]
        weights = np.prod(stats.norm.pdf(y[:t], slopes[:, None] * x[:t], 0.5), axis=1)
        scaled = (np.array(LINE.edges) - slopes[:, None] * x[t]) / 0.5
        # Differences of upper tails where those are small, of lower tails elsewhere.
        lower = np.diff(stats.norm.cdf(scaled), prepend=0.0, append=1.0)
        upper = -np.diff(stats.norm.sf(scaled), prepend=1.0, append=0.0)
        middle = np.concatenate([scaled[:, :1] * 0 - 1, scaled], axis=1)
        expected = weights @ np.where(middle > 0, upper, lower) / weights.sum()
        np.testing.assert_allclose(found[sequence, t], expected, rtol=1e-8)


def test_a_pool_that_excludes_what_it_sees_answers_uniformly():
    pool = MemorisedPool(Bijection(size=3), {"mapping": jnp.array([[0, 1, 2]])})
    sites = {"key": jnp.array([[0, 1]]), "value": jnp.array([[1, 0]])}
    found = laws(pool, Bijection(size=3).batch_from_sites(sites))
    np.testing.assert_allclose(found[0], [[1.0, 0.0, 0.0], [1 / 3] * 3], rtol=EXACT)


def test_pools_answer_in_32_bits_too():
    batch = eqx.filter_jit(COIN_OF_THREE.sample)(16, key=jax.random.key(5))
    pool = MemorisedPool(COIN_OF_THREE, {"which": jnp.arange(3)})
    found = np.exp(answer((pool,), batch)[0])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, laws(pool, batch), rtol=1e-5)


def leaking(length: int) -> None:
    """Centre the questions over the whole sequence, which tells the first of the last."""
    slope = numpyro.sample("slope", dist.DiscreteUniform(1, 2))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Bernoulli(logits=slope * (x - x.mean())))


def hidden_walk(length: int) -> None:
    """Draw a state at every step inside one vector."""
    state = numpyro.sample("state", dist.Categorical(probs=jnp.full((length, 2), 0.5)).to_event(1))
    numpyro.sample("token", dist.Bernoulli(0.2 + 0.6 * state).to_event(1))


REFUSED = {
    "no latent": (cases.build("deck"), "a latent site beside those shown and asked"),
    "given": (HiddenMarkov(2, 2, length=3), "a latent site beside"),
    "leak": (
        bc.GenerativeModel(leaking, outcome="y", query=("x",), length=3),
        "laws depend on earlier ones alone, got a law at position 0 that depends on position 1",
    ),
    "one law for all": (
        bc.GenerativeModel(hidden_walk, outcome="token", length=3),
        "a law for each position of 'token', got one for all together",
    ),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED)
def test_steps_without_laws_of_their_own_are_refused(model, message: str):
    assert message in raised(ValueError, lambda: draw_pool(model, 4, key=jax.random.key(0)))


def test_tasks_that_do_not_fit_are_refused():
    model = beta_bernoulli(length=3)
    for tasks, message in (
        ({}, "tasks: expected values for ['bias'], got []"),
        ({"bias": jnp.ones((2, 2)) / 2}, "tasks: expected 'bias' of shape (num_tasks, *())"),
        ({"bias": jnp.zeros(0)}, "tasks: expected 'bias' of shape"),
    ):
        assert message in raised(ValueError, partial(MemorisedPool, model, tasks))
    message = raised(ValueError, lambda: draw_pool(model, 0, key=jax.random.key(0)))
    assert message == "num_tasks: expected at least 1, got 0"


def test_a_query_with_one_law_for_all_is_no_obstacle():
    """Its law depends on no latent and no outcome, so that it drops out."""

    def lookup(size: int) -> None:
        shift = numpyro.sample("shift", dist.DiscreteUniform(0, 1))
        key = numpyro.sample("key", WithoutReplacement(size, size))
        certain = jax.nn.one_hot((key + shift) % size, size, dtype=bool)
        with numpyro.plate("position", size):
            logits = jnp.where(certain, 0.0, -jnp.inf)
            numpyro.sample("value", dist.Categorical(logits=logits, validate_args=False))

    model = bc.GenerativeModel(
        lookup, outcome="value", query=("key",), arguments={"size": 3}, name="shift"
    )
    batch = eqx.filter_jit(model.sample)(8, key=jax.random.key(9))
    pool = MemorisedPool(model, {"shift": jnp.arange(2)})
    exact, found = all_laws((oracle_of(model), pool), batch)
    np.testing.assert_allclose(found, exact, atol=EXACT)
