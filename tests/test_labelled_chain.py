"""Edge-emitting chains against sums over all paths, and the processes built of them."""

from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayescmp as bc
from bayescmp.exact.chains.labelled_chain import labelled_filter, windowed_labelled_filter
from bayescmp.models.computational_mechanics import RRXOR, EvenProcess, GoldenMean, Mess3
from bayescmp.models.labelled_chain import LabelledChain, stationary_law

EXACT = 1e-10
"""Relative error of exact work in float64: some thousand operations of 2e-16 each."""

PROCESSES = {
    "mess3": lambda: Mess3(length=4),
    "mess3_other": lambda: Mess3(x=0.15, a=0.6, length=3),
    "rrxor": lambda: RRXOR(length=3),
    "golden_mean": lambda: GoldenMean(p=0.3, length=4),
    "even": lambda: EvenProcess(p=0.7, length=4),
    "periodic": lambda: LabelledChain([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]], 4),
    "transient": lambda: LabelledChain(
        [
            [[0.2, 0.3, 0.0], [0.0, 0.1, 0.4], [0.0, 0.5, 0.0]],
            [[0.0, 0.0, 0.5], [0.0, 0.5, 0.0], [0.0, 0.5, 0.0]],
        ],
        length=4,
    ),
}

every_process = pytest.mark.parametrize("name", PROCESSES)


