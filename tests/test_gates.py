"""AND, OR and the published "OR", against sums over both inputs written out here."""

import jax
import numpy as np
import pytest

from bayescmp.networks.constructed import gate_rows, gate_table, watch_gate

PROBS = [(0.8, 0.6), (0.1, 0.3), (0.5, 0.999)]
# Weights of zero are exp(-80) in the stream, far below round-off.
ROUND_OFF = 1e-12


def watch(*arguments):
    with jax.enable_x64(True):
        return watch_gate(*arguments)


@pytest.mark.parametrize("probs", PROBS)
def test_gates_are_conjunction_and_disjunction(probs):
    p, q = probs
    expected = {"and": p * q, "or": p + q - p * q}
    for name, prob in expected.items():
        found = watch(name, probs)
        assert found.answer == pytest.approx(prob, abs=ROUND_OFF)
        assert found.exact == pytest.approx(prob, abs=ROUND_OFF)
        assert found.logical == pytest.approx(prob, abs=ROUND_OFF)


def test_noisy_gates_sum_over_both_inputs():
    strengths, leak, (p, q) = (0.9, 0.7), 0.05, (0.8, 0.6)
    noisy_or = 1.0 - (1.0 - leak) * (1.0 - 0.9 * p) * (1.0 - 0.7 * q)
    noisy_and = p * q * 0.63 + (1.0 - p * q) * leak
    for name, prob in (("or", noisy_or), ("and", noisy_and)):
        assert watch(name, (p, q), strengths, leak).answer == pytest.approx(prob, abs=ROUND_OFF)


def test_a_sum_of_log_odds_is_agreement_and_no_or():
    for p, q in PROBS:
        found = watch("sum of log odds", (p, q))
        both = p * q / (p * q + (1.0 - p) * (1.0 - q))
        assert found.answer == pytest.approx(both, abs=ROUND_OFF)
        assert found.logical == pytest.approx(p + q - p * q)
    # Two doubtful inputs make an OR likelier than either, and agreement less likely than both.
    doubtful = watch("sum of log odds", (0.1, 0.3))
    assert doubtful.answer < 0.1 < 0.3 < doubtful.logical


def test_every_number_on_the_way_has_its_place():
    found = watch("and", (0.8, 0.6))
    assert [standing.half for standing in found.standings] == [
        *["embedded"] * 2,
        *["after attention"] * 2,
        *["after feed-forward"] * 2,
    ]
    probs = [standing.probability for standing in found.standings]
    np.testing.assert_allclose(probs, [0.8, 0.6, 0.8, 0.6, 0.48, 0.48], atol=ROUND_OFF)
    assert "from input 1 +0.405 (probability 0.600)" in str(found)


def test_what_is_no_gate_is_named():
    with pytest.raises(ValueError, match="name: expected 'and' or 'or'"):
        gate_table("sum of log odds")
    with pytest.raises(ValueError, match="strengths: expected probabilities"):
        gate_table("or", strengths=(1.5, 1.0))
    with pytest.raises(ValueError, match="probs: expected numbers above 0"):
        gate_rows("and", (0.0, 0.5))
