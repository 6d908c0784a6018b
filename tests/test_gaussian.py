"""Linear-Gaussian latents, against dense conditioning of the outcomes' joint law."""

from collections.abc import Callable
from dataclasses import dataclass

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
from bayescmp.exact.conjugacy.gaussian import GaussianEngine

LENGTH = 4
EDGES = (-1.0, 0.0, 0.7, 2.0)
Sites = dict[str, np.ndarray]
Setting = tuple[float, np.ndarray, np.ndarray]
"""Log weight of a hypothesis, and mean and covariance of all outcomes under it."""


def regression() -> None:
    w = numpyro.sample("w", dist.Normal(0.3, 1.2).expand([2]).to_event(1))
    b = numpyro.sample("b", dist.Normal(w.sum(), 0.5))
    with numpyro.plate("position", LENGTH):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(x @ w + b, 0.4))


def judge_regression(sites: Sites) -> list[Setting]:
    x = np.concatenate([sites["x"], np.ones((LENGTH, 1))], axis=1)
    root = np.array([[1.2, 0.0, 0.0], [0.0, 1.2, 0.0], [1.2, 1.2, 0.5]])
    mean = x @ np.array([0.3, 0.3, 0.6])
    return [(0.0, mean, x @ root @ root.T @ x.T + 0.16 * np.eye(LENGTH))]


def kalman() -> None:
    start = numpyro.sample("start", dist.Normal(0.5, 1.0))

    def step(z: jax.Array, _: None) -> tuple[jax.Array, None]:
        z = numpyro.sample("z", dist.Normal(0.8 * z + 0.1, 0.5))
        numpyro.sample("y", dist.Normal(2.0 * z, 0.3))
        return z, None

    scan(step, start, None, length=LENGTH)


def judge_kalman(sites: Sites) -> list[Setting]:
    del sites
    mean, root = np.zeros(LENGTH), np.zeros((LENGTH, LENGTH + 1))
    before, row = 0.5, np.eye(LENGTH + 1)[0]
    for t in range(LENGTH):
        before, row = 0.8 * before + 0.1, 0.8 * row + 0.5 * np.eye(LENGTH + 1)[t + 1]
        mean[t], root[t] = 2.0 * before, 2.0 * row
    return [(0.0, mean, root @ root.T + 0.09 * np.eye(LENGTH))]


def process() -> None:
    with numpyro.plate("position", LENGTH):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    kernel = jnp.exp(-0.5 * (x[:, None] - x[None, :]) ** 2) + 1e-4 * jnp.eye(LENGTH)
    f = numpyro.sample("f", dist.MultivariateNormal(jnp.zeros(LENGTH), kernel))
    with numpyro.plate("again", LENGTH):
        numpyro.sample("y", dist.Normal(f, 0.3))


def judge_process(sites: Sites) -> list[Setting]:
    x = sites["x"]
    kernel = np.exp(-0.5 * (x[:, None] - x[None, :]) ** 2) + 1e-4 * np.eye(LENGTH)
    return [(0.0, np.zeros(LENGTH), kernel + 0.09 * np.eye(LENGTH))]


SIGNS, SIGN_PRIOR = (-1.0, 0.5, 2.0), (0.2, 0.3, 0.5)


def hierarchy() -> None:
    centre = numpyro.sample("centre", dist.Normal(0.0, 1.0))
    which = numpyro.sample("which", dist.Categorical(probs=jnp.array(SIGN_PRIOR)))
    with numpyro.plate("group", 3):
        level = numpyro.sample("level", dist.Normal(centre, 0.5))
    with numpyro.plate("position", LENGTH):
        group = numpyro.sample("group_of", dist.DiscreteUniform(0, 2))
        spread = jnp.where(which == 2, 0.3, 0.8)
        numpyro.sample("y", dist.Normal(level[group] * jnp.array(SIGNS)[which], spread))


def judge_hierarchy(sites: Sites) -> list[Setting]:
    rows = np.eye(3)[sites["group_of"]]
    levels = 1.0 + 0.25 * np.eye(3)
    noise = (0.8, 0.8, 0.3)
    return [
        (
            np.log(SIGN_PRIOR[k]),
            np.zeros(LENGTH),
            SIGNS[k] ** 2 * rows @ levels @ rows.T + noise[k] ** 2 * np.eye(LENGTH),
        )
        for k in range(3)
    ]


def unknown_precision() -> None:
    precision = numpyro.sample("precision", dist.Gamma(2.0, 3.0))
    w = numpyro.sample("w", dist.Normal(0.5, 2.0 / jnp.sqrt(precision)))
    with numpyro.plate("position", LENGTH):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(w * x, 0.5 / jnp.sqrt(precision)))


