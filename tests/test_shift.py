"""Off the training prior: which exact answer a predictor is near, and from which pool size on."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised, unchecked
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing.pools import PoolSweep, sweep_pools
from bayescmp.auditing.shift import Shift, Shifted, measure_shift
from bayescmp.auditing.shift_tables import shift_group
from bayescmp.measures.crossing import find_threshold
from bayescmp.plots.shift import plot_pools, plot_shift
from bayescmp.predictors import FixedLaw, WindowPredictor
from bayescmp.report.shift import build_shift_section
from bayescmp.results.tree import make_tree

LENGTH = 3
SIZES = np.array([2, 8, 32])
"""Sizes of the pools of made-up sweeps."""


@cache
def coin(heads: float = 1.0, tails: float = 1.0, length: int = LENGTH) -> bc.Oracle:
    return bc.derive_oracle(bc.models.beta_bernoulli(length, heads, tails))


def measure(subject, *shifts: Shift, oracle: bc.Oracle | None = None) -> tuple[Shifted, ...]:
    oracle = oracle or coin()
    return measure_shift(subject, oracle, shifts, key=jax.random.key(0), num_sequences=128)


@cache
def heads_seen_by(who: str) -> Shifted:
    subject = {"training": coin, "shifted": lambda: coin(5.0)}[who]()
    return measure(subject, Shift("heads", coin(5.0)))[0]


def test_the_training_oracle_keeps_its_prior() -> None:
    seen = heads_seen_by("training")
    assert seen.follows == "training prior"
    assert float(seen.to_training.mean) == 0.0
    assert float(seen.to_shifted.mean) == float(seen.between.mean)
    assert seen.undefined == 0.0
    assert np.isnan(seen.beyond.mean)


def test_the_shifted_oracle_follows() -> None:
    seen = heads_seen_by("shifted")
    assert seen.follows == "shifted prior"
    assert float(seen.to_shifted.mean) == 0.0
    assert float(seen.to_training.mean) > 0.05


def test_distances_are_those_written_out() -> None:
    """The first question is the same in every sequence: 5/6 heads against 1/2."""
    seen = heads_seen_by("training")
    p, q = np.array([1 / 6, 5 / 6]), np.array([0.5, 0.5])
    wanted = float((p * np.log2(p / q)).sum())
    np.testing.assert_allclose(seen.by_position[1:, 0], wanted, rtol=1e-10)
    other = heads_seen_by("shifted")
    np.testing.assert_allclose(other.by_position[0, 0], (q * np.log2(q / p)).sum(), rtol=1e-10)


def test_the_mean_is_the_expectation_over_all_sequences() -> None:
    """Enumerated by hand over what came before each question; within five standard errors."""
    seen = heads_seen_by("training")
    terms = []
    for shown in range(LENGTH):
        for heads in range(shown + 1):
            # Beta-binomial with 5 and 1 pseudo-counts, from the chain rule.
            order = [1] * heads + [0] * (shown - heads)
            chance, counts = 1.0, np.array([1.0, 5.0])
            for y in order:
                chance *= counts[y] / counts.sum()
                counts[y] += 1.0
            ways = np.prod(np.arange(shown - heads + 1, shown + 1)) / np.prod(
                np.arange(1, heads + 1)
            )
            p = counts / counts.sum()
            flat = np.array([1.0 + shown - heads, 1.0 + heads])
            terms.append(ways * chance * (p * np.log2(p * flat.sum() / flat)).sum())
    error = float(seen.between.high - seen.between.mean) / 1.96
    assert abs(float(seen.between.mean) - sum(terms) / LENGTH) < 5 * error


def test_nothing_is_told_without_a_shift() -> None:
    assert measure(coin(), Shift("none", coin()))[0].follows == "cannot be told"


UNIFORM = FixedLaw(log_law=jnp.log(jnp.array([0.5, 0.5])), name="uniform")


def test_two_infinities_are_not_subtracted() -> None:
    certain = FixedLaw(log_law=jnp.log(jnp.array([1.0, 0.0])), name="certain")
    (seen,) = measure(certain, Shift("heads", coin(5.0)))
    assert np.isposinf(seen.to_training.mean)
    assert np.isnan(seen.difference.mean)
    assert seen.follows == "cannot be told"


def test_longer_sequences_are_measured_beyond_training() -> None:
    long = coin(length=2 * LENGTH)
    shift = Shift("longer", long, training=long)
    (short_memory,) = measure(WindowPredictor(long, window=2), shift)
    assert float(short_memory.beyond.mean) > 0.0
    # The first three questions follow no more than two tosses.
    np.testing.assert_allclose(short_memory.by_position[1, :LENGTH], 0.0, atol=1e-12)
    mean = short_memory.by_position[1, LENGTH:].mean()
    np.testing.assert_allclose(short_memory.beyond.mean, mean, rtol=1e-10)
    assert "asked site" in raised(ValueError, lambda: measure(UNIFORM, Shift("longer", long)))


def tosses_of(last: float, length: int) -> None:
    """Throw a die with three sides, the last of which may be missing."""
    which = numpyro.sample("which", dist.DiscreteUniform(0, 1))
    laws = jnp.array([[0.7, 0.3, 0.0], [0.3, 0.7, 0.0]]) * (1.0 - last)
    laws = laws + jnp.array([0.0, 0.0, last])
    with numpyro.plate("position", length):
        logits = jnp.where(laws > 0.0, jnp.log(jnp.where(laws > 0.0, laws, 1.0)), -jnp.inf)
        numpyro.sample("token", dist.Categorical(logits=logits[which], validate_args=False))


def test_what_is_impossible_in_training_has_no_answer_afterwards() -> None:
    without, with_last = (
        bc.derive_oracle(
            bc.GenerativeModel(
                tosses_of, outcome="token", length=LENGTH, arguments={"last": last}, name="die"
            )
        )
        for last in (0.0, 0.4)
    )
    (seen,) = measure(with_last, Shift("new side", with_last), oracle=without)
    # A question has an answer unless the new side came before it: 1, 0.6 and 0.36 of the time.
    assert seen.undefined == pytest.approx(1.0 - (1.0 + 0.6 + 0.36) / 3.0, abs=0.12)
    assert np.isposinf(seen.between.mean)  # and the new side itself was impossible
    assert float(seen.to_training.mean) > 0.0
    assert seen.follows == "shifted prior"


def test_names_and_numbers_are_checked() -> None:
    bent = Shift("heads", coin(5.0))
    assert "different names" in raised(ValueError, lambda: measure(coin(), bent, bent))
    assert "different names" in raised(ValueError, lambda: measure(coin()))
    too_few = {"key": jax.random.key(0), "num_sequences": 1}
    message = raised(ValueError, lambda: measure_shift(coin(), coin(), [bent], **too_few))
    assert message == "num_sequences: expected at least 2, got 1"


# ------------------------------------------------------------------- pools


def test_the_threshold_is_where_the_lines_cross() -> None:
    """Distances that are powers of the size cross where they were planted."""
    planted = np.array([4.0, 11.3])
    to_pool = 0.01 * (SIZES[:, None] / planted) ** 0.7
    to_true = 0.01 * (SIZES[:, None] / planted) ** -0.4
    found = find_threshold(SIZES, to_pool, to_true)
    np.testing.assert_allclose(found.by_seed, planted, rtol=1e-10)
    assert float(found.interval.mean) == pytest.approx(np.log2(planted).mean())


def test_the_last_crossing_counts() -> None:
    ratio = np.array([1.0, -1.0, 1.0])
    found = find_threshold(SIZES, np.exp(ratio)[:, None], np.ones((3, 1)))
    assert found.by_seed[0] == pytest.approx(16.0)


def test_networks_that_do_not_cross_are_said_to() -> None:
    low, high = np.full((3, 1), 0.1), np.full((3, 1), 0.2)
    ahead = find_threshold(SIZES, np.hstack([high, low]), np.hstack([low, high]))
    assert ahead.by_seed.tolist() == [0.0, np.inf]
    assert np.isnan(ahead.interval.low)


def test_thresholds_of_nonsense_are_refused() -> None:
    good = np.ones((3, 1))
    assert "rising" in raised(ValueError, lambda: find_threshold(SIZES[::-1], good, good))
    assert "positive" in raised(ValueError, lambda: find_threshold(SIZES, good, 0.0 * good))
    with unchecked():
        assert "each size" in raised(ValueError, lambda: find_threshold(SIZES, good, good[:2]))


def test_sizes_and_seeds_of_a_sweep_are_checked() -> None:
    config = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=4, mlp_size=4)

    def sweep(sizes: list[int], seeds: int) -> PoolSweep:
        pool = bc.models.chain_pool
        options = {"training": bc.Training(num_steps=2), "key": jax.random.key(0)}
        return sweep_pools(pool, coin(), config, sizes, num_seeds=seeds, **options)

    assert "rising" in raised(ValueError, lambda: sweep([4, 2], 1))
    assert "num_seeds" in raised(ValueError, lambda: sweep([2, 4], 0))


def coins(length: int, num_tasks: int) -> None:
    """Toss one of some coins, whose biases are spread evenly."""
    which = numpyro.sample("which", dist.DiscreteUniform(0, num_tasks - 1))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(probs=(which + 0.5) / num_tasks))


@pytest.mark.slow
def test_a_network_remembers_the_one_coin_that_it_saw() -> None:
    """One fair coin, where the prior has coins of every bias."""
    length = 6

    def pool(num_tasks: int) -> bc.GenerativeModel:
        arguments = {"num_tasks": num_tasks}
        return bc.GenerativeModel(coins, outcome="token", length=length, arguments=arguments)

    config = bc.TransformerConfig(num_layers=1, num_heads=2, model_size=16, mlp_size=32)
    training = bc.Training(num_steps=200)
    options = {"training": training, "num_seeds": 1, "key": jax.random.key(0)}
    found = sweep_pools(pool, coin(length=length), config, [1], **options)
    assert found.to_pool.shape == (1, 1)
    assert found.to_pool[0, 0] < 0.1 * found.to_true[0, 0]
    # The network is next to the pool's answer, and so as far from the other as that is.
    assert found.to_true[0, 0] == pytest.approx(found.between[0], rel=0.2)


# -------------------------------------------------------- groups and pages


def made_up_sweep() -> PoolSweep:
    to_pool = 0.01 * np.outer(SIZES / 8.0, [0.8, 1.2])
    return PoolSweep(SIZES, to_pool, 0.01 * np.outer(8.0 / SIZES, [1.0, 1.1]), 1.0 / SIZES)


def tree_of(group):
    groups, attrs = split(synthetic_tree(num_seeds=2, length=LENGTH, num_outcomes=4))
    return make_tree(groups | {"/shift": group}, attrs)


def test_the_page_says_what_was_found() -> None:
    rows = [[heads_seen_by("training")], [heads_seen_by("shifted")]]
    tree = tree_of(shift_group(rows, made_up_sweep()))
    section = build_shift_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == ["fig-shift", "fig-pools"]
    assert "shifted prior (1 of 2 seeds) and training prior (1 of 2 seeds)" in section.paragraphs[0]
    assert any("cross from their pool to the prior at about" in p for p in section.paragraphs)
    assert any("cannot show" in text for text in section.paragraphs)
    for plot in (plot_shift, plot_pools):
        assert len(plot(tree).axes) == 1


def test_the_page_says_what_is_missing() -> None:
    assert build_shift_section(synthetic_tree()).missing
    section = build_shift_section(tree_of(shift_group([[heads_seen_by("training")]] * 2)))
    assert "no networks were trained on pools" in section.missing[0]
    assert len(section.figures) == 1


def test_shifts_of_different_length_share_an_axis_and_seeds_share_their_shifts() -> None:
    long = coin(length=2 * LENGTH)
    longer = measure(long, Shift("longer", long, training=long))[0]
    group = shift_group([[heads_seen_by("training"), longer]])
    assert group["to_shifted_by_position"].shape == (1, 2, 2 * LENGTH)
    assert np.isnan(group["to_shifted_by_position"][0, 0, LENGTH:]).all()
    rows = [[heads_seen_by("training")], [longer]]
    assert "for every seed" in raised(ValueError, lambda: shift_group(rows))
