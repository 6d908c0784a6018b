"""Cosines, CKA, subspaces, manifolds and affine maps, against dumber versions of each."""

from itertools import combinations

import numpy as np
import pytest
import scipy.stats

from bayescmp.layers.key_frame import key_columns, mean_abs_cosine, random_cosine
from bayescmp.layers.manifold import (
    describe_manifold,
    gaussian_shares,
    participation_ratio,
    permuted_shares,
    principal_shares,
    rank_correlation,
)
from bayescmp.layers.sharpening import even_attention, open_sources, spent_sources, uses_up
from bayescmp.layers.similarity import (
    centre_within,
    cka_table,
    debiased_cka,
    linear_cka,
    principal_directions,
    principal_scores,
    subspace_overlap,
)
from bayescmp.layers.simplex import (
    TRIANGLE,
    apply_affine,
    explained_share,
    fit_affine,
    simplex_corners,
)

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state
EXACT = 1e-10
"""64-bit sums of at most some thousand terms of order one."""


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order():
    RNG.bit_generator.state = START


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def even(num: int) -> np.ndarray:
    return np.full(num, 1.0 / num)


def law(num: int) -> np.ndarray:
    return RNG.dirichlet(np.ones(num))


def rotation(size: int) -> np.ndarray:
    return np.linalg.qr(normal(size, size))[0]


# ------------------------------------------------------------------ key frame


@pytest.mark.parametrize("size", [1, 2, 3, 16, 64])
def test_the_null_of_cosines_is_that_of_random_directions(size: int):
    pairs = normal(2, 20_000, size)
    cosines = np.abs(np.sum(pairs[0] * pairs[1], axis=1)) / np.prod(
        np.linalg.norm(pairs, axis=-1), axis=0
    )
    # Five standard errors, taken from the sample; in one dimension all are one.
    error = 5.0 * cosines.std() / np.sqrt(cosines.size) + EXACT
    assert abs(cosines.mean() - random_cosine(size)) < error


def test_the_null_approaches_its_limit():
    # The published nulls for widths 1,024, 2,560 and 2,048, to the digits given.
    assert [round(random_cosine(d), 3) for d in (1024, 2560, 2048)] == [0.025, 0.016, 0.018]
    assert random_cosine(4096) == pytest.approx(np.sqrt(2 / (np.pi * 4096)), rel=1e-4)


def test_cosines_are_means_over_pairs():
    vectors = normal(2, 5, 3)
    for found, ones in zip(mean_abs_cosine(vectors), vectors, strict=True):
        pairs = [abs(x @ y) / np.sqrt((x @ x) * (y @ y)) for x, y in combinations(list(ones), 2)]
        assert found == pytest.approx(np.mean(pairs), rel=EXACT)


def test_cosines_are_absolute_and_skip_what_has_no_direction():
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert mean_abs_cosine(opposite) == pytest.approx(1.0)
    assert mean_abs_cosine(np.eye(4)) == 0.0
    assert np.isnan(mean_abs_cosine(opposite[[0, 2]]))


def test_columns_are_those_of_each_head():
    matrix = normal(5, 6)
    columns = key_columns(matrix, 2)
    np.testing.assert_array_equal(columns[1, 0], matrix[:, 3])
    with pytest.raises(ValueError, match="num_heads: expected a divisor"):
        key_columns(matrix, 4)


# ----------------------------------------------------------------- sharpening


def test_marks_agree_with_a_loop_over_a_sequence_written_out():
    shown = ["key", "value", "key", "value", "key"]
    asked = np.array([place for place, what in enumerate(shown) if what == "key"])
    spent, own = spent_sources(asked, 5), open_sources(asked, 5, 1)
    for question, place in enumerate(asked):
        for source, what in enumerate(shown):
            assert spent[question, source] == (what == "value" and source < place)
            assert own[question, source] == (source == place)


