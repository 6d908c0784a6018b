"""Sampling where the law of a continuous latent depends on discrete ones, against integrals."""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from scipy import stats

import bayescmp as bc
from bayescmp.montecarlo import (
    MonteCarloOracle,
    MonteCarloReference,
    NutsSettings,
    SmcSettings,
    derive_by_sampling,
)
from bayescmp.montecarlo.sampler import Settings
from bayescmp.montecarlo.target import build_target

LENGTH = 3
LOCATIONS, SPREAD = (-1.5, 0.5), 0.7
SHARES = (0.3, 0.7)
MEANS, CHANCE = np.array(LOCATIONS), np.array(SHARES)
EDGES = (-1.0, 0.0, 1.0)
SMC = SmcSettings(num_particles=256)
NUTS = NutsSettings(num_warmup=200, num_draws=1_000)

GRID = np.linspace(-12.0, 12.0, 4_001)
"""The densities below are negligible at the ends and smooth: sums over 4,001 equal steps are
as good as integrals, to far better than 1e-10."""


def mixture(length: int) -> None:
    """Toss a coin whose log odds have one of two normal laws."""
    kind = numpyro.sample("kind", dist.Categorical(probs=jnp.array(SHARES)))
    logit = numpyro.sample("logit", dist.Normal(jnp.array(LOCATIONS)[kind], SPREAD))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(logits=logit))


def told(length: int) -> None:
    """The same coin, of which the prompt tells a hint at its kind and a measurement."""
    kind = numpyro.sample("kind", dist.Categorical(probs=jnp.array(SHARES)))
    logit = numpyro.sample("logit", dist.Normal(jnp.array(LOCATIONS)[kind], SPREAD))
    numpyro.sample("hint", dist.Bernoulli(0.2 + 0.5 * kind))
    numpyro.sample("measured", dist.Normal(logit + 0.5 * kind, 1.5))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(logits=logit))


def groups(length: int) -> None:
    """Draw numbers of two groups in turn, each of its own kind, with a shift in common."""
    shift = numpyro.sample("shift", dist.Normal(0.0, 0.5))
    with numpyro.plate("group", 2):
        kind = numpyro.sample("kind", dist.Bernoulli(SHARES[1]))
        mean = numpyro.sample("mean", dist.Normal(jnp.array(LOCATIONS)[kind] + shift, SPREAD))
    with numpyro.plate("position", length):
        numpyro.sample("y", dist.Normal(mean[jnp.arange(length) % 2], 1.0))


class Exact(NamedTuple):
    """What there is to be found for each sequence."""

    law: np.ndarray
    log_evidence: np.ndarray
    kind: np.ndarray
    """``p(kind = value | s_t)``; shape (sequence, position, ..., value)."""
    mean: np.ndarray
    """Posterior mean of the continuous latent that depends on the kind."""


def integrate_coin(tokens: np.ndarray, log_clues: np.ndarray) -> Exact:
    """Integrate over a grid for both kinds; ``log_clues`` has axes sequence, kind, grid."""
    heads = 1.0 / (1.0 + np.exp(-GRID))
    prior = np.stack([stats.norm.pdf(GRID, mean, SPREAD) for mean in MEANS]) * CHANCE[:, None]
    rows = []
    for sequence, clue in zip(tokens, np.exp(log_clues), strict=True):
        weights = prior * clue
        start, row = weights.sum(), []
        for token in sequence:
            total, happened = weights.sum(), heads if token else 1.0 - heads
            one = (weights * heads).sum() / total
            mean = (weights * GRID).sum() / total
            kind = weights.sum(axis=1) / total
            weights = weights * happened
            row.append((np.array([1.0 - one, one]), np.log(weights.sum() / start), kind, mean))
        rows.append([np.stack(each) for each in zip(*row, strict=True)])
    return Exact(*(np.stack(each) for each in zip(*rows, strict=True)))


