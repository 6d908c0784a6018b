"""What a question may know: short memories, and continuous values that are shown beside it."""

from collections.abc import Callable
from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from numpyro.contrib.control_flow import scan
from scipy import stats

import bayescmp as bc
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.montecarlo import MonteCarloOracle, NutsSettings, SmcSettings
from bayescmp.montecarlo.sampler import Settings
from bayescmp.oracle import Certificate
from bayescmp.predictors.step_laws import find_step_laws, why_no_step_laws
from bayescmp.selection import choose_engine

LENGTH = 3
EDGES = (-1.0, 0.5)
ENDS = np.array([-np.inf, *EDGES, np.inf])
SMC = SmcSettings(num_particles=256)
EVERY = np.array(list(product((0, 1), repeat=LENGTH)))

FLOAT32 = 1e-5
"""Parameters are written in float32, each 6e-8 of itself, some tens of them in a sum."""


# --------------------------------------------------------- numbers beside questions


def marked(length: int) -> None:
    """A hidden kind shows in a query and in the outcome, which leans on the one before."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.4))

    def step(last: jax.Array, _: None) -> tuple[jax.Array, None]:
        x = numpyro.sample("x", dist.Normal(kind - 0.5 * last, 1.0))
        return numpyro.sample("y", dist.Normal(kind + 0.3 * x + 0.6 * last, 0.8)), None

    scan(step, jnp.zeros(()), None, length=length)


def test_telling_queries_beside_a_continuous_outcome_are_weighed():
    model = bc.GenerativeModel(marked, "y", query=("x",), edges=EDGES, length=LENGTH)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(0.0, 1.0, LENGTH).astype(np.float32) for _ in range(2))
    law, evidence, weights, total, last = [], [], np.array([0.6, 0.4]), 0.0, 0.0
    kind = np.arange(2.0)
    for t in range(LENGTH):
        weights = weights * stats.norm.pdf(x[t], kind - 0.5 * last, 1.0)
        mean = kind + 0.3 * x[t] + 0.6 * last
        bins = np.diff(stats.norm.cdf(ENDS[:, None], mean, 0.8), axis=0)
        law.append(bins @ weights / weights.sum())
        weights = weights * stats.norm.pdf(y[t], mean, 0.8)
        evidence.append(total + np.log(weights.sum()))
        last = y[t]
    for name in ("forward", "elimination"):
        with jax.enable_x64(True):
            engine = choose_engine(model, name).engine
            found = jax.jit(engine)({"x": jnp.array(x, float), "y": jnp.array(y, float)})
        np.testing.assert_allclose(np.exp(found.log_predictive), law, rtol=FLOAT32)
        np.testing.assert_allclose(found.log_evidence, evidence, rtol=FLOAT32)


def test_steps_with_telling_queries_have_laws_of_their_own():
    model = bc.GenerativeModel(marked, "y", query=("x",), edges=EDGES, length=2)
    x, y = np.array([0.3, -1.2]), np.array([0.8, 0.1])
    steps = find_step_laws(model)
    sites = {"x": jnp.array(x), "y": jnp.array(y)}
    log_law, log_shown = steps({"kind": jnp.array(1)}, sites)
    last = np.array([0.0, y[0]])
    mean = 1.0 + 0.3 * x + 0.6 * last
    query = stats.norm.logpdf(x, 1.0 - 0.5 * last, 1.0)
    bins = np.diff(stats.norm.cdf(ENDS[:, None], mean, 0.8), axis=0).T
    np.testing.assert_allclose(log_law, np.log(bins) + query[:, None], rtol=FLOAT32)
    np.testing.assert_allclose(log_shown, stats.norm.logpdf(y, mean, 0.8) + query, rtol=FLOAT32)


def linear(length: int) -> None:
    """Everything is normal: an unknown level, queries that tell of it, and outcomes."""
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 0.5))

    def step(last: jax.Array, _: None) -> tuple[jax.Array, None]:
        x = numpyro.sample("x", dist.Normal(level + 0.5 * last, 1.0))
        return numpyro.sample("y", dist.Normal(level - slope - 0.4 * x, 1.0)), None

    scan(step, jnp.zeros(()), None, length=length)


def joint_normal(length: int) -> np.ndarray:
    """The covariance of all x and y in turn: each a sum of independent normal parts."""
    size = 2 + 2 * length
    level, slope = np.eye(size)[:2] * np.array([[1.0], [0.5]])
    rows, last = [], np.zeros(size)
    for step in range(length):
        x = level + 0.5 * last + np.eye(size)[2 + 2 * step]
        last = level - slope - 0.4 * x + np.eye(size)[3 + 2 * step]
        rows += [x, last]
    parts = np.array(rows)
    return parts @ parts.T


def test_sampling_answers_telling_queries_beside_a_continuous_outcome():
    model = bc.GenerativeModel(linear, "y", query=("x",), edges=EDGES, length=LENGTH)
    batch = model.sample(8, key=jax.random.key(2))
    x, y = (np.asarray(batch.shown[name], float) for name in ("x", "y"))
    covariance = joint_normal(LENGTH)
    seen = np.stack([x, y], axis=-1).reshape(8, -1)
    law = []
    for t in range(1, 2 * LENGTH, 2):
        weights = np.linalg.solve(covariance[:t, :t], covariance[:t, t])
        spread = np.sqrt(covariance[t, t] - weights @ covariance[:t, t])
        law.append(np.diff(stats.norm.cdf(ENDS, (seen[:, :t] @ weights)[:, None], spread)))
    found = unmeasured(model, SMC).estimate(batch)
    deviations = np.abs(found.predictive.mean - np.stack(law, axis=1)) / found.standard_error
    # 72 entries, of which Student's law with 15 degrees of freedom leaves 0.09 outside.
    assert np.mean(~(deviations <= 4.0)) <= 0.01
    log_evidence = stats.multivariate_normal.logpdf(seen, np.zeros(2 * LENGTH), covariance)
    deviations = np.abs(found.log_evidence[:, -1] - log_evidence) / found.evidence_error[:, -1]
    assert np.max(deviations) <= 4.5


def backwards(length: int) -> None:
    """Queries that are drawn after the outcome which they are shown before."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    with numpyro.plate("position", length):
        y = numpyro.sample("y", dist.Normal(1.0 * kind, 1.0))
        numpyro.sample("x", dist.Normal(y, 1.0))