@pytest.mark.parametrize(("window", "seen"), [(None, [1, 3, 5]), (2, [1, 2, 2])])
def test_even_attention_sees_its_past(window: int | None, seen: list[int]):
    even_rows = even_attention(np.array([0, 2, 4]), 5, window)
    np.testing.assert_allclose(even_rows.sum(axis=1), 1.0)
    assert (even_rows > 0).sum(axis=1).tolist() == seen
    assert even_rows[:, -1].tolist() == [0.0, 0.0, 1.0 / seen[-1]]


def test_outcomes_are_used_up_only_where_none_comes_again():
    outcomes = np.array([[0, 1, 2], [2, 0, 1]])
    log_p = np.zeros((2, 3, 3))
    for row, values in enumerate(outcomes):
        for place in range(3):
            log_p[row, place, values[:place]] = -np.inf
    counts = np.ones((2, 3), bool)
    assert uses_up(log_p, outcomes, counts)
    log_p[1, 2, 2] = -5.0
    assert not uses_up(log_p, outcomes, counts)
    assert uses_up(log_p, outcomes, counts & np.array([True, True, False]))
    assert not uses_up(log_p, outcomes, counts & np.array([True, False, False]))


# ------------------------------------------------------------------- manifold


def test_shares_are_those_of_a_singular_value_decomposition():
    rows = normal(40, 5) @ normal(5, 5)
    standard = (rows - rows.mean(0)) / rows.std(0)
    squares = np.linalg.svd(standard, compute_uv=False) ** 2
    shares = principal_shares(rows, even(40))
    np.testing.assert_allclose(shares, squares / squares.sum(), rtol=EXACT)
    assert participation_ratio(shares) == pytest.approx(
        squares.sum() ** 2 / np.sum(squares**2), rel=EXACT
    )


def test_whole_number_weights_are_repeated_rows():
    rows, times = normal(6, 3), np.array([1, 2, 3, 1, 1, 4])
    weights, repeated = times / times.sum(), np.repeat(rows, times, axis=0)
    np.testing.assert_allclose(
        principal_shares(rows, weights), principal_shares(repeated, even(12)), rtol=1e-9
    )
    other = normal(6, 2)
    again = np.repeat(other, times, axis=0)
    assert linear_cka(rows, other, weights) == pytest.approx(linear_cka(repeated, again), rel=1e-9)
    assert rank_correlation(rows[:, 0], other[:, 0], weights) == pytest.approx(
        rank_correlation(repeated[:, 0], again[:, 0], even(12)), rel=1e-9
    )


def test_rank_correlation_is_scipys_with_ties():
    x, y = RNG.integers(0, 4, 30).astype(float), RNG.integers(0, 5, 30).astype(float)
    expected = scipy.stats.spearmanr(x, y).statistic
    assert rank_correlation(x, y, even(30)) == pytest.approx(expected, rel=EXACT)
    assert np.isnan(rank_correlation(np.ones(30), y, even(30)))


def test_a_planted_line_is_found_and_noise_is_not():
    along = normal(60)
    line = np.outer(along, np.arange(1.0, 13.0)) + 0.05 * normal(60, 12)
    place = np.arange(60.0)
    found = describe_manifold(line, even(60), along**3, place)
    assert found.pc1 > 0.9
    assert found.participation < 1.2
    assert found.entropy_rho > 0.99
    assert found.position_rho < 0.5  # five standard errors of 1 / sqrt(60) are 0.65
    nulls = [gaussian_shares(60, 12, RNG)[0] for _ in range(20)]
    nulls += [permuted_shares(line, even(60), RNG)[0] for _ in range(20)]
    assert max(nulls) < 0.5
    noise = describe_manifold(normal(60, 12), even(60), along, place)
    assert min(nulls) - 0.1 < noise.pc1 < max(nulls) + 0.1


