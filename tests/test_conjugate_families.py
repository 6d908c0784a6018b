"""Latent probabilities and rates, against quadrature, textbook formulas and SciPy."""

from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from scipy import stats
from scipy.special import logsumexp

import bayescmp as bc
from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate import explain_conjugate, find_conjugate
from bayescmp.exact.conjugacy.conjugate_bins import (
    log_count_bins,
    log_student_bins,
    log_waiting_bins,
)
from bayescmp.exact.conjugacy.conjugate_counts import CountsEngine
from bayescmp.exact.conjugacy.conjugate_rates import RatesEngine
from bayescmp.exact.enumeration import EnumerationEngine

LENGTH = 4


def bias_of() -> jax.Array:
    return numpyro.sample("bias", dist.Beta(2.0, 3.0))


def tosses(probs: jax.Array) -> None:
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Bernoulli(probs=probs))


def flipped() -> None:
    tosses(1.0 - bias_of())


def lapse() -> None:
    """A coin that may turn out to be fair."""
    fair = numpyro.sample("fair", dist.Bernoulli(0.1))
    tosses(jnp.where(fair == 1, 0.5, bias_of()))


def after_a_one_then_a_zero() -> None:
    bias = bias_of()

    def step(last_two: jax.Array, _: None) -> tuple[jax.Array, None]:
        mixed = (last_two[0] == 1) & (last_two[1] == 0)
        token = numpyro.sample("token", dist.Bernoulli(probs=jnp.where(mixed, 0.5, bias)))
        return jnp.stack([last_two[1], token]), None

    scan(step, jnp.zeros(2, int), None, length=LENGTH)


def chain() -> None:
    with numpyro.plate("state", 2):
        rows = numpyro.sample("rows", dist.Beta(1.5, 0.7))

    def step(last: jax.Array, _: None) -> tuple[jax.Array, None]:
        token = numpyro.sample("token", dist.Bernoulli(probs=rows[last]))
        return token, None

    scan(step, 0, None, length=LENGTH)


def clues() -> None:
    """The outcome comes before the query that tells of it."""
    rates = numpyro.sample("rates", dist.Beta(2.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("position", 3):
        number = numpyro.sample("token", dist.Categorical(probs=jnp.array([0.3, 0.7])))
        numpyro.sample("clue", dist.Bernoulli(rates[number]))


def change() -> None:
    biases = numpyro.sample("biases", dist.Beta(2.0, 1.0).expand([2]))
    when = numpyro.sample("when", dist.DiscreteUniform(0, 3))
    tosses(jnp.where(jnp.arange(LENGTH) < when, biases[0], biases[1]))


def weights() -> None:
    """A discrete latent whose law is itself unknown."""
    share = numpyro.sample("share", dist.Beta(2.0, 1.0))
    kind = numpyro.sample("kind", dist.Bernoulli(share))
    tosses(jnp.where(kind == 1, 0.8, share))


def binomial() -> None:
    bias = bias_of()
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Binomial(2, bias))


FIRES = {
    "flipped": (flipped, {}, True),
    "lapse": (lapse, {}, True),
    "after_a_one_then_a_zero": (after_a_one_then_a_zero, {}, False),
    "chain": (chain, {}, False),
    "binomial": (binomial, {}, True),
    "clues": (clues, {"query": ("clue",)}, True),
    "change": (change, {}, True),
    "weights": (weights, {}, True),
}


def answers(engine: AbstractEngine, sites: dict[str, jax.Array]) -> list[np.ndarray]:
    def answer(example: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        reference = engine(example)
        windows = tuple(engine.windowed(example, window) for window in (1, 2))
        return reference.log_predictive, reference.log_evidence, *windows

    return [np.asarray(x) for x in jax.jit(jax.vmap(answer))(sites)]


@pytest.mark.parametrize("name", FIRES)
def test_counts_equal_quadrature(name):
    """Gauss nodes are exact for the polynomials that these likelihoods are."""
    function, options, memoryless = FIRES[name]
    model = bc.GenerativeModel(function, outcome="token", **options)
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, CountsEngine)
    assert engine.memoryless == memoryless
    assert engine.entangled == (name == "clues")
    assert set(engine.treatment()) == set(model.sites)
    sites = model.engine_sites(jax.jit(lambda: model.sample(6, key=jax.random.key(1)))())
    with jax.enable_x64(True):
        found = answers(engine, sites)
        judge = EnumerationEngine(model.program, model.layout, num_nodes=16)
        expected = answers(judge, sites)
    narrow = answers(engine, sites)
    for ours, theirs, single in zip(found, expected, narrow, strict=True):
        # Log probabilities of order one, after some hundred float64 operations.
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-12)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, ours, rtol=0.0, atol=2e-5)
    if not options:
        outcomes = np.asarray(sites["token"])[..., None]
        drawn = np.take_along_axis(found[0], outcomes, axis=-1)[..., 0]
        np.testing.assert_allclose(found[1], np.cumsum(drawn, axis=1), rtol=0.0, atol=1e-12)