def early(length: int) -> None:
    """Tokens that depend on numbers which are shown only later."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Bernoulli(logits=kind * jnp.roll(x, -1)))


def summary(length: int) -> None:
    """A prompt that tells the mean of numbers to come."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    with numpyro.plate("position", length):
        y = numpyro.sample("y", dist.Normal(1.0 * kind, 1.0))
    numpyro.sample("mean", dist.Normal(jnp.mean(y) + kind, 1.0))


@pytest.mark.parametrize(
    ("program", "options", "words"),
    [
        (backwards, {"query": ("x",), "edges": EDGES}, "got 'x' at step 0, which depends on 'y'"),
        (early, {"query": ("x",)}, "got 'y' at step 0, which depends on 'x' at step 1"),
        (summary, {"given": ("mean",), "edges": EDGES}, "got 'mean' at what the prompt gives"),
    ],
)
def test_numbers_that_are_shown_too_late_are_refused(program, options, words):
    model = bc.GenerativeModel(program, "y", length=3, **options)
    message = raised(ValueError, lambda: choose_engine(model, "forward"))
    assert message.startswith("program: expected laws that depend on no number shown later")
    assert words in message


def test_step_laws_do_not_look_at_the_outcome_either():
    model = bc.GenerativeModel(backwards, "y", query=("x",), edges=EDGES, length=1)
    why = why_no_step_laws(model)
    assert why is not None
    assert "depends on the outcome at 0 or later" in why


# ------------------------------------------------------------------------- windows


def hinted(length: int) -> None:
    """A hidden chain of which the prompt tells where it begins."""
    first = numpyro.sample("first", dist.Bernoulli(0.3))
    numpyro.sample("hint", dist.Bernoulli(0.1 + 0.7 * first))

    def step(state: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Bernoulli(0.2 + 0.7 * state))
        numpyro.sample("token", dist.Bernoulli(0.3 + 0.5 * state))
        return state, None

    scan(step, first, None, length=length)


