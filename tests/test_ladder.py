"""The rungs: known values, the figures of the literature, and their order."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import bayescmp as bc
from bayescmp import measures
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.predictors import (
    AbstractPredictor,
    FixedLaw,
    RestartPredictor,
    WindowPredictor,
    standard_ladder,
)

BITS = 1.0 / np.log(2.0)


BIJECTION = Bijection(size=20)
COIN = beta_bernoulli(length=6, heads=3.0, tails=1.0)
HIDDEN_MARKOV = HiddenMarkov(num_states=5, num_symbols=5, length=20)
NUM_SEQUENCES = 4_096


@dataclass(frozen=True)
class Climb:
    """All rungs and the exact answers on fresh sequences; log probabilities in float64."""

    batch: bc.Batch
    rungs: tuple[AbstractPredictor, ...]
    exact: np.ndarray
    laws: dict[str, np.ndarray]

    @staticmethod
    @cache
    def of(model: bc.AbstractGenerativeModel) -> "Climb":
        oracle = bc.derive_oracle(model)
        rungs = standard_ladder(oracle, key=jax.random.key(1), num_sequences=NUM_SEQUENCES)
        batch = eqx.filter_jit(model.sample)(NUM_SEQUENCES, key=jax.random.key(2))
        exact, laws = ask((oracle, *rungs), batch)
        return Climb(batch, rungs, exact, laws)


def ask(
    subjects: tuple[bc.Oracle | AbstractPredictor, ...], batch: bc.Batch
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the log predictives of an oracle, and of rungs by name, in float64."""

    @eqx.filter_jit
    def answer(oracle, rungs, batch):
        return oracle(batch).log_predictive, {r.name: r.log_predictive(batch) for r in rungs}

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)
        exact, laws = answer(subjects[0], subjects[1:], wide)
    return np.asarray(exact), {name: np.asarray(law) for name, law in laws.items()}


