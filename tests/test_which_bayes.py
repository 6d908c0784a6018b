"""Nearest explanations, mixtures that explain, and memory lengths of known predictors."""

from dataclasses import replace
from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised
from scipy.optimize import minimize_scalar
from small_networks import CONFIGS, transformer_for

import bayescmp as bc
from bayescmp.comparison.evaluation import Evaluation, answer_exactly, ask, draw_evaluation
from bayescmp.comparison.explaining import WhichBayes, which_bayes
from bayescmp.comparison.memory import memory_length
from bayescmp.comparison.mixing import TOLERANCE, mix
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.measures import mean_interval
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.predictors import AddAlphaCounts, FixedLaw, Mixture, OtherOracle, WindowPredictor

BITS = 1.0 / np.log(2.0)

COIN = beta_bernoulli(length=8, heads=3.0, tails=1.5)
NUM_SEQUENCES = 512

ROUNDING = 1e-12
"""Divergences in bits that are rounding: two outcomes in float64, some 100 * 2.2e-16."""


@cache
def oracle_of(model: bc.AbstractGenerativeModel) -> bc.Oracle:
    return bc.derive_oracle(model)


@cache
def evaluation_of(model: bc.AbstractGenerativeModel) -> Evaluation:
    return draw_evaluation(oracle_of(model), NUM_SEQUENCES, key=jax.random.key(3))


def uniform(num_outcomes: int) -> FixedLaw:
    return FixedLaw(jnp.full(num_outcomes, -jnp.log(num_outcomes)), "uniform")


@cache
def candidates() -> tuple[bc.AbstractPredictor | bc.Oracle, ...]:
    other = OtherOracle(
        oracle_of(beta_bernoulli(length=8, heads=1.0, tails=6.0)), COIN, name="bent"
    )
    windows = [WindowPredictor(oracle_of(COIN), w) for w in (1, 3)]
    return oracle_of(COIN), other, *windows, AddAlphaCounts(COIN), uniform(2)


NAMES = ("exact", "bent", "window 1", "window 3", "add-one counts", "uniform")


def explain(network, rungs=None, evaluation=None) -> WhichBayes:
    return which_bayes(network, rungs or candidates(), evaluation or evaluation_of(COIN))


def weight_tolerance(found: WhichBayes, weights: np.ndarray) -> float:
    """Return how far weights can be from the best where the divergence is within the gap.

    Near the best weights the divergence in nats is half of ``d' H d``, with
    ``H = E[law_i law_j / mixture^2]``; twice the resulting distance covers higher orders.
    """
    laws = np.stack([np.exp(ask(c, evaluation_of(COIN))) for c in candidates()])
    mixture = np.tensordot(weights, laws, axes=1)
    curvature = np.einsum("isto,jsto->ij", laws, laws / mixture) / mixture[..., 0].size
    gap = max(found.output.gap / BITS, 1e-15)
    return 2.0 * np.sqrt(2.0 * gap / np.linalg.eigvalsh(curvature)[0])


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_candidate_explains_itself(index: int):
    found = explain(candidates()[index])
    expected = np.eye(len(NAMES))[index]
    assert found.candidates == NAMES
    assert found.nearest == NAMES[index]
    assert found.is_clear
    assert abs(found.output.kl.mean[index]) < ROUNDING
    tolerance = weight_tolerance(found, 0.999 * expected + 0.001 / len(NAMES))
    assert tolerance < 0.01
    np.testing.assert_allclose(found.output.weights, expected, atol=tolerance)
    assert found.output.residual_kl.mean < found.output.gap + ROUNDING


def test_the_weights_of_a_known_mixture_come_back():
    weights = np.array([0.4, 0.0, 0.25, 0.0, 0.0, 0.35])
    with np.errstate(divide="ignore"):
        network = Mixture(candidates(), np.log(weights), "mixed")
    found = explain(network)
    tolerance = weight_tolerance(found, weights)
    assert tolerance < 0.01
    np.testing.assert_allclose(found.output.weights, weights, atol=tolerance)
    assert found.output.gap <= 2 * TOLERANCE * BITS
    assert found.output.residual_kl.mean < found.output.gap + ROUNDING
    assert found.weights["window 1"] == pytest.approx(0.25, abs=tolerance)