ALPHA = (0.5, 1.0, 2.5)


def symbols() -> None:
    """A Markov chain of three symbols with Dirichlet rows."""
    with numpyro.plate("state", 3):
        rows = numpyro.sample("rows", dist.Dirichlet(jnp.array(ALPHA)))

    def step(last: jax.Array, _: None) -> tuple[jax.Array, None]:
        token = numpyro.sample("token", dist.Categorical(probs=rows[last]))
        return token, None

    scan(step, 0, None, length=LENGTH)


def pseudo_counts(tokens: tuple[int, ...]) -> np.ndarray:
    """Return the textbook predictive (alpha + count) / (sum alpha + total) at each step."""
    counts, last, law = np.tile(np.array(ALPHA), (3, 1)), 0, []
    for token in tokens:
        law.append(counts[last] / counts[last].sum())
        counts[last, token] += 1.0
        last = token
    return np.array(law)


def test_dirichlet_rows_equal_the_textbook():
    model = bc.GenerativeModel(symbols, outcome="token")
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, CountsEngine)
    every = list(product(range(3), repeat=LENGTH))
    with jax.enable_x64(True):
        found = answers(engine, {"token": jnp.array(every)[:9]})
        belief = engine({"token": jnp.array([2, 1, 0, 0])}).belief["rows"]
    laws = {tokens: pseudo_counts(tokens) for tokens in every}
    total = {s: np.prod([laws[s][t, x] for t, x in enumerate(s)]) for s in every}
    for i, tokens in enumerate(every[:9]):
        law = laws[tokens]
        np.testing.assert_allclose(np.exp(found[0][i]), law, rtol=1e-12)
        drawn = np.log([law[t, x] for t, x in enumerate(tokens)])
        np.testing.assert_allclose(found[1][i], np.cumsum(drawn), rtol=1e-12)
        for window, t in product((1, 2), range(LENGTH)):
            kept = slice(max(0, t - window), t)
            agreeing = [s for s in every if s[kept] == tokens[kept]]
            shares = [sum(total[s] for s in agreeing if s[t] == x) for x in range(3)]
            expected = np.array(shares) / sum(shares)
            np.testing.assert_allclose(np.exp(found[1 + window][i, t]), expected, rtol=1e-12)
    expected = np.tile(np.array(ALPHA), (3, 1))
    np.testing.assert_allclose(belief[0], expected, rtol=1e-12)
    expected[0, 2] += 1.0
    np.testing.assert_allclose(belief[1], expected, rtol=1e-12)


