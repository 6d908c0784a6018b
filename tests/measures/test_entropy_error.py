"""Entropy errors: both definitions by hand, masks, and the best constant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayescmp import measures

PER_SEQUENCE = jax.jit(measures.entropy_mae_per_sequence)
OF_MEANS = jax.jit(measures.entropy_mae_of_means)
BEST_CONSTANT = jax.jit(measures.best_constant_entropy_mae)


def random_laws(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw float32 log probabilities over four outcomes."""
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.ones(4), size=shape)).astype(np.float32)


def test_both_definitions_agree_with_their_formulas() -> None:
    log_p, log_q = random_laws((7, 3), 0), random_laws((7, 3), 1)
    mask = np.random.default_rng(2).random((7, 3)) < 0.6
    gap = stats.entropy(np.exp(log_q), axis=-1) - stats.entropy(np.exp(log_p), axis=-1)
    definition_a = np.mean([abs(gap[s, t]) for s in range(7) for t in range(3) if mask[s, t]])
    definition_b = np.mean([abs(np.mean(gap[mask[:, t], t])) for t in range(3)])
    with jax.numpy_rank_promotion("raise"):
        arrays = jnp.asarray(log_p), jnp.asarray(log_q), jnp.asarray(mask)
        got_a = PER_SEQUENCE(*arrays)
        got_b = OF_MEANS(*arrays)
    # float32: entropies up to 1.4 carry a few roundings of 1e-7 each
    assert got_a == pytest.approx(definition_a, abs=1e-6)
    assert got_b == pytest.approx(definition_b, abs=1e-6)
    assert got_b < got_a


def test_opposite_errors_cancel_only_in_definition_b() -> None:
    coin, sure = jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([[0.0, -jnp.inf]])
    log_p, log_q = jnp.stack([coin, sure]), jnp.stack([sure, coin])
    mask = jnp.ones((2, 1), bool)
    assert PER_SEQUENCE(log_p, log_q, mask) == pytest.approx(np.log(2.0))
    assert OF_MEANS(log_p, log_q, mask) == 0.0


def test_definitions_coincide_for_one_sequence() -> None:
    log_p, log_q = jnp.asarray(random_laws((5,), 3)), jnp.asarray(random_laws((5,), 4))
    mask = jnp.array([True, True, False, True, False])
    one = PER_SEQUENCE(log_p, log_q, mask)
    assert one == pytest.approx(float(OF_MEANS(log_p, log_q, mask)), abs=1e-7)


def test_unsupervised_entries_are_never_looked_at() -> None:
    log_p, log_q = jnp.asarray(random_laws((4, 3), 5)), jnp.asarray(random_laws((4, 3), 6))
    mask = jnp.ones((4, 3), bool).at[:, 1].set(False)
    spoilt = log_q.at[:, 1].set(jnp.nan)
    kept = jnp.array([0, 2])
    for measure in (PER_SEQUENCE, OF_MEANS):
        alone = measure(log_p[:, kept], log_q[:, kept], mask[:, kept])
        assert measure(log_p, spoilt, mask) == pytest.approx(float(alone), abs=1e-7)


@pytest.mark.parametrize("measure", [PER_SEQUENCE, OF_MEANS])
def test_nan_shows_and_no_data_is_nan(measure) -> None:
    law = jnp.asarray(random_laws((4, 3), 7))
    mask = jnp.ones((4, 3), bool)
    assert jnp.isnan(measure(law, law.at[0, 0, 0].set(jnp.nan), mask))
    assert jnp.isnan(measure(law, law, ~mask))
    assert measure(law, law, mask) == 0.0


@pytest.mark.parametrize("num_positions", [1, 8, 9])
def test_best_constant_is_the_smallest_over_all_data_points(num_positions: int) -> None:
    rng = np.random.default_rng(num_positions)
    entropy = rng.gamma(2.0, size=(5, num_positions))
    mask = rng.random((5, num_positions)) < 0.7
    counted = entropy[mask]
    # a mean of |c - h| is piecewise linear in c: its minimum lies at a data point
    best = min(float(np.mean(np.abs(c - counted))) for c in counted)
    arrays = jnp.asarray(entropy, jnp.float32), jnp.asarray(mask)
    got = BEST_CONSTANT(*arrays)
    assert got == pytest.approx(best, rel=1e-5)  # float32 sum of some 30 terms


def test_best_constant_nan_and_no_data() -> None:
    entropy = jnp.array([0.0, 1.0, 5.0, jnp.nan])
    first = jnp.array([True, True, True, False])
    assert BEST_CONSTANT(entropy, first) == pytest.approx(5 / 3)
    assert jnp.isnan(BEST_CONSTANT(entropy, ~first))
    assert jnp.isnan(BEST_CONSTANT(entropy, jnp.ones(4, bool)))
    assert jnp.isnan(BEST_CONSTANT(entropy, jnp.zeros(4, bool)))


def test_no_constant_beats_the_best_constant() -> None:
    # a constant predictor with the median entropy scores it, in the measure itself
    log_p = jnp.asarray(random_laws((9, 3), 8))
    mask = jnp.ones((9, 3), bool)
    floor = BEST_CONSTANT(measures.entropy(log_p), mask)
    heats = jnp.linspace(0.0, 8.0, 200)
    constants = jax.nn.log_softmax(heats[:, None] * jnp.array([[1.0, 0.0, 0.0, 0.0]]), axis=-1)
    scores = jax.vmap(lambda law: PER_SEQUENCE(log_p, jnp.broadcast_to(law, log_p.shape), mask))(
        constants
    )
    assert float(scores.min()) >= float(floor) - 1e-6  # rounding of a float32 mean
    # the grid of entropies has gaps of at most 0.025 nats, and the score slope at most 1
    assert float(scores.min()) <= float(floor) + 0.025


def test_weights_stand_for_repeated_sequences() -> None:
    rng = np.random.default_rng(5)
    log_p, log_q = (
        np.log(rng.dirichlet(np.ones(4), size=(9, 3))).astype(np.float32) for _ in range(2)
    )
    supervised, times = rng.random((9, 3)) < 0.7, rng.integers(1, 6, 9)
    weights = jnp.asarray(times / times.sum(), jnp.float32)
    laws = [jnp.asarray(log_p), jnp.asarray(log_q), jnp.asarray(supervised)]
    repeated = [jnp.repeat(array, times, axis=0) for array in laws]
    # float32 sums of a few dozen numbers of order one
    for error in (measures.entropy_mae_per_sequence, measures.entropy_mae_of_means):
        expected = float(error(*repeated))
        assert error(*laws, weights) == pytest.approx(expected, rel=1e-5)
        assert error(*laws) != pytest.approx(expected, rel=1e-2)
    alone, often = measures.entropy(laws[0]), measures.entropy(repeated[0])
    expected = float(measures.best_constant_entropy_mae(often, repeated[2]))
    found = measures.best_constant_entropy_mae(alone, laws[2], weights)
    assert found == pytest.approx(expected, rel=1e-5)
    # by brute force: the best of all entropies as a constant
    entropies, mass = np.asarray(alone), np.where(supervised, np.asarray(weights)[:, None], 0.0)
    scores = [np.sum(mass * np.abs(entropies - c)) / mass.sum() for c in entropies[supervised]]
    assert found == pytest.approx(min(scores), rel=1e-5)
