"""The split of uncertainty, what futures are to teach, temperature and prediction sets."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from complaints import unchecked
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing import latent_split
from bayescmp.auditing.asking import why_not_exchangeable
from bayescmp.auditing.judged import Judged, judge, judge_on
from bayescmp.auditing.latent_split import EntropySplit, find_split
from bayescmp.auditing.own_uncertainty import OwnEpistemic, measure_own
from bayescmp.auditing.prediction_sets import measure_sets
from bayescmp.auditing.uncertainty import split_uncertainty, uncertainty_group
from bayescmp.measures.conformal import (
    conformal_scores,
    conformal_threshold,
    coverage_p_value,
    density_set_size,
    set_coverage,
)
from bayescmp.measures.recalibration import fit_isotonic
from bayescmp.measures.temperature import apply_temperature, fit_temperature, temperature_p_value
from bayescmp.measures.uncertainty import dirichlet_aleatoric, fit_shrinkage, split_over_settings
from bayescmp.plots.uncertainty import plot_prediction_sets, plot_uncertainty
from bayescmp.predictors.predictor import FixedLaw
from bayescmp.report.uncertainty import build_uncertainty_section
from bayescmp.results.tree import make_tree

LENGTH = 4


@pytest.fixture(scope="module")
def coin() -> Judged:
    """The exact predictor of a coin on drawn sequences."""
    oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=LENGTH))
    return judge(oracle, oracle, key=jax.random.key(0), num_sequences=1_024)


def tempered(judged: Judged, temperature: float) -> Judged:
    return replace(judged, log_q=apply_temperature(judged.log_p, temperature))


def some_laws(num: int = 400, positions: int = 3, outcomes: int = 4, seed: int = 0):
    """Draw laws, and outcomes that follow them."""
    rng = np.random.default_rng(seed)
    laws = rng.dirichlet(np.ones(outcomes), (num, positions))
    came = (rng.random((num, positions, 1)) > laws.cumsum(-1)[..., :-1]).sum(-1)
    return np.log(laws), came, np.ones((num, positions), bool)


@pytest.mark.parametrize("alpha", [(1.0, 1.0), (0.5, 3.0), (20.0, 4.0)])
def test_the_aleatoric_part_of_a_beta_law_is_an_integral(alpha: tuple[float, float]) -> None:
    def integrand(x: float) -> float:
        entropy = scipy.special.entr(x) + scipy.special.entr(1.0 - x)
        density = x ** (alpha[0] - 1.0) * (1.0 - x) ** (alpha[1] - 1.0)
        return float(entropy * density / scipy.special.beta(*alpha))

    value, error = scipy.integrate.quad(integrand, 0.0, 1.0, limit=200)
    # The quadrature states its own error; 1e-12 is rounding of some hundred terms.
    assert abs(dirichlet_aleatoric(np.array([alpha]))[0] - value) < 10 * error + 1e-12


def test_the_aleatoric_part_of_a_dirichlet_law_is_a_mean_over_draws() -> None:
    alpha = np.array([0.7, 2.0, 5.0])
    draws = scipy.special.entr(np.random.default_rng(0).dirichlet(alpha, 20_000)).sum(axis=1)
    error = draws.std() / np.sqrt(len(draws))
    assert abs(dirichlet_aleatoric(alpha[None])[0] - draws.mean()) < 5 * error
    with pytest.raises(ValueError, match="alpha: expected positive concentrations, got 0"):
        dirichlet_aleatoric(np.array([[0.0, 1.0]]))


def test_a_mixture_is_split_as_loops_split_it() -> None:
    rng = np.random.default_rng(0)
    weights, laws = rng.dirichlet(np.ones(5), 3).T, rng.dirichlet(np.ones(4), (5, 3))
    weights[2] = 0.0
    weights /= weights.sum(axis=0)
    laws[2] = np.nan  # an impossible setting has no law, and none is looked at
    laws[0, :, 1] = 0.0
    laws[0] /= laws[0].sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"), jax.enable_x64(True):
        parts = jax.jit(split_over_settings)(np.log(weights), np.log(laws))
    for row in range(3):
        kept = [i for i in range(5) if i != 2]
        inside = sum(weights[i, row] * scipy.special.entr(laws[i, row]).sum() for i in kept)
        whole = scipy.special.entr(sum(weights[i, row] * laws[i, row] for i in kept)).sum()
        # 20 terms of at most one, each rounded to 1e-16.
        np.testing.assert_allclose([p[row] for p in parts], [inside, whole - inside], atol=1e-14)
    nothing = split_over_settings(jnp.full((2, 1), -jnp.inf), jnp.zeros((2, 1, 2)))
    assert np.isnan(nothing[0]).all()


def test_the_split_of_a_coin_is_exact(coin: Judged) -> None:
    found = find_split(coin.evaluation.oracle, coin.evaluation.batch, coin.log_p)
    assert isinstance(found, EntropySplit)
    assert found.per_question
    heads = np.cumsum(coin.outcomes, axis=1) - coin.outcomes
    for sequence, position in [(0, 0), (1, 2), (2, 3)]:
        a, b = 1 + heads[sequence, position], 1 + position - heads[sequence, position]
        grid = (np.arange(100_000) + 0.5) / 100_000
        mass = grid ** (a - 1) * (1.0 - grid) ** (b - 1)
        value = (scipy.special.entr(grid) + scipy.special.entr(1.0 - grid)) @ mass / mass.sum()
        assert abs(found.aleatoric[sequence, position] - value) < 1e-8  # midpoints, h^2 = 1e-10
    assert found.epistemic.min() > 0.0
    drawn = latent_split._draw(coin.evaluation.model, coin.evaluation.batch, found.total)
    assert isinstance(drawn, EntropySplit)
    assert not drawn.per_question
    gap = (drawn.aleatoric - found.aleatoric)[:, 1]
    # Drawn latents are draws from the posterior, so that both have the same mean.
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(len(gap))


def test_all_is_epistemic_where_latents_make_outcomes_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    oracle = bc.derive_oracle(bc.models.Bijection(size=3))
    judged = judge(oracle, oracle, key=jax.random.key(0), num_sequences=16)
    listed = find_split(oracle, judged.evaluation.batch, judged.log_p)
    monkeypatch.setattr(latent_split, "MOST_NUMBERS", 0)
    tried = find_split(oracle, judged.evaluation.batch, judged.log_p)
    for found, how in ((listed, "6 settings"), (tried, "made the outcome certain")):
        assert isinstance(found, EntropySplit)
        assert how in found.how
        assert found.per_question
        # A certain outcome's law is off from one by rounding, e = 1e-16: e log e is 1e-14.
        np.testing.assert_allclose(found.aleatoric, 0.0, atol=1e-12)
        np.testing.assert_allclose(found.epistemic[0], np.log([3, 2]), atol=1e-12)


def iid(length: int) -> None:
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(0.3))


def test_a_split_without_latents_is_all_aleatoric_and_some_have_none() -> None:
    model = bc.GenerativeModel(iid, outcome="token", length=2)
    batch = model.batch_from_sites({"token": jnp.array([[0, 1]])})
    log_p = np.log(np.full((1, 2, 2), 0.5))
    oracle = bc.derive_oracle(model)
    found = find_split(oracle, batch, log_p)
    assert isinstance(found, EntropySplit)
    assert not found.epistemic.any()
    chain = bc.models.GoldenMean(length=3)
    batch = chain.sample(1, key=jax.random.key(0))
    why = find_split(replace(oracle, model=chain), batch, np.zeros((1, 3, 2)))
    assert isinstance(why, str)
    assert "latents drawn before" in why


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exponent_of_shrinkage_is_found_with_its_interval(power: float) -> None:
    rng = np.random.default_rng(0)
    seen, covered = np.arange(4.0, 20.0), 0
    for _ in range(300):
        level = rng.gamma(4.0, 0.25, (200, 1))  # all positions of a sequence share it
        rows = level * rng.gamma(2.0, 0.5, (200, 16)) * seen**-power
        fit = fit_shrinkage(rows, seen)
        covered += fit.low <= power <= fit.high
        assert abs(fit.exponent - power) < 0.2
    # 95 % of 300, within four binomial standard errors of 3.8 and some for linearisation.
    assert 265 <= covered <= 299


def test_shrinkage_needs_positive_means() -> None:
    seen = np.arange(1, 4)
    assert np.isnan(fit_shrinkage(np.array([[1.0, 0.5, -0.5]] * 2), seen).exponent)
    with pytest.raises(ValueError, match="num_seen: expected two sequences"):
        fit_shrinkage(np.ones((1, 3)), seen)
    with pytest.raises(ValueError, match="level"):
        fit_shrinkage(np.ones((2, 3)), seen, level=1.0)


def test_an_exact_predictor_expects_to_learn_what_there_is(coin: Judged) -> None:
    own = measure_own(coin, key=jax.random.key(1), num_sequences=32, num_futures=32)
    assert isinstance(own, OwnEpistemic)
    # Before any toss the number of heads among three is uniform: 0, 1, 2 or 3.
    after = np.mean([scipy.stats.bernoulli((1 + h) / 5).entropy() for h in range(4)])
    assert abs(own.own[0] - (np.log(2.0) - after)) < 5 * own.own_error[0] + 1e-6
    assert abs(own.exact[0] - own.own[0]) < 5 * np.hypot(own.own_error[0], own.exact_error[0])


def test_a_predictor_that_learns_nothing_expects_nothing(coin: Judged) -> None:
    fair = FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
    judged = judge_on(fair, coin.evaluation)
    own = measure_own(judged, key=jax.random.key(1), num_sequences=16, num_futures=16)
    assert isinstance(own, OwnEpistemic)
    np.testing.assert_allclose(own.own, 0.0, atol=1e-6)  # 32-bit laws
    gap = own.exact[0] - own.own[0]
    assert gap > 4 * own.exact_error[0]
    with pytest.raises(ValueError, match="num_sequences: expected at least 2"):
        measure_own(judged, key=jax.random.key(1), num_sequences=1)


def drifting(length: int) -> None:
    bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
    power = 1.0 + jnp.arange(length)
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(bias**power))


def test_steps_that_may_not_change_places_are_told() -> None:
    model = bc.GenerativeModel(drifting, outcome="token", length=3)
    assert "depends on its place" in str(why_not_exchangeable(model))
    assert why_not_exchangeable(bc.models.beta_bernoulli(length=LENGTH)) is None


@pytest.mark.parametrize("temperature", [0.8, 1.0, 1.25])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    log_p, came, counts = some_laws(4_000)
    found = fit_temperature(apply_temperature(log_p, temperature), came, counts)
    assert found.low < 1.0 / temperature < found.high
    assert found.high - found.low < 0.15
    assert found.fitted_loss <= found.loss
    assert (found.p_value < 1e-3) == (temperature != 1.0)
    # The fitted temperature is a stationary point of the mean loss, by finite differences.
    losses = []
    for step in (0.99, 1.0, 1.01):
        law = apply_temperature(log_p, temperature * found.value * step)
        losses.append(-np.take_along_axis(law, came[..., None], -1).mean())
    assert losses[1] <= min(losses[0], losses[2])


def test_the_temperature_test_keeps_its_level_under_dependence() -> None:
    rejected, rng = 0, np.random.default_rng(1)
    for _ in range(400):
        laws = rng.dirichlet(np.ones(3), (100, 1)).repeat(5, axis=1)
        came = (rng.random((100, 1, 1)) > laws.cumsum(-1)[..., :-1]).sum(-1)  # five times one
        counts = np.ones((100, 5), bool)
        rejected += temperature_p_value(np.log(laws), came, counts) < 0.05
    # 20 expected, standard error 4.4; five of these.
    assert rejected < 42


@pytest.mark.parametrize("rare", [1e-4, 1e-3, 1e-2])
def test_outcomes_too_rare_to_come_do_not_refute_an_exact_predictor(rare: float) -> None:
    laws, counts = np.log(np.tile([1.0 - rare, rare], (200, 3, 1))), np.ones((200, 3), bool)
    rng, rejected = np.random.default_rng(3), 0
    for _ in range(400):
        came = (rng.random((200, 3)) < rare).astype(int)
        rejected += temperature_p_value(laws, came, counts) < 0.05
    # At most 20 expected, standard error 4.4; five of these. Student's t alone rejects 220 of
    # 400 at a thousandth, where none of 600 questions had the rare outcome.
    assert rejected < 42


def test_a_temperature_has_limits() -> None:
    certain = np.log(np.array([[[1.0 - 1e-300, 1e-300]]] * 3))
    came, counts = np.zeros((3, 1), int), np.ones((3, 1), bool)
    assert temperature_p_value(certain, came, counts) == 1.0
    with np.errstate(divide="ignore"):
        wrong = np.log(np.array([[[1.0, 0.0]]] * 3))
    found = fit_temperature(wrong, came + 1, counts)
    assert np.isnan(found.value)
    assert found.loss == np.inf
    assert found.p_value == 0.0
    for bad, message in (
        ((certain[:1], came[:1], counts[:1]), "two sequences"),
        ((certain, came[:2], counts), "outcomes: expected shape"),
        ((certain, came, ~counts), "counts: expected a question"),
    ):
        with unchecked(), pytest.raises(ValueError, match=message):
            fit_temperature(*bad)
    with pytest.raises(ValueError, match="temperature: expected a positive number, got 0"):
        apply_temperature(certain, 0.0)


def test_the_isotonic_map_is_the_best_rising_one() -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(30).round(1)
    right = rng.random(30) < sure
    fitted = fit_isotonic(sure, right)(sure)
    knots = np.unique(sure)
    # Dumb oracle: the max-min formula of isotonic regression over blocks of knots.
    share = np.array([right[sure == knot].mean() for knot in knots])
    size = np.array([(sure == knot).sum() for knot in knots])
    expected = [
        max(
            min(np.average(share[a : b + 1], weights=size[a : b + 1]) for b in range(k, len(knots)))
            for a in range(k + 1)
        )
        for k in range(len(knots))
    ]
    np.testing.assert_allclose(fitted, np.array(expected)[np.searchsorted(knots, sure)], atol=1e-12)


def test_scores_of_a_set_are_uniform_under_the_exact_law() -> None:
    log_p, came, counts = some_laws(1_000, 2)
    log_p[:500] = np.log(np.full(4, 0.25))  # ties everywhere
    came[:500] = np.random.default_rng(2).integers(0, 4, (500, 2))
    rng = np.random.default_rng(1)
    scores = conformal_scores(log_p, rng.random(log_p.shape), rng.random(came.shape))
    taken = np.take_along_axis(scores, came[..., None], -1)[..., 0]
    assert scipy.stats.kstest(taken.ravel(), "uniform").pvalue > 1e-3
    assert coverage_p_value(taken, counts, 0.9) > 1e-3
    law, order = np.exp(log_p[700, 0]), np.argsort(-log_p[700, 0])
    before = 0.0
    for outcome in order:  # a loop over outcomes from the likeliest on
        share = (scores[700, 0, outcome] - before) / law[outcome]
        assert 0.0 <= share <= 1.0
        before += law[outcome]
    sizes = (scores <= 0.8).sum(-1)
    gap = (sizes - density_set_size(log_p, 0.8)).ravel()
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(gap.size)
    covered = set_coverage(scores <= 0.8, log_p).ravel()
    assert abs(covered.mean() - 0.8) < 5 * covered.std() / np.sqrt(covered.size)


@pytest.mark.parametrize(("temperature", "fires"), [(1.0, False), (0.4, True), (2.5, True)])
def test_wrong_coverage_is_noticed(temperature: float, *, fires: bool) -> None:
    log_p, came, counts = some_laws(1_000)
    log_q = apply_temperature(log_p, temperature)
    rng = np.random.default_rng(1)
    scores = conformal_scores(log_q, rng.random(log_q.shape), rng.random(came.shape))
    taken = np.take_along_axis(scores, came[..., None], -1)[..., 0]
    assert (coverage_p_value(taken, counts, 0.9) < 1e-3) == fires


def test_conformal_sets_cover_whatever_the_scores() -> None:
    rng, covered = np.random.default_rng(0), []
    for _ in range(2_000):
        scores = rng.exponential(size=20)
        covered.append(scores[-1] <= conformal_threshold(scores[:-1], 0.8))
    # Exactly 16 / 20; standard error 0.009.
    assert abs(np.mean(covered) - 0.8) < 0.045
    assert conformal_threshold(np.array([0.5]), 0.9) == np.inf
    for scores in (np.zeros(0), np.array([np.nan])):
        with pytest.raises(ValueError, match="scores: expected at least one"):
            conformal_threshold(scores, 0.9)


def test_conformal_sets_mend_what_own_sets_miss(coin: Judged) -> None:
    wrong = measure_sets(tempered(coin, 0.2), key=jax.random.key(0))
    own, conformal, exact = wrong.coverage
    assert own < 0.87
    assert wrong.p_value < 1e-3
    # The threshold is an order statistic of 512 scores: standard error 0.013.
    assert abs(conformal - 0.9) < 0.055
    assert abs(exact - 0.9) < 5 * wrong.coverage_error[2] + 1e-9
    right = measure_sets(coin, key=jax.random.key(0))
    assert right.p_value > 1e-3
    assert abs(right.threshold - 0.9) < 0.055


def test_uncertainty_becomes_a_group_and_a_section(coin: Judged) -> None:
    part = judge_on(coin.subject, coin.evaluation.first(64))
    found = split_uncertainty(part, key=jax.random.key(0), num_futures=2)
    loss = found.split.total + found.kl if isinstance(found.split, EntropySplit) else None
    assert loss is not None
    cross = -(np.exp(part.log_p) * part.log_q).sum(axis=-1)
    np.testing.assert_allclose(loss, cross, atol=1e-12)
    assert abs(found.shrinkage[0].exponent - found.shrinkage[1].exponent) < 1e-9
    groups, attrs = split(synthetic_tree(num_seeds=2, length=LENGTH, num_outcomes=LENGTH))
    none = replace(found, split="no split: expected better", own="no futures of its own: none")
    for results in ([found, found], [none, none]):
        tree = make_tree({**groups, "/uncertainty": uncertainty_group(results)}, attrs)
        section = build_uncertainty_section(tree)
        assert len(section.missing) == (2 if results[0] is none else 0)
        for figure in (plot_uncertainty(tree), plot_prediction_sets(tree)):
            assert all(panel.has_data() for panel in figure.axes)
        assert "What it cannot show" in " ".join(section.paragraphs)
    assert build_uncertainty_section(make_tree(groups, attrs)).missing
    with pytest.raises(ValueError, match="judged: expected at least 8 sequences, got 4"):
        split_uncertainty(judge_on(coin.subject, coin.evaluation.first(4)), key=jax.random.key(0))
