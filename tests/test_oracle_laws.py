"""Every model crossed with every law that an exact answer meets."""

from dataclasses import dataclass
from functools import cache

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

import bayescmp as bc
from bayescmp.certification import count_deviation

NUM_JUDGED = 8
NUM_WIDE = 64
"""Sequences that are answered in float64; all are answered in float32."""
EXACT = 1e-10
"""Relative error of exact work in float64: some thousand operations of 2e-16 each."""

every_model = pytest.mark.parametrize("name", CASES)


@dataclass(frozen=True)
class Answers:
    """What compiled calls return for a case, in float64 but for the last two fields."""

    oracle: bc.Oracle
    batch: bc.Batch
    reference: bc.Reference
    law: np.ndarray
    log_evidence: np.ndarray
    window_one: np.ndarray
    window_whole: np.ndarray
    narrow: bc.Reference
    """Of all sequences in float32."""
    num_traces: int
    """How often the oracle was traced for two batches in float32."""


@eqx.filter_jit
def answer(oracle: bc.Oracle, batch: bc.Batch) -> tuple[bc.Reference, jax.Array, jax.Array]:
    whole = oracle.windowed(batch, oracle.model.length)
    return oracle(batch), oracle.windowed(batch, 1), whole


@eqx.filter_jit
def refer(oracle: bc.Oracle, batch: bc.Batch) -> bc.Reference:
    return oracle(batch)


def refer_wide(oracle: bc.Oracle, batch: bc.Batch) -> bc.Reference:
    """Answer as many sequences as ``answers`` does, so that nothing is compiled again."""
    with jax.enable_x64(True):
        return answer(oracle, widen(batch))[0]


def widen(batch: bc.Batch) -> bc.Batch:
    """Return the batch with the same real numbers in 64 bits."""
    return jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)


def answer_narrowly(oracle: bc.Oracle, batch: bc.Batch) -> tuple[bc.Reference, int]:
    """Answer two batches in 32 bits, and count how often the oracle is traced for that."""
    traces = []

    @eqx.filter_jit
    def narrow(oracle: bc.Oracle, batch: bc.Batch) -> bc.Reference:
        traces.append(batch)
        return oracle(batch)

    reference = narrow(oracle, batch)
    narrow(oracle, jax.tree.map(lambda x: x[::-1], batch))
    return reference, len(traces)


@cache
def answers(name: str) -> Answers:
    batch = cases.first(name, NUM_WIDE)
    oracle = bc.derive_oracle(cases.build(name))
    with jax.enable_x64(True):
        reference, one, whole = answer(oracle, widen(batch))
    narrow, num_traces = answer_narrowly(oracle, cases.draw(name))
    return Answers(
        oracle=oracle,
        batch=batch,
        reference=reference,
        law=np.exp(np.asarray(reference.log_predictive)),
        log_evidence=np.asarray(reference.log_evidence),
        window_one=np.asarray(one),
        window_whole=np.asarray(whole),
        narrow=narrow,
        num_traces=num_traces,
    )


def sites_of(name: str, sequence: int) -> cases.Sites:
    """Return the engine's sites of one sequence as plain arrays in 64 bits."""
    sites = cases.build(name).engine_sites(cases.draw(name))
    arrays = {key: np.asarray(value[sequence]) for key, value in sites.items()}
    return {key: x.astype(np.float64) if x.dtype.kind == "f" else x for key, x in arrays.items()}


@every_model
def test_the_expected_engine_answers(name):
    certificate = answers(name).oracle.certificate
    assert (certificate.engine, certificate.exact) == (CASES[name].engine, True)
    assert set(dict(certificate.sites)) == set(cases.build(name).sites)


@every_model
def test_predictives_normalise(name):
    found = answers(name)
    np.testing.assert_allclose(found.law.sum(-1), 1.0, rtol=EXACT)
    np.testing.assert_allclose(np.exp(found.window_one).sum(-1), 1.0, rtol=EXACT)