def test_the_gaussian_null_is_the_published_one():
    # 75 vectors of 1,024 features: 2.1 %, to the digits given.
    assert round(gaussian_shares(75, 1024, np.random.default_rng(1))[0], 3) == 0.021


def test_what_does_not_vary_is_left_out():
    rows = np.concatenate([np.full((9, 1), 0.1), normal(9, 1)], axis=1)
    assert principal_shares(rows, even(9)).tolist() == [1.0]
    still = describe_manifold(np.full((9, 2), 3.0), even(9), normal(9), normal(9))
    assert np.isnan([still.pc1, still.participation, still.entropy_rho]).all()


# ----------------------------------------------------------------- similarity


def hsic_with_matrices(x: np.ndarray, y: np.ndarray) -> float:
    """Song's estimator as it is written, with matrices of rows by rows."""
    n = x.shape[0]
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(l, 0.0)
    one = np.ones(n)
    total = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return float(total - 2.0 * (one @ k @ l @ one) / (n - 2)) / (n * (n - 3))


def test_cka_is_one_for_rotations_and_scalings():
    x = normal(30, 4)
    for measure in (linear_cka, debiased_cka):
        assert measure(x, 2.5 * x @ rotation(4) + 7.0) == pytest.approx(1.0, abs=1e-12)
        assert measure(x, x) == pytest.approx(1.0, abs=1e-12)
        y = normal(30, 6)
        assert measure(x, y) == pytest.approx(measure(y, 3.0 * x @ rotation(4)), abs=1e-12)


def test_plain_cka_is_its_definition_with_matrices():
    x, y = normal(20, 3), normal(20, 5)
    centring = np.eye(20) - 1.0 / 20
    k, l = (centring @ z @ z.T @ centring for z in (x, y))  # noqa: E741
    expected = np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))
    assert linear_cka(x, y) == pytest.approx(expected, rel=EXACT)


def test_debiased_cka_is_its_definition_with_matrices():
    x, y = normal(20, 3) + 5.0, normal(20, 5) @ normal(5, 5)
    own = hsic_with_matrices(x, x) * hsic_with_matrices(y, y)
    expected = hsic_with_matrices(x, y) / np.sqrt(own)
    # The definition does not centre, and loses digits of the mean of 5.
    assert debiased_cka(x, y) == pytest.approx(expected, rel=1e-8)


def test_debiasing_takes_away_what_many_features_give():
    plain = [linear_cka(normal(20, 40), normal(20, 40)) for _ in range(40)]
    debiased = np.array([debiased_cka(normal(20, 40), normal(20, 40)) for _ in range(40)])
    assert min(plain) > 0.5
    assert abs(debiased.mean()) < 5.0 * debiased.std() / np.sqrt(40)


def test_a_table_of_cka_holds_every_pair():
    first, second = [normal(15, 3), normal(15, 5)], [normal(15, 2), np.ones((15, 4))]
    weights = law(15)
    table = cka_table(first, second, weights)
    for row, x in enumerate(first):
        assert table[row, 0] == pytest.approx(linear_cka(x, second[0], weights), rel=EXACT)
    assert np.isnan(table[:, 1]).all()


def test_few_rows_are_refused():
    with pytest.raises(ValueError, match="first: expected at least 4 rows, got 3"):
        debiased_cka(normal(3, 2), normal(3, 2))


def test_overlap_of_subspaces():
    rows = normal(50, 6)
    basis = principal_directions(rows, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=EXACT)
    assert subspace_overlap(basis, basis @ rotation(3)) == pytest.approx(1.0)
    assert subspace_overlap(np.eye(6)[:, :3], np.eye(6)[:, 3:]) == 0.0
    singular = np.linalg.svd(basis.T @ rotation(6)[:, :3], compute_uv=False)
    assert subspace_overlap(basis, rotation(6)[:, :3]) <= 1.0
    assert np.all(singular <= 1.0 + EXACT)
    with pytest.raises(ValueError, match="second: expected shape"):
        subspace_overlap(basis, np.eye(6)[:, :2])


