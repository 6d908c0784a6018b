"""Which of two laws answers side with: fires for either, and is silent about noise."""

import jax
import numpy as np
import pytest
from complaints import raised
from scipy.special import log_softmax

import bayescmp as bc
from bayescmp.comparison.siding import find_side, place_between
from bayescmp.models import FactorGraphModel, SignCouplings
from bayescmp.models.graph_structures import cycle
from bayescmp.predictors import GraphPropagation

NUM, LENGTH = 60, 4
NOISE = 0.3
"""Standard deviation of the log-odds: errors of about 0.07, as large as those of the laws."""


def laws(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw two laws, the first plus noise, and which questions count."""
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(NUM, LENGTH, 2))
    # What belongs to a sequence is common to its questions, in the error and in the noise.
    other = exact + 0.3 * rng.normal(size=(NUM, 1, 2)) + 0.3 * rng.normal(size=exact.shape)
    noise = 0.5**0.5 * (rng.normal(size=(NUM, 1, 2)) + rng.normal(size=exact.shape))
    noisy = exact + 0.5**0.5 * NOISE * noise
    supervised = rng.random((NUM, LENGTH)) < 0.7
    return *(log_softmax(x, axis=-1) for x in (exact, other, noisy)), supervised


def test_it_fires_for_either_law():
    exact, other, _, counts = laws(0)
    for answers, place, side in ((exact, 0.0, "exact"), (other, 1.0, "loopy")):
        found = place_between(answers, exact, other, counts, names=("exact", "loopy"))
        np.testing.assert_allclose(
            [found.place.low, found.place.mean, found.place.high], place, atol=1e-12
        )
        np.testing.assert_allclose(found.beside.mean, 0.0, atol=1e-12)
        assert found.side == side


def test_it_is_silent_about_noise():
    """Exact answers with noise: the place 0 is covered as often as the interval says."""
    covered = 0
    for seed in range(300):
        exact, other, noisy, counts = laws(seed)
        place = place_between(noisy, exact, other, counts).place
        covered += place.low <= 0.0 <= place.high
    # 95 % of 300 is 285, give or take 3.8; Student's interval of a ratio is a little short.
    assert 285 - 5 * 3.8 <= covered <= 285 + 4 * 3.8
    found = place_between(noisy, exact, other, counts)
    assert found.beside.low > 0.1  # and what lies on no point between is told


def test_a_sequence_is_one_unit():
    """Questions shown four times over are no more evidence than once."""
    exact, other, noisy, counts = laws(1)
    once = place_between(noisy, exact, other, counts)
    more = place_between(
        *(np.tile(x, (1, 4, 1)) for x in (noisy, exact, other)), np.tile(counts, 4)
    )
    np.testing.assert_allclose(more.place.mean, once.place.mean, rtol=1e-12)
    np.testing.assert_allclose(more.place.high, once.place.high, rtol=1e-12)
    assert more.num_questions == 4 * once.num_questions
    assert more.num_sequences == once.num_sequences


def test_only_questions_that_count_and_differ_are_taken():
    exact, other, noisy, counts = laws(2)
    spoiled = np.where(counts[..., None], noisy, np.nan)
    expected = place_between(noisy, exact, other, counts, threshold=0.05)
    found = place_between(spoiled, exact, other, counts, threshold=0.05)
    assert found == expected
    p, b, q = np.exp(exact), np.exp(other), np.exp(noisy)
    above = below = number = 0.0
    for sequence, position in np.argwhere(counts):
        way = b[sequence, position] - p[sequence, position]
        if 0.5 * np.abs(way).sum() >= 0.05:
            above += way @ (q - p)[sequence, position]
            below += way @ way
            number += 1
    np.testing.assert_allclose(found.place.mean, above / below, rtol=1e-12)
    assert found.num_questions == number


def test_laws_that_differ_nowhere_have_no_place_between():
    exact, _, noisy, counts = laws(3)
    found = place_between(noisy, exact, exact, counts)
    assert np.isnan(found.place.mean)
    assert found.side is None
    assert "undecided" in str(found)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_what_is_refused(threshold: float):
    exact, other, noisy, counts = laws(4)
    message = raised(
        ValueError, lambda: place_between(noisy, exact, other, counts, threshold=threshold)
    )
    assert message == f"threshold: expected a number between 0 and 1, got {threshold}"


def test_exact_answers_do_not_side_with_loopy_propagation():
    model = FactorGraphModel(cycle(3), SignCouplings(strength=1.0))
    oracle, loopy = bc.derive_oracle(model), GraphPropagation(model, 20)
    options = {"names": ("exact", "loopy"), "key": jax.random.key(0), "num_sequences": 64}
    found = find_side(oracle, oracle, loopy, oracle, **options)
    assert found.side == "exact"
    assert found.num_questions > 50
    assert str(found).startswith("exact: at 0.000 [")