@every_model
def test_oracle_equals_judge(name):
    found = answers(name)
    for sequence in range(NUM_JUDGED):
        law, log_evidence = CASES[name].judge(sites_of(name, sequence))
        np.testing.assert_allclose(found.law[sequence], law, rtol=EXACT, atol=1e-14)
        np.testing.assert_allclose(found.log_evidence[sequence], log_evidence, rtol=EXACT)


@pytest.mark.parametrize("name", ["bijection_3", "hidden_markov_3x2"])
def test_certify_passes(name):
    result = bc.certify(cases.build(name), num_sequences=16)
    assert result.passed, str(result)
    assert result.engine == "closed form"
    assert "passed" in str(result)


def test_certify_passes_where_the_judge_needs_quadrature():
    result = bc.certify(cases.build("coin_skewed"), num_sequences=16)
    assert result.passed, str(result)
    assert result.judge == f"enumeration of {64 * 2**4:,} settings"


@pytest.mark.parametrize(("name", "judge"), [("urns", "enumeration"), ("deck", "drawn")])
def test_certify_finds_a_judge_of_another_kind(name, judge):
    result = bc.certify(cases.build(name), num_sequences=16)
    assert result.passed, str(result)
    assert result.judge.startswith(judge)


def test_counts_of_drawn_outcomes_notice_another_law():
    law, outcomes = narrow_law("deck"), np.asarray(cases.draw("deck").outcomes)
    assert count_deviation(law, outcomes, revealed=True) < 5.0
    assert count_deviation(np.full_like(law, 0.25), outcomes, revealed=True) > 5.0


@pytest.mark.parametrize("name", ["coin_flat", "coin_skewed", "urns", "chain", "deck"])
def test_evidence_is_the_product_of_predictives(name):
    found = answers(name)
    outcomes = np.asarray(found.batch.outcomes)[..., None]
    drawn = np.take_along_axis(np.log(np.maximum(found.law, 1e-300)), outcomes, axis=-1)[..., 0]
    np.testing.assert_allclose(found.log_evidence, np.cumsum(drawn, axis=1), rtol=EXACT)


@every_model
def test_drawn_frequencies_agree_with_the_answers(name):
    assert excess_deviation(narrow_law(name), name) <= 0.0


def test_frequencies_of_another_law_are_noticed():
    """The test above fires: uniform guesses are rejected wherever learning is possible."""
    for name in ("bijection_4_whole", "hidden_markov_3x2", "coin_skewed", "urns", "chain"):
        law = narrow_law(name)
        assert excess_deviation(np.full_like(law, 1.0 / law.shape[-1]), name) > 0.0, name


def narrow_law(name: str) -> np.ndarray:
    """Return the predictives of all sequences; 32 bits are enough to count draws."""
    return np.exp(np.asarray(answers(name).narrow.log_predictive, np.float64))


def excess_deviation(law: np.ndarray, name: str) -> float:
    """Return by how much drawn outcomes deviate from a law beyond five standard errors.

    At each position and outcome the sum of ``1[drawn] - p`` has mean zero and variance
    ``sum p (1 - p)``, and so it has if weighed by what is known before, here the exact
    predictive. Bernstein's inequality adds 25 / 3 to five standard errors, for outcomes
    too rare to be normal.
    """
    drawn = np.eye(law.shape[-1])[np.asarray(cases.draw(name).outcomes)]
    worst = -np.inf
    for weight in (np.ones_like(law), narrow_law(name)):
        total = np.sum(weight * (drawn - law), axis=0)
        error = np.sqrt(np.sum(weight**2 * law * (1.0 - law), axis=0))
        worst = max(worst, float(np.max(np.abs(total) - 5.0 * error - 25.0 / 3.0)))
    return worst


@every_model
def test_batched_equals_looped(name):
    found = answers(name)
    with jax.enable_x64(True):
        for sequence in range(3):
            example = jax.tree.map(lambda x, i=sequence: x[i], widen(found.batch))
            single = refer(found.oracle, example)
            assert single.log_evidence.shape == (cases.build(name).length,)
            for one, many in zip(
                jax.tree.leaves(single), jax.tree.leaves(found.reference), strict=True
            ):
                np.testing.assert_allclose(one, many[sequence], rtol=EXACT, atol=1e-14)