def test_candidates_without_the_truth_leave_something():
    found = explain(candidates()[0], rungs=candidates()[1:])
    assert found.output.residual_kl.low > 1e-4
    assert found.output.residual_kl.mean < found.output.reverse_kl.mean.min()


def test_divergences_run_in_the_stated_directions():
    found = explain(candidates()[2])
    for index, candidate in enumerate(candidates()):
        log_p, log_q = (
            ask(subject, evaluation_of(COIN)) for subject in (candidate, candidates()[2])
        )
        for interval, by_position, log_from, log_to in (
            (found.output.kl, found.output.kl_by_position, log_p, log_q),
            (found.output.reverse_kl, found.output.reverse_kl_by_position, log_q, log_p),
        ):
            rows = np.sum(np.exp(log_from) * (log_from - log_to), axis=-1) * BITS
            judge = mean_interval(rows.mean(axis=1))  # every sequence has as many questions
            for end in ("mean", "low", "high"):
                value = getattr(interval, end)[index]
                np.testing.assert_allclose(value, getattr(judge, end), rtol=1e-8, atol=ROUNDING)
                judges = getattr(mean_interval(rows), end)
                values = getattr(by_position, end)[index]
                np.testing.assert_allclose(values, judges, rtol=1e-8, atol=ROUNDING)


