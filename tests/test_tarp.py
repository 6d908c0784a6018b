"""TARP: sets of what lies nearest to a reference, and which reference hides what."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from complaints import unchecked
from sbi_case import make_case
from scipy.stats import kstest

from bayescmp.measures.coverage import stand
from bayescmp.measures.tarp import (
    blind_references,
    check_ranks,
    learn_reference,
    tarp_ranks,
)

NUM, NUM_DRAWS = 1_000, 60
SBI = json.loads((Path(__file__).parent / "data" / "sbi_values.json").read_text())


def gaussian(seed: int = 0) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Draw truths in two dimensions from a standard normal prior, and noisy observations."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(NUM, 2))
    return rng, truth, truth + rng.normal(size=(NUM, 2))


def posterior(
    rng: np.random.Generator, observed: np.ndarray, spread: float = 1.0, shift: float = 0.0
) -> np.ndarray:
    """Draw from the exact posterior, mean ``x / 2`` and variance 1/2, or one that is off."""
    noise = rng.normal(size=(NUM, NUM_DRAWS, 2)) * spread * 0.5**0.5
    return 0.5 * observed[:, None] + shift + noise


def ranks_of(draws: np.ndarray, truth: np.ndarray, references: np.ndarray) -> np.ndarray:
    return tarp_ranks(draws, truth, references, np.random.default_rng(9).random(NUM))


def test_ranks_are_those_of_a_loop() -> None:
    rng, truth, observed = gaussian()
    draws, references = posterior(rng, observed), rng.normal(size=(NUM, 2))
    scale = draws.reshape(-1, 2).std(axis=0)
    uniforms = rng.random(NUM)
    ranks = tarp_ranks(draws, truth, references, uniforms)
    for n in range(20):
        own = sum(((truth[n] - references[n]) / scale) ** 2)
        below = sum(sum(((one - references[n]) / scale) ** 2) < own for one in draws[n])
        assert ranks[n] == pytest.approx((below + uniforms[n]) / (NUM_DRAWS + 1))


@pytest.mark.parametrize("kind", ["blind", "observation", "noisy observation", "constant"])
def test_the_exact_posterior_is_silent_whatever_the_reference(kind: str) -> None:
    rng, truth, observed = gaussian()
    references = {
        "blind": blind_references(truth, rng.random(truth.shape)),
        "observation": observed,
        "noisy observation": observed + rng.normal(size=observed.shape),
        "constant": np.ones_like(truth),
    }[kind]
    found = check_ranks(ranks_of(posterior(rng, observed), truth, references))
    assert found.p_value > 0.01
    # The mean of 1,000 uniform numbers is off by 0.009 as a rule.
    assert abs(found.area) < 5.0 * 0.009


def test_the_prior_passes_with_a_blind_reference_and_is_caught_with_one_that_knows() -> None:
    """The must-fire case: a posterior that ignores its data, which the naive test hides."""
    rng, truth, observed = gaussian()
    prior = rng.normal(size=(NUM, NUM_DRAWS, 2))
    naive = blind_references(truth, rng.random(truth.shape))
    assert check_ranks(ranks_of(prior, truth, naive)).p_value > 0.05
    caught = check_ranks(ranks_of(prior, truth, observed))
    assert caught.p_value < 1e-6
    assert caught.area > 0.05


def test_a_dropped_coordinate_hides_from_references_that_do_not_know_it_either() -> None:
    """The right posterior given less: no function of what it used can tell that it dropped some."""
    rng, truth, observed = gaussian()
    partial = posterior(rng, observed)
    partial[..., 1] = rng.normal(size=(NUM, NUM_DRAWS))
    kept = np.stack([observed[:, 0], np.zeros(NUM)], axis=1)
    assert check_ranks(ranks_of(partial, truth, kept)).p_value > 0.01
    assert check_ranks(ranks_of(partial, truth, observed)).p_value < 1e-6


def test_a_reference_learnt_on_one_half_catches_the_prior_on_the_other() -> None:
    rng, truth, observed = gaussian()
    half = NUM // 2
    learnt = learn_reference(observed[:half], truth[:half], observed[half:])
    uniforms = rng.random(half)
    for draws, is_exact in (
        (posterior(rng, observed), True),
        (rng.normal(size=(NUM, 60, 2)), False),
    ):
        ranks = tarp_ranks(draws[half:], truth[half:], learnt, uniforms)
        assert (check_ranks(ranks).p_value > 0.01) == is_exact


def test_a_reference_fitted_to_the_truth_it_judges_makes_an_exact_posterior_look_wrong() -> None:
    rng, truth, observed = gaussian()
    cheat = truth + 0.1 * rng.normal(size=truth.shape)
    assert check_ranks(ranks_of(posterior(rng, observed), truth, cheat)).p_value < 1e-6


@pytest.mark.parametrize(("spread", "shift"), [(0.7, 0.0), (1.4, 0.0), (1.0, 0.3)])
def test_wrong_spread_and_wrong_mean_are_seen(spread: float, shift: float) -> None:
    rng, truth, observed = gaussian()
    draws = posterior(rng, observed, spread, shift)
    assert check_ranks(ranks_of(draws, truth, 0.5 * observed)).p_value < 0.01


def test_ties_of_discrete_draws_are_randomised() -> None:
    rng = np.random.default_rng(1)
    law = np.array([0.5, 0.3, 0.2])
    values = rng.choice(3, p=law, size=(NUM, NUM_DRAWS + 1))[..., None].astype(float)
    references = rng.integers(0, 3, (NUM, 1)).astype(float)
    ranks = ranks_of(values[:, 1:], values[:, 0], references)
    assert check_ranks(ranks).p_value > 0.01
    # Without, the ranks heap up: most distances from a reference are equal.
    assert kstest(np.floor(ranks * 2.0) / 2.0, "uniform").pvalue < 1e-6


def test_distances_of_outcomes_and_of_draws_agree() -> None:
    """For a discrete law, mass replaces the share of draws: equal up to the draws' own noise."""
    rng = np.random.default_rng(2)
    law, reference = np.array([0.5, 0.3, 0.2]), 0.4
    distances = np.abs(np.arange(3) - reference)
    place = stand(law, -distances)
    draws = rng.choice(3, p=law, size=(1, 200_000, 1)).astype(float)
    for outcome in range(3):
        truth = np.array([[float(outcome)]])
        rank = tarp_ranks(draws, truth, np.array([[reference]]), np.array([0.5]))[0]
        # A share of 200,000 draws is off by 0.0011 as a rule.
        assert rank == pytest.approx(place.middle[outcome], abs=5.0 * 0.0011)


