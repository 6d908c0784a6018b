"""Filters and smoothers against sums over all paths of states."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from bayescmp.exact.chains.filtering import check_lengths, forward_filter, windowed_filter
from bayescmp.exact.chains.forward_recursion import run_forwards, run_in_logs
from bayescmp.exact.chains.parallel_filtering import parallel_filter
from bayescmp.exact.chains.smoothing import smooth

EXACT = 1e-10
"""Relative error of exact work in float64: some thousand operations of 2e-16 each."""


@dataclass(frozen=True)
class Chain:
    """A hidden Markov chain with the likelihoods of what was seen, in float64."""

    initial: np.ndarray
    transition: np.ndarray
    likelihood: np.ndarray

    @property
    def tables(self) -> np.ndarray:
        """One table for each position."""
        length, num_states = self.likelihood.shape
        return np.broadcast_to(self.transition, (length, num_states, num_states))

    def logs(self, dtype: type = np.float64) -> tuple[jax.Array, jax.Array, jax.Array]:
        with np.errstate(divide="ignore"):
            arrays = np.log(self.initial), np.log(self.transition), np.log(self.likelihood)
        a, b, c = (jnp.asarray(x.astype(dtype)) for x in arrays)
        return a, b, c


def draw_chain(seed: int, num_states: int, length: int, zeros: float, *, varies: bool) -> Chain:
    """Draw a chain, and strike a share of its entries out but those of one path."""
    rng = np.random.default_rng(seed)
    initial = rng.dirichlet(np.ones(num_states))
    transition = rng.dirichlet(np.ones(num_states), size=(length, num_states))
    likelihood = rng.uniform(0.1, 2.0, size=(length, num_states))
    path = rng.integers(num_states, size=length)
    path = path if varies else np.full(length, path[0])
    steps = np.arange(length)
    for values, kept in (
        (initial, (path[0],)),
        (transition, (steps[:-1], path[:-1], path[1:])),
        (likelihood, (steps, path)),
    ):
        struck = rng.random(values.shape) < zeros
        struck[kept] = False
        values[struck] = 0.0
    transition = transition if varies else transition[0]
    return Chain(initial / initial.sum(), transition, likelihood)


CHAINS: dict[str, Chain] = {
    "dense": draw_chain(0, 3, 5, 0.0, varies=False),
    "one_position": draw_chain(1, 4, 1, 0.3, varies=False),
    "one_state": draw_chain(2, 1, 4, 0.0, varies=False),
    "zeros": draw_chain(3, 3, 6, 0.4, varies=False),
    "many_zeros": draw_chain(4, 4, 5, 0.7, varies=False),
    "varying": draw_chain(5, 3, 5, 0.0, varies=True),
    "varying_zeros": draw_chain(6, 4, 5, 0.5, varies=True),
}

MASKS = {
    "all": [True] * 6,
    "end": [True, True, True, True, False, False],
    "start": [False, False, True, True, True, True],
    "gap": [True, False, True, True, False, True],
    "none": [False] * 6,
}

every_chain = pytest.mark.parametrize("name", CHAINS)
both_filters = pytest.mark.parametrize("filter_", [forward_filter, parallel_filter])


@dataclass(frozen=True)
class Truth:
    """What the sum over paths says."""

    filtered: np.ndarray
    evidence: np.ndarray
    smoothed: np.ndarray
    pairwise: np.ndarray


@cache
def truth(name: str) -> Truth:
    return sum_over_paths(CHAINS[name])


def sum_over_paths(chain: Chain) -> Truth:
    """Add up the probability of every path of states, for each number of symbols seen."""
    length, num_states = chain.likelihood.shape
    filtered, evidence = np.zeros((length, num_states)), np.zeros(length)
    smoothed = np.zeros((length, num_states))
    pairwise = np.zeros((max(length - 1, 0), num_states, num_states))
    for end in range(length):
        for path in product(range(num_states), repeat=end + 1):
            weight = chain.initial[path[0]]
            for t in range(end):
                weight *= chain.tables[t][path[t], path[t + 1]]
            for t in range(end + 1):
                weight *= chain.likelihood[t, path[t]]
            filtered[end, path[-1]] += weight
            if end < length - 1:
                continue
            for t in range(length):
                smoothed[t, path[t]] += weight
            for t in range(length - 1):
                pairwise[t, path[t], path[t + 1]] += weight
        evidence[end] = filtered[end].sum()
    return Truth(
        filtered / evidence[:, None], evidence, smoothed / evidence[-1], pairwise / evidence[-1]
    )


@both_filters
@every_chain
def test_filters_equal_the_sum_over_paths(name, filter_):
    with jax.enable_x64(True):
        law, evidence = jax.jit(filter_)(*CHAINS[name].logs())
    np.testing.assert_allclose(np.exp(law), truth(name).filtered, rtol=EXACT, atol=0.0)
    np.testing.assert_allclose(evidence, np.log(truth(name).evidence), rtol=EXACT, atol=1e-13)


@every_chain
def test_smoother_equals_the_sum_over_paths(name):
    with jax.enable_x64(True):
        found = jax.jit(smooth)(*CHAINS[name].logs())
    expected = truth(name)
    np.testing.assert_allclose(np.exp(found.log_smoothed), expected.smoothed, rtol=EXACT)
    np.testing.assert_allclose(np.exp(found.log_pairwise), expected.pairwise, rtol=EXACT)
    np.testing.assert_allclose(
        found.log_evidence, np.log(expected.evidence[-1]), rtol=EXACT, atol=1e-13
    )


@every_chain
def test_float32_agrees(name):
    """Logs of a few units, each rounded to 6e-8, some ten of them at each of six positions."""
    logs = CHAINS[name].logs(np.float32)
    for found, expected in (
        (jax.jit(forward_filter)(*logs)[0], truth(name).filtered),
        (jax.jit(parallel_filter)(*logs)[0], truth(name).filtered),
        (jax.jit(smooth)(*logs).log_smoothed, truth(name).smoothed),
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(np.isneginf(found), expected == 0.0)
        np.testing.assert_allclose(np.exp(found), expected, rtol=2e-5)


@every_chain
def test_pairs_add_up_to_states_and_the_last_state_is_filtered(name):
    with jax.enable_x64(True):
        found = jax.jit(smooth)(*CHAINS[name].logs())
        law, _ = jax.jit(forward_filter)(*CHAINS[name].logs())
    pairs, states = np.exp(found.log_pairwise), np.exp(found.log_smoothed)
    np.testing.assert_allclose(pairs.sum(axis=2), states[:-1], rtol=EXACT, atol=1e-14)
    np.testing.assert_allclose(pairs.sum(axis=1), states[1:], rtol=EXACT, atol=1e-14)
    np.testing.assert_allclose(states[-1], np.exp(law)[-1], rtol=EXACT)


@pytest.mark.parametrize("window", [1, 2, 4, 9])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["dense", "varying"])
def test_windows_equal_the_sum_over_paths(name, restart, window):
    """Likelihoods before the window are one; with a restart, positions before it are none."""
    chain = CHAINS[name]
    with jax.enable_x64(True):
        found = np.exp(windowed_filter(*chain.logs(), window=window, restart=restart))
    for t in range(len(chain.likelihood)):
        first = max(t - window + 1, 0)
        start = first if restart else 0
        likelihood = np.where(np.arange(t + 1)[:, None] < first, 1.0, chain.likelihood[: t + 1])
        part = Chain(chain.initial, chain.tables[start : t + 1], likelihood[start:])
        np.testing.assert_allclose(found[t], sum_over_paths(part).filtered[-1], rtol=EXACT)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("varies", [False, True])
def test_masked_positions_are_none(mask, varies):
    """What is left equals the sequence without them; in between, all stays as it was."""
    chain = draw_chain(7, 3, 6, 0.3, varies=varies)
    mask = np.array(mask)
    there = np.flatnonzero(mask)
    # The chain stands still at masked positions: the table before a position leads to it.
    tables = chain.tables[np.maximum(np.append(there[1:], 0) - 1, 0)][: len(there)]
    rubbish = np.where(mask[:, None], chain.likelihood, np.nan)
    with jax.enable_x64(True):
        logs = Chain(chain.initial, chain.transition, rubbish).logs()
        filters = jax.jit(forward_filter), jax.jit(parallel_filter)
        answers = [filter_(*logs, mask=jnp.asarray(mask)) for filter_ in filters]
        found = jax.jit(smooth)(*logs, mask=jnp.asarray(mask))
    law, evidence = np.tile(chain.initial, (6, 1)), np.zeros(6)
    smoothed = law
    if len(there):
        short = sum_over_paths(Chain(chain.initial, tables, chain.likelihood[there]))
        for t in range(there[0], 6):
            done = int(mask[: t + 1].sum()) - 1
            law[t], evidence[t] = short.filtered[done], np.log(short.evidence[done])
        smoothed = short.smoothed[np.maximum(np.cumsum(mask) - 1, 0)]
    for log_law, log_evidence in answers:
        np.testing.assert_allclose(np.exp(log_law), law, rtol=EXACT, atol=1e-15)
        np.testing.assert_allclose(log_evidence, evidence, rtol=EXACT, atol=1e-13)
    np.testing.assert_allclose(np.exp(found.log_smoothed), smoothed, rtol=EXACT, atol=1e-15)
    pairs = np.exp(found.log_pairwise)
    np.testing.assert_allclose(pairs.sum(axis=2), smoothed[:-1], rtol=EXACT, atol=1e-14)
    np.testing.assert_allclose(pairs.sum(axis=1), smoothed[1:], rtol=EXACT, atol=1e-14)


def test_after_the_end_not_a_bit_changes():
    logs = draw_chain(8, 3, 6, 0.0, varies=False).logs(np.float32)
    law, evidence = forward_filter(*logs, mask=jnp.array(MASKS["end"]))
    assert np.array_equal(law[4:], np.broadcast_to(law[3], (2, 3)))
    assert np.array_equal(evidence[3:], np.broadcast_to(evidence[3], 3))


@both_filters
@pytest.mark.parametrize("impossible_at", [0, 2, 4])
def test_impossible_evidence(filter_, impossible_at):
    """The law is NaN and the evidence minus infinity from there on, and not before."""
    chain = draw_chain(9, 3, 5, 0.0, varies=False)
    chain.likelihood[impossible_at] = 0.0
    # The shapes of "dense", so that nothing is compiled again.
    law, evidence = jax.jit(filter_)(*chain.logs(np.float32))
    assert np.isnan(law[impossible_at:]).all()
    assert np.isneginf(evidence[impossible_at:]).all()
    assert np.isfinite(law[:impossible_at]).all()
    assert np.isfinite(evidence[:impossible_at]).all()
    found = jax.jit(smooth)(*chain.logs(np.float32))
    assert np.isnan(found.log_smoothed).all()
    assert np.isnan(found.log_pairwise).all()
    assert np.isneginf(found.log_evidence)


STAY, LEFT_RIGHT = np.eye(3), np.triu(np.full((3, 3), 0.5))
NONE = -np.inf
FAR = {
    # Log likelihoods far apart, and a table that never mixes: a state some thousand nats
    # behind comes back to the front.
    "comes_back": (STAY, [[0.0, -600.0, -900.0]] * 3 + [[-4000.0, -1.0, 0.0]]),
    # A step whose probability is below the smallest number of float32 leads to the only
    # state that is left.
    "rare_step": (
        np.array([[1.0, 1e-40, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        [[0.0, NONE, NONE], [NONE, 0.0, 0.0]],
    ),
    # Unlikely states are the only ones from which the rest can be explained.
    "left_right": (
        LEFT_RIGHT / LEFT_RIGHT.sum(axis=1, keepdims=True),
        [[0.0, -150.0, -300.0], [NONE, 0.0, -150.0], [-400.0, NONE, 0.0]],
    ),
}


def far_logs(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table, log_likelihood = FAR[name]
    with np.errstate(divide="ignore"):
        return np.log(np.full(3, 1.0 / 3.0)), np.log(table), np.array(log_likelihood)


def narrow(logs: tuple[np.ndarray, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    a, b, c = (jnp.asarray(x, jnp.float32) for x in logs)
    return a, b, c


@pytest.mark.parametrize("name", FAR)
def test_near_zero_probabilities_are_kept(name):
    """Laws far beyond the range of float32 equal those of a log-space sum in float64."""
    logs = far_logs(name)
    with jax.enable_x64(True):
        start, table, seen = map(jnp.asarray, logs)
        expected, log_total = run_in_logs(start, table, seen, None)
    found, evidence = forward_filter(*narrow(logs))
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(expected))
    # Logs of thousands of nats are rounded to 6e-8 of themselves, once at each position.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(evidence, log_total, rtol=1e-6, atol=1e-5)


def test_products_alone_would_lose_them(monkeypatch):
    """The test above fires: without the second run a law is wrong by hundreds of nats."""
    logs = far_logs("comes_back")
    expected, _ = run_in_logs(*narrow(logs), None)
    monkeypatch.setattr(
        "bayescmp.exact.chains.forward_recursion._smallest_exact_sum", lambda _: 0.0
    )
    found, _ = forward_filter(*narrow(logs))
    assert abs(float(found[-1, 2] - expected[-1, 2])) > 100.0


@pytest.mark.parametrize("name", ["dense", "zeros", "many_zeros", "varying_zeros"])
def test_ordinary_chains_need_no_second_run(name, monkeypatch):
    """Zeros are told from what has become too small, so that sparse chains stay fast."""
    monkeypatch.setattr(
        "bayescmp.exact.chains.forward_recursion.run_in_logs",
        lambda a, b, c, _: jax.tree.map(
            lambda x: jnp.full_like(x, jnp.nan), (c[:, :] + a + jnp.sum(b) * 0.0, c[:, 0])
        ),
    )
    law, _ = forward_filter(*CHAINS[name].logs(np.float32))
    assert not np.isnan(law).any()


def test_one_doubtful_sequence_in_a_batch_changes_no_other():
    start, table, far = narrow(far_logs("comes_back"))
    ordinary = np.log(draw_chain(10, 3, 4, 0.0, varies=False).likelihood)
    batch = jnp.stack([jnp.asarray(ordinary, jnp.float32), far])
    together = jax.vmap(lambda x: forward_filter(start, table, x)[0])(batch)
    for x, law in zip(batch, together, strict=True):
        np.testing.assert_allclose(law, run_in_logs(start, table, x, None)[0], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "varying"])
def test_gradients_are_those_of_the_sum_in_logs(name):
    """Through the loop and the second run, which a gradient passes by."""

    def loss(run):
        return lambda logs: jnp.sum(run(*logs, None)[0] ** 2) + run(*logs, None)[1][-1]

    with jax.enable_x64(True):
        logs = CHAINS[name].logs()
        found = jax.jit(jax.grad(loss(run_forwards)))(logs)
        expected = jax.jit(jax.grad(loss(run_in_logs)))(logs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=EXACT, atol=1e-13)
        # Raising every log likelihood at one position by h raises the log evidence by h, and
        # at a masked position by nothing.
        mask = jnp.array([True, True, False, True, True])
        evidence = jax.jit(jax.grad(lambda x: forward_filter(*logs[:2], x, mask=mask)[1][-1]))
        slope = evidence(logs[2])
        np.testing.assert_allclose(slope.sum(axis=1), mask, rtol=EXACT)


def test_long_sequences_keep_their_digits():
    """Ten thousand positions in float32: each law is normalised anew, so errors do not add up."""
    rng = np.random.default_rng(11)
    chain = Chain(
        np.full(4, 0.25), rng.dirichlet(np.ones(4), 4), rng.uniform(0.01, 1.0, (10_000, 4))
    )
    with jax.enable_x64(True):
        expected = jax.jit(smooth)(*chain.logs())
        log_law = jax.jit(forward_filter)(*chain.logs())[0]
    found = jax.jit(smooth)(*chain.logs(np.float32))
    np.testing.assert_allclose(found.log_smoothed, expected.log_smoothed, atol=2e-5)
    for filter_ in (forward_filter, parallel_filter):
        law = jax.jit(filter_)(*chain.logs(np.float32))[0]
        # The parallel one multiplies matrices of thousands of factors: 14 levels of rounding.
        np.testing.assert_allclose(law, log_law, atol=1e-4)


@pytest.mark.parametrize("function", [forward_filter, parallel_filter, smooth])
def test_wrong_lengths_are_refused(function):
    logs = CHAINS["dense"].logs(np.float32)
    # where annotations are checked, as in these tests, the checker may speak first
    with pytest.raises((ValueError, TypeCheckError), match="mask"):
        function(*logs, mask=jnp.ones(4, bool))
    varying = CHAINS["varying"].logs(np.float32)
    with pytest.raises((ValueError, TypeCheckError), match="log_transition"):
        function(varying[0], varying[1][:-1], varying[2])


def test_messages_fit_on_a_line():
    _, table, seen = CHAINS["varying"].logs(np.float32)
    with pytest.raises(ValueError, match=r"^mask: expected shape \(5,\), .*, got \(4,\)$"):
        check_lengths(table, seen, jnp.ones(4, bool))
    with pytest.raises(ValueError, match=r"^log_transition: expected one table, or 5 .* got 4$"):
        check_lengths(table[:4], seen, None)