def test_where_every_candidate_excludes_what_the_network_allows_there_is_no_mixture():
    model = Bijection(size=4)
    oracle = oracle_of(model)
    rungs = (oracle, WindowPredictor(oracle, 1))
    found = explain(uniform(4), rungs, evaluation_of(model))
    assert np.isinf(found.output.reverse_kl.mean).all()
    assert np.isnan(found.output.weights).all()
    assert np.isinf(found.output.residual_kl.mean)
    assert found.nearest == "window 1"
    enough = explain(uniform(4), (*rungs, uniform(4)), evaluation_of(model))
    assert enough.weights["uniform"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_mixtures_of_two_equal_a_search_along_a_line(seed: int):
    rng = np.random.default_rng(seed)
    log_p, first, second = np.log(rng.dirichlet(np.ones(3), (3, 40)))
    shares = rng.dirichlet(np.ones(40))

    def divergence(weight: float) -> float:
        mixture = np.log(weight * np.exp(first) + (1 - weight) * np.exp(second))
        return float(shares @ np.sum(np.exp(log_p) * (log_p - mixture), axis=1))

    judge = minimize_scalar(divergence, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    found = mix(log_p, np.stack([first, second]), shares)
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert divergence(found.weights[0]) <= judge.fun + found.gap + 1e-12
    assert found.gap <= TOLERANCE


@pytest.mark.parametrize("seed", range(5))
def test_no_step_towards_a_candidate_or_away_from_one_betters_a_mixture(seed: int):
    """Candidates that sit on outcomes of their own, answer alike, or are all but useless."""
    rng = np.random.default_rng(seed)
    log_p = np.log(rng.dirichlet(np.full(5, 0.3), 60))
    with np.errstate(divide="ignore"):
        log_laws = np.log(rng.dirichlet(np.full(5, 0.05), (6, 60)) + (rng.random((6, 60, 5)) < 0.3))
    log_laws[1] = log_laws[0]
    log_laws[5] = np.log(0.2)
    log_laws = log_laws - np.logaddexp.reduce(log_laws, axis=-1, keepdims=True)
    shares = np.full(60, 1 / 60)
    found = mix(log_p, log_laws, shares)

    def score(weights: np.ndarray) -> float:
        mixture = np.tensordot(weights, np.exp(log_laws), axes=1)
        return float(shares @ np.sum(np.exp(log_p) * np.log(mixture), axis=1))

    assert found.gap <= TOLERANCE
    best = score(found.weights)
    for vertex in np.eye(6):
        for size in (1e-1, 1e-3, 1e-5):
            assert score((1 - size) * found.weights + size * vertex) <= best + found.gap + 1e-12


def test_all_sequences_weighted_leave_no_interval():
    """Sixteen sequences with their probabilities, against four thousand draws."""
    model = beta_bernoulli(length=4)
    oracle = oracle_of(model)
    every = model.batch_from_sites({"token": jnp.array(list(product((0, 1), repeat=4)))})
    with jax.enable_x64(True):
        weights = np.exp(np.asarray(oracle(every).log_evidence[:, -1], np.float64))
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    exact = replace(answer_exactly(oracle, every), weights=weights)
    rungs = (oracle, WindowPredictor(oracle, 1), uniform(2))
    whole = which_bayes(rungs[1], rungs, exact)
    drawn = which_bayes(rungs[1], rungs, oracle, key=jax.random.key(0), num_sequences=4_096)
    for one, many in (
        (whole.output.kl, drawn.output.kl),
        (whole.output.kl_by_position, drawn.output.kl_by_position),
    ):
        np.testing.assert_array_equal(one.low, one.high)
        # A 95 % interval is 1.96 standard errors to each side; five are granted.
        slack = 5.0 / 1.96 * (many.high - many.mean) + ROUNDING
        assert (np.abs(one.mean - many.mean) <= slack).all()
    assert memory_length(rungs[1], exact).window == 1


def test_each_layer_of_a_transformer_is_explained():
    config = CONFIGS["learned positions"]
    network = transformer_for(COIN, config)
    found = explain(network)
    assert len(found.layers) == config.num_layers + 1
    # The lens after the last block is the network's own answer, in float32 both times.
    last, output = found.layers[-1], found.output
    np.testing.assert_allclose(last.kl.mean, output.kl.mean, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found.layers[0].kl.mean, output.kl.mean, rtol=0.01)


def test_records_as_a_table_and_as_a_dataset():
    found = explain(transformer_for(COIN, CONFIGS["learned positions"]))
    text = str(found)
    assert text.splitlines()[0].startswith("coin with a Beta(3, 1.5) bias, 512 sequences")
    assert all(f"\n{name} " in text for name in NAMES)
    assert f"nearest: {found.nearest}" in text
    assert "embedding: " in text
    assert "layer 2: " in text
    dataset = found.to_dataset()
    assert dataset["layer_kl_by_position"].dims == ("layer", "candidate", "position")
    assert dataset["kl"].attrs["units"] == "bit"
    assert dataset["weight"].attrs["units"] == "1"
    assert dataset["residual_kl"].dims == ()
    assert dataset["residual_kl"].attrs["long_name"] == "KL(network || mixture)"
    low = dataset["layer_reverse_kl_by_position_low"].attrs["long_name"]
    assert low == "KL(lens || candidate), lower end of its interval"
    by_name = dataset["kl_low"].sel(candidate="window 1").item()
    assert by_name == found.output.kl.low[NAMES.index("window 1")]


def test_a_tie_is_not_clear():
    twins = (FixedLaw(jnp.log(jnp.array([0.5, 0.5])), name) for name in ("one", "two"))
    found = explain(candidates()[0], tuple(twins))
    assert not found.is_clear
    assert "not clearly" in str(found)
    alone = explain(candidates()[0], (uniform(2),))
    assert not alone.is_clear
    assert np.isnan(alone.output.margin.mean)
    assert alone.output.weights.tolist() == [1.0]


def test_wrong_candidates_are_refused():
    call = partial(which_bayes, candidates()[0])
    assert raised(ValueError, lambda: call((), evaluation_of(COIN))) == (
        "candidates: expected at least one, got none"
    )
    twins = (uniform(2), uniform(2))
    assert "different names" in raised(ValueError, lambda: call(twins, evaluation_of(COIN)))
    message = raised(ValueError, lambda: call(candidates(), oracle_of(COIN)))
    assert message == "key: expected a typed key to draw sequences with, got None"


# ---------------------------------------------------------------------- means


def test_questions_of_one_sequence_are_not_independent():
    values = np.random.default_rng(0).normal(size=30)
    once, often = (over_questions(np.tile(values[:, None], (1, n))) for n in (1, 50))
    judge = mean_interval(values)
    for interval in (once, often):
        assert interval.num == 30
        np.testing.assert_allclose([interval.low, interval.high], [judge.low, judge.high])


def test_means_skip_what_does_not_count():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [np.nan, np.nan]])
    assert over_questions(values).mean == 2.0
    assert over_questions(values).num == 2
    by_position = over_sequences(values)
    np.testing.assert_array_equal(by_position.mean, [2.0, 2.0])
    np.testing.assert_array_equal(by_position.high[1], np.inf)  # one sequence tells no spread
    assert np.isnan(over_sequences(values[2:]).mean).all()
    assert np.isinf(over_questions(np.array([[1.0], [np.inf]])).mean)


