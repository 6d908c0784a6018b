"""Sequences of different lengths in one batch: what stands after an end counts nowhere."""

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised
from jaxtyping import TypeCheckError

import bayescmp as bc
from bayescmp.comparison.evaluation import answer_exactly, ask, measure
from bayescmp.comparison.explaining import which_bayes
from bayescmp.exact.chains.smoothing import smooth
from bayescmp.models import HiddenMarkov, beta_bernoulli
from bayescmp.predictors import FixedLaw, WindowPredictor

LENGTH = 4
LENGTHS = np.array([2, 4, 1, 3])
THERE = np.arange(LENGTH) < LENGTHS[:, None]
COIN = beta_bernoulli(length=LENGTH)
TOSSES = jnp.array([[1, 0, 7, 7], [1, 1, 0, 1], [0, 7, 7, 7], [0, 0, 1, 7]])
PADDED = COIN.batch_from_sites({"token": TOSSES}, lengths=LENGTHS)

RNG = np.random.default_rng(0)
SHORTER = {
    "coin": (beta_bernoulli, {"token": RNG.integers(2, size=(6, LENGTH))}),
    "hidden Markov": (
        lambda length: HiddenMarkov(num_states=2, num_symbols=3, length=length),
        {
            "transition": RNG.dirichlet(np.ones(2), (6, 2)).astype(np.float32),
            "emission": RNG.dirichlet(np.ones(3), (6, 2)).astype(np.float32),
            "symbol": RNG.integers(3, size=(6, LENGTH)),
            "state": RNG.integers(2, size=(6, LENGTH)),
        },
    ),
    "urns": (
        lambda length: bc.GenerativeModel(cases.urns, outcome="token", length=length),
        {"token": RNG.integers(3, size=(6, LENGTH))},
    ),
}


@pytest.mark.parametrize(("make", "sites"), SHORTER.values(), ids=SHORTER)
def test_a_padded_sequence_answers_as_the_shorter_model_does(make, sites):
    model, short, size = make(LENGTH), make(2), 2
    cut = {k: jnp.asarray(x[:, :size] if x.ndim == 2 else x) for k, x in sites.items()}
    there = np.arange(LENGTH) < size
    rubbish = {
        k: jnp.asarray(np.where(there, x, 99) if x.ndim == 2 else x) for k, x in sites.items()
    }
    padded = model.batch_from_sites(rubbish, lengths=[size] * 6)
    found = bc.derive_oracle(model)(padded)
    expected = bc.derive_oracle(short)(short.batch_from_sites(cut))
    # Laws in float32 after two steps, each of some ten operations right to 6e-8.
    law = np.exp(found.log_predictive[:, :size])
    np.testing.assert_allclose(law, np.exp(expected.log_predictive), rtol=1e-5)
    np.testing.assert_allclose(found.log_evidence[:, :size], expected.log_evidence, rtol=1e-5)
    np.testing.assert_array_equal(found.log_evidence[:, -1], found.log_evidence[:, size - 1])


def test_padding_is_the_first_value_whatever_stood_there():
    assert PADDED.outcomes.tolist() == [[1, 0, 1, 1], [1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(PADDED.supervised, THERE)
    other = jnp.where(THERE, TOSSES, -3)
    assert eqx.tree_equal(PADDED, COIN.batch_from_sites({"token": other}, lengths=LENGTHS))
    inside = jax.jit(lambda n: COIN.batch_from_sites({"token": TOSSES}, lengths=n))
    assert eqx.tree_equal(PADDED, inside(jnp.asarray(LENGTHS)))


def test_one_example_has_one_length():
    batch = COIN.batch_from_sites({"token": jnp.array([1, 0, 1, 5])}, lengths=3)
    assert batch.supervised.tolist() == [True, True, True, False]
    whole = COIN.batch_from_sites({"token": jnp.array([1, 0, 1, 0])}, lengths=4)
    assert eqx.tree_equal(whole, COIN.batch_from_sites({"token": jnp.array([1, 0, 1, 0])}))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 4, 0, 3], "lengths: expected integers from 1 to 4, got 0"),
        ([2, 4, -1, 3], "lengths: expected integers from 1 to 4, got -1"),
        ([2, 5, 1, 3], "lengths: expected integers from 1 to 4, got 5"),
        (2, "lengths: expected shape (4,), one for each sequence, got ()"),
        ([2, 4, 1], "lengths: expected shape (4,), one for each sequence, got (3,)"),
        (np.ones(4), "lengths: expected integers, got float64"),
        (np.ones(4, bool), "lengths: expected integers, got bool"),
    ],
)
def test_wrong_lengths_are_refused(lengths, message: str):
    with pytest.raises((ValueError, TypeError)) as error:
        COIN.batch_from_sites({"token": TOSSES}, lengths=lengths)
    assert str(error.value) == message


def test_words_are_no_lengths():
    """By the type checker of the tests, or else by the model itself."""
    with pytest.raises((TypeCheckError, TypeError)):
        COIN.batch_from_sites({"token": TOSSES}, lengths="2413")  # pyright: ignore


def test_wrong_values_before_the_end_are_still_refused():
    message = raised(
        ValueError, lambda: COIN.batch_from_sites({"token": TOSSES}, lengths=[3, 4, 1, 3])
    )
    assert (
        message
        == "sites: expected 'token' to hold whole numbers from 0 to 1, got 7 at index (0, 2)"
    )


