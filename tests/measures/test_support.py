"""Support: mass on impossible outcomes, argmax agreement, and the planted predictor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescmp import measures


def logs(p: object) -> jax.Array:
    """Take logs with log 0 = minus infinity and no warning."""
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(np.asarray(p)), jnp.float32)


def test_impossible_mass_sums_what_the_exact_law_excludes() -> None:
    p = logs([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    q = logs([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]])
    with jax.numpy_rank_promotion("raise"):
        got = jax.jit(measures.impossible_mass)(p, q)
    np.testing.assert_allclose(got, [0.3, 0.0], rtol=0, atol=1e-6)  # a few float32 roundings
    np.testing.assert_array_equal(measures.impossible_mass(p, p), np.zeros(2))


def test_a_faint_outcome_is_not_an_impossible_one() -> None:
    faint = jnp.array([0.0, -200.0], jnp.float32)  # exp(-200) is 0 in float32
    assert measures.impossible_mass(faint, logs([0.5, 0.5])) == 0.0


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ([0.7, 0.2, 0.1], 1.0),  # one of the two maximisers
        ([0.2, 0.7, 0.1], 1.0),  # the other one
        ([0.2, 0.1, 0.7], 0.0),
        ([1 / 3, 1 / 3, 1 / 3], 2 / 3),  # a random choice hits two of three
        ([0.4, 0.2, 0.4], 1 / 2),
    ],
)
def test_argmax_agreement_counts_ties(q: list[float], expected: float) -> None:
    got = jax.jit(measures.argmax_agreement)(logs([0.4, 0.4, 0.2]), logs(q))
    assert got == pytest.approx(expected, rel=1e-6)  # one float32 division


def test_uniform_predictor_scores_the_same_however_outcomes_are_numbered() -> None:
    exact = logs(0.7 * np.eye(4) + 0.075 * np.ones((4, 4)))
    scores = measures.argmax_agreement(exact, logs(np.full((4, 4), 0.25)))
    np.testing.assert_array_equal(scores, np.full(4, 0.25))


def test_argmax_agreement_tolerance_is_in_nats() -> None:
    p, q = jnp.log(jnp.array([0.51, 0.49])), jnp.log(jnp.array([0.1, 0.9]))
    gap = np.log(0.51 / 0.49)
    assert measures.argmax_agreement(p, q, tolerance=0.99 * gap) == 0.0
    assert measures.argmax_agreement(p, q, tolerance=1.01 * gap) == 1.0


@pytest.mark.parametrize("measure", [measures.impossible_mass, measures.argmax_agreement])
@pytest.mark.parametrize("other", [[0.0, 1.0], [1.0, 0.0]])
def test_nan_in_gives_nan_out(measure, other: list[float]) -> None:
    broken = jnp.array([jnp.nan, 0.0])
    assert jnp.isnan(measure(broken, logs(other)))
    assert jnp.isnan(measure(logs(other), broken))


@pytest.mark.parametrize("tolerance", [-1e-3, float("nan")])
def test_bad_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance: expected"):
        measures.argmax_agreement(logs([1.0, 0.0]), logs([1.0, 0.0]), tolerance)


def test_right_entropy_on_the_wrong_support_is_rejected() -> None:
    # As in the bijection: with t of n symbols used up, the exact law is uniform over
    # the others. The planted predictor is uniform over equally many symbols, but takes
    # them from the used ones first: its entropy is right everywhere.
    size = 6
    used = np.arange(1, size)
    exact = np.array([np.r_[np.zeros(t), np.ones(size - t)] / (size - t) for t in used])
    planted = np.array([np.r_[np.ones(size - t), np.zeros(t)] / (size - t) for t in used])
    log_p, log_q = logs(exact), logs(planted)
    everywhere = jnp.ones(len(used), bool)

    # entropies are the same sum in another order; float32 rounding of log 5
    assert measures.entropy_mae_per_sequence(log_p, log_q, everywhere) < 1e-6
    assert measures.entropy_mae_of_means(log_p, log_q, everywhere) < 1e-6

    wrong = np.minimum(used, size - used) / (size - used)  # used symbols among the chosen
    np.testing.assert_allclose(measures.impossible_mass(log_p, log_q), wrong, atol=1e-6)
    assert float(measures.impossible_mass(log_p, log_q).mean()) > 0.5
    np.testing.assert_allclose(measures.total_variation(log_p, log_q), wrong, atol=1e-6)
    np.testing.assert_array_equal(measures.kl(log_p, log_q), np.full(len(used), np.inf))
    softened = jnp.logaddexp(log_q + jnp.log(0.99), jnp.full_like(log_q, np.log(0.01 / size)))
    assert float(measures.kl(log_p, softened).mean()) > 1.0  # nats, now all finite
