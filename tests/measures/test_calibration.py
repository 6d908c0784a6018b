"""Reliability: by hand, by jackknife, must-fire and false-alarm tests, and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import unchecked
from scipy import stats

from bayescmp import measures

# One position, three outcomes, one law per bin of ten: bins 1, 3 and 5.
LAW = np.array([0.13, 0.32, 0.55])
LAW_BINS = [1, 3, 5]
COMPILED = jax.jit(measures.reliability, static_argnums=(4, 5))


def logs(p: object) -> jax.Array:
    """Take logs with log 0 = minus infinity and no warning."""
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(np.asarray(p)), jnp.float32)


def table_of(q, outcomes, p=None, supervised=None, num_bins: int = 10, level: float = 0.95):
    """Call ``reliability`` on nested lists of probabilities."""
    log_q = logs(q)
    mask = jnp.ones(log_q.shape[:2], bool) if supervised is None else jnp.asarray(supervised)
    log_p = log_q if p is None else logs(p)
    return COMPILED(log_q, jnp.asarray(outcomes), log_p, mask, num_bins, level)


def random_case(num_sequences: int, num_positions: int, seed: int):
    """Draw laws over four outcomes and outcomes that follow them."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(4), size=(num_sequences, num_positions))
    uniforms = rng.random((num_sequences, num_positions, 1))
    return p, np.minimum((p.cumsum(-1) < uniforms).sum(-1), 3)


def wilson(observed: float, trials: float, level: float = 0.95) -> np.ndarray:
    """Solve ``(r - R)^2 = z^2 R (1 - R) / n`` for R, the score interval's definition."""
    z = stats.norm.ppf(0.5 * (1 + level))
    coefficients = [1 + z**2 / trials, -2 * observed - z**2 / trials, observed**2]
    return np.sort(np.roots(coefficients).real)


def test_two_sequences_by_hand() -> None:
    q = [[[0.2, 0.8], [0.4, 0.6]], [[0.4, 0.6], [0.1, 0.9]]]
    p = [[[0.5, 0.5], [0.3, 0.7]], [[0.3, 0.7], [0.0, 1.0]]]
    table = table_of(q, [[0, 1], [1, 1]], p, num_bins=2)
    np.testing.assert_array_equal(table.edges_low, [0.0, 0.5])
    np.testing.assert_array_equal(table.edges_high, [0.5, 1.0])
    np.testing.assert_array_equal(table.count, [4, 4])
    # float32: sums of four numbers below one
    np.testing.assert_allclose(table.predicted, [1.1 / 4, 2.9 / 4], atol=1e-6)
    np.testing.assert_allclose(table.observed, [1 / 4, 3 / 4], atol=1e-6)
    np.testing.assert_allclose(table.exact, [1.1 / 4, 2.9 / 4], atol=1e-6)
    # bin 0: N = (2, 2), Y = (1, 0), r = 1/4, residuals +-1/2: var = 2 * (1/2) / 16 = 1/16
    interval = wilson(1 / 4, (3 / 16) / (1 / 16))
    np.testing.assert_allclose([table.observed_low[0], table.observed_high[0]], interval, atol=1e-6)
    assert measures.expected_calibration_error(table) == pytest.approx(0.025, abs=1e-6)
    assert measures.exact_calibration_error(table) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_agrees_with_the_jackknife_over_sequences(level: float) -> None:
    # With equally many entries per sequence the linearised variance of a ratio is the
    # delete-one jackknife's; here each of 30 sequences has six entries in each bin.
    rng = np.random.default_rng(0)
    outcomes = rng.choice(3, size=(30, 6), p=LAW)
    outcomes[:, 1:4] = outcomes[:, :1]  # dependent positions
    table = table_of(np.broadcast_to(LAW, (30, 6, 3)), outcomes, level=level)
    for outcome, bin_index in enumerate(LAW_BINS):
        shares = (outcomes == outcome).mean(-1)
        without = (shares.sum() - shares) / 29
        variance = 29 / 30 * np.sum((without - shares.mean()) ** 2)
        share = shares.mean()
        expected = wilson(share, share * (1 - share) / variance, level)
        got = [table.observed_low[bin_index], table.observed_high[bin_index]]
        np.testing.assert_allclose(got, expected, rtol=1e-4)  # float32 sum of 30 squares