def integrate_groups(y: np.ndarray) -> Exact:
    """Add up normal laws over the four settings of the kinds; all else is linear."""
    group = np.arange(LENGTH) % 2
    # Numbers have the variance of the shift in common, and in a group that of its mean.
    of_means = 0.25 + SPREAD**2 * np.eye(2)
    between = of_means[group]
    covariance = between[:, group] + np.eye(LENGTH)
    settings = np.array(list(product((0, 1), repeat=2)))
    ends = np.array([-np.inf, *EDGES, np.inf])
    rows = []
    for sequence in y:
        row = []
        for t in range(LENGTH):
            solve = np.linalg.solve(covariance[:t, :t], covariance[:t])
            lift = np.linalg.solve(covariance[:t, :t], between[:t])
            spread = np.sqrt(covariance[t, t] - covariance[t, :t] @ solve[:, t])
            weights, laws, means, after = [], [], [], []
            for setting in settings:
                center = MEANS[setting]
                chance = CHANCE[setting].prod()
                gap = sequence[:t] - center[group[:t]]
                seen = log_normal(gap, covariance[:t, :t])
                loc = center[group[t]] + solve[:, t] @ gap
                weights.append(chance * np.exp(seen))
                laws.append(np.diff(stats.norm.cdf(ends, loc, spread)))
                means.append(center + lift.T @ gap)
                gap = sequence[: t + 1] - center[group[: t + 1]]
                after.append(chance * np.exp(log_normal(gap, covariance[: t + 1, : t + 1])))
            share = np.array(weights) / np.sum(weights)
            ones = share @ settings
            kind = np.stack([1.0 - ones, ones], axis=-1)
            row.append((share @ np.array(laws), np.log(np.sum(after)), kind, share @ means))
        rows.append([np.stack(each) for each in zip(*row, strict=True)])
    return Exact(*(np.stack(each) for each in zip(*rows, strict=True)))


def log_normal(gap: np.ndarray, covariance: np.ndarray) -> float:
    if not len(gap):
        return 0.0
    return float(stats.multivariate_normal.logpdf(gap, np.zeros(len(gap)), covariance))


EVERY = np.array(list(product((0, 1), repeat=LENGTH)))
HINT, MEASURED = np.arange(8) % 2, np.linspace(-2.0, 2.0, 8)


def coin_case() -> tuple[bc.GenerativeModel, dict[str, np.ndarray], Exact]:
    model = bc.GenerativeModel(mixture, outcome="token", length=LENGTH)
    return model, {"token": EVERY}, integrate_coin(EVERY, np.zeros((len(EVERY), 2, 1)))


def told_case() -> tuple[bc.GenerativeModel, dict[str, np.ndarray], Exact]:
    model = bc.GenerativeModel(told, outcome="token", given=("hint", "measured"), length=LENGTH)
    chance = 0.2 + 0.5 * np.arange(2)
    hint = np.where(HINT[:, None] == 1, chance, 1.0 - chance)[..., None]
    at = GRID + 0.5 * np.arange(2)[:, None]
    clues = np.log(hint) + stats.norm.logpdf(MEASURED[:, None, None], at, 1.5)
    sites = {"token": EVERY, "hint": HINT, "measured": MEASURED}
    return model, sites, integrate_coin(EVERY, clues)


def groups_case() -> tuple[bc.GenerativeModel, dict[str, np.ndarray], Exact]:
    model = bc.GenerativeModel(groups, outcome="y", edges=EDGES, length=LENGTH)
    y = np.random.default_rng(0).normal(0.0, 1.5, (8, LENGTH))
    return model, {"y": y}, integrate_groups(y.astype(np.float32).astype(float))


CASES: dict[str, tuple[Callable, Settings]] = {
    "coin": (coin_case, NUTS),
    "told": (told_case, SMC),
    "groups": (groups_case, SMC),
}

every_case = pytest.mark.parametrize("name", CASES)


@cache
def answers(name: str) -> tuple[MonteCarloReference, Exact, MonteCarloOracle]:
    build, settings = CASES[name]
    model, sites, exact = build()
    keep = slice(None, None, 4) if isinstance(settings, NutsSettings) else slice(None)
    with jax.enable_x64(True):
        batch = model.batch_from_sites({n: jnp.asarray(x[keep]) for n, x in sites.items()})
    oracle = derive_by_sampling(model, settings=settings, num_trials=1, progress=False)
    return oracle.estimate(batch), Exact(*(x[keep] for x in exact)), oracle


