"""Laws that look up numbers: of their own step they may, of a later one they may not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from scipy import stats

import bayescmp as bc
from bayescmp.exact.reading.factors import factor_program
from bayescmp.exact.reading.families import find_families
from bayescmp.exact.reading.variables import BINS, list_variables
from bayescmp.montecarlo.target import build_target
from bayescmp.selection import choose_engine

LENGTH = 3
EDGES = (0.25, 0.5, 2.5)

FLOAT32 = 1e-5
"""Parameters are written in float32, each 6e-8 of itself, some tens of them in a sum."""

LAWS: dict[str, tuple[Callable[[Any], dist.Distribution], Callable[[Any], Any]]] = {
    "Poisson": (dist.Poisson, stats.poisson),
    "Gamma": (lambda m: dist.Gamma(2.0, m), lambda m: stats.gamma(2.0, scale=1.0 / m)),
    "Gamma, by shape": (lambda m: dist.Gamma(m, 1.5), lambda m: stats.gamma(m, scale=1.0 / 1.5)),
    "negative binomial": (
        lambda m: dist.NegativeBinomial2(m, 2.0),
        lambda m: stats.nbinom(2.0, 2.0 / (2.0 + m)),
    ),
    "Beta": (lambda m: dist.Beta(m, 2.0), lambda m: stats.beta(m, 2.0)),
    "Student": (lambda m: dist.StudentT(4.0, m, 0.5), lambda m: stats.t(4.0, m, 0.5)),
    "exponential": (dist.Exponential, lambda m: stats.expon(scale=1.0 / m)),
    "normal": (lambda m: dist.Normal(m, 0.5), lambda m: stats.norm(m, 0.5)),
}
"""An outcome's law by a positive number, and the same in SciPy."""

Hint = Callable[[jax.Array], jax.Array]
HINTS: dict[str, Hint] = {
    "its own": lambda x: x,
    "the one before": lambda x: jnp.pad(x[:-1], (1, 0), constant_values=1.0),
    "all before": lambda x: jnp.cumsum(x) / 5.0,
    "own and the one before": lambda x: jnp.stack([x, jnp.roll(x, 1)], axis=1)[:, 0],
}
LEAKS: dict[str, Hint] = {
    "the next": lambda x: jnp.pad(x[1:], (0, 1), constant_values=1.0),
    "the next, stacked": lambda x: jnp.stack([x, jnp.roll(x, -1)], axis=1)[:, 1],
    "the next, tiled": lambda x: jnp.tile(x, 2)[1 : LENGTH + 1],
    "the others": lambda x: jnp.stack([x[(t + 1) % LENGTH] for t in range(LENGTH)]),
}


def shown_beside(
    law: Callable[[Any], dist.Distribution], hint: Hint = lambda x: x
) -> bc.GenerativeModel:
    """Return a model that shows a number at each step, and draws outcomes by such numbers."""

    def program(length: int) -> None:
        kind = numpyro.sample("kind", dist.Bernoulli(0.4))
        with numpyro.plate("position", length):
            x = numpyro.sample("x", dist.Uniform(0.5, 1.5))
            numpyro.sample("y", law((1.0 + kind) * hint(jnp.asarray(x))))

    return bc.GenerativeModel(program, "y", query=("x",), length=LENGTH, edges=EDGES)


def looked_up(model: bc.GenerativeModel, site: str) -> list[set[int]]:
    """Return for each step the steps of the numbers on which a site's law depends."""
    variables = list_variables(model.program, fixed={"x", "y"}, num_nodes=8)
    families = find_families(model.program, model.layout, variables)
    return [
        {when for name, when in family.leans_on if name == "x"}
        for family in families
        if family.site == site
    ]


@pytest.mark.parametrize("name", LAWS)
def test_a_law_and_its_bins_look_up_the_number_beside_them_alone(name: str) -> None:
    model = shown_beside(LAWS[name][0])
    for site in ("y", BINS):
        assert looked_up(model, site) == [{0}, {1}, {2}]


