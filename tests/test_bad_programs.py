"""Programs that cannot be run or answered, and the one line that each of them gets."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import COIN, raised, tokens

import bayescmp as bc


def improper() -> None:
    level = numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (), ()))
    tokens(dist.Bernoulli(logits=level))


def endless() -> None:
    level = numpyro.sample("level", dist.Uniform(-jnp.inf, jnp.inf))
    tokens(dist.Bernoulli(logits=level))


def drawn_plate() -> None:
    count = numpyro.sample("count", dist.DiscreteUniform(1, 3))
    with numpyro.plate("item", count):
        numpyro.sample("size", dist.Normal(0.0, 1.0))
    tokens(COIN)


def drawn_loop() -> None:
    count = numpyro.sample("count", dist.DiscreteUniform(1, 3))
    for number in range(int(count)):
        numpyro.sample(f"size_{number}", dist.Normal(0.0, 1.0))
    tokens(COIN)


def branching() -> None:
    side = numpyro.sample("side", COIN)
    tokens(dist.Bernoulli(0.3 if side == 1 else 0.6))


def twice() -> None:
    numpyro.sample("side", COIN)
    numpyro.sample("side", COIN)
    tokens(COIN)


def short_mask() -> None:
    with numpyro.handlers.mask(mask=jnp.ones(5, bool)):
        tokens(COIN)


@pytest.mark.parametrize(
    ("function", "expected", "got"),
    [
        (improper, "expected a proper prior for site 'level'", "got a flat one"),
        (endless, "expected a proper prior for site 'level'", "got a flat one"),
        (drawn_plate, "expected only JAX functions on drawn values", "the size of a plate"),
        (drawn_loop, "expected only JAX functions on drawn values", "got Python control flow"),
        (branching, "expected only JAX functions on drawn values", "use jnp.where"),
        (twice, "expected every site and plate to have a name of its own", "got `side` duplicated"),
        (short_mask, "expected parameters, plates and masks whose shapes", "got [(5,), (3,)]"),
    ],
)
def test_programs_that_cannot_be_run(function, expected, got):
    message = raised(ValueError, lambda: bc.GenerativeModel(function, outcome="token"))
    assert message.startswith(f"program: {expected}")
    assert got in message


def poisson() -> None:
    count = numpyro.sample("count", dist.Poisson(3.0))
    tokens(dist.Bernoulli(jax.nn.sigmoid(1.0 * count)))


def many() -> None:
    weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([6]).to_event(1))
    tokens(dist.Bernoulli(logits=jnp.sum(weights)))


def nested() -> None:
    width = numpyro.sample("width", dist.Uniform(0.0, 1.0))
    tokens(dist.Bernoulli(probs=numpyro.sample("bias", dist.Uniform(0.0, width))))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (poisson, "site 'count' with support IntegerNonnegative(lower_bound=0) cannot be"),
        (many, "which depends on 6 elements of ['weights']"),
        (nested, "site 'bias' with support"),
    ],
)
def test_programs_without_an_exact_answer(function, why):
    model = bc.GenerativeModel(function, outcome="token")
    message = raised(ValueError, lambda: bc.derive_oracle(model))
    assert message.startswith("model: no exact engine for")
    assert why in message
    assert "With engine='monte carlo' continuous latents are sampled" in message


LEVELS: dict[str, Callable[[], dist.Distribution]] = {
    "normal": lambda: dist.Normal(0.3, 1.5),
    "gamma": lambda: dist.Gamma(2.5, 1.3),
    "exponential": lambda: dist.Exponential(0.7),
    "beta": lambda: dist.Beta(0.6, 2.0),
    "uniform": lambda: dist.Uniform(-1.0, 2.0),
}


@pytest.mark.parametrize("name", LEVELS)
def test_quadrature_error_is_no_smaller_than_the_truth(name):
    """The stated error bounds the deviation from a sum over two hundred thousand quantiles."""

    def function() -> None:
        level = numpyro.sample("level", LEVELS[name]())
        tokens(dist.Bernoulli(logits=0.8 * level - 0.3))

    model = bc.GenerativeModel(function, outcome="token")
    oracle = bc.derive_oracle(model, engine="quadrature")
    tossed = np.array([1, 1, 0])
    with jax.enable_x64(True):
        batch = model.batch_from_sites({"token": jnp.array(tossed)})
        found = np.exp(np.asarray(oracle(batch).log_predictive)[:, 1])
    levels = quantiles(name, (np.arange(200_000) + 0.5) / 200_000)
    prob = 1.0 / (1.0 + np.exp(-(0.8 * levels - 0.3)))
    weights = np.ones_like(prob)
    for step, toss in enumerate(tossed):
        truth = np.sum(weights * prob) / np.sum(weights)
        # A midpoint rule over quantiles errs by the tail beyond the outermost: 1e-5 of the mass.
        assert abs(np.log(found[step] / truth)) <= oracle.certificate.error + 2e-5
        weights = weights * np.where(toss, prob, 1.0 - prob)


def quantiles(name: str, levels: np.ndarray) -> np.ndarray:
    from scipy import stats

    laws = {
        "normal": stats.norm(0.3, 1.5),
        "gamma": stats.gamma(2.5, scale=1.0 / 1.3),
        "exponential": stats.expon(scale=1.0 / 0.7),
        "beta": stats.beta(0.6, 2.0),
        "uniform": stats.uniform(-1.0, 3.0),
    }
    return laws[name].ppf(levels)
