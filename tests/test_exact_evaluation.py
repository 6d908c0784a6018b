"""Means over every sequence: against drawn ones, against hand calculation, and in parts."""

import math
from functools import cache

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro.contrib.control_flow import scan

import bayescmp as bc
from bayescmp import all_sequences
from bayescmp.all_sequences import list_sequences
from bayescmp.comparison.evaluation import answer_exactly, ask, draw_evaluation, measure
from bayescmp.comparison.tally import tally
from bayescmp.models import beta_bernoulli

SMALL = bc.TransformerConfig(num_layers=1, num_heads=2, model_size=8, mlp_size=16)
MOVES = ((0.8, 0.2), (0.3, 0.7))
EMITS = ((0.6, 0.3, 0.1), (0.1, 0.1, 0.8))


def hidden_chain(length: int) -> None:
    """Walk a hidden chain of known tables; the first state is certain to be 0 or 1 alike."""
    moves, emits = jnp.array(MOVES), jnp.array(EMITS)

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=emits[state]))
        return moves[state], None

    scan(step, jnp.full(2, 0.5, moves.dtype), None, length=length)


def filtering(length: int = 3) -> bc.GenerativeModel:
    """Ask for the state of that chain, which is never shown."""
    return bc.GenerativeModel(
        hidden_chain, outcome="state", query=("symbol",), reveal=False, length=length
    )


LISTED = {
    **{
        name: cases.CASES[name].make
        for name in ("bijection_3", "coin_skewed", "clues", "chain", "deck")
    },
    "filtering": filtering,
}


class Blurred(bc.AbstractPredictor):
    """The exact law mixed with a lopsided one, so that it is wrong everywhere."""

    oracle: bc.Oracle
    share: float = eqx.field(static=True, default=0.3)
    name: str = eqx.field(static=True, default="blurred")

    def log_predictive(self, batch: bc.Batch) -> jax.Array:
        exact = jnp.exp(self.oracle(batch).log_predictive)
        ramp = jnp.arange(1.0, exact.shape[-1] + 1.0)
        return jnp.log((1.0 - self.share) * exact + self.share * ramp / ramp.sum())


def exact_tree(
    subject, oracle: bc.Oracle, ladder: list[bc.AbstractPredictor] | None = None
) -> xr.DataTree:
    rivals = ladder or [Blurred(oracle, 0.6, "more blurred")]
    return bc.compare(subject, oracle, key=jax.random.key(0), ladder=rivals)


@cache
def oracle_of(name: str) -> bc.Oracle:
    return bc.derive_oracle(LISTED[name]())


@cache
def blurred_tree(name: str) -> xr.DataTree:
    return exact_tree(Blurred(oracle_of(name)), oracle_of(name))