@pytest.mark.parametrize("name", ["forward", "elimination"])
@pytest.mark.parametrize("hint", [0, 1])
def test_a_window_forgets_steps_and_not_the_prompt(name: str, hint: int):
    model = bc.GenerativeModel(hinted, "token", given=("hint",), length=3)
    with jax.enable_x64(True):
        engines = choose_engine(model, name).engine, EnumerationEngine(model.program, model.layout)
        for window in (1, 2):
            sites = {"hint": jnp.array(hint), "token": jnp.array([1, 0, 1])}
            found, exact = (jax.jit(e.windowed, static_argnums=1)(sites, window) for e in engines)
            np.testing.assert_allclose(found, exact, rtol=0.0, atol=1e-10)


def test_numbers_before_a_window_that_others_lean_on_are_refused():
    model = bc.GenerativeModel(marked, "y", query=("x",), edges=EDGES, length=3)
    oracle = bc.derive_oracle(model)
    batch = model.sample(2, key=jax.random.key(0))
    message = raised(ValueError, lambda: oracle.windowed(batch, 1))
    assert message.startswith("window: expected laws that depend on no continuous value of an")
    assert "got 'x', which depends on 'y' at step 0" in message
    whole = oracle.windowed(batch, 2)  # as long as the sequence
    np.testing.assert_allclose(whole, oracle(batch).log_predictive, rtol=1e-4)


def wandering(length: int) -> None:
    """Outcomes at numbers that wander by themselves."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.4))

    def step(last: jax.Array, _: None) -> tuple[jax.Array, None]:
        x = numpyro.sample("x", dist.Normal(last, 1.0))
        numpyro.sample("y", dist.Normal(kind * x, 0.8))
        return x, None

    scan(step, jnp.zeros(()), None, length=length)


def test_numbers_that_tell_of_nothing_are_forgotten():
    model = bc.GenerativeModel(wandering, "y", query=("x",), edges=EDGES, length=3)
    x, y = np.array([0.4, 1.1, 0.9]), np.array([0.2, 1.6, 0.0])
    batch = model.batch_from_sites({"x": jnp.array(x), "y": jnp.array(y)})
    found = np.exp(bc.derive_oracle(model, engine="forward").windowed(batch, 1))
    mean = np.outer(x, [0.0, 1.0])
    for t in range(3):
        weights = np.array([0.6, 0.4])
        if t:
            weights = weights * stats.norm.pdf(y[t - 1], mean[t - 1], 0.8)
        bins = np.diff(stats.norm.cdf(ENDS[:, None], mean[t], 0.8), axis=0)
        np.testing.assert_allclose(found[t], bins @ weights / weights.sum(), rtol=FLOAT32)


def coin(length: int) -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 1.0))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(bias))


def rows(length: int) -> None:
    """A Markov chain with unknown rows."""
    with numpyro.plate("row", 2):
        row = numpyro.sample("rows", dist.Dirichlet(jnp.array([1.0, 2.0])))

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        token = numpyro.sample("token", dist.Categorical(probs=law))
        return row[token], None

    scan(step, jnp.array([0.3, 0.7], row.dtype), None, length=length)


def nearly_hidden(length: int) -> None:
    """Symbols of a sticky chain with an unknown accuracy, half of the time."""
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    accuracy = numpyro.sample("accuracy", dist.Beta(1.0 + 3.0 * kind, 1.0))

    def step(state: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Bernoulli(0.1 + 0.8 * state))
        law = jnp.where(state == 1, accuracy, 1.0 - accuracy)
        numpyro.sample("token", dist.Bernoulli(law))
        return state, None

    scan(step, jnp.zeros((), int), None, length=length)


def forget_by_sums(joint: np.ndarray, window: int) -> np.ndarray:
    """Add up the probabilities of all sequences that agree with the last steps."""
    laws = np.zeros((len(EVERY), LENGTH, 2))
    for row, sequence in enumerate(EVERY):
        for t in range(LENGTH):
            seen = slice(max(0, t - window), t)
            agrees = (EVERY[:, seen] == sequence[seen]).all(axis=1)
            counts = [joint[agrees & (EVERY[:, t] == value)].sum() for value in (0, 1)]
            laws[row, t] = np.array(counts) / np.sum(counts)
    return laws


def joint_of_coin() -> np.ndarray:
    """Draw from a Polya urn with two heads and one tail."""
    joint = np.ones(len(EVERY))
    for step in range(LENGTH):
        heads = 2.0 + EVERY[:, :step].sum(axis=1)
        joint *= np.where(EVERY[:, step] == 1, heads, 3.0 + step - heads) / (3.0 + step)
    return joint


def joint_of_rows() -> np.ndarray:
    """Sum over the counts of a Polya urn for each row."""
    joint = np.where(EVERY[:, 0] == 1, 0.7, 0.3)
    for number, sequence in enumerate(EVERY):
        urns = np.array([[1.0, 2.0], [1.0, 2.0]])
        for before, after in pairwise(sequence):
            joint[number] *= urns[before, after] / urns[before].sum()
            urns[before, after] += 1.0
    return joint


def joint_of_nearly_hidden() -> np.ndarray:
    """Add up paths on Gauss nodes, exact for polynomials of a degree below 40."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    accuracy = 0.5 + 0.5 * nodes
    weights = 0.5 * weights * (0.5 + 0.5 * 4.0 * accuracy**3)  # Beta(1, 1) and Beta(4, 1)
    stay = np.array([[0.9, 0.1], [0.1, 0.9]])
    joint = np.zeros(len(EVERY))
    for number, sequence in enumerate(EVERY):
        for path in product((0, 1), repeat=LENGTH):
            chance = np.prod([stay[a, b] for a, b in zip((0, *path), path, strict=False)])
            law = np.where(np.array(path) == sequence, 1.0, 0.0)[:, None]
            # State one shows a one with the accuracy, state zero a zero.
            seen = np.prod(law * accuracy + (1.0 - law) * (1.0 - accuracy), axis=0)
            joint[number] += chance * weights @ seen
    return joint


