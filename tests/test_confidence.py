"""The answer of any predictor with how sure it is, and how sure it should be."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from small_networks import Table

import bayescmp as bc
from bayescmp.auditing.confidence import calibrate, confidence, fit_calibrator
from bayescmp.auditing.judged import Judged, judge
from bayescmp.measures.temperature import apply_temperature
from bayescmp.predictors.predictor import FixedLaw


@pytest.fixture(scope="module")
def coin() -> Judged:
    oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
    return judge(oracle, oracle, key=jax.random.key(0), num_sequences=2_048)


def test_an_oracle_says_all_there_is(coin: Judged) -> None:
    oracle = coin.evaluation.oracle
    seen = oracle.model.batch_from_sites({"token": jnp.array([[1, 1, 0], [0, 0, 0]])})
    sure = confidence(oracle, oracle, seen, calibrator=fit_calibrator(coin))
    np.testing.assert_array_equal(sure.answer[1, 1:], [0, 0])
    assert sure.aleatoric is not None
    assert sure.epistemic is not None
    assert sure.calibrated is not None
    np.testing.assert_allclose(sure.aleatoric + sure.epistemic, sure.entropy, atol=1e-12)
    # A temperature fitted to 6,144 tosses is right to some 0.1, its effect here to 0.03.
    np.testing.assert_allclose(sure.calibrated, sure.stated, atol=0.05)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_calibrator_mends_what_a_temperature_broke(coin: Judged, method: str) -> None:
    wrong = replace(coin, log_q=apply_temperature(coin.log_p, 0.4))
    stated = np.exp(wrong.log_q.max(axis=-1))
    exact = np.exp(np.take_along_axis(wrong.log_p, wrong.log_q.argmax(-1)[..., None], -1))[..., 0]
    mended = fit_calibrator(wrong, method)(wrong.log_q)
    assert np.abs(mended - exact).mean() < 0.03 < 0.08 < np.abs(stated - exact).mean()


def test_any_predictor_will_do(coin: Judged) -> None:
    oracle = coin.evaluation.oracle
    batch = coin.evaluation.first(2).batch
    table = Table(jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    fair = FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
    plain = confidence(table, None, batch.inputs)
    laws = scipy.special.softmax(np.asarray(table(batch.inputs)), axis=-1)
    np.testing.assert_allclose(plain.stated, laws.max(axis=-1), atol=1e-6)  # 32 bits
    assert plain.aleatoric is None
    assert plain.calibrated is None
    assert plain.how == "no split: expected an oracle, got none"
    for subject in (table, fair, oracle):
        with_split = confidence(subject, oracle, batch)
        assert with_split.epistemic is not None
        without = confidence(subject, None, batch)
        np.testing.assert_allclose(without.entropy, with_split.entropy, atol=1e-5)


def test_a_calibrator_that_cannot_mend_says_so() -> None:
    with np.errstate(divide="ignore"):
        laws = np.log(np.array([[[1.0, 0.0]]] * 4))
    came, counts = np.ones((4, 1), int), np.ones((4, 1), bool)
    assert np.isnan(calibrate(laws, came, counts)(laws)).all()
    np.testing.assert_array_equal(calibrate(laws, came, counts, "isotonic")(laws), 0.0)


def test_bad_input_is_refused(coin: Judged) -> None:
    oracle, inputs = coin.evaluation.oracle, coin.evaluation.batch.inputs
    with pytest.raises(TypeError, match="batch: expected a Batch with an oracle, got"):
        confidence(oracle, oracle, inputs)
    with pytest.raises(TypeError, match="batch: expected a Batch for Oracle, got"):
        confidence(oracle, None, inputs)
    with pytest.raises(ValueError, match="predictor: expected probabilities, got NaN"):
        confidence(lambda tokens: jnp.full((tokens.shape[0], 2), jnp.nan), None, inputs)