def test_topics_of_a_prompt_of_counts():
    """Word counts in the prompt bear on the words' law, and on which topic it has."""
    priors = np.array([[2.0, 1.0, 0.5], [0.5, 0.5, 4.0]])

    def topics() -> None:
        topic = numpyro.sample("topic", dist.Categorical(probs=jnp.array([0.4, 0.6])))
        prior = jnp.array([[2.0, 1.0, 0.5], [0.5, 0.5, 4.0]])[topic]
        words = numpyro.sample("words", dist.Dirichlet(prior))
        numpyro.sample("seen", dist.Multinomial(5, words))
        with numpyro.plate("position", LENGTH):
            numpyro.sample("token", dist.Categorical(words))

    model = bc.GenerativeModel(topics, outcome="token", given=("seen",))
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, CountsEngine)
    seen, tokens = np.array([1, 0, 4]), np.array([2, 1, 2, 0])
    with jax.enable_x64(True):
        found = engine({"seen": jnp.asarray(seen), "token": jnp.asarray(tokens)})
    counts = np.array(seen, float)
    for t, token in enumerate(tokens):
        seen_law = [stats.dirichlet_multinomial(a, int(counts.sum())) for a in priors]
        mass = np.array([0.4, 0.6]) * np.array([law.pmf(counts.astype(int)) for law in seen_law])
        laws = (priors + counts) / (priors + counts).sum(axis=1, keepdims=True)
        expected = mass @ laws / mass.sum()
        np.testing.assert_allclose(np.exp(found.log_predictive[t]), expected, rtol=1e-10)
        np.testing.assert_allclose(found.belief["topic"][t], mass / mass.sum(), rtol=1e-10)
        counts[token] += 1.0
    drawn = np.asarray(found.log_predictive)[np.arange(LENGTH), tokens]
    np.testing.assert_allclose(found.log_evidence, np.cumsum(drawn), rtol=1e-10)


def squared() -> None:
    tosses(bias_of() ** 2)


def clipped() -> None:
    tosses(jnp.clip(bias_of(), 1e-6, 1.0 - 1e-6))


def clipped_above() -> None:
    tosses(jnp.minimum(bias_of(), 0.95))


def contaminated() -> None:
    tosses(0.99 * bias_of() + 0.005)


def another_prior() -> None:
    tosses(numpyro.sample("bias", dist.Uniform(0.0, 0.5)))


def prior_of_a_prior() -> None:
    scale = numpyro.sample("scale", dist.Beta(2.0, 1.0))
    tosses(numpyro.sample("bias", dist.Beta(1.0 + scale, 1.0)))


def looking_ahead() -> None:
    """The query of a step tells of the next outcome."""
    bias = bias_of()
    with numpyro.plate("position", LENGTH):
        token = numpyro.sample("token", dist.Bernoulli(bias))
        ahead = jnp.roll(token, -1)
        numpyro.sample("clue", dist.Bernoulli(jnp.where(ahead == 1, bias, 0.5)))


@pytest.mark.parametrize(
    ("function", "query", "reason"),
    [
        (squared, (), "not a product of powers"),
        (clipped, (), "not a product of powers"),
        (clipped_above, (), "not a product of powers"),
        (contaminated, (), "not a product of powers"),
        (another_prior, (), "'bias' is uniform, but not between"),
        (prior_of_a_prior, (), "depends on another latent"),
        (looking_ahead, ("clue",), "depends on a later step"),
    ],
)
def test_it_stays_silent(function, query, reason):
    model = bc.GenerativeModel(function, outcome="token", query=query)
    assert find_conjugate(model.program, model.layout) is None
    assert reason in (explain_conjugate(model.program, model.layout) or "")


def test_without_continuous_latents_it_says_so():
    model = bc.models.Bijection(size=3)
    assert find_conjugate(model.program, model.layout) is None
    assert explain_conjugate(model.program, model.layout) == "no continuous site is hidden"


EDGES = (0.5, 2.0, 5.0)


def counting() -> None:
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.7))
    with numpyro.plate("position", LENGTH):
        time = numpyro.sample("time", dist.Uniform(0.5, 2.0))
        numpyro.sample("y", dist.Poisson(rate * time))


def waiting() -> None:
    rates = numpyro.sample("rates", dist.Gamma(2.0, 0.7).expand([2]))
    which = numpyro.sample("which", dist.Bernoulli(0.3))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.Exponential(rates[which]))