def judge_unknown_precision(sites: Sites) -> list[Setting]:
    x = sites["x"]
    # Trapezoids in the log precision: exponentially accurate, as the density decays fast.
    grid = np.linspace(-16.0, 6.0, 400)
    log_weights = stats.gamma(2.0, scale=1.0 / 3.0).logpdf(np.exp(grid)) + grid
    log_weights = log_weights + np.log(grid[1] - grid[0])
    cov = 4.0 * np.outer(x, x) + 0.25 * np.eye(LENGTH)
    return [(w, 0.5 * x, cov / np.exp(g)) for w, g in zip(log_weights, grid, strict=True)]


def unknown_variance() -> None:
    variance = numpyro.sample("variance", dist.InverseGamma(2.5, 3.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.Normal(0.5, jnp.sqrt(variance)))


def judge_unknown_variance(sites: Sites) -> list[Setting]:
    del sites
    grid = np.linspace(-6.0, 14.0, 400)
    log_weights = stats.invgamma(2.5, scale=3.0).logpdf(np.exp(grid)) + grid
    log_weights = log_weights + np.log(grid[1] - grid[0])
    mean, cov = np.full(LENGTH, 0.5), np.eye(LENGTH)
    return [(w, mean, np.exp(g) * cov) for w, g in zip(log_weights, grid, strict=True)]


def context() -> None:
    """The prompt gives three pairs, which bear on the slope."""
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("shot", 3):
        x = numpyro.sample("x_shot", dist.Normal(0.0, 1.0))
        numpyro.sample("y_shot", dist.Normal(w * x, 0.5))
    with numpyro.plate("position", LENGTH):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(w * x, 0.5))


def judge_context(sites: Sites) -> list[Setting]:
    x, shots = sites["x"], sites["x_shot"]
    precision = 0.25 + np.sum(shots**2) / 0.25
    mean = (0.5 * 0.25 + np.sum(shots * sites["y_shot"]) / 0.25) / precision
    return [(0.0, mean * x, np.outer(x, x) / precision + 0.25 * np.eye(LENGTH))]


@dataclass(frozen=True)
class Case:
    function: Callable[[], None]
    judge: Callable[[Sites], list[Setting]]
    query: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


CASES = {
    "regression": Case(regression, judge_regression, ("x",)),
    "kalman": Case(kalman, judge_kalman),
    "process": Case(process, judge_process, ("x",)),
    "hierarchy": Case(hierarchy, judge_hierarchy, ("group_of",)),
    "unknown_precision": Case(unknown_precision, judge_unknown_precision, ("x",)),
    "unknown_variance": Case(unknown_variance, judge_unknown_variance),
    "context": Case(context, judge_context, ("x",), ("x_shot", "y_shot")),
}