WINDOWS: dict[str, tuple[Callable[[int], None], Callable[[], np.ndarray], Settings]] = {
    "coin, chains": (coin, joint_of_coin, NutsSettings(num_warmup=200)),
    "rows": (rows, joint_of_rows, SMC),
    "nearly hidden": (nearly_hidden, joint_of_nearly_hidden, SMC),
}


def unmeasured(model: bc.GenerativeModel, settings: Settings) -> MonteCarloOracle:
    """Return an oracle whose certificate nobody reads."""
    certificate = Certificate("monte carlo", exact=False, reason="", sites=(), error=1.0)
    key = jax.random.key(0)
    return MonteCarloOracle(model, settings, key, certificate, progress=False)


@pytest.mark.parametrize("name", WINDOWS)
def test_sampled_windows_forget_what_stands_before_them(name: str):
    program, joint, settings = WINDOWS[name]
    model = bc.GenerativeModel(program, "token", length=LENGTH)
    keep = slice(3, 4) if isinstance(settings, NutsSettings) else slice(None)
    batch = model.batch_from_sites({"token": jnp.asarray(EVERY[keep])})
    found = np.exp(unmeasured(model, settings).windowed(batch, 1))
    exact, whole = (forget_by_sums(joint(), window)[keep] for window in (1, LENGTH))
    # The error of a mean of 4,096 (4,000) draws, worth 400 at the least, of probabilities that
    # spread by at most 0.3: 0.015. Five of them are taken, and for the mean of all one.
    assert np.max(np.abs(found - exact)) < 0.075
    assert np.mean(np.abs(found - exact)) < 0.015
    assert np.max(np.abs(whole - exact)) > 0.02  # and there was something to forget


def test_sampled_windows_refuse_what_they_cannot_forget():
    model = bc.GenerativeModel(linear, "y", query=("x",), edges=EDGES, length=3)
    oracle, batch = unmeasured(model, SMC), model.sample(2, key=jax.random.key(0))
    message = raised(ValueError, lambda: oracle.windowed(batch, 1))
    assert "got 'x', which depends on 'y' at step 0" in message
    message = raised(ValueError, lambda: oracle.windowed(batch, 0))
    assert message == "window: expected at least 1, got 0"