@pytest.mark.parametrize(("rank", "size"), [(1, 4), (3, 12)])
def test_random_subspaces_overlap_by_their_share(rank: int, size: int):
    drawn = [
        subspace_overlap(rotation(size)[:, :rank], rotation(size)[:, :rank]) for _ in range(400)
    ]
    assert abs(np.mean(drawn) - rank / size) < 5.0 * np.std(drawn) / np.sqrt(400)


def test_principal_subspaces_are_those_of_a_singular_value_decomposition():
    rows = normal(30, 5) * np.array([5.0, 4.0, 3.0, 1.0, 0.5])
    left, _, right = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert subspace_overlap(principal_directions(rows, 2), right[:2].T) == pytest.approx(1.0)
    assert subspace_overlap(principal_scores(rows, 2), left[:, :2]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="rank: expected 1 to 5"):
        principal_scores(rows, 6)


def test_centring_within_groups_leaves_no_mean():
    rows, groups, weights = normal(12, 3), np.repeat([0, 1, 2], [3, 8, 1]), law(12)
    centred = centre_within(rows, groups, weights)
    for group in range(3):
        inside = groups == group
        np.testing.assert_allclose(weights[inside] @ centred[inside], 0.0, atol=EXACT)
    np.testing.assert_allclose(centred[0] - centred[1], rows[0] - rows[1], atol=EXACT)
    # What depends on the group alone, with the rounding of 32 bits, leaves nothing.
    by_group = normal(3, 3).astype(np.float32)[groups] * (1 + 1e-8 * normal(12, 1))
    assert not centre_within(by_group, groups, weights).any()


# -------------------------------------------------------------------- simplex


def test_three_values_lie_in_a_triangle_of_equal_sides():
    corners = simplex_corners(RNG.dirichlet(np.ones(3), 10), even(10))
    sides = [np.linalg.norm(x - y) for x, y in combinations(list(corners), 2)]
    np.testing.assert_allclose(sides, 1.0, rtol=EXACT)
    corners[0] = 9.0
    assert TRIANGLE[0, 0] == 0.0  # a copy was handed out


def test_more_values_are_seen_along_their_principal_components():
    beliefs = RNG.dirichlet(np.ones(5), 40)
    points = beliefs @ simplex_corners(beliefs, even(40))
    scores = np.linalg.svd(beliefs - beliefs.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(scores[0][:, :2] * scores[1][:2]), atol=1e-9)


def test_the_affine_map_is_that_of_least_squares():
    rows, targets, weights = normal(30, 4), normal(30, 3), law(30)
    scale = np.sqrt(weights)[:, None]
    design = np.concatenate([rows, np.ones((30, 1))], axis=1)
    expected = np.linalg.lstsq(design * scale, targets * scale)[0]
    np.testing.assert_allclose(fit_affine(rows, targets, weights), expected, atol=1e-9)


def test_a_map_of_few_or_dependent_rows_still_reads_what_it_was_fitted_to():
    rows = normal(6, 1) @ normal(1, 10)
    fitted = fit_affine(rows, rows[:, :2], even(6))
    np.testing.assert_allclose(apply_affine(rows, fitted), rows[:, :2], atol=1e-9)
    constant = fit_affine(np.ones((6, 3)), rows[:, :2], even(6))
    np.testing.assert_allclose(apply_affine(np.ones((1, 3)), constant)[0], rows[:, :2].mean(0))


def test_the_share_that_is_read():
    targets, weights = normal(20, 3), law(20)
    assert explained_share(targets, targets, weights) == 1.0
    mean = np.broadcast_to(weights @ targets, targets.shape)
    assert explained_share(targets, mean, weights) == pytest.approx(0.0, abs=EXACT)
    assert np.isnan(explained_share(np.ones((20, 2)), np.ones((20, 2)), weights))