def judged(settings: list[Setting], y: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Condition the joint law of all outcomes on the last few, under every hypothesis."""
    ends = np.array([-np.inf, *EDGES, np.inf])
    law, log_evidence = np.zeros((LENGTH, len(ends) - 1)), np.zeros(LENGTH)
    for t in range(LENGTH):
        past = list(range(max(0, t - window), t))
        log_weights, laws, whole = [], [], []
        for log_weight, mean, cov in settings:
            solved = np.linalg.solve(cov[np.ix_(past, past)], cov[past, t])
            loc = mean[t] + solved @ (y[past] - mean[past])
            scale = np.sqrt(cov[t, t] - solved @ cov[past, t])
            seen = 0.0
            if past:
                part = stats.multivariate_normal(mean[past], cov[np.ix_(past, past)])
                seen = part.logpdf(y[past])
            log_weights.append(log_weight + seen)
            laws.append(np.diff(stats.norm.cdf(ends, loc, scale)))
            prefix = stats.multivariate_normal(mean[: t + 1], cov[: t + 1, : t + 1])
            whole.append(log_weight + prefix.logpdf(y[: t + 1]))
        weights = np.exp(np.array(log_weights) - logsumexp(log_weights))
        law[t] = weights @ np.array(laws)
        log_evidence[t] = logsumexp(whole)
    return law, log_evidence


def log_queries(case: Case, sites: Sites) -> np.ndarray:
    total = np.zeros(LENGTH)
    for name in case.query:
        if name == "group_of":
            total += np.log(1.0 / 3.0)
        else:
            total += stats.norm.logpdf(sites[name]).reshape(LENGTH, -1).sum(1)
    return np.cumsum(total)


def model_of(function: Callable[[], None], **options) -> bc.GenerativeModel:
    return bc.GenerativeModel(function, outcome="y", edges=EDGES, **options)


def answers(engine: AbstractEngine, sites: dict[str, jax.Array]) -> list[np.ndarray]:
    def answer(example: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        reference = engine(example)
        windows = tuple(engine.windowed(example, window) for window in (1, 2))
        return reference.log_predictive, reference.log_evidence, *windows

    return [np.asarray(x) for x in jax.jit(jax.vmap(answer))(sites)]


@pytest.mark.parametrize("name", CASES)
def test_answers_equal_dense_conditioning(name):
    case = CASES[name]
    model = model_of(case.function, query=case.query, given=case.given)
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, GaussianEngine)
    assert engine.memoryless
    assert set(engine.treatment()) == set(model.sites)
    batch = jax.jit(lambda: model.sample(3, key=jax.random.key(5)))()
    narrow_sites = model.engine_sites(batch)
    plain = {
        key: np.asarray(x, np.float64) if x.dtype.kind == "f" else np.asarray(x)
        for key, x in narrow_sites.items()
    }
    with jax.enable_x64(True):
        found = answers(engine, {key: jnp.asarray(x) for key, x in plain.items()})
    narrow = answers(engine, narrow_sites)
    for i in range(3):
        sites = {key: x[i] for key, x in plain.items()}
        settings = case.judge(sites)
        law, log_evidence = judged(settings, sites["y"], LENGTH)
        # The judge subtracts distribution functions, each rounded to 1e-16.
        np.testing.assert_allclose(np.exp(found[0][i]), law, rtol=1e-10, atol=1e-14)
        expected = log_evidence + log_queries(case, sites)
        np.testing.assert_allclose(found[1][i], expected, rtol=1e-10)
        for window in (1, 2):
            law, _ = judged(settings, sites["y"], window)
            np.testing.assert_allclose(np.exp(found[1 + window][i]), law, rtol=1e-10, atol=1e-14)
    for wide, single in zip(found, narrow, strict=True):
        assert np.isfinite(single).all()
        assert single.dtype == np.float32
        # Some hundred operations of 6e-8 each, and a kernel of condition 1e4 in "process".
        np.testing.assert_allclose(np.exp(single), np.exp(wide), rtol=2e-3, atol=2e-4)


def test_beliefs_are_posteriors():
    """The slope after the prompt and each pair, from the normal equations."""
    case = CASES["context"]
    model = model_of(case.function, query=case.query, given=case.given)
    engine = find_conjugate(model.program, model.layout)
    assert engine is not None
    batch = model.sample(1, key=jax.random.key(2))
    sites = {key: x[0] for key, x in model.engine_sites(batch).items()}
    belief = np.asarray(engine(sites).belief["w"])
    assert belief.shape == (LENGTH, 1, 2)
    for t in range(LENGTH):
        x = np.concatenate([sites["x_shot"], sites["x"][:t]])
        y = np.concatenate([sites["y_shot"], sites["y"][:t]])
        precision = 0.25 + np.sum(x**2) / 0.25
        mean = (0.125 + np.sum(x * y) / 0.25) / precision
        np.testing.assert_allclose(belief[t, 0], [mean, 1.0 / precision], rtol=1e-4)


def not_linear() -> None:
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.Normal(jnp.tanh(w), 0.5))


def spread_by_the_mean() -> None:
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.Normal(w, 0.5 + 0.001 * jnp.abs(w)))


def half_scaled() -> None:
    """The prior of the mean does not scale with the variance."""
    precision = numpyro.sample("precision", dist.Gamma(2.0, 3.0))
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.Normal(w, 0.5 / jnp.sqrt(precision)))


def heavy_tailed() -> None:
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("y", dist.StudentT(5.0, w, 0.5))


def looking_ahead() -> None:
    """The mean of a step depends on the next query."""
    w = numpyro.sample("w", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", LENGTH):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(w * jnp.roll(x, -1), 0.5))


@pytest.mark.parametrize(
    ("function", "query", "reason"),
    [
        (not_linear, (), "not linear"),
        (spread_by_the_mean, (), "the scale of a Normal law"),
        (half_scaled, (), "the scale of a Normal law"),
        (heavy_tailed, (), "not a binned outcome with a Normal law"),
        (looking_ahead, ("x",), "depends on a later step"),
    ],
)
def test_it_stays_silent(function, query, reason):
    model = model_of(function, query=query)
    assert find_conjugate(model.program, model.layout) is None
    assert reason in (explain_conjugate(model.program, model.layout) or "")


def test_a_window_over_outcomes_that_lean_on_earlier_ones_is_refused():
    def autoregression() -> None:
        a = numpyro.sample("a", dist.Normal(0.0, 0.5))

        def step(y: jax.Array, _: None) -> tuple[jax.Array, None]:
            y = numpyro.sample("y", dist.Normal(a * y + 0.1, 0.5))
            return y, None

        scan(step, jnp.ones(()), None, length=LENGTH)

    model = model_of(autoregression)
    engine = find_conjugate(model.program, model.layout)
    assert isinstance(engine, GaussianEngine)
    assert not engine.memoryless
    y = np.array([0.4, -0.2, 0.9, 0.3])
    with jax.enable_x64(True):
        found = engine({"y": jnp.asarray(y)})
        # Bayesian regression of each value on the one before.
        x = np.array([1.0, *y[:-1]])
        cov = 0.25 * np.outer(x, x) + 0.25 * np.eye(LENGTH)
        _, log_evidence = judged([(0.0, np.full(LENGTH, 0.1), cov)], y, LENGTH)
        np.testing.assert_allclose(found.log_evidence, log_evidence, rtol=1e-10)
        with pytest.raises(ValueError, match="window: expected steps that are independent"):
            engine.windowed({"y": jnp.asarray(y)}, 1)