@pytest.mark.parametrize("name", LAWS)
def test_a_law_that_looks_ahead_is_refused(name: str) -> None:
    model = shown_beside(LAWS[name][0], lambda x: jnp.roll(x, -1))
    assert looked_up(model, BINS) == [{1}, {2}, {0}]
    message = raised(ValueError, lambda: factor_program(model.program, model.layout))
    assert message.startswith("program: expected laws that depend on no number shown later")
    assert "got 'y' at step 0, which depends on 'x' at step 1" in message


@pytest.mark.parametrize("name", HINTS)
def test_numbers_of_the_past_are_looked_up(name: str) -> None:
    model = shown_beside(dist.Poisson, HINTS[name])
    assert factor_program(model.program, model.layout).families


@pytest.mark.parametrize("name", LEAKS)
def test_numbers_of_the_future_are_refused_however_they_come_there(name: str) -> None:
    model = shown_beside(dist.Poisson, LEAKS[name])
    message = raised(ValueError, lambda: factor_program(model.program, model.layout))
    assert "got 'y' at step 0, which depends on 'x' at step 1" in message


@pytest.mark.parametrize("name", ["Poisson", "negative binomial", "Beta", "Student"])
def test_answers_are_those_of_bayes_rule_on_scipys_laws(name: str) -> None:
    law, scipys = LAWS[name]
    model = shown_beside(law)
    x, y = np.array([0.6, 1.4, 0.9]), np.array([1.0, 2.0, 0.0])
    if name == "Beta":
        y = np.array([0.3, 0.9, 0.5])
    weights, expected = np.array([0.6, 0.4]), []
    for t in range(LENGTH):
        by_kind = scipys(np.array([1.0, 2.0]) * x[t])
        below = [np.zeros(2), *(by_kind.cdf(edge) for edge in EDGES), np.ones(2)]
        expected.append(np.diff(below, axis=0) @ weights / weights.sum())
        density = by_kind.pdf if hasattr(by_kind, "pdf") else by_kind.pmf
        weights = weights * density(y[t])
    with jax.enable_x64(True):
        engine = choose_engine(model, "forward").engine
        found = jax.jit(engine)({"x": jnp.array(x), "y": jnp.array(y)})
    probs = np.exp(found.log_predictive)
    # Shares are never above the last edge, and no count between the first two: 0 = 0.
    np.testing.assert_allclose(probs, expected, rtol=FLOAT32, atol=1e-12)


@pytest.mark.parametrize(("shift", "steps"), [(0, [{0}, {1}, {2}]), (-1, [{1}, {2}, {0}])])
def test_correlated_numbers_are_looked_up_step_by_step(shift: int, steps: list[set[int]]) -> None:
    covariance = jnp.array([[1.0, 0.3], [0.3, 1.0]])

    def program(length: int) -> None:
        kind = numpyro.sample("kind", dist.Bernoulli(0.4))
        with numpyro.plate("position", length):
            x = numpyro.sample("x", dist.MultivariateNormal(jnp.zeros(2), covariance))
            numpyro.sample("y", dist.Normal(kind * jnp.roll(x, shift, axis=0).sum(axis=1), 1.0))

    model = bc.GenerativeModel(program, "y", query=("x",), length=LENGTH, edges=EDGES)
    assert looked_up(model, BINS) == steps
    assert looked_up(model, "x") == [set()] * LENGTH


def buses(length: int) -> None:
    """Count the buses of as many hours as are shown."""
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.7))
    with numpyro.plate("position", length):
        hours = numpyro.sample("hours", dist.Uniform(1.0, 2.0))
        numpyro.sample("count", dist.Poisson(rate * hours))


def test_a_rate_of_counts_beside_numbers_can_be_sampled() -> None:
    """Simulated calibration and chains begin with this."""
    edges = (0.5, 1.5, 3.5)
    model = bc.GenerativeModel(buses, "count", query=("hours",), length=LENGTH, edges=edges)
    assert build_target(model).latents.names == ("rate",)