# ---------------------------------------------------------------------- memory


HIDDEN_MARKOV = HiddenMarkov(num_states=3, num_symbols=2, length=8)


@pytest.mark.parametrize(
    ("model", "window"),
    [(COIN, 1), (COIN, 3), (COIN, 6), (HIDDEN_MARKOV, 2), (HIDDEN_MARKOV, 7)],
    ids=lambda x: x if isinstance(x, int) else x.title(),
)
def test_the_memory_of_a_window_is_the_window(model: bc.AbstractGenerativeModel, window: int):
    found = memory_length(WindowPredictor(oracle_of(model), window), evaluation_of(model))
    assert found.window == window
    assert found.is_clear
    longest = 6 if model is COIN else 7
    assert {window - 1, window, window + 1} - {0, longest + 1} <= set(found.kl)
    assert abs(found.advantage[window].mean) < ROUNDING
    assert all(found.advantage[w].mean < 0 for w in found.kl if w < window)


@pytest.mark.parametrize("model", [COIN, HIDDEN_MARKOV], ids=lambda m: m.title())
def test_the_oracles_memory_is_longer_than_the_sequence(model: bc.AbstractGenerativeModel):
    found = memory_length(oracle_of(model), evaluation_of(model))
    assert found.window is None
    assert found.is_clear
    assert "longer than the sequence" in str(found)


@pytest.mark.parametrize("model", [COIN, HIDDEN_MARKOV], ids=lambda m: m.title())
def test_uniform_answers_remember_less_than_one_step(model: bc.AbstractGenerativeModel):
    found = memory_length(uniform(model.num_outcomes), evaluation_of(model))
    assert found.window == 1
    assert found.is_clear
    assert "memory length: 1 step" in str(found)


class Alternating(bc.AbstractPredictor):
    """Exact at every second sequence, and a short memory at the others."""

    oracle: bc.Oracle
    name: str = "alternating"

    def log_predictive(self, batch: bc.Batch):
        is_exact = (jnp.arange(batch.outcomes.shape[0]) % 2 == 0)[:, None, None]
        exact = self.oracle(batch).log_predictive
        return jnp.where(is_exact, exact, self.oracle.windowed(batch, 1))


def test_few_sequences_that_disagree_leave_the_memory_unclear():
    """Every window is nearer to exact at some sequences and farther at others.

    Four of them cannot tell, but for a window that equals the network at every one.
    """
    oracle, evaluation = oracle_of(COIN), evaluation_of(COIN)
    found = memory_length(Alternating(oracle), evaluation.first(4))
    assert not found.is_clear
    assert "(intervals overlap)" in str(found)
    assert memory_length(WindowPredictor(oracle, 2), evaluation.first(64)).is_clear


def test_sequences_too_short_for_any_window():
    model = beta_bernoulli(length=1)
    found = memory_length(uniform(2), oracle_of(model), key=jax.random.key(0), num_sequences=4)
    assert found.window is None
    assert found.kl == {}
