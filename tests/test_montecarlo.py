"""Sampled answers against exact ones, and what says how far to trust them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

import bayescmp as bc
from bayescmp.generative import GenerativeModel
from bayescmp.montecarlo import (
    MonteCarloOracle,
    MonteCarloReference,
    MonteCarloWarning,
    NutsSettings,
    SmcSettings,
    Verdict,
    certify_by_sampling,
    derive_by_sampling,
)
from bayescmp.montecarlo.diagnostics import combine_runs, compare_runs, examine_chains
from bayescmp.montecarlo.sampler import Settings
from bayescmp.selection import choose_engine

LENGTH = 6
NUM_SEQUENCES = 80
"""With 6 positions and 2 outcomes 960 entries a case, about 3,000 in all."""

Exact = tuple[np.ndarray, np.ndarray]
"""Probabilities of all outcomes, and log evidences."""

SMC = SmcSettings(num_particles=256)
FEW = SmcSettings(num_particles=32)
NUTS = NutsSettings(num_warmup=300, num_draws=600)

MOST_BEYOND = 0.01
"""Share of entries allowed beyond four standard errors. The mean of 16 runs over its standard
error follows Student's law with 15 degrees of freedom, P(|t| > 4) = 0.0012: 1.1 of the
960 entries of a case are expected, and 1 % are 9."""


def dirichlet_categorical(length: int) -> None:
    """Draw four outcomes by a law with a Dirichlet prior."""
    law = numpyro.sample("law", dist.Dirichlet(jnp.array([0.5, 1.0, 1.0, 2.0])))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Categorical(law))


def labels(length: int) -> None:
    """Label points whose mean shifts with the label; the prompt gives the shift, measured."""
    shift = numpyro.sample("shift", dist.Normal(0.0, 1.0))
    numpyro.sample("measured", dist.Normal(shift, 1.5).expand([2]).to_event(1))
    with numpyro.plate("position", length):
        label = numpyro.sample("label", dist.Bernoulli(0.3))
        numpyro.sample("x", dist.Normal(shift * label, 1.0))


def uncertain_chain(length: int) -> None:
    """Walk through two hidden states, with unknown stickiness and unknown accuracy."""
    stay = numpyro.sample("stay", dist.Beta(4.0, 2.0))
    accuracy = numpyro.sample("accuracy", dist.Uniform(0.5, 1.0))

    def step(state: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Bernoulli(jnp.where(state == 1, stay, 1.0 - stay)))
        law = dist.Bernoulli(jnp.where(state == 1, accuracy, 1.0 - accuracy))
        numpyro.sample("symbol", law)
        return state, None

    scan(step, jnp.zeros((), int), None, length=length)


def bent_coin() -> GenerativeModel:
    return bc.models.beta_bernoulli(length=LENGTH, heads=0.5, tails=0.1)


def counts_law(prior: list[float], outcomes: np.ndarray) -> np.ndarray:
    """Return ``(prior + count) / total`` before each outcome."""
    seen = np.eye(len(prior))[outcomes]
    counts = np.array(prior) + np.cumsum(seen, axis=1) - seen
    return counts / counts.sum(axis=-1, keepdims=True)


def by_counts(*prior: float) -> Callable[[GenerativeModel, bc.Batch], Exact]:
    def answer(_: GenerativeModel, batch: bc.Batch) -> Exact:
        outcomes = np.asarray(batch.outcomes)
        law = counts_law(list(prior), outcomes)
        happened = np.take_along_axis(law, outcomes[..., None], axis=-1)[..., 0]
        return law, np.cumsum(np.log(happened), axis=1)

    return answer


def by_quadrature(model: GenerativeModel, batch: bc.Batch) -> Exact:
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)
        engine = choose_engine(model, "quadrature").engine
        found = jax.jit(jax.vmap(engine))(model.engine_sites(wide))
        return np.exp(np.asarray(found.log_predictive)), np.asarray(found.log_evidence)


@dataclass(frozen=True)
class Case:
    """A model with its exact predictives and log evidences."""

    build: Callable[[], GenerativeModel]
    exact: Callable[[GenerativeModel, bc.Batch], Exact]
    settings: Settings = SMC
    num_sequences: int = NUM_SEQUENCES


CASES = {
    "coin": Case(bent_coin, by_counts(0.1, 0.5)),
    "labels": Case(
        lambda: GenerativeModel(
            labels, outcome="label", query=("x",), given=("measured",), length=LENGTH
        ),
        by_quadrature,
    ),
    "chain": Case(
        lambda: GenerativeModel(
            uncertain_chain, outcome="state", query=("symbol",), reveal=False, length=LENGTH
        ),
        by_quadrature,
    ),
    # 8 * 6 * 4 = 192 entries, of which normal errors are expected to leave 0.01 outside.
    "counts": Case(
        lambda: GenerativeModel(dirichlet_categorical, outcome="token", length=LENGTH),
        by_counts(0.5, 1.0, 1.0, 2.0),
        settings=NUTS,
        num_sequences=8,
    ),
}

every_case = pytest.mark.parametrize("name", CASES)


def sample(
    model: GenerativeModel, settings: Settings, batch: bc.Batch
) -> tuple[MonteCarloOracle, MonteCarloReference]:
    oracle = derive_by_sampling(model, settings=settings, num_trials=1, progress=False)
    return oracle, oracle.estimate(batch)


@cache
def answers(name: str) -> tuple[bc.Batch, MonteCarloOracle, MonteCarloReference, Exact]:
    case = CASES[name]
    model = case.build()
    batch = model.sample(case.num_sequences, key=jax.random.key(7))
    return batch, *sample(model, case.settings, batch), case.exact(model, batch)


@cache
def few_answers() -> tuple[MonteCarloOracle, MonteCarloReference]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MonteCarloWarning)
        return sample(bent_coin(), FEW, answers("coin")[0])


@every_case
def test_answers_are_within_four_standard_errors_of_exact_ones(name: str) -> None:
    _, _, found, (law, _) = answers(name)
    errors = np.abs(found.predictive.mean - law) / found.standard_error
    assert np.mean(~(errors <= 4.0)) <= MOST_BEYOND
    # Errors that were far too large would pass as well. The mean of |t| with 15 degrees of
    # freedom is 0.84; over 8 sequences, as good as independent, it is off by 0.2.
    assert 0.84 - 0.6 < np.mean(errors) < 0.84 + 0.6


@every_case
def test_answers_are_laws_and_are_reliable(name: str) -> None:
    _, _, found, _ = answers(name)
    np.testing.assert_allclose(found.predictive.mean.sum(axis=-1), 1.0, rtol=1e-12)
    assert found.verdict.is_reliable, str(found.verdict)


@every_case
def test_evidence_is_within_four_standard_errors_of_the_exact_one(name: str) -> None:
    _, _, found, (_, log_evidence) = answers(name)
    # Labels that are all zero tell nothing of the shift: then rounding is the only error.
    scale = np.maximum(found.evidence_error[:, -1], 1e-12)
    errors = np.abs(found.log_evidence - log_evidence)[:, -1] / scale
    # 80 sequences at 0.0012 expect 0.1; two or more have probability 0.005.
    assert np.sum(~(errors <= 4.0)) <= 1


@pytest.mark.parametrize("name", ["coin", "counts"])
def test_evidence_is_the_running_product_of_predictives(name: str) -> None:
    batch, _, found, _ = answers(name)
    index = np.asarray(batch.outcomes)[..., None]
    happened = np.take_along_axis(found.predictive.mean, index, axis=-1)[..., 0]
    np.testing.assert_allclose(np.cumsum(np.log(happened), axis=1), found.log_evidence, rtol=1e-9)


def test_beliefs_are_posterior_means() -> None:
    batch, _, found, _ = answers("coin")
    outcomes = np.asarray(batch.outcomes)
    np.testing.assert_allclose(found.belief["bias"], found.predictive.mean[..., 1], rtol=1e-12)
    assert found.belief["bias"].shape == outcomes.shape
    assert answers("chain")[2].belief["stay"].shape == (NUM_SEQUENCES, LENGTH)


def test_standard_errors_shrink_with_the_root_of_the_draws() -> None:
    few, many = few_answers()[1].standard_error, answers("coin")[2].standard_error
    # The root of 256 / 32 is 2.83. Each error from 16 runs is off by 18 %, their mean over 80
    # sequences by 2 %; the rest of the margin is for weights that 32 draws hardly support.
    assert 2.83 / 1.25 < few.mean() / many.mean() < 2.83 * 1.25


def test_too_few_draws_are_flagged() -> None:
    oracle, found = few_answers()
    assert not found.verdict.is_reliable
    with pytest.warns(MonteCarloWarning, match="NOT RELIABLE: R-hat .* take more draws"):
        oracle(answers("coin")[0])
    assert "NOT RELIABLE" in oracle.certify(found).reason


def test_certificate_says_what_was_done() -> None:
    _, oracle, found, _ = answers("chain")
    certificate = oracle.certify(found)
    assert not certificate.exact
    assert not certificate.jittable
    assert 0.0 < certificate.error < 0.1
    assert "SMC, 16 runs of 256 draws; R-hat at most 1.00" in certificate.reason
    assert dict(certificate.sites)["stay"] == "sampled"


def test_answers_depend_on_key_and_batch_alone() -> None:
    batch, oracle, found, _ = answers("coin")
    part = jax.tree.map(lambda x: x[:3], batch)
    again = oracle(part).log_predictive
    np.testing.assert_array_equal(again, found.reference.log_predictive[:3])
    other = eqx.tree_at(lambda o: o.key, oracle, jax.random.key(1))
    assert np.all(np.asarray(other(part).log_predictive[:, 1:]) != np.asarray(again[:, 1:]))


def test_batch_axes_come_back_in_front() -> None:
    batch, oracle, _, _ = answers("coin")
    square = jax.tree.map(lambda x: x[:4].reshape(2, 2, *x.shape[1:]), batch)
    assert oracle(square).log_predictive.shape == (2, 2, LENGTH, 2)
    one = jax.tree.map(lambda x: x[0], batch)
    assert oracle(one).log_evidence.shape == (LENGTH,)


def test_certification_passes_the_right_engine_and_fails_a_wrong_one() -> None:
    model = bent_coin()
    right = choose_engine(model).engine
    wrong = choose_engine(bc.models.beta_bernoulli(length=LENGTH, heads=2.0, tails=1.0)).engine
    passed = certify_by_sampling(model, right, settings=SMC, num_sequences=20, progress=False)
    failed = certify_by_sampling(model, wrong, settings=SMC, num_sequences=20, progress=False)
    assert passed.passed
    assert "beyond 4 standard errors" in str(passed)
    assert not failed.passed
    assert failed.share_beyond > 0.5


def test_certification_rejects_positions_that_are_not_there() -> None:
    model = bent_coin()
    with pytest.raises(ValueError, match="positions: expected numbers from 0 to 5"):
        certify_by_sampling(model, choose_engine(model).engine, positions=(6,))


# ------------------------------------------------------------------ diagnostics


def test_chains_that_agree_have_the_error_of_independent_draws() -> None:
    draws = np.random.default_rng(0).normal(5.0, 1.0, (4, 1000, 50))
    mean, error, r_hat, ess = examine_chains(draws)
    # Estimates of the effective number of 4,000 independent draws scatter by a few percent.
    np.testing.assert_allclose(error, 1.0 / 4000**0.5, rtol=0.2)
    assert np.max(np.abs(mean - 5.0) / error) < 4.5
    assert Verdict(0.0, float(r_hat.max()), float(ess.min())).is_reliable


def test_a_chain_apart_from_the_others_is_flagged() -> None:
    draws = np.random.default_rng(0).normal(5.0, 1.0, (4, 1000, 1))
    draws[0] += 1.0
    _, _, r_hat, ess = examine_chains(draws)
    assert not Verdict(0.0, float(r_hat.max()), float(ess.min())).is_reliable


def test_constant_draws_are_certain() -> None:
    mean, error, r_hat, ess = examine_chains(np.full((4, 10, 1), 0.25))
    assert (mean[0], error[0], r_hat[0], ess[0]) == (0.25, 0.0, 1.0, 40.0)
    r_hat, ess = compare_runs(np.zeros(1), np.zeros(1), 4, 40)
    assert (r_hat[0], ess[0]) == (1.0, 40.0)


def test_runs_are_weighted_by_their_evidence() -> None:
    mean, error = combine_runs(np.array([[0.0], [1.0]]), np.log(np.array([[1.0], [3.0]])))
    # Weights 1/2 and 3/2: the mean is 3/4, and the error sqrt((3/8)^2 + (3/8)^2) / sqrt(2).
    assert mean == pytest.approx(0.75, abs=1e-12)
    assert error == pytest.approx(0.375, abs=1e-12)


# --------------------------------------------------------------------- refusals


def discrete_only() -> None:
    fair = numpyro.sample("fair", dist.Bernoulli(0.5))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(0.2 + 0.3 * fair))


def moving_bounds() -> None:
    top = numpyro.sample("top", dist.Beta(1.0, 1.0))
    bias = numpyro.sample("bias", dist.Uniform(0.0, top))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(bias))


def unbounded_count() -> None:
    count = numpyro.sample("count", dist.Poisson(2.0))
    logit = numpyro.sample("logit", dist.Normal(0.0, 1.0))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(logits=logit * count))


def improper_prior() -> None:
    support = dist.constraints.real
    logit = numpyro.sample("logit", dist.ImproperUniform(support, (), ()))
    with numpyro.plate("position", 3):
        numpyro.sample("token", dist.Bernoulli(logits=logit))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (discrete_only, "expected a continuous latent to sample, got none"),
        (moving_bounds, "the bounds of site 'bias' depend on other draws"),
        (unbounded_count, "finitely many values, got 'count'"),
        (improper_prior, "expected a proper prior for site 'logit'"),
    ],
)
def test_programs_that_cannot_be_sampled_are_refused(
    program: Callable[[], None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        derive_by_sampling(GenerativeModel(program, outcome="token"), progress=False)


def test_what_cannot_be_answered_is_refused() -> None:
    batch, oracle, _, _ = answers("coin")
    for answer in (lambda b: oracle(b).log_predictive, lambda b: oracle.windowed(b, 1)):
        with pytest.raises(ValueError, match="inside a compiled function"):
            jax.jit(answer)(batch)
    with pytest.raises(ValueError, match="expected 6 positions"):
        oracle(bc.models.beta_bernoulli(length=3).sample(2, key=jax.random.key(0)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SmcSettings(num_runs=2), "num_runs: expected at least 4, got 2"),
        (lambda: SmcSettings(num_moves=0), "num_moves: expected at least 1, got 0"),
        (lambda: SmcSettings(least_worth=1.0), "least_worth: expected a share"),
        (lambda: NutsSettings(num_chains=1), "num_chains: expected at least 2, got 1"),
        (lambda: NutsSettings(target_accept=1.5), "target_accept: expected a probability"),
    ],
)
def test_settings_without_a_standard_error_are_refused(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_sequences_that_end_early_keep_their_last_answers():
    model = bc.models.beta_bernoulli(length=4)
    tosses = jnp.array([[1, 0, 1, 1], [1, 0, 1, 1]])
    settings = SmcSettings(num_particles=128)
    oracle = derive_by_sampling(model, settings=settings, num_trials=1, progress=False)
    whole = oracle.estimate(model.batch_from_sites({"token": tosses}))
    ended = oracle.estimate(model.batch_from_sites({"token": tosses}, lengths=[4, 2]))
    for before, after in zip(jax.tree.leaves(whole), jax.tree.leaves(ended), strict=True):
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1, :2], after[1, :2])
        np.testing.assert_array_equal(after[1, 2:], np.stack([after[1, 1]] * 2))