@every_model
def test_the_future_changes_no_answer(name):
    """Replace all that question ``t`` must not know by another sequence's, for every ``t``."""
    found = answers(name)
    for now in range(cases.build(name).length - 1):
        # Some of these mixtures are impossible; compiled oracles answer up to there.
        mixed = mix(cases.build(name), found.batch, now)
        law = np.exp(np.asarray(refer_wide(found.oracle, mixed).log_predictive))
        np.testing.assert_allclose(
            law[:, : now + 1], found.law[:, : now + 1], rtol=EXACT, atol=1e-14
        )


def mix(model: bc.AbstractGenerativeModel, batch: bc.Batch, now: int) -> bc.Batch:
    def swap(values: jax.Array, known: int) -> jax.Array:
        return values.at[:, known:].set(np.roll(np.asarray(values), 1, axis=0)[:, known:])

    shown = dict(batch.shown)
    for site in model.layout.query:
        shown[site.name] = swap(shown[site.name], now + 1)
    parts = (shown, swap(batch.outcomes, now))
    return eqx.tree_at(lambda b: (b.shown, b.outcomes), batch, parts)


@every_model
def test_padded_sequences_answer_as_their_prefixes(name):
    """Lengths of all sizes, with values after the end that no site can take."""
    found, model = answers(name), cases.build(name)
    lengths = 1 + np.arange(NUM_WIDE) % model.length
    there = np.arange(model.length) < lengths[:, None]
    sites = {**model.engine_sites(found.batch), **found.batch.latents}
    for site in (*model.layout.query, model.layout.outcome):
        values = np.array(sites[site.name])
        values[~there] = np.nan if values.dtype.kind == "f" else -9
        sites[site.name] = jnp.asarray(values)
    batch = model.batch_from_sites(sites, lengths=lengths)
    np.testing.assert_array_equal(batch.supervised, there)
    reference = refer_wide(found.oracle, batch)
    for padded, whole in zip(
        jax.tree.leaves(reference), jax.tree.leaves(found.reference), strict=True
    ):
        np.testing.assert_allclose(
            np.asarray(padded)[there], np.asarray(whole)[there], rtol=EXACT, atol=1e-14
        )
        last = np.asarray(padded)[np.arange(NUM_WIDE), lengths - 1]
        np.testing.assert_array_equal(np.asarray(padded)[:, -1], last)


@every_model
def test_a_window_over_the_whole_sequence_is_the_oracle(name):
    found = answers(name)
    np.testing.assert_allclose(np.exp(found.window_whole), found.law, rtol=EXACT, atol=1e-14)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.exchangeable])
def test_order_does_not_matter_where_the_model_is_exchangeable(name):
    found = answers(name)
    model = cases.build(name)
    order = np.random.default_rng(0).permutation(model.length)
    shown = {site.name: found.batch.shown[site.name][:, order] for site in model.layout.query}
    shuffled = eqx.tree_at(
        lambda b: (b.shown, b.outcomes), found.batch, (shown, found.batch.outcomes[:, order])
    )
    last = np.asarray(refer_wide(found.oracle, shuffled).log_evidence)[:, -1]
    np.testing.assert_allclose(last, found.log_evidence[:, -1], rtol=EXACT)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.exchangeable])
def test_order_matters_elsewhere(name):
    """The test above fires: sequences backwards have another probability."""
    found = answers(name)
    backwards = {
        key: value[:, ::-1] if key == "symbol" else value
        for key, value in found.batch.shown.items()
    }
    parts = (backwards, found.batch.outcomes[:, ::-1])
    batch = eqx.tree_at(lambda b: (b.shown, b.outcomes), found.batch, parts)
    log_evidence = np.asarray(refer_wide(found.oracle, batch).log_evidence)
    assert np.max(np.abs(log_evidence[:, 1] - found.log_evidence[:, 1])) > 0.1