KEYS, VALUES = jnp.array([[0, 1, 2]] * 2), jnp.array([[1, 0, 0], [1, 0, 2]])


def test_impossible_padding_is_not_refused_and_impossible_values_are():
    """The bijection's first pair comes again as padding, which no sequence can hold."""
    model = bc.models.Bijection(size=4)
    oracle, sites = bc.derive_oracle(model), {"key": KEYS, "value": VALUES}
    reference = oracle(model.batch_from_sites(sites, lengths=[2, 3]))
    assert np.isfinite(reference.log_evidence).all()
    message = raised(ValueError, lambda: oracle(model.batch_from_sites(sites, lengths=[3, 3])))
    assert message.endswith("got probability zero at sequence 0, position 2")


def test_windows_stay_what_they_were_too():
    oracle = bc.derive_oracle(COIN)
    laws = np.exp(oracle.windowed(PADDED, 1))
    whole = np.exp(oracle.windowed(COIN.batch_from_sites({"token": PADDED.outcomes}), 1))
    np.testing.assert_allclose(laws[THERE], whole[THERE], rtol=1e-6)
    np.testing.assert_array_equal(laws[:, -1], laws[np.arange(4), LENGTHS - 1])


def test_questions_left_out_on_the_way_are_no_end():
    mask = jnp.array([True, False, True, False])
    tosses = COIN.batch_from_sites({"token": jnp.array([1, 1, 0, 1])})
    oracle = bc.derive_oracle(COIN)
    found = oracle(eqx.tree_at(lambda batch: batch.supervised, tosses, mask))
    expected = oracle(tosses).log_evidence
    np.testing.assert_array_equal(found.log_evidence, expected.at[3].set(expected[2]))
    none = oracle(eqx.tree_at(lambda batch: batch.supervised, tosses, mask & False))
    np.testing.assert_array_equal(none.log_evidence, np.zeros(4))


# ---------------------------------------------------------------- measures


def wrong(num_outcomes: int) -> FixedLaw:
    law = np.arange(1.0, num_outcomes + 1.0)
    return FixedLaw(jnp.log(jnp.asarray(law / law.sum())), "wrong")


def test_measures_leave_padding_out():
    """Means over the questions that count, by hand from the definition of the divergence."""
    oracle = bc.derive_oracle(COIN)
    evaluation = answer_exactly(oracle, PADDED)
    log_q = ask(wrong(2), evaluation)
    kl = np.sum(np.exp(evaluation.log_p) * (evaluation.log_p - log_q), axis=-1) / np.log(2.0)
    found = measure(log_q, evaluation)
    np.testing.assert_allclose(found.means["mean_kl"], kl[THERE].mean(), rtol=1e-10)
    np.testing.assert_allclose(found.kl, [kl[THERE[:, t], t].mean() for t in range(LENGTH)])


class NotBeyond(bc.AbstractPredictor):
    """A law that does not exist after the end of a sequence, or one question earlier."""

    early: int = 0
    name: str = "not beyond"

    def log_predictive(self, batch: bc.Batch) -> jax.Array:
        last = jnp.sum(batch.supervised, axis=-1, keepdims=True) - self.early
        there = jnp.arange(batch.outcomes.shape[-1]) < last
        return jnp.where(there[..., None], jnp.log(jnp.array([0.3, 0.7])), jnp.nan)


def test_laws_that_do_not_exist_after_the_end_are_no_error():
    oracle = bc.derive_oracle(COIN)
    evaluation = answer_exactly(oracle, PADDED)
    with_nan, without = NotBeyond(), FixedLaw(jnp.log(jnp.array([0.3, 0.7])), "fixed")
    laws = [ask(subject, evaluation) for subject in (with_nan, without)]
    left, right = (measure(law, evaluation) for law in laws)
    # The fixed law is held in 32 bits: logs off by 1e-7.
    np.testing.assert_allclose(left.kl, right.kl, atol=1e-6)
    rungs = (oracle, WindowPredictor(oracle, 1), wrong(2))
    found, expected = (which_bayes(x, rungs, evaluation).output for x in (with_nan, without))
    np.testing.assert_allclose(found.kl.mean, expected.kl.mean, atol=1e-6)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-4)
    message = raised(ValueError, lambda: ask(NotBeyond(early=1), evaluation))
    assert message == "predictor: expected probabilities, got NaN at sequence 0, position 1"


# --------------------------------------------------------------- smoothing


def test_smoothing_with_lengths_equals_smoothing_each_alone():
    rng = np.random.default_rng(0)
    start, table = np.log(rng.dirichlet(np.ones(3))), np.log(rng.dirichlet(np.ones(3), 3))
    seen = np.log(rng.uniform(0.1, 1.0, (4, LENGTH, 3)))
    with jax.enable_x64(True):
        padded = jnp.where(THERE[:, :, None], seen, jnp.nan)
        tables = jnp.asarray(start), jnp.asarray(table)
        together = jax.jit(jax.vmap(lambda x, m: smooth(*tables, x, mask=m)))(padded, THERE)
        for i, length in ((0, 2), (3, 3)):
            alone = smooth(*tables, jnp.asarray(seen[i, :length]))
            for name, size in (("log_smoothed", length), ("log_pairwise", length - 1)):
                part = getattr(together, name)[i, :size]
                np.testing.assert_allclose(part, getattr(alone, name), rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(together.log_evidence[i], alone.log_evidence, rtol=1e-10)
