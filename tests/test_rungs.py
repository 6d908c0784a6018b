"""Counts, plug-ins, other oracles, memorised pools and mixtures, each against a dumber judge."""

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
from scipy import special, stats

import bayescmp as bc
from bayescmp.distributions import WithoutReplacement
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.predictors import (
    AbstractPredictor,
    AddAlphaCounts,
    FixedLaw,
    MemorisedPool,
    Mixture,
    OtherOracle,
    PlugIn,
    WindowPredictor,
    draw_pool,
)

EXACT = 1e-10
"""Relative error of exact work in float64: some thousand operations of 2e-16 each."""

NUM_JUDGED = 6


@eqx.filter_jit
def _answer(subject: AbstractPredictor | bc.Oracle, batch: bc.Batch) -> jax.Array:
    if isinstance(subject, bc.Oracle):
        return subject(batch).log_predictive
    return subject.log_predictive(batch)


def laws(subject: AbstractPredictor | bc.Oracle, batch: bc.Batch) -> np.ndarray:
    """Return probabilities, computed in float64 inside a compiled function."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)
        return np.exp(np.asarray(_answer(subject, wide), np.float64))


# --------------------------------------------------------------------- counts


def count_by_hand(outcomes: np.ndarray, size: int, alpha: float, order: int) -> np.ndarray:
    law = np.zeros((len(outcomes), size))
    for t in range(len(outcomes)):
        counts = np.full(size, alpha)
        for s in range(order, t):
            if t >= order and list(outcomes[s - order : s]) == list(outcomes[t - order : t]):
                counts[outcomes[s]] += 1.0
        law[t] = counts / counts.sum()
    return law


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("order", [0, 1, 2, 7])
@pytest.mark.parametrize("name", ["urns", "chain", "clues"])
def test_counts_equal_counting_by_hand(name: str, alpha: float, order: int):
    model, batch = cases.build(name), cases.first(name, NUM_JUDGED)
    found = laws(AddAlphaCounts(model, alpha, order), batch)
    for sequence in range(NUM_JUDGED):
        outcomes = np.asarray(batch.outcomes[sequence])
        expected = count_by_hand(outcomes, model.num_outcomes, alpha, order)
        np.testing.assert_allclose(found[sequence], expected, rtol=EXACT)


def test_add_one_counts_are_exact_for_a_coin_with_a_flat_prior():
    model = beta_bernoulli(length=12)
    batch = eqx.filter_jit(model.sample)(64, key=jax.random.key(0))
    exact = laws(bc.derive_oracle(model), batch)
    np.testing.assert_allclose(laws(AddAlphaCounts(model), batch), exact, rtol=EXACT)
    assert np.abs(laws(AddAlphaCounts(model, 0.5), batch) - exact).max() > 0.05


def test_counts_name_themselves():
    model = beta_bernoulli(length=3)
    rungs = [AddAlphaCounts(model, alpha, order) for alpha, order in ((1.0, 0), (1.0, 1), (0.5, 3))]
    assert [rung.name for rung in rungs] == [
        "add-one counts",
        "add-one bigram",
        "add-0.5 counts of order 3",
    ]


def test_counts_refuse_what_cannot_be_counted():
    hidden = raised(ValueError, lambda: AddAlphaCounts(HiddenMarkov(2, 2, length=3)))
    assert hidden == (
        "model: expected outcomes that are shown after they are asked, got 'state' hidden"
    )
    assert "finitely many values to count" in raised(ValueError, lambda: AddAlphaCounts(LINE))
    coin = beta_bernoulli(length=3)
    assert "alpha: expected a positive" in raised(ValueError, lambda: AddAlphaCounts(coin, 0.0))
    assert "order: expected at least 0" in raised(ValueError, lambda: AddAlphaCounts(coin, 1.0, -1))


# -------------------------------------------------------------- memorised pool


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
    exact = laws(bc.derive_oracle(model), batch)
    np.testing.assert_allclose(laws(MemorisedPool(model, tasks), batch), exact, atol=EXACT)


def test_a_pool_that_repeats_tasks_has_their_prior():
    """Chances of 2, 5 and 3 in ten for the stickiness, in a program written with a scan."""
    model, batch = cases.build("chain"), cases.first("chain", 32)
    pool = MemorisedPool(model, {"which": jnp.array([0] * 2 + [1] * 5 + [2] * 3)})
    exact = laws(bc.derive_oracle(model), batch)
    np.testing.assert_allclose(laws(pool, batch), exact, rtol=EXACT)
    uniform = MemorisedPool(model, {"which": jnp.arange(3)})
    assert np.abs(laws(uniform, batch) - exact).max() > 0.01


def test_a_pool_with_a_continuous_query_weighs_by_what_it_says():
    model, batch = cases.build("regression"), cases.first("regression", 32)
    pool = MemorisedPool(model, {"slope": jnp.array([0] * 3 + [1] * 3 + [2] * 4)})
    np.testing.assert_allclose(laws(pool, batch), laws(bc.derive_oracle(model), batch), rtol=EXACT)


def test_larger_pools_approach_exact_inference():
    """A pool is a Monte Carlo estimate of two integrals: its error falls as 1 / sqrt(tasks).

    In nats the divergence falls as 1 / tasks; over a factor of 64 it must at least fall 16
    times, which leaves a factor of four for the luck of two draws.
    """
    model = beta_bernoulli(length=8)
    batch = eqx.filter_jit(model.sample)(256, key=jax.random.key(2))
    exact = laws(bc.derive_oracle(model), batch)
    divergence = []
    for num_tasks in (64, 4_096):
        law = laws(draw_pool(model, num_tasks, key=jax.random.key(3)), batch)
        divergence.append(float(np.sum(exact * np.log(exact / law), axis=-1).mean()))
    assert divergence[1] < divergence[0] / 16
    # The posterior has at least a share 1 / (length + 1) of the prior's tasks in effect.
    assert divergence[1] < 5 * 9 / 4_096


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
    found = np.exp(_answer(pool, batch))
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


# --------------------------------------------------------------------- plug-in


def best_by_hand(
    prior: np.ndarray, step_laws: np.ndarray, outcomes: np.ndarray, uses_prior: bool
) -> np.ndarray:
    """Try every setting in turn; ``step_laws[setting, outcome]`` holds at every step."""
    law = np.zeros((len(outcomes), step_laws.shape[1]))
    for t in range(len(outcomes)):
        scores = [
            (p if uses_prior else 1.0) * np.prod(laws[outcomes[:t]])
            for p, laws in zip(prior, step_laws, strict=True)
        ]
        best = [laws for s, laws in zip(scores, step_laws, strict=True) if s > max(scores) - 1e-12]
        law[t] = np.mean(best, axis=0)
    return law


@pytest.mark.parametrize("kind", ["maximum likelihood", "maximum a posteriori"])
def test_plug_in_equals_trying_every_setting(kind):
    """The urn does not matter where the labels are spoiled: three settings tie there."""
    model, batch = cases.build("urns"), cases.first("urns", 64)
    found = laws(PlugIn(bc.derive_oracle(model), kind), batch)
    settings = list(product(range(3), range(2)))
    step_laws = np.array([np.full(3, 1 / 3) if s else np.array(cases.URNS[u]) for u, s in settings])
    spoiled = (1 - cases.SPOILED, cases.SPOILED)
    prior = np.array([cases.URN_PRIOR[u] * spoiled[s] for u, s in settings])
    for sequence in range(64):
        outcomes = np.asarray(batch.outcomes[sequence])
        expected = best_by_hand(prior, step_laws, outcomes, kind == "maximum a posteriori")
        np.testing.assert_allclose(found[sequence], expected, rtol=1e-6, atol=1e-12)


def test_plug_in_likelihood_of_a_coin_is_the_frequency():
    model = beta_bernoulli(length=4, heads=3.0)
    batch = model.batch_from_sites({"token": jnp.array([[1, 0, 0, 1]])})
    rung = PlugIn(bc.derive_oracle(model), "maximum likelihood")
    assert rung.name == "plug-in ML"
    np.testing.assert_allclose(laws(rung, batch)[0, :, 1], [0.5, 1.0, 0.5, 1 / 3], rtol=EXACT)


# Posterior parameters of ones and zeros, and where the density is greatest.
MODES = {
    "inside": (3.0, 2.0, 2.0 / 3.0),
    "all tie": (1.0, 1.0, 0.5),
    "only ones": (2.0, 1.0, 1.0),
    "only zeros": (0.5, 1.5, 0.0),
    "both ends": (0.5, 0.5, 0.5),
    "the steeper end": (0.4, 0.5, 0.0),
    "one end": (1.0, 0.5, 1.0),
}


@pytest.mark.parametrize(("heads", "tails", "mode"), MODES.values(), ids=MODES)
def test_plug_in_posterior_of_a_coin_is_the_mode(heads: float, tails: float, mode: float):
    model = beta_bernoulli(length=1, heads=heads, tails=tails)
    batch = model.batch_from_sites({"token": jnp.array([[0]])})
    rung = PlugIn(bc.derive_oracle(model), "maximum a posteriori")
    np.testing.assert_allclose(laws(rung, batch)[0, 0, 1], mode, rtol=EXACT)
    if heads != tails:  # the judge: a fine grid away from the ends
        grid = np.linspace(1e-6, 1 - 1e-6, 100_001)
        density = special.xlogy(heads - 1, grid) + special.xlog1py(tails - 1, -grid)
        assert abs(grid[np.argmax(density)] - mode) < 2e-5


def test_both_kinds_of_plug_in_differ_by_the_prior():
    model, batch = cases.build("chain"), cases.first("chain", 64)
    oracle = bc.derive_oracle(model)
    likelihood, posterior = (
        laws(PlugIn(oracle, kind), batch) for kind in ("maximum likelihood", "maximum a posteriori")
    )
    # Nothing is known after one token: the mean of all against the likeliest, 1/2.
    stays, tokens = np.array(cases.STAYS), np.asarray(batch.outcomes[:, 0])
    rows = np.arange(64)
    np.testing.assert_allclose(likelihood[rows, 1, tokens], stays.mean(), rtol=1e-6)
    np.testing.assert_allclose(posterior[rows, 1, tokens], 0.5, rtol=1e-6)


def test_plug_in_refuses_what_has_no_best_setting():
    def uniform_bias(length: int) -> None:
        bias = numpyro.sample("bias", dist.Uniform(0.1, 0.9))
        numpyro.sample("token", dist.Bernoulli(bias).expand([length]))

    model = bc.GenerativeModel(uniform_bias, outcome="token", length=3)
    filtering = bc.derive_oracle(HiddenMarkov(2, 2, length=3))
    engine = EnumerationEngine(model.program, model.layout)  # over quadrature nodes
    oracle = bc.Oracle(model=model, engine=engine, certificate=filtering.certificate)
    message = raised(ValueError, lambda: PlugIn(oracle))
    assert "finitely many values to choose the best from, got continuous ['bias']" in message
    assert "a latent site" in raised(ValueError, lambda: PlugIn(filtering))
    cards = bc.derive_oracle(Bijection(size=20))
    assert "joint settings" in raised(ValueError, lambda: PlugIn(cards))


def test_plug_in_of_the_bijection_averages_over_agreeing_permutations():
    """All permutations that agree tie, so that both kinds of plug-in are exact."""
    model = Bijection(size=4)
    batch = eqx.filter_jit(model.sample)(16, key=jax.random.key(6))
    oracle = bc.derive_oracle(model)
    np.testing.assert_allclose(laws(PlugIn(oracle), batch), laws(oracle, batch), atol=EXACT)


# ---------------------------------------------------------------- other oracle


def test_another_prior_is_the_other_models_exact_answer():
    ours, theirs = beta_bernoulli(length=6), beta_bernoulli(length=6, heads=9.0, tails=3.0)
    batch = eqx.filter_jit(ours.sample)(32, key=jax.random.key(7))
    rung = OtherOracle(bc.derive_oracle(theirs), ours)
    assert rung.name == "Bayes under coin with a Beta(9, 3) bias"
    expected = laws(bc.derive_oracle(theirs), theirs.batch_from_sites({"token": batch.outcomes}))
    np.testing.assert_allclose(laws(rung, batch), expected, rtol=EXACT)
    assert np.abs(laws(rung, batch) - laws(bc.derive_oracle(ours), batch)).max() > 0.1


def test_a_model_is_its_own_other_model():
    model, batch = cases.build("regression"), cases.first("regression", 16)
    oracle = bc.derive_oracle(model)
    found = laws(OtherOracle(oracle, model, name="itself"), batch)
    np.testing.assert_allclose(found, laws(oracle, batch), rtol=EXACT)


def test_other_models_that_ask_otherwise_are_refused():
    coin = beta_bernoulli(length=6)
    for other, part in (
        (beta_bernoulli(length=5), "asked site is token[6] from 0 to 1"),
        (cases.build("urns"), "asked site"),
        (Bijection(size=3), "asked site"),
    ):
        oracle = bc.derive_oracle(other)
        assert part in raised(ValueError, partial(OtherOracle, oracle, coin))


# --------------------------------------------------------------------- mixture


def test_a_mixture_is_the_weighted_mean_of_laws():
    model = beta_bernoulli(length=5)
    oracle = bc.derive_oracle(model)
    batch = eqx.filter_jit(model.sample)(16, key=jax.random.key(8))
    sure = FixedLaw(jnp.log(jnp.array([0.0, 1.0])), "sure")  # its law is held in 32 bits
    parts = (oracle, WindowPredictor(oracle, 1), sure)
    weights = np.array([0.5, 0.3, 0.2])
    found = laws(Mixture(parts, np.log(weights), "mixed"), batch)
    expected = sum(w * laws(part, batch) for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_mixtures_that_are_none_are_refused():
    law = FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
    for parts, log_weights, message in (
        ((), [], "predictors: expected at least one, got none"),
        ((law,), [0.0, 0.0], "log_weights: expected one for each of 1 predictors"),
        ((law, law), [0.0, 0.0], "log_weights: expected weights that sum to 1, got 2.0"),
        ((law,), [np.nan], "log_weights: expected weights that sum to 1, got nan"),
    ):
        assert message in raised(ValueError, partial(Mixture, parts, np.array(log_weights), "m"))


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
    exact = laws(bc.derive_oracle(model), batch)
    np.testing.assert_allclose(laws(pool, batch), exact, atol=EXACT)
