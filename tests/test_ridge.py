"""Closed-form ridge regression and decoded laws, against NumPy loops and least squares."""

import numpy as np
import pytest

from bayescmp.layers.decoding import FLOOR, decode_law, kl_rows, project_to_simplex
from bayescmp.layers.moments import CHUNK, Moments, gather_moments
from bayescmp.layers.ridge import PENALTIES, fit_ridge

NUM_ROWS, NUM_FEATURES = 60, 5


def rows(seed: int = 0, num_rows: int = NUM_ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features that are far from centred, targets that follow them, and weights."""
    rng = np.random.default_rng(seed)
    features = 3.0 + rng.normal(size=(num_rows, NUM_FEATURES)) * np.array([1, 2, 5, 0.1, 1])
    slopes = rng.normal(size=(NUM_FEATURES, 3))
    targets = features @ slopes + rng.normal(size=(num_rows, 3)) - 7.0
    return features, targets, rng.uniform(0.1, 2.0, num_rows)


def solve(features: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float):
    """Minimise ``sum w |y - a - x B|^2 + penalty |B|^2`` as plain least squares on more rows."""
    num = features.shape[1]
    design = np.hstack([features, np.ones((len(features), 1))]) * np.sqrt(weights)[:, None]
    extra = np.sqrt(penalty) * np.eye(num, num + 1)
    wanted = np.vstack([targets * np.sqrt(weights)[:, None], np.zeros((num, targets.shape[1]))])
    found = np.linalg.lstsq(np.vstack([design, extra]), wanted, rcond=None)[0]
    return lambda x: np.hstack([x, np.ones((len(x), 1))]) @ found


def share(read: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    mean = weights @ targets / weights.sum()
    errors = sum(w * ((y - r) ** 2).sum() for w, y, r in zip(weights, targets, read, strict=True))
    total = sum(w * ((y - mean) ** 2).sum() for w, y in zip(weights, targets, strict=True))
    return 1.0 - errors / total


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 1.0, 100.0])
def test_it_is_penalised_least_squares(penalty: float):
    features, targets, weights = rows()
    moments = gather_moments(features, targets, weights)
    (read_out,) = fit_ridge(moments, penalties=[penalty])
    mean = weights @ features / weights.sum()
    scale = (weights[:, None] * (features - mean) ** 2).sum() / NUM_FEATURES
    expected = solve(features, targets, weights, penalty * scale)(features)
    # Condition numbers below 1e4: at most 1e-12 of the targets' size, some tens, is lost.
    np.testing.assert_allclose(read_out.affine(features), expected, rtol=1e-9, atol=1e-9)
    assert read_out.rank == NUM_FEATURES
    found = read_out.affine.share_explained(moments)
    assert found == pytest.approx(share(expected, targets, weights), abs=1e-11)


def test_other_rows_are_judged_by_their_moments():
    (features, targets, weights), (others, wanted, others_weights) = rows(0), rows(1)
    (read_out,) = fit_ridge(gather_moments(features, targets, weights), penalties=[0.1])
    judged = gather_moments(others, wanted, others_weights)
    expected = share(read_out.affine(others), wanted, others_weights)
    assert read_out.affine.share_explained(judged) == pytest.approx(expected, abs=1e-11)


def test_each_target_has_the_penalty_that_does_best_on_other_rows():
    features, targets, weights = rows()
    noise = np.random.default_rng(2).normal(size=(NUM_ROWS, 1))
    targets = np.hstack([targets, noise])
    cut = slice(0, 20), slice(20, NUM_ROWS)
    train, validate = (gather_moments(features[c], targets[c], weights[c]) for c in cut)
    columns = [slice(0, 3), slice(3, 4)]
    found = fit_ridge(train, validate, columns)
    for read_out, part in zip(found, columns, strict=True):
        alone = [
            share(
                fit_ridge(train.take(columns=part), penalties=[penalty])[0].affine(
                    features[cut[1]]
                ),
                targets[cut[1], part],
                weights[cut[1]],
            )
            for penalty in PENALTIES
        ]
        assert read_out.penalty == PENALTIES[int(np.argmax(alone))]
    assert found[0].penalty < found[1].penalty  # noise is best read by reading nothing
    both = gather_moments(features, targets, weights).take(columns=columns[0])
    (whole,) = fit_ridge(both, penalties=[found[0].penalty])
    np.testing.assert_allclose(found[0].affine(features), whole.affine(features), rtol=1e-9)


def test_a_rank_deficient_design_is_read_through_the_pseudo_inverse():
    features, targets, weights = rows()
    doubled = np.hstack([features, features @ np.ones((NUM_FEATURES, 2)), np.zeros((NUM_ROWS, 1))])
    (once,) = fit_ridge(gather_moments(features, targets, weights), penalties=[0.0])
    (twice,) = fit_ridge(gather_moments(doubled, targets, weights), penalties=[0.0])
    assert twice.rank == NUM_FEATURES
    np.testing.assert_allclose(twice.affine(doubled), once.affine(features), rtol=1e-8, atol=1e-8)


def test_features_that_do_not_vary_read_the_mean():
    _, targets, weights = rows()
    (read_out,) = fit_ridge(gather_moments(np.full((NUM_ROWS, 2), 3.0), targets, weights))
    assert read_out.rank == 0
    mean = np.broadcast_to(weights @ targets / weights.sum(), targets.shape)
    np.testing.assert_allclose(read_out.affine(np.full((NUM_ROWS, 2), 3.0)), mean, rtol=1e-12)


def test_moments_add_up_over_parts_of_the_rows():
    features, targets, weights = rows(num_rows=CHUNK + 30)
    whole = gather_moments(features, targets, weights)
    mean, target_mean = (weights @ x / weights.sum() for x in (features, targets))
    x, y = features - mean, targets - target_mean
    expected = Moments(
        weights.sum(),
        mean,
        target_mean,
        (weights[:, None] * x).T @ x,
        (weights[:, None] * x).T @ y,
        weights @ y**2,
    )
    parts = [slice(0, 7), slice(7, 4_000), slice(4_000, None)]
    total = sum_up([gather_moments(features[c], targets[c], weights[c]) for c in parts])
    for name in expected.__dataclass_fields__:
        for found in (whole, total):
            # Sums of 8,000 terms of one sign, or of both in the cross moments.
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-8
            )


def sum_up(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def test_moments_in_a_subspace_are_those_of_the_coordinates():
    features, targets, weights = rows()
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(NUM_FEATURES, 2)))[0]
    found = gather_moments(features, targets, weights).project(basis)
    expected = gather_moments(features @ basis, targets, weights)
    for name in expected.__dataclass_fields__:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


def test_the_projection_is_the_nearest_law():
    values = np.random.default_rng(4).normal(size=(200, 6))
    laws = project_to_simplex(values)
    np.testing.assert_allclose(laws.sum(axis=1), 1.0, rtol=1e-12)
    assert (laws >= 0.0).all()
    for value, law in zip(values, laws, strict=True):
        low, high = value.min() - 1.0, value.max()  # the level at which the sum is one
        for _ in range(60):
            level = (low + high) / 2.0
            low, high = (level, high) if np.maximum(value - level, 0).sum() > 1 else (low, level)
        np.testing.assert_allclose(law, np.maximum(value - low, 0.0), atol=1e-12)
    np.testing.assert_allclose(project_to_simplex(laws), laws, atol=1e-12)


def test_decoded_laws_have_no_zeros_and_little_is_lost():
    exact = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    decoded = decode_law(exact)
    np.testing.assert_allclose(decoded.sum(axis=1), 1.0, rtol=1e-12)
    assert decoded.min() == pytest.approx(FLOOR / 3.0)
    lost = kl_rows(exact, decoded)
    assert (lost > 0.0).all()
    assert (lost < -np.log1p(-FLOOR)).all()
    by_hand = sum(p * np.log(p / q) for p, q in zip(exact[1], decoded[1], strict=True))
    assert lost[1] == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gather_moments(np.zeros((0, 2)), np.zeros((0, 1)), np.zeros(0)),
            "features: .* none",
        ),
        (lambda: gather_moments(np.ones((2, 1)), np.ones((2, 1)), np.zeros(2)), "weights: .* 0.0"),
        (lambda: gather_moments(np.full((2, 1), np.nan), np.ones((2, 1)), np.ones(2)), "finite"),
        (lambda: fit_ridge(gather_moments(*rows()), penalties=[]), "penalties: .* got"),
        (lambda: fit_ridge(gather_moments(*rows()), penalties=[-1.0]), "penalties: .* got"),
        (lambda: project_to_simplex(np.zeros((2, 0))), "values: .* none"),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_constants_have_no_share_to_explain():
    features, _, weights = rows()
    moments = gather_moments(features, np.zeros((NUM_ROWS, 1)), weights)
    with pytest.raises(ValueError, match="targets: expected some that vary, got constants"):
        fit_ridge(moments)[0].affine.share_explained(moments)