@every_model
def test_float32_agrees_with_float64_and_is_traced_once(name):
    found = answers(name)
    assert found.num_traces == 1
    reference = jax.tree.map(lambda x: x[:NUM_WIDE], found.narrow)
    assert reference.log_predictive.dtype == np.float32
    # Log probabilities of whole sequences are added and subtracted, each rounded to eps.
    # The logs of matrix entries enter at every step of a path.
    scale = 1.0 + np.abs(found.log_evidence).max()
    tolerance = 8 * cases.build(name).length * 1.2e-7 * scale
    possible = found.law > 0.0
    np.testing.assert_array_equal(np.exp(reference.log_predictive) > 0.0, possible)
    narrow_law = np.asarray(reference.log_predictive, np.float64)
    error = np.where(possible, narrow_law, 0.0) - np.log(np.where(possible, found.law, 1.0))
    assert np.abs(error).max() <= tolerance
    assert np.abs(reference.log_evidence - found.log_evidence).max() <= tolerance


def test_any_number_of_batch_axes():
    """For the urns, ``test_sequences_in_parts_equal_all_at_once`` has two axes too."""
    found = answers("coin_flat")
    batch = jax.tree.map(lambda x: x[:6].reshape(2, 3, *x.shape[1:]), found.batch)
    law = np.exp(np.asarray(refer(found.oracle, batch).log_predictive))
    assert law.shape == (2, 3, *found.law.shape[1:])
    np.testing.assert_allclose(law.reshape(6, *law.shape[2:]), found.law[:6], rtol=1e-5)


def test_sequences_in_parts_equal_all_at_once(monkeypatch):
    """Enumeration answers in parts what would not fit into memory together."""
    found = answers("urns")
    monkeypatch.setattr("bayescmp.oracle.MAX_BYTES", 5 * found.oracle.engine.bytes_per_sequence)
    part = jax.tree.map(lambda x: x[:12].reshape(4, 3, *x.shape[1:]), found.batch)
    reference, one, _ = answer(found.oracle, part)
    law, window = np.exp(np.asarray(reference.log_predictive)), np.exp(np.asarray(one))
    np.testing.assert_allclose(law.reshape(12, *law.shape[2:]), found.law[:12], rtol=1e-5)
    expected = np.exp(found.window_one[:12])
    np.testing.assert_allclose(window.reshape(12, *window.shape[2:]), expected, rtol=1e-5)


def test_beliefs_are_posteriors():
    """``p(z | s_t)`` of the urns, from the judge's weights by hand for one sequence."""
    found = answers("urns")
    tokens = sites_of("urns", 0)["token"]
    prior = np.outer(cases.URN_PRIOR, [1.0 - cases.SPOILED, cases.SPOILED])
    laws = np.stack([np.array(cases.URNS), np.full((3, 3), 1.0 / 3.0)], axis=1)
    for step in range(len(tokens)):
        weights = prior * np.prod([laws[:, :, token] for token in tokens[:step]], axis=0)
        posterior = weights / weights.sum()
        belief = found.reference.belief
        np.testing.assert_allclose(belief["urn"][0, step], posterior.sum(1), rtol=EXACT)
        np.testing.assert_allclose(belief["spoiled"][0, step], posterior.sum(0), rtol=EXACT)


def test_belief_of_a_bijection_is_the_share_of_permutations():
    found = answers("bijection_4_whole")
    belief = np.asarray(found.reference.belief["mapping"])
    keys = np.asarray(found.batch.shown["key"])
    at_key = np.take_along_axis(belief, keys[:, :, None, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(at_key, found.law, rtol=EXACT, atol=1e-14)
    np.testing.assert_allclose(belief.sum(axis=2), 1.0, rtol=EXACT)
    np.testing.assert_allclose(belief.sum(axis=3), 1.0, rtol=EXACT)


def test_entropy_of_the_reference():
    found = answers("bijection_4_whole")
    with jax.enable_x64(True):
        entropy = np.asarray(found.reference.entropy)
    expected = np.broadcast_to(np.log([4.0, 3.0, 2.0, 1.0]), entropy.shape)
    np.testing.assert_allclose(entropy, expected, rtol=EXACT, atol=1e-14)