def test_ridge_is_the_augmented_least_squares() -> None:
    rng = np.random.default_rng(3)
    x, y, new = rng.normal(size=(50, 3)) * [1.0, 9.0, 0.0], rng.normal(size=(50, 2)), np.eye(3)
    centred, scale = x - x.mean(axis=0), np.where(x.std(axis=0) > 0.0, x.std(axis=0), np.inf)
    augmented = np.concatenate([centred / scale, (0.01 * 50) ** 0.5 * np.eye(3)])
    targets = np.concatenate([y - y.mean(axis=0), np.zeros((3, 2))])
    slow = scipy.linalg.lstsq(augmented, targets)[0]
    expected = y.mean(axis=0) + ((new - x.mean(axis=0)) / scale) @ slow
    np.testing.assert_allclose(learn_reference(x, y, new), expected, rtol=1e-10)


def test_sbi_counts_the_same_draws() -> None:
    """Values of sbi 0.27, by tests/data/remake_sbi_values.py; the truth has no place of its own."""
    case = make_case()
    ranks = tarp_ranks(case["draws"], case["truth"], case["references"], np.zeros(120))
    shares = np.round(ranks * 51.0) / 50.0
    alpha, ecp = (np.array(SBI["tarp"][name]) for name in ("alpha", "ecp"))
    for level, theirs in zip(alpha[1:-1], ecp[1:-1], strict=True):
        # Shares on an edge fall to either side of it in 32 bits.
        low, high = (shares < level - 1e-6).mean(), (shares < level + 1e-6).mean()
        assert low - 1e-6 <= theirs <= high + 1e-6
    # Their area is a sum over the upper half of ten bins, ours an integral over all levels.
    own = np.array([(ranks <= level).mean() for level in alpha[5:]])
    assert np.sum((own - alpha[5:]) * 0.1) == pytest.approx(SBI["tarp"]["area_to_curve"], abs=0.02)


def test_arguments_are_checked() -> None:
    draws, truth = np.ones((2, 3, 1)), np.ones((2, 1))
    with pytest.raises(ValueError, match="draws: expected finite coordinates that vary"):
        tarp_ranks(draws, truth, truth, np.zeros(2))
    with unchecked(), pytest.raises(ValueError, match=r"references: expected shape \(2, 1\)"):
        tarp_ranks(draws, truth, np.ones((3, 1)), np.zeros(2))
    with pytest.raises(ValueError, match=r"ranks: expected numbers in \[0, 1\]"):
        check_ranks(np.array([0.5, 1.5]))