def labelled_chain_answer(
    initial: np.ndarray,
    labelled: np.ndarray,
    tokens: np.ndarray,
    *,
    window: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Add up all paths of states and, before the window, all tokens.

    Shaped like the judges of ``oracles.py``: predictives and log evidences.
    """
    num_tokens, num_states, _ = labelled.shape
    law, total = np.zeros((len(tokens), num_tokens)), np.zeros(len(tokens))
    for t in range(len(tokens)):
        first = 0 if window is None else max(t - window, 0)
        for path in product(range(num_states), repeat=t + 2):
            weight = initial[path[0]]
            for s in range(t):
                matrix = labelled[tokens[s]] if s >= first else labelled.sum(axis=0)
                weight *= matrix[path[s], path[s + 1]]
            law[t] += weight * labelled[:, path[t], path[t + 1]]
        total[t] = law[t, tokens[t]]
    return law / law.sum(axis=1, keepdims=True), np.log(total)


def drawn(model: bc.AbstractGenerativeModel, num: int) -> bc.Batch:
    return eqx.filter_jit(model.sample)(num, key=jax.random.key(5))


@dataclass(frozen=True)
class Answers:
    """Sequences of a process, and what the engine says about them in float64."""

    batch: bc.Batch
    reference: bc.Reference
    window_two: np.ndarray


@cache
def answers(name: str) -> Answers:
    oracle = bc.derive_oracle(PROCESSES[name]())
    batch = drawn(oracle.model, 64)

    @eqx.filter_jit
    def answer(batch: bc.Batch) -> tuple[bc.Reference, jax.Array]:
        return oracle(batch), oracle.windowed(batch, 2)

    with jax.enable_x64(True):
        reference, windowed = answer(batch)
    return Answers(batch, reference, np.asarray(windowed))


@pytest.mark.parametrize("name", ["mess3", "rrxor", "transient"])
def test_engine_equals_enumeration(name):
    result = bc.certify(PROCESSES[name](), num_sequences=8)
    assert result.passed, str(result)
    assert result.engine == "closed form"


@every_process
def test_engine_equals_the_sum_over_paths(name):
    engine, found = PROCESSES[name]().closed_form(), answers(name)
    for sequence, tokens in enumerate(np.asarray(found.batch.outcomes)[:5]):
        judge = (np.array(engine.initial), np.array(engine.labelled), tokens)
        law, log_evidence = labelled_chain_answer(*judge)
        predictive = np.exp(found.reference.log_predictive[sequence])
        np.testing.assert_allclose(predictive, law, rtol=EXACT, atol=1e-14)
        np.testing.assert_allclose(found.reference.log_evidence[sequence], log_evidence, rtol=EXACT)
        law, _ = labelled_chain_answer(*judge, window=2)
        np.testing.assert_allclose(np.exp(found.window_two[sequence]), law, rtol=EXACT, atol=1e-14)


@every_process
def test_beliefs_are_the_products_of_matrices(name):
    """``p(state before token t | tokens before it)``; the state drawn there is possible."""
    model, found = PROCESSES[name](), answers(name)
    belief = np.asarray(found.reference.belief["state"])
    for sequence, tokens in enumerate(np.asarray(found.batch.outcomes)[:5]):
        row = np.array(model.closed_form().initial)
        for t, token in enumerate(tokens):
            np.testing.assert_allclose(belief[sequence, t], row / row.sum(), rtol=EXACT, atol=1e-14)
            row = row @ model.labelled()[token]
    states = np.asarray(found.batch.latents["state"])
    assert (np.take_along_axis(belief, states[..., None], axis=-1) > 0.0).all()


def test_an_initial_law_that_is_not_stationary():
    rng = np.random.default_rng(3)
    labelled = rng.dirichlet(np.ones(6), size=3).reshape(3, 2, 3).swapaxes(0, 1)
    initial, tokens = np.array([0.7, 0.3, 0.0]), np.array([0, 1, 1, 0, 1])
    with jax.enable_x64(True), np.errstate(divide="ignore"):
        tables = jnp.log(jnp.asarray(initial)), jnp.log(jnp.asarray(labelled))
        laws, beliefs, evidence = jax.jit(labelled_filter)(*tables, jnp.asarray(tokens))
        windowed = jax.jit(partial(windowed_labelled_filter, window=2))(
            *tables, jnp.asarray(tokens)
        )
    expected, log_evidence = labelled_chain_answer(initial, labelled, tokens)
    np.testing.assert_allclose(np.exp(laws[:-1]), expected, rtol=EXACT)
    np.testing.assert_allclose(evidence[1:], log_evidence, rtol=EXACT)
    assert float(evidence[0]) == 0.0
    row = initial @ np.linalg.multi_dot([labelled[token] for token in tokens])
    np.testing.assert_allclose(np.exp(beliefs[-1]), row / row.sum(), rtol=EXACT)
    np.testing.assert_allclose(
        np.exp(laws[-1]), np.exp(beliefs[-1]) @ labelled.sum(axis=2).T, rtol=EXACT
    )
    expected, _ = labelled_chain_answer(initial, labelled, tokens, window=2)
    np.testing.assert_allclose(np.exp(windowed), expected, rtol=EXACT)


def test_impossible_tokens():
    """Two zeros in a row: law NaN and evidence minus infinity from there on, not before."""
    engine = GoldenMean(length=5).closed_form()
    reference = jax.jit(lambda sites: engine(sites))({"token": jnp.array([1, 0, 0, 1, 1])})
    assert np.isfinite(reference.log_evidence[:2]).all()
    assert np.isneginf(reference.log_evidence[2:]).all()
    assert not np.isnan(reference.log_predictive[:3]).any()
    assert np.isneginf(reference.log_predictive[2, 0])
    assert np.isnan(reference.log_predictive[3:]).all()


def test_mess3_is_the_published_process():
    """The matrices as they are written out, with ``b = (1 - a) / 2`` and ``y = 1 - 2x``."""
    for x, a in ((0.05, 0.85), (0.15, 0.6)):
        b, y = (1 - a) / 2, 1 - 2 * x
        ay, ax, by, bx = a * y, a * x, b * y, b * x
        written = [
            [[ay, bx, bx], [ax, by, bx], [ax, bx, by]],
            [[by, ax, bx], [bx, ay, bx], [bx, ax, by]],
            [[by, bx, ax], [bx, by, ax], [bx, bx, ay]],
        ]
        np.testing.assert_allclose(Mess3(x=x, a=a).labelled(), written, rtol=1e-15)


def test_rrxor_repeats_the_exclusive_or():
    batch = drawn(RRXOR(length=12), 200)
    starts = np.argmax(np.asarray(batch.latents["state"]) == 0, axis=1)
    tokens = np.asarray(batch.outcomes)
    for row, start in zip(tokens, starts, strict=True):
        thirds = row[start:][: (12 - start) // 3 * 3].reshape(-1, 3)
        np.testing.assert_array_equal(thirds[:, 0] ^ thirds[:, 1], thirds[:, 2])
    np.testing.assert_allclose(
        RRXOR().closed_form().initial, np.array([2, 1, 1, 1, 1]) / 6, rtol=1e-12
    )


def entropy_gains(model: LabelledChain | GoldenMean | EvenProcess | RRXOR) -> np.ndarray:
    """Return the mean entropy of each token given all before it, in bits, over all strings."""
    length, engine = model.length, model.closed_form()
    strings = jnp.asarray(np.indices((2,) * length).reshape(length, -1).T)
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(lambda sites: engine(sites)))({"token": strings})
    weights = np.exp(np.asarray(found.log_evidence))
    law = np.asarray(found.log_predictive)
    before = np.concatenate([np.full((len(weights), 1), 1.0), weights[:, :-1]], axis=1)
    repeats = 2.0 ** (length - np.arange(length))  # strings with the same beginning
    with np.errstate(invalid="ignore"):
        terms = np.where(np.isneginf(law), 0.0, np.exp(law) * law).sum(axis=-1)
    return -np.where(before > 0.0, before * terms, 0.0).sum(axis=0) / repeats / np.log(2.0)


def test_entropies_are_the_known_ones():
    """Entropy rates are 2/3 bit: at once in the golden mean, in the limit in the even process.

    In both, state 0 has probability 2/3 and decides one fair bit.
    """
    golden = entropy_gains(GoldenMean(p=0.5, length=8))
    np.testing.assert_allclose(golden[1:], 2.0 / 3.0, rtol=EXACT)
    even = entropy_gains(EvenProcess(p=0.5, length=12))
    assert (np.diff(even) <= 1e-12).all()
    assert 2.0 / 3.0 < even[-1] < 2.0 / 3.0 + 0.02
    xor = entropy_gains(RRXOR(length=12))
    assert (np.diff(xor) <= 1e-12).all()
    assert 2.0 / 3.0 < xor[-1] < 0.85


def test_stationary_laws_are_left_as_they_are():
    rng = np.random.default_rng(0)
    for num_states in (1, 2, 7):
        transition = rng.dirichlet(np.ones(num_states), size=num_states)
        law = stationary_law(transition)
        np.testing.assert_allclose(law @ transition, law, rtol=1e-12)
        assert law.sum() == pytest.approx(1.0, abs=1e-15)
    # Left for good, and so exactly zero.
    np.testing.assert_array_equal(stationary_law(np.array([[0.5, 0.5], [0.0, 1.0]])), [0.0, 1.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Mess3(x=0.0), "x: expected a number above 0 and at most 0.5, got 0.0"),
        (lambda: Mess3(a=1.5), "a: expected a probability, got 1.5"),
        (lambda: RRXOR(length=0), "length: expected at least 1, got 0"),
        (lambda: LabelledChain([[[0.5]]]), "labelled: expected probabilities that sum to one"),
        (lambda: LabelledChain([[[0.5, 0.5]]]), "labelled: expected one square matrix"),
        (lambda: LabelledChain([np.eye(2).tolist()]), "one stationary law, got several"),
    ],
)
def test_unsuitable_numbers_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_equal_chains_are_one():
    """Models and engines are compared and hashed by value, as compiled functions need it."""
    assert Mess3() == Mess3(x=0.05, a=0.85, length=10)
    assert hash(Mess3()) == hash(Mess3())
    assert Mess3().closed_form() == Mess3().closed_form()
    assert Mess3(x=0.15, a=0.6).closed_form() != Mess3().closed_form()