def test_totals_hold_for_any_bins() -> None:
    p, outcomes = random_case(50, 3, seed=1)
    mask = np.random.default_rng(2).random((50, 3)) < 0.7
    for num_bins in (1, 7):
        table = table_of(p, outcomes, supervised=mask, num_bins=num_bins)
        count = np.asarray(table.count)
        assert count.sum() == 4 * mask.sum()
        # probabilities and hits of one position each add up to one; float32 sums
        for mean in (table.predicted, table.observed, table.exact):
            assert np.nansum(count * np.asarray(mean)) == pytest.approx(mask.sum(), rel=1e-5)
        full = count > 0
        ordered = [
            (table.edges_low, table.predicted),
            (table.predicted, table.edges_high + 1e-6),  # float32 mean
            (table.observed_low, table.observed),
            (table.observed, table.observed_high),
        ]
        for below, above in ordered:
            assert np.all(np.asarray(below)[full] <= np.asarray(above)[full])


def test_edges_belong_to_the_bin_above_except_one() -> None:
    table = table_of([[[0.0, 1.0], [0.5, 0.5]]] * 2, [[1, 0]] * 2, num_bins=2)
    np.testing.assert_array_equal(table.count, [2, 6])


def test_bin_without_data_has_count_zero_and_nan() -> None:
    table = table_of([[[0.05, 0.95]]] * 3, [[1]] * 3)
    np.testing.assert_array_equal(table.count, [3, 0, 0, 0, 0, 0, 0, 0, 0, 3])
    for column in (table.predicted, table.observed, table.exact):
        np.testing.assert_array_equal(np.isnan(column), np.asarray(table.count) == 0)
    np.testing.assert_array_equal(np.isnan(table.observed_low), np.asarray(table.count) == 0)
    np.testing.assert_array_equal(np.isnan(table.observed_high), np.asarray(table.count) == 0)
    assert measures.expected_calibration_error(table) == pytest.approx(0.05, abs=1e-6)


def test_nothing_observed_keeps_a_width_that_counts_sequences() -> None:
    # 40 sequences of 5 positions: 200 entries, none came true, yet only 40 trials
    table = table_of([[[0.02, 0.98]] * 5] * 40, [[1] * 5] * 40)
    bound = wilson(0.0, 40)[1]
    assert table.observed_low[0] == 0.0
    assert table.observed_high[0] == pytest.approx(bound, rel=1e-5)
    assert table.observed_low[9] == pytest.approx(1.0 - bound, rel=1e-5)
    assert table.observed_high[9] == 1.0


def test_one_sequence_says_nothing_about_spread() -> None:
    table = table_of([[[0.35, 0.65]] * 9], [[0, 1, 1, 1, 0, 1, 1, 1, 1]])
    assert (table.observed_low[3], table.observed_high[3]) == (0.0, 1.0)


def test_nan_shows_unless_unsupervised() -> None:
    p, outcomes = random_case(6, 2, seed=3)
    spoilt = p.copy()
    spoilt[0, 0, 0] = np.nan
    mask = np.ones((6, 2), bool)
    for table in (
        table_of(spoilt, outcomes, p, mask),
        table_of(p, outcomes, spoilt, mask),
    ):
        assert np.all(np.isnan(table.predicted))
        assert np.all(np.isnan(table.observed_low))
        assert jnp.isnan(measures.expected_calibration_error(table))
        assert jnp.isnan(measures.exact_calibration_error(table))
    mask[0, 0] = False
    table = table_of(spoilt, outcomes, p, mask)
    assert np.all(np.isfinite(np.asarray(table.observed)[np.asarray(table.count) > 0]))


def test_nothing_supervised_is_no_data() -> None:
    p, outcomes = random_case(6, 2, seed=3)
    table = table_of(p, outcomes, supervised=np.zeros((6, 2), bool))
    assert int(table.count.sum()) == 0
    assert jnp.isnan(measures.expected_calibration_error(table))


def test_perfect_predictor_has_plain_error_but_no_exact_error() -> None:
    p, outcomes = random_case(200, 4, seed=4)
    table = table_of(p, outcomes)
    assert measures.expected_calibration_error(table) > 0.0
    assert measures.exact_calibration_error(table) == 0.0