@pytest.mark.parametrize("name", LISTED)
def test_every_sequence_leaves_no_sampling_error(name: str):
    oracle, tree = oracle_of(name), blurred_tree(name)
    subject = Blurred(oracle)
    exact, table = tree["/divergence"], tree["/calibration"]

    # Every sequence carries its outcomes with their probability, so expected log losses and
    # frequencies are exact ones: true only where log evidence and predictives of the oracle
    # belong to one joint law. Sums of a few hundred float64 terms of order one.
    np.testing.assert_allclose(exact["excess_log_loss"], exact["kl"], rtol=1e-11, atol=1e-13)
    assert exact["mean_kl"][0] > 0.01
    assert np.all(exact["kl_standard_error"] == 0.0)
    for end in ("observed", "observed_low", "observed_high"):
        np.testing.assert_allclose(table[end], table["exact"], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(table["ece"], table["exact_ece"], rtol=1e-11)
    # Each question of a sequence has num_outcomes predicted probabilities.
    entries = oracle.model.length * oracle.model.num_outcomes
    assert float(table["weight"][0].sum()) == pytest.approx(entries, rel=1e-12)

    # Drawn sequences scatter around it: 4 standard errors, which one of 10,000 comparisons
    # misses; some 60 are made here. Where nothing varies, rounding is left.
    drawn = draw_evaluation(oracle, 4_096, key=jax.random.key(3))
    log_q = ask(subject, drawn)
    found = measure(log_q, drawn)
    error = 4 * found.kl_standard_error + 1e-12
    assert np.all(np.abs(found.kl - exact["kl"].values[0]) <= error)
    outcomes = np.asarray(drawn.batch.outcomes)[..., None]
    losses = np.take_along_axis(drawn.log_p - log_q, outcomes, axis=-1)[..., 0] / np.log(2)
    error = 4 * losses.std(axis=0, ddof=1) / np.sqrt(len(losses)) + 1e-12
    assert np.all(np.abs(losses.mean(axis=0) - exact["excess_log_loss"].values[0]) <= error)


def test_filtering_agrees_with_the_joint_law_of_states_and_symbols():
    # Every path of states and symbols, weighed with plain products.
    oracle = oracle_of("filtering")
    every = list_sequences(oracle)
    assert not every.carry_outcomes
    symbols = np.asarray(every.batch(slice(None)).shown["symbol"])
    joint = np.zeros((len(symbols), 2, 2, 2))
    for states in np.ndindex(2, 2, 2):
        weight = 0.5 * np.ones(len(symbols))
        for time, state in enumerate(states):
            weight *= 1.0 if time == 0 else MOVES[states[time - 1]][state]
            weight *= np.array(EMITS)[state, symbols[:, time]]
        joint[:, *states] = weight
    np.testing.assert_allclose(every.weights, joint.sum(axis=(1, 2, 3)), rtol=1e-13)
    # E[-log q(y_t)] under that joint law, for a predictor that looks at symbols so far.
    subject = Blurred(oracle)
    part = answer_exactly(oracle, every.batch(slice(None)))
    log_q = ask(subject, part) / np.log(2)
    log_p = part.log_p / np.log(2)
    excess = blurred_tree("filtering")["/divergence/excess_log_loss"].values[0]
    for time in range(3):
        others = tuple(1 + t for t in range(3) if t != time)
        law = joint.sum(axis=others)  # states at later symbols too
        expected = np.sum(law * (log_p - log_q)[:, time])
        assert excess[time] == pytest.approx(expected, rel=1e-10)


def test_a_coin_of_three_tosses_by_hand():
    # A flat coin: p(one) after k ones of t is (1 + k) / (2 + t), and every k is as likely.
    oracle = bc.derive_oracle(beta_bernoulli(length=3))
    wrong = bc.predictors.FixedLaw(log_law=jnp.log(jnp.array([0.25, 0.75])), name="wrong")
    tree = bc.compare(wrong, oracle, key=jax.random.key(0), ladder=[wrong])
    states = [[1 / 2], [1 / 3, 2 / 3], [1 / 4, 1 / 2, 3 / 4]]

    def entropy(p: float) -> float:
        return -p * math.log2(p) - (1 - p) * math.log2(1 - p)

    def kl(p: float) -> float:
        return p * math.log2(p / 0.75) + (1 - p) * math.log2((1 - p) / 0.25)

    third, quarter = entropy(1 / 3), entropy(1 / 4)
    distance = [np.mean([kl(p) for p in row]) for row in states]
    gaps = [1 - quarter, third - quarter, (1 - quarter) / 3]
    expected = {
        "kl": distance,
        "kl_standard_error": [0.0, 0.0, 0.0],
        "total_variation": [1 / 4, 1 / 4, 1 / 4],
        "impossible_mass": [0.0, 0.0, 0.0],
        "argmax_agreement": [1.0, 1 / 2, 2 / 3],
        "excess_log_loss": distance,
        "entropy_gap_abs": gaps,
        "entropy_gap_of_means": gaps,
        "mean_kl": np.mean(distance),
        "mean_total_variation": 1 / 4,
        "mean_impossible_mass": 0.0,
        "mean_argmax_agreement": 13 / 18,
        "mean_excess_log_loss": np.mean(distance),
        "entropy_mae_a": np.mean(gaps),
        "entropy_mae_b": np.mean(gaps),
    }
    group = tree["/divergence"].to_dataset()
    assert set(expected) == set(group.data_vars) - {"supervised"}
    for name, value in expected.items():
        # log(3/4) is stored in 32 bits, which leaves 1e-7.
        np.testing.assert_allclose(group[name].values[0], value, atol=1e-6, err_msg=name)
    exact = [1.0, third, (1 + 2 * quarter) / 3]
    np.testing.assert_allclose(tree["/oracle/entropy"], exact, atol=1e-12)
    # The median of the exact entropies: a quarter's have mass 2/3, a third's 1, one's 4/3.
    constant = (2 / 3 * (third - quarter) + 4 / 3 * (1 - third)) / 3
    assert tree["/ladder"].attrs["best_constant_entropy_mae"] == pytest.approx(constant, rel=1e-12)
    table = tree["/calibration"].isel(seed=0, bin=[3, 11])  # 1/4 and 3/4 of fifteen bins
    np.testing.assert_allclose(table["predicted"], [0.25, 0.75], atol=1e-6)
    for name in ("observed", "observed_low", "observed_high", "exact"):
        np.testing.assert_allclose(table[name], [0.5, 0.5], atol=1e-12)
    np.testing.assert_array_equal(table["count"], [24, 24])  # eight sequences, three tosses
    np.testing.assert_allclose(table["weight"], [3.0, 3.0], rtol=1e-12)
    for name in ("ece", "exact_ece"):
        assert float(tree["/calibration"][name][0]) == pytest.approx(0.25, abs=1e-6)


def test_parts_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    oracle = bc.derive_oracle(cases.build("urns"))
    network = bc.Transformer.for_model(oracle.model, SMALL, key=jax.random.key(0))
    whole = exact_tree([network, network], oracle)
    # 81 sequences of 12 probabilities, ten at a time
    monkeypatch.setattr(all_sequences, "PART_ENTRIES", 120)
    assert len(list_sequences(oracle).cuts()) == 9
    parts = exact_tree([network, network], oracle)
    assert whole.attrs["evaluation"] == parts.attrs["evaluation"]
    for path in ("/divergence", "/ladder", "/calibration", "/layers", "/oracle", "/network"):
        left, right = (tree[path].to_dataset() for tree in (whole, parts))
        # The network answers in float32, and other shapes round in another order.
        xr.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(parts["/ladder/kl"], whole["/ladder/kl"], rtol=1e-11)
    last = whole["/layers/kl"].isel(layer=-1)
    np.testing.assert_allclose(last, whole["/divergence/kl"], rtol=1e-4, atol=1e-6)


def test_tallies_of_parts_add_up_to_that_of_all():
    rng = np.random.default_rng(0)
    log_p, log_q = np.log(rng.dirichlet(np.ones(3), size=(2, 40, 4)))
    outcomes = rng.integers(3, size=(40, 4))
    supervised = rng.random((40, 4)) < 0.8
    supervised[:25, 3] = False  # nothing counts there in the first part
    supervised[:, 2] = False  # nor here in any
    cuts = (slice(0, 25), slice(25, 40))
    parts = [tally(log_p[c], log_q[c], outcomes[c], supervised[c]) for c in cuts]
    both, whole = (parts[0] + parts[1]).measured(), tally(log_p, log_q, outcomes, supervised)
    for name in ("kl", "kl_standard_error", "excess_log_loss", "entropy_gap_of_means"):
        np.testing.assert_allclose(
            getattr(both, name), getattr(whole.measured(), name), rtol=1e-11, err_msg=name
        )
    kl = np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)[:, 0] / np.log(2)
    kept = kl[supervised[:, 0]]
    assert both.kl_standard_error[0] == pytest.approx(kept.std(ddof=1) / np.sqrt(len(kept)))
    assert np.isnan(both.kl[2])