def divergences(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return KL(p || q) in nats at every question."""
    with jax.enable_x64(True):
        return np.asarray(measures.kl(jnp.asarray(log_p), jnp.asarray(log_q)))


def mean_kl(log_p: np.ndarray, log_q: np.ndarray) -> float:
    return float(divergences(log_p, log_q).mean())


def entropy_errors(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return |H(q) - H(p)| in bits, averaged over the positions of each sequence."""
    entropies = []
    for log_law in (log_p, log_q):
        finite = np.where(np.isneginf(log_law), 0.0, log_law)
        entropies.append(-np.sum(np.exp(log_law) * finite, axis=-1) * BITS)
    return np.abs(entropies[1] - entropies[0]).mean(axis=1)


def test_uniform_on_the_bijection_of_twenty():
    """``mean over t < 19 of log2(20) - log2(20 - t) = 1.1073`` bits, as KL and as entropy error."""
    climb = Climb.of(BIJECTION)
    expected = np.log2(20) - np.mean(np.log2(20 - np.arange(19)))
    assert expected == pytest.approx(1.1073, abs=5e-5)
    assert mean_kl(climb.exact, climb.laws["uniform"]) * BITS == pytest.approx(expected, rel=1e-10)
    errors = entropy_errors(climb.exact, climb.laws["uniform"])
    np.testing.assert_allclose(errors, expected, rtol=1e-10)


def test_no_fixed_law_knows_more_than_uniform_on_the_bijection():
    """By symmetry both means are uniform, up to the 4,096 sequences they are taken over."""
    climb = Climb.of(BIJECTION)
    uniform = mean_kl(climb.exact, climb.laws["uniform"])
    for name in ("best constant", "position only"):
        # The last predictive is 1/2 or 0: variance 1/20, and less before.
        assert np.abs(np.exp(climb.laws[name]) - 0.05).max() < 5.0 * np.sqrt(0.05 / NUM_SEQUENCES)
        # An estimated law costs about (outcomes - 1) / (2 draws); three times that is granted.
        assert abs(mean_kl(climb.exact, climb.laws[name]) - uniform) < 30 / NUM_SEQUENCES


def test_window_on_the_bijection_is_uniform_over_what_it_has_not_seen():
    climb = Climb.of(BIJECTION)
    for window in (1, 2, 3, 5):
        left = 20 - np.minimum(np.arange(19), window)
        expected = np.log(left) - np.log(20 - np.arange(19))
        kl = divergences(climb.exact, climb.laws[f"window {window}"])
        np.testing.assert_allclose(kl, np.tile(expected, (NUM_SEQUENCES, 1)), atol=1e-12)


def test_one_law_for_each_position():
    batch = Climb.of(COIN).batch
    log_law = np.log([[0.1, 0.9], [0.5, 0.5], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    rung = FixedLaw(log_law=jnp.asarray(log_law, jnp.float32), name="by hand")
    expected = np.tile(log_law, (NUM_SEQUENCES, 1, 1))
    np.testing.assert_allclose(rung.log_predictive(batch), expected, rtol=1e-6)


def test_best_constant_and_position_only_are_means_of_the_exact_law():
    climb = Climb.of(COIN)
    for name in ("best constant", "position only"):
        ones = np.exp(climb.laws[name])[0, :, 1]
        # At every position p(1) has mean 3/4 and a spread below sqrt(3/16).
        assert np.abs(ones - 0.75).max() < 5.0 * np.sqrt(3.0 / 16.0 / NUM_SEQUENCES)
    constant, uniform = (
        mean_kl(climb.exact, climb.laws[name]) for name in ("best constant", "uniform")
    )
    assert constant < uniform


@pytest.mark.parametrize("model", [BIJECTION, COIN, HIDDEN_MARKOV], ids=lambda m: m.title())
def test_rungs_lie_in_order(model):
    """More memory never hurts on average; five standard errors are granted to the draws."""
    climb = Climb.of(model)
    order = ("uniform", "best constant", "position only", "window 1", "window 2", "window 3")
    for lower, upper in pairwise(order):
        worse, better = (divergences(climb.exact, climb.laws[name]) for name in (lower, upper))
        gain = (worse - better).mean(axis=1)
        # The laws that are means are drawn too: they cost about outcomes / (2 draws).
        slack = 5.0 * gain.std() / np.sqrt(len(gain)) + climb.exact.shape[-1] / len(gain)
        assert gain.mean() > -slack, f"{upper} is worse than {lower}"


@pytest.mark.parametrize(
    ("model", "windows", "names"),
    [
        # The last question of six follows five revealed outcomes,
        (COIN, (1, 4, 5, 6), ["add-one counts", "add-one bigram", "window 1", "window 4"]),
        # and the last of twenty follows twenty symbols.
        (HIDDEN_MARKOV, (19, 20, 21), ["restart 19", "window 19"]),
    ],
    ids=["coin", "hidden_markov"],
)
def test_windows_that_are_the_oracle_itself_are_left_out(model, windows, names):
    oracle = bc.derive_oracle(model)
    rungs = standard_ladder(
        oracle, key=jax.random.key(1), num_sequences=NUM_SEQUENCES, windows=windows
    )
    assert [rung.name for rung in rungs] == ["uniform", "best constant", "position only", *names]


def test_windowed_filters_equal_the_sum_over_paths():
    model = HiddenMarkov(num_states=3, num_symbols=2, length=4)
    oracle = bc.derive_oracle(model)
    batch = eqx.filter_jit(model.sample)(3, key=jax.random.key(4))
    rungs = [kind(oracle, w) for kind in (WindowPredictor, RestartPredictor) for w in (1, 2, 4, 9)]
    _, laws = ask((oracle, *rungs), batch)
    for rung, sequence in product(rungs, range(3)):
        shown = {name: np.asarray(values[sequence]) for name, values in batch.shown.items()}
        expected, _ = oracles.hidden_state_answer(
            shown["transition"].astype(np.float64),
            shown["emission"].astype(np.float64),
            shown["symbol"],
            window=rung.window,
            restart=isinstance(rung, RestartPredictor),
        )
        np.testing.assert_allclose(np.exp(laws[rung.name][sequence]), expected, rtol=1e-10)


# Entropy MAE (definition A) in bits on HiddenMarkov(5, 5, 20) with flat Dirichlet rows, as
# computed for the literature from another implementation; printed to three digits.
PUBLISHED = {
    "uniform": 0.518,
    "restart 1": 0.186,
    "restart 2": 0.060,
    "restart 3": 0.021,
    "restart 5": 0.003,
}


def rounded_mean_tolerance(values: np.ndarray) -> float:
    """Return five standard errors of the difference between two such means, one rounded.

    The other mean is taken to stem from as many sequences; it is printed to three digits.
    """
    return 5.0 * np.sqrt(2.0) * values.std() / np.sqrt(len(values)) + 5e-4


def test_rungs_give_the_figures_of_the_literature():
    """Tolerance: see ``rounded_mean_tolerance``; rungs differ by a factor of more than two."""
    climb = Climb.of(HIDDEN_MARKOV)
    for name, published in PUBLISHED.items():
        errors = entropy_errors(climb.exact, climb.laws[name])
        tolerance = rounded_mean_tolerance(errors)
        assert tolerance < 0.5 * published, f"{name}: too few sequences to tell rungs apart"
        assert errors.mean() == pytest.approx(published, abs=tolerance), name


def test_best_constant_entropy_of_the_literature():
    exact = Climb.of(HIDDEN_MARKOV).exact
    entropy = -np.sum(np.exp(exact) * np.where(np.isneginf(exact), 0.0, exact), axis=-1) * BITS
    gaps = np.abs(entropy - np.median(entropy)).mean(axis=1)
    with jax.enable_x64(True):
        found = measures.best_constant_entropy_mae(
            jnp.asarray(entropy), jnp.ones(entropy.shape, bool)
        )
    assert float(found) == pytest.approx(gaps.mean(), rel=1e-10)
    assert float(found) == pytest.approx(0.231, abs=rounded_mean_tolerance(gaps))


def test_a_window_that_knows_the_start_beats_one_that_restarts():
    climb = Climb.of(HIDDEN_MARKOV)
    for window in (1, 2, 3, 5):
        known, restarted = (
            mean_kl(climb.exact, climb.laws[f"{kind} {window}"]) for kind in ("window", "restart")
        )
        assert known < restarted


def test_fixed_laws_sum_to_one_without_64_bits_too():
    climb = Climb.of(BIJECTION)
    for rung in climb.rungs[:3]:
        law = np.asarray(rung.log_predictive(climb.batch), np.float64)
        assert law.shape == climb.exact.shape
        np.testing.assert_allclose(np.exp(law).sum(-1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("predictor", [WindowPredictor, RestartPredictor])
def test_windows_of_nothing_are_refused(predictor):
    oracle = bc.derive_oracle(HiddenMarkov(2, 2, length=3))
    with pytest.raises(ValueError, match="window: expected at least 1, got 0"):
        predictor(oracle, 0)


def test_only_filters_can_be_restarted():
    with pytest.raises(TypeError, match=r"forward filter, got engine 'closed form'"):
        RestartPredictor(bc.derive_oracle(Bijection(size=3)), 1)


RUNGS = {
    "counts and plug-in": (
        beta_bernoulli(length=3, heads=2.0, tails=2.0),
        ["add-one counts", "add-one bigram", "plug-in MAP", "window 1"],
    ),
    "a mode on the border": (
        beta_bernoulli(length=3),
        ["add-one counts", "add-one bigram", "window 1"],
    ),
    "enumerated latents": (
        cases.build("chain"),
        ["add-one counts", "add-one bigram", "plug-in MAP", "window 1", "window 2", "window 3"],
    ),
    "too many settings": (BIJECTION, ["add-one counts", "add-one bigram"]),
    "hidden outcomes": (HIDDEN_MARKOV, ["restart 1", "restart 2"]),
}


@pytest.mark.parametrize(("model", "names"), RUNGS.values(), ids=RUNGS)
def test_rungs_that_apply_stand_on_the_ladder(model, names: list[str]):
    rungs = standard_ladder(bc.derive_oracle(model), key=jax.random.key(1), num_sequences=8)
    assert [rung.name for rung in rungs][3 : 3 + len(names)] == names


def test_in_context_statistics_climb_on_a_chain():
    """A bigram learns a sticky chain that a unigram cannot, and the exact filter beats both."""
    climb = Climb.of(cases.build("chain"))
    steps = ("uniform", "add-one counts", "add-one bigram", "window 3")
    far = [mean_kl(climb.exact, climb.laws[name]) for name in steps]
    # Measured in nats: 0.064, 0.037, 0.013, 0.005; halves leave room for the draws.
    assert all(upper < 0.75 * lower for lower, upper in pairwise(far))