def test_float64_stays_float64() -> None:
    p, outcomes = random_case(6, 2, seed=3)
    single = table_of(p, outcomes)
    with jax.enable_x64(True):
        log_p, mask = jnp.log(jnp.asarray(p)), jnp.ones((6, 2), bool)
        double = COMPILED(log_p, jnp.asarray(outcomes), log_p, mask, 10, 0.95)
        assert double.observed_low.dtype == jnp.float64
    assert single.observed_low.dtype == jnp.float32
    assert single.level == double.level == 0.95
    for got, expected in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)  # float32 squares


@pytest.mark.parametrize("power", [0.3, 3.0])
def test_fires_on_a_miscalibrated_predictor(power: float) -> None:
    # under- and overconfident: the exact law raised to a power
    p, outcomes = random_case(1000, 4, seed=6)
    q = p**power / (p**power).sum(-1, keepdims=True)
    table = table_of(q, outcomes, p)
    full = np.asarray(table.count) >= 200
    missed = (table.predicted < table.observed_low) | (table.predicted > table.observed_high)
    assert np.mean(np.asarray(missed)[full]) > 0.6  # near the crossing point it is right
    # the outcomes do follow p, so the exact frequency stays where outcomes are
    caught = (table.exact >= table.observed_low) & (table.exact <= table.observed_high)
    assert np.sum(~np.asarray(caught)[full]) <= 2
    honest = measures.expected_calibration_error(table_of(p, outcomes))
    assert measures.expected_calibration_error(table) > 3 * honest
    assert measures.exact_calibration_error(table) > 0.05


def test_interval_covers_as_stated_though_entries_depend() -> None:
    # A calibrated predictor, 2,000 times 150 sequences. All four positions of a sequence
    # repeat one draw, so entries are as dependent as can be; each bin holds one
    # predicted probability, so the covered number is known exactly.
    num_repeats, num_sequences, num_positions, level = 2000, 150, 4, 0.95
    rng = np.random.default_rng(7)
    draws = rng.choice(3, size=(num_repeats, num_sequences, 1), p=LAW)
    outcomes = jnp.asarray(np.repeat(draws, num_positions, axis=-1))
    log_q = logs(np.broadcast_to(LAW, (num_sequences, num_positions, 3)))
    mask = jnp.ones((num_sequences, num_positions), bool)
    one = jax.jit(
        jax.vmap(lambda drawn: measures.reliability(log_q, drawn, log_q, mask, 10, level))
    )
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[:, LAW_BINS], one(outcomes))
    low, high, observed = table.observed_low, table.observed_high, table.observed
    rate = np.mean((low <= LAW) & (high >= LAW), axis=0)
    # binomial noise of a rate of 0.95 over 2,000 repeats: 0.0049; five of these
    noise = 5 * np.sqrt(level * (1 - level) / num_repeats)
    assert np.all(np.abs(rate - level) < noise), rate

    # counting all 600 entries as independent would raise false alarms a third of the time
    naive = 1.96 * np.sqrt(observed * (1 - observed) / (num_sequences * num_positions))
    assert np.all(np.mean(np.abs(observed - LAW) <= naive, axis=0) < 0.75)


def test_rare_outcomes_do_not_raise_false_alarms() -> None:
    # One entry per sequence in the bin, so the interval depends on the number of hits
    # alone and its coverage is an exact binomial sum, no simulation.
    num_sequences, hits = 100, np.arange(61)
    outcomes = jnp.asarray(np.arange(num_sequences)[None, :] >= hits[:, None], jnp.int32)
    log_q = logs(np.broadcast_to([0.01, 0.99], (num_sequences, 1, 2)))
    mask = jnp.ones((num_sequences, 1), bool)
    table = jax.jit(jax.vmap(lambda y: measures.reliability(log_q, y, log_q, mask, 2)))(
        outcomes[..., None]
    )
    truth = np.linspace(0.0005, 0.2, 400)[:, None]
    weights = stats.binom.pmf(hits, num_sequences, truth)
    share = np.asarray(table.observed[:, 0])
    low, high = np.asarray(table.observed_low[:, 0]), np.asarray(table.observed_high[:, 0])
    coverage = np.sum(weights * ((low <= truth) & (truth <= high)), axis=1)
    # Hits are whole numbers, so coverage swings around its level: it averages 0.953 and
    # falls to 0.861 at one hit in 600 trials. r +- 1.96 sd averages 0.89, falls to 0.05.
    assert abs(coverage.mean() - 0.95) < 0.01
    assert coverage.min() > 0.85
    half_width = 1.96 * np.sqrt(share * (1 - share) / num_sequences)
    plain = np.sum(weights * (np.abs(share - truth) <= half_width), axis=1)
    assert plain.min() < 0.1