@every_case
def test_laws_and_evidences_are_within_four_standard_errors(name: str) -> None:
    found, exact, _ = answers(name)
    law = np.abs(found.predictive.mean - exact.law) / found.standard_error
    evidence = np.abs(found.log_evidence - exact.log_evidence) / found.evidence_error
    # Student's law with 15 degrees of freedom leaves 0.12 % outside.
    assert np.mean(~(law <= 4.0)) <= 0.01
    assert np.mean(~(evidence <= 4.0)) <= 0.02
    # Errors that are stated far too large would pass as well; the mean of |t| is 0.84.
    assert 0.4 < law.mean() < 1.4


@every_case
def test_beliefs_weigh_the_kinds_of_every_draw(name: str) -> None:
    found, exact, _ = answers(name)
    latent = "mean" if name == "groups" else "logit"
    assert found.belief["kind"].shape == exact.kind.shape
    # 4,096 draws that are worth 400 at the least: errors of the shares below
    # 0.5 / 400^0.5 = 0.025, of the means below 1.1 / 400^0.5 = 0.055; five of them are taken.
    assert np.max(np.abs(found.belief["kind"] - exact.kind)) < 0.125
    assert np.max(np.abs(found.belief[latent] - exact.mean)) < 0.275
    assert np.mean(np.abs(found.belief["kind"] - exact.kind)) < 0.025


def test_the_density_of_a_draw_is_summed_over_the_kinds() -> None:
    target = build_target(told_case()[0])
    sites = {"token": jnp.array([1, 0, 1]), "hint": jnp.array(1), "measured": jnp.array(0.4)}
    with jax.enable_x64(True):
        sites = target.in_64_bits(sites)
        logits = np.linspace(-3.0, 3.0, 7)
        density = jax.vmap(lambda x: target.log_posterior(x[None], sites, jnp.array(2)))
        found = np.asarray(density(jnp.array(logits)))
    measured = float(np.float64(sites["measured"]))
    both = sum(
        CHANCE[k]
        * stats.norm.pdf(logits, MEANS[k], SPREAD)
        * (0.2 + 0.5 * k)
        * stats.norm.pdf(measured, logits + 0.5 * k, 1.5)
        for k in range(2)
    )
    heads = 1.0 / (1.0 + np.exp(-logits))
    # Means and probabilities are written in float32, to 6e-8 of themselves.
    np.testing.assert_allclose(found, np.log(both * heads * (1.0 - heads)), rtol=1e-5)


def test_the_certificate_says_what_was_summed() -> None:
    _, _, oracle = answers("told")
    assert dict(oracle.certificate.sites) == {
        "hint": "given",
        "measured": "given",
        "logit": "sampled",
        "kind": "summed step by step",
        "token": "asked, then shown",
    }


# --------------------------------------------------------------------- refusals


def moving_bounds() -> None:
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    bias = numpyro.sample("bias", dist.Uniform(0.0, 0.5 + 0.5 * kind))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(bias))


def many_kinds() -> None:
    with numpyro.plate("voter", 23):
        vote = numpyro.sample("vote", dist.Bernoulli(0.5))
    logit = numpyro.sample("logit", dist.Normal(jnp.mean(vote), 1.0))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(logits=logit))


def after_the_steps() -> None:
    with numpyro.plate("position", 3):
        token = numpyro.sample("token", dist.Bernoulli(0.5))
    numpyro.sample("sum", dist.Normal(jnp.sum(token), 1.0))


def behind_a_step() -> None:
    with numpyro.plate("position", 3):
        token = numpyro.sample("token", dist.Bernoulli(0.5))
    copy = numpyro.sample("copy", dist.Bernoulli(0.2 + 0.6 * token[0]))
    numpyro.sample("logit", dist.Normal(1.0 * copy, 1.0))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (moving_bounds, "program: the bounds of site 'bias' depend on other draws"),
        (many_kinds, "at most 4,194,304 joint settings of the discrete latents on which the law"),
        (after_the_steps, "got 'sum', which depends on ['token']"),
        (behind_a_step, "got 'logit', which depends on ['token']"),
    ],
)
def test_what_cannot_be_summed_is_refused(program: Callable[[], None], message: str) -> None:
    model = bc.GenerativeModel(program, outcome="token")
    assert message in raised(ValueError, lambda: derive_by_sampling(model, progress=False))