@pytest.mark.parametrize(
    ("function", "query"), [(counting, ("time",)), (waiting, ())], ids=["counting", "waiting"]
)
def test_rates_equal_integration(function, query):
    """Trapezoids in the log rate are exponentially accurate, since the density decays fast."""
    model = bc.GenerativeModel(function, outcome="y", query=query, edges=EDGES)
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, RatesEngine)
    assert engine.memoryless
    sites = model.engine_sites(jax.jit(lambda: model.sample(3, key=jax.random.key(1)))())
    plain = {k: np.asarray(x, np.float64) for k, x in sites.items()}
    with jax.enable_x64(True):
        found = answers(engine, {k: jnp.asarray(x) for k, x in plain.items()})
    narrow = answers(engine, sites)
    grid = np.linspace(-16.0, 5.0, 2_000)
    log_prior = stats.gamma(2.0, scale=1.0 / 0.7).logpdf(np.exp(grid)) + grid
    log_prior = log_prior + np.log(grid[1] - grid[0])
    rates, ends = np.exp(grid)[:, None], np.array([-np.inf, *EDGES, np.inf])
    for i in range(3):
        y = plain["y"][i]
        times = plain["time"][i] if query else np.ones(LENGTH)
        laws = stats.poisson(rates * times) if query else stats.expon(scale=1.0 / (rates * times))
        log_seen = laws.logpmf(y) if query else laws.logpdf(y)
        log_query = np.full(LENGTH, -np.log(1.5) if query else 0.0)
        bins = np.diff(np.stack([laws.cdf(end) for end in ends], axis=2), axis=2)
        for window, ours in ((LENGTH, 0), (1, 2), (2, 3)):
            for t in range(LENGTH):
                log_weights = log_prior + log_seen[:, max(0, t - window) : t].sum(axis=1)
                law = np.exp(log_weights - logsumexp(log_weights)) @ bins[:, t]
                np.testing.assert_allclose(np.exp(found[ours][i, t]), law, rtol=1e-10, atol=1e-14)
        log_evidence = logsumexp(log_prior[:, None] + np.cumsum(log_seen, axis=1), axis=0)
        expected = log_evidence + np.cumsum(log_query)
        np.testing.assert_allclose(found[1][i], expected, rtol=1e-10)
    for wide, single in zip(found, narrow, strict=True):
        np.testing.assert_allclose(single, wide, rtol=0.0, atol=2e-4)


def test_other_rates_are_refused():
    def summed() -> None:
        rates = numpyro.sample("rates", dist.Gamma(2.0, 0.7).expand([2]))
        with numpyro.plate("position", LENGTH):
            numpyro.sample("y", dist.Poisson(rates.sum()))

    def squared_rate() -> None:
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.7))
        with numpyro.plate("position", LENGTH):
            numpyro.sample("y", dist.Poisson(rate**2))

    for function in (summed, squared_rate):
        model = bc.GenerativeModel(function, outcome="y", edges=EDGES)
        reason = explain_conjugate(model.program, model.layout)
        assert reason == "the outcome's rate is not one latent times a constant"


def differences(cdf: Callable, sf: Callable, edges: np.ndarray) -> np.ndarray:
    """Return log probabilities of bins, above the median from the upper tail."""
    ends = np.array([-np.inf, *edges, np.inf])
    low, high = ends[:-1], ends[1:]
    below, above = cdf(high) - cdf(low), sf(low) - sf(high)
    return np.log(np.where(cdf(high) < sf(low), below, above))


def test_bins_keep_their_digits_in_the_tails():
    edges = np.array([-60.0, -3.0, 0.2, 5.0, 400.0])
    with jax.enable_x64(True):
        student = log_student_bins(jnp.asarray(edges), jnp.asarray(7.0))
        rising = np.array([0.5, 2.0, 40.0, 90.0])
        counts = log_count_bins(jnp.asarray(rising), jnp.asarray(2.3), jnp.asarray(0.4))
        times = log_waiting_bins(jnp.asarray(rising), jnp.asarray(2.3), jnp.asarray(0.4))
    law = stats.t(7.0)
    # The incomplete Beta function of JAX agrees with SciPy's to 5e-12.
    np.testing.assert_allclose(student, differences(law.cdf, law.sf, edges), rtol=1e-10)
    law = stats.nbinom(2.3, 0.4 / 1.4)
    np.testing.assert_allclose(counts, differences(law.cdf, law.sf, rising), rtol=1e-10)
    law = stats.lomax(2.3, scale=0.4)
    np.testing.assert_allclose(times, differences(law.cdf, law.sf, rising), rtol=1e-10)