def test_weights_stand_for_repeated_sequences() -> None:
    p, outcomes = random_case(12, 3, seed=8)
    q, times = random_case(12, 3, seed=9)[0], np.random.default_rng(10).integers(1, 5, 12)
    mask = np.random.default_rng(11).random((12, 3)) < 0.7
    repeated = table_of(*(np.repeat(a, times, axis=0) for a in (q, outcomes, p, mask)))
    weights = jnp.asarray(times / times.sum(), jnp.float32)
    weighted = COMPILED(
        logs(q), jnp.asarray(outcomes), logs(p), jnp.asarray(mask), 10, weights=weights
    )
    # float32: sums of some hundred numbers below one
    for name in ("predicted", "observed", "exact"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(weighted.weight * times.sum(), repeated.weight, rtol=1e-5)
    np.testing.assert_array_equal(repeated.weight, repeated.count)
    for error in (measures.expected_calibration_error, measures.exact_calibration_error):
        assert error(weighted) == pytest.approx(float(error(repeated)), rel=1e-5)
    # no interval is left with weights, and one without
    np.testing.assert_array_equal(weighted.observed_low, weighted.observed)
    np.testing.assert_array_equal(weighted.observed_high, weighted.observed)
    assert np.nansum(repeated.observed_high - repeated.observed_low) > 1.0


def test_outcomes_that_follow_the_exact_law_come_true_as_often() -> None:
    p, _ = random_case(12, 3, seed=8)
    q, _ = random_case(12, 3, seed=9)
    ones = jnp.ones((12, 3), bool)
    weights = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(12)), jnp.float32)
    table = COMPILED(logs(q), None, logs(p), ones, 10, weights=weights)
    np.testing.assert_array_equal(table.observed, table.exact)


def test_tables_of_parts_merge_into_that_of_all() -> None:
    p, outcomes = random_case(30, 3, seed=8)
    log_q, log_p = logs(random_case(30, 3, seed=9)[0]), logs(p)
    weights = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(30)), jnp.float32)
    ones = jnp.ones((30, 3), bool)

    def part(cut: slice) -> measures.Reliability:
        rows = jnp.asarray(outcomes)[cut]
        return COMPILED(log_q[cut], rows, log_p[cut], ones[cut], 10, weights=weights[cut])

    merged = measures.merge_reliability(
        [part(slice(0, 2)), part(slice(2, 15)), part(slice(15, 30))]
    )
    whole = part(slice(0, 30))
    for got, expected in zip(jax.tree.leaves(merged), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)  # float32 sums
    assert np.any(np.asarray(part(slice(0, 2)).count) == 0), "some part should have an empty bin"
    drawn = table_of(p, outcomes)
    assert measures.merge_reliability([drawn]) is drawn
    with pytest.raises(ValueError, match="tables: expected one, or several with weights"):
        measures.merge_reliability([drawn, drawn])


def test_bad_weights_are_refused() -> None:
    log_p, ones = logs([[[0.5, 0.5]]]), jnp.ones((1, 1), bool)
    with pytest.raises(ValueError, match="weights: expected them where no outcomes"):
        measures.reliability(log_p, None, log_p, ones, 2)
    message = r"weights: expected shape \(1,\), got \(2,\)"
    with unchecked(), pytest.raises(ValueError, match=message):
        measures.reliability(log_p, None, log_p, ones, 2, weights=jnp.ones(2))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"num_bins": 0}, "num_bins: expected a number of at least 1, got 0"),
        ({"level": 1.0}, "level: expected a number between 0 and 1, got 1.0"),
        ({"level": float("nan")}, "level: expected a number between 0 and 1, got nan"),
    ],
)
def test_bad_options_are_refused(option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table_of([[[0.5, 0.5]]], [[0]], **option)
