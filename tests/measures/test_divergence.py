"""Divergences: known values, zeros, infinities, NaN, gradients and both precisions."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy import special, stats

from bayescmp import measures

PAIRWISE = {
    "kl": measures.kl,
    "cross_entropy": measures.cross_entropy,
    "total_variation": measures.total_variation,
    "jensen_shannon": measures.jensen_shannon,
}
COMPILED = {name: jax.jit(measure) for name, measure in PAIRWISE.items()}
COMPILED_GRADIENTS = {
    name: jax.jit(jax.grad(measure, argnums=(0, 1))) for name, measure in PAIRWISE.items()
}
# Errors of a sum of n terms of size <= max: n * max * eps; here n = 6, terms <= about 8,
# so 50 eps, rounded up to 100 eps for the log and exp on the way in.
TOLERANCE = {np.float32: 100 * 1.2e-7, np.float64: 100 * 2.3e-16}


@pytest.fixture(autouse=True)
def _x64() -> Iterator[None]:
    """Allow float64; the arrays of each test state their precision."""
    with jax.enable_x64(True):
        yield


def laws(num: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw laws ``p`` with some impossible outcomes and laws ``q`` that allow all."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(6), size=num) * (rng.random((num, 6)) < 0.7)
    p[:, 2] += 0.01  # never all zero
    return p / p.sum(-1, keepdims=True), rng.dirichlet(np.full(6, 2.0), size=num)


def logs(p: object, dtype: type = np.float64) -> jax.Array:
    """Take logs with log 0 = minus infinity and no warning."""
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(np.asarray(p, dtype=np.float64)), dtype)


ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kl": lambda p, q: special.rel_entr(p, q).sum(-1),
    "cross_entropy": lambda p, q: stats.entropy(p, axis=-1) + special.rel_entr(p, q).sum(-1),
    "total_variation": lambda p, q: np.max(  # the largest difference over all 2^6 events
        np.abs((p - q) @ np.array(np.meshgrid(*[[0, 1]] * 6)).reshape(6, -1)), axis=-1
    ),
    "jensen_shannon": lambda p, q: (
        stats.entropy((p + q) / 2, axis=-1)
        - (stats.entropy(p, axis=-1) + stats.entropy(q, axis=-1)) / 2
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRWISE)
def test_measure_agrees_with_scipy(name: str, dtype: type) -> None:
    p, q = laws()
    with jax.numpy_rank_promotion("raise"):
        got = COMPILED[name](logs(p, dtype), logs(q, dtype))
    assert got.dtype == dtype
    assert got.shape == (40,)
    np.testing.assert_allclose(got, ORACLES[name](p, q), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", PAIRWISE)
def test_batched_equals_one_law_at_a_time(name: str) -> None:
    p, q = laws(6)
    batched = COMPILED[name](logs(p).reshape(2, 3, 6), logs(q).reshape(2, 3, 6))
    single = np.stack([COMPILED[name](logs(a), logs(b)) for a, b in zip(p, q, strict=True)])
    # equal up to the order of summation of six terms
    np.testing.assert_allclose(batched, single.reshape((2, 3)), rtol=0, atol=1e-14)


def test_argument_order_is_that_of_the_formula() -> None:
    p, q = logs([1.0, 0.0]), logs([0.25, 0.75])
    assert measures.kl(p, q) == pytest.approx(np.log(4.0), rel=1e-15)
    assert measures.kl(q, p) == jnp.inf
    assert measures.cross_entropy(p, q) == pytest.approx(np.log(4.0), rel=1e-15)
    assert measures.cross_entropy(q, p) == jnp.inf


def test_kl_is_zero_at_equality_and_positive_elsewhere() -> None:
    p, q = laws()
    np.testing.assert_array_equal(measures.kl(logs(p), logs(p)), np.zeros(40))
    assert float(measures.kl(logs(p), logs(q)).min()) > 0.0


def test_kl_adds_over_independent_parts() -> None:
    p, q = laws(2)
    joint = [np.outer(law[0], law[1]).ravel() for law in (p, q)]
    total = measures.kl(logs(joint[0]), logs(joint[1]))
    assert total == pytest.approx(float(measures.kl(logs(p), logs(q)).sum()), rel=1e-12)


def test_pinsker_bounds_total_variation() -> None:
    p, q = laws(200, seed=1)
    variation = measures.total_variation(logs(p), logs(q))
    assert bool(jnp.all(variation <= jnp.sqrt(measures.kl(logs(p), logs(q)) / 2)))


def test_jensen_shannon_is_symmetric_and_ends_at_log_two() -> None:
    p, q = laws()
    forward = measures.jensen_shannon(logs(p), logs(q))
    backward = measures.jensen_shannon(logs(q), logs(p))
    np.testing.assert_allclose(forward, backward, rtol=0, atol=1e-15)
    disjoint = measures.jensen_shannon(logs([0.5, 0.5, 0.0]), logs([0.0, 0.0, 1.0]))
    assert disjoint == pytest.approx(np.log(2.0), rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropy_agrees_with_scipy_and_one_hot_is_exactly_zero(dtype: type) -> None:
    p, _ = laws()
    got = measures.entropy(logs(p, dtype))
    np.testing.assert_allclose(got, stats.entropy(p, axis=-1), rtol=0, atol=TOLERANCE[dtype])
    one_hot = logs(np.eye(4), dtype)
    np.testing.assert_array_equal(measures.entropy(one_hot), np.zeros(4))
    gradient = jax.grad(lambda x: measures.entropy(x).sum())(one_hot)
    # d(-p log p) / d(log p) = -p (log p + 1): -1 where certain, 0 where impossible
    np.testing.assert_array_equal(gradient, -np.eye(4))


@pytest.mark.parametrize("name", PAIRWISE)
def test_gradients_agree_with_finite_differences_and_vanish_at_zeros(name: str) -> None:
    p, q = logs([0.5, 0.0, 0.2, 0.3]), logs([0.1, 0.2, 0.4, 0.3001])
    step = 1e-6  # central differences: truncation about step^2, rounding eps / step = 2e-10
    nudges = np.concatenate([step * np.eye(4), -step * np.eye(4)])
    rows = np.zeros((8, 4))
    gradients = COMPILED_GRADIENTS[name](p, q)
    measure = COMPILED[name]
    ends = [
        measure(p[None, :] + nudges, q[None, :] + rows),
        measure(p[None, :] + rows, q[None, :] + nudges),
    ]
    for gradient, end in zip(gradients, ends, strict=True):
        assert bool(jnp.all(jnp.isfinite(gradient)))
        np.testing.assert_allclose(gradient, (end[:4] - end[4:]) / (2 * step), rtol=0, atol=2e-9)
    assert gradients[0][1] == 0.0


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("p", [[1.0, 0.0], [0.0, 1.0]])
@pytest.mark.parametrize("q", [[1.0, 0.0], [0.4, 0.6]])
def test_gradients_are_finite_with_zeros_on_both_sides(
    name: str, p: list[float], q: list[float]
) -> None:
    gradients = COMPILED_GRADIENTS[name](logs(p), logs(q))
    assert bool(jnp.all(jnp.isfinite(jnp.stack(gradients))))


@pytest.mark.parametrize("measure", [measures.kl, measures.cross_entropy])
def test_a_possible_outcome_without_mass_is_infinite(measure: Callable) -> None:
    assert measure(logs([0.5, 0.5]), logs([1.0, 0.0])) == jnp.inf
    # possible, but its probability underflows in float32: still not excluded by p
    faint = jnp.array([0.0, -200.0], np.float32)
    assert measure(faint, logs([1.0, 0.0], np.float32)) == jnp.inf
    assert jnp.isfinite(measure(faint, jnp.array([0.0, -300.0], np.float32)))


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("other", [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
def test_nan_in_gives_nan_out(name: str, where: int, other: list[float]) -> None:
    broken = jnp.zeros(2).at[where].set(jnp.nan)
    assert jnp.isnan(COMPILED[name](broken, logs(other)))
    assert jnp.isnan(COMPILED[name](logs(other), broken))
    assert jnp.isnan(measures.entropy(broken))


def test_log_loss_picks_the_drawn_outcome() -> None:
    log_q = logs([[0.2, 0.8], [1.0, 0.0]])
    got = measures.log_loss(log_q, jnp.array([1, 1]))
    np.testing.assert_allclose(got, [-np.log(0.8), np.inf], rtol=1e-15)


def test_expected_log_loss_is_the_cross_entropy() -> None:
    p, q = laws()
    losses = jnp.stack([measures.log_loss(logs(q), jnp.full(40, y)) for y in range(6)], axis=-1)
    expected = jnp.sum(jnp.asarray(p) * losses, axis=-1)
    np.testing.assert_allclose(measures.cross_entropy(logs(p), logs(q)), expected, rtol=1e-13)


@pytest.mark.parametrize("outcome", [-1, 2, 100])
def test_log_loss_of_an_unknown_outcome_is_nan(outcome: int) -> None:
    assert jnp.isnan(measures.log_loss(logs([0.5, 0.5]), jnp.array(outcome)))


def test_log_loss_of_a_broken_law_is_nan() -> None:
    assert jnp.isnan(measures.log_loss(jnp.array([-0.1, jnp.nan]), jnp.array(0)))


@pytest.mark.parametrize("name", PAIRWISE)
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    # where annotations are checked, as in these tests, the checker speaks first
    with pytest.raises((ValueError, TypeCheckError), match="log_q"):
        PAIRWISE[name](jnp.zeros((3, 2)), jnp.zeros((1, 2)))
