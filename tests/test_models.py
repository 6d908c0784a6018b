"""Every model of the zoo: it builds, samples, has a name, and answers as brute force does."""

from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import judges
import numpy as np
import oracles
import pytest
from jaxtyping import TypeCheckError
from judges import Sites

import bayescmp as bc
from bayescmp import models
from bayescmp.exact.conjugacy.conjugate import find_conjugate
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.models import REGISTRY

NUM_JUDGED = 4
EXACT = 1e-9
"""Relative error of exact work in float64: linear solves with condition numbers up to 1e4
times some hundred operations of 2e-16 each."""
NOISE = 0.5

every_model = pytest.mark.parametrize("name", REGISTRY)


@cache
def small(name: str) -> bc.AbstractGenerativeModel:
    return REGISTRY[name].small()


@every_model
def test_it_has_a_name_and_a_summary_that_fit_into_a_table(name):
    entry = REGISTRY[name]
    assert "asked: " in entry.summary
    assert len(entry.summary) <= 90
    for model in (entry.make(), small(name)):
        assert 3 <= len(model.title()) <= 60
        assert "\n" not in model.title()


@every_model
def test_it_draws_sequences_at_its_usual_size(name):
    model = REGISTRY[name].make()
    batch = jax.eval_shape(lambda: model.sample(3, key=jax.random.key(0)))
    assert batch.outcomes.shape == (3, model.length)
    assert model.length >= small(name).length


# The others are judged in test_oracle_laws.py or below, by code that shares nothing with them.
QUICK = ("associative_recall", "diagnosis")
ENUMERABLE = [name for name, entry in REGISTRY.items() if entry.enumerable]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in ENUMERABLE],
)
def test_its_small_size_certifies(name):
    result = bc.certify(small(name), num_sequences=8)
    assert result.passed, str(result)


def test_which_models_enumeration_refuses():
    """What is marked as out of reach is so, and for the reason that the mark gives."""
    for name, entry in REGISTRY.items():
        if not entry.enumerable:
            with pytest.raises(ValueError, match=r"enumera|settings|continuous"):
                EnumerationEngine(small(name).program, small(name).layout)


# ---------------------------------------------------------------- against judges


def judge_linear_regression(sites: Sites) -> oracles.Answer:
    x = sites["x"]
    log_query = -0.5 * np.sum(x**2 + np.log(2.0 * np.pi), axis=1)
    return judges.normal_answer(
        x @ x.T, NOISE, edges_of("linear_regression"), log_query, sites["y"]
    )


def judge_regression_pool(sites: Sites) -> oracles.Answer:
    pool = np.random.default_rng(0).normal(size=(3, 2))
    return judges.pool_answer(pool, NOISE, edges_of("regression_pool"), sites["x"], sites["y"])


def judge_gaussian_process(sites: Sites) -> oracles.Answer:
    x = sites["x"][:, 0]
    covariance = np.exp(-0.5 * ((x[:, None] - x[None, :]) / 0.6) ** 2) + 1e-6 * np.eye(len(x))
    edges = edges_of("gaussian_process")
    return judges.normal_answer(covariance, 0.1, edges, np.zeros(len(x)), sites["y"])


def judge_hierarchical_normal(sites: Sites) -> oracles.Answer:
    group = sites["group"]
    covariance = 1.0 + 0.25 * (group[:, None] == group[None, :])
    log_query = np.full(len(group), -np.log(2.0))
    edges = edges_of("hierarchical_normal")
    return judges.normal_answer(covariance, NOISE, edges, log_query, sites["y"])


def judge_mess3(sites: Sites) -> oracles.Answer:
    return judges.labelled_answer(models.Mess3().labelled(), sites["token"])


JUDGES: dict[str, Callable[[Sites], oracles.Answer]] = {
    "associative_recall": lambda s: judges.recall_answer(3, 2, 2, s["key"], s["value"]),
    "gaussian_process": judge_gaussian_process,
    "hierarchical_normal": judge_hierarchical_normal,
    "linear_regression": judge_linear_regression,
    "logistic_regression": lambda s: judges.logistic_answer(0.5, s["x"][:, 0], s["label"]),
    "markov_chain": lambda s: judges.chain_answer(2, 1, 1.0, s["token"]),
    "markov_chain_2": lambda s: judges.chain_answer(2, 2, 1.0, s["token"]),
    "mess3": judge_mess3,
    "regression_pool": judge_regression_pool,
    "unknown_hidden_markov": lambda s: judges.unknown_chain_answer(2, 2, 0.5, s["symbol"]),
}


def edges_of(name: str) -> np.ndarray:
    return np.array(small(name).questions().edges)


@pytest.mark.parametrize("name", JUDGES)
def test_its_answers_are_the_judges(name):
    model = small(name)
    engine = bc.derive_oracle(model).engine
    with jax.enable_x64(True):
        batch = eqx.filter_jit(model.sample)(NUM_JUDGED, key=jax.random.key(2))
        sites = model.engine_sites(batch)
        reference = jax.jit(jax.vmap(engine))(sites)
        rebuilt = model.batch_from_sites(sites)
    np.testing.assert_array_equal(rebuilt.outcomes, batch.outcomes)
    law, log_evidence = np.exp(reference.log_predictive), np.asarray(reference.log_evidence)
    for number in range(NUM_JUDGED):
        expected = JUDGES[name]({key: np.asarray(x[number]) for key, x in sites.items()})
        np.testing.assert_allclose(law[number], expected[0], rtol=EXACT, atol=1e-12)
        np.testing.assert_allclose(log_evidence[number], expected[1], rtol=EXACT)


# ------------------------------------------------------- published or known figures


def test_a_uniform_answer_to_the_bijection_scores_what_a_published_control_did():
    """0.002 bits: the figures are given to three and four decimals, for 20 and 19 positions."""
    entropy = np.log2(np.arange(20, 0, -1))
    for num_pairs, figure in ((20, 1.268), (19, 1.1073)):
        model = models.Bijection(size=20, num_pairs=num_pairs)
        batch = model.sample(1, key=jax.random.key(0))
        exact = np.asarray(bc.derive_oracle(model)(batch).entropy)[0] / np.log(2.0)
        np.testing.assert_allclose(exact, entropy[:num_pairs], atol=1e-5)
        assert np.mean(np.abs(np.log2(20.0) - exact)) == pytest.approx(figure, abs=5e-4)


def test_twenty_observations_are_too_few_for_the_sticky_chain():
    """0.1162 bits of entropy error and 0.0447 bits of divergence over 100 positions.

    From a NumPy filter on 20,000 sequences, with standard errors of 0.0003 and 0.0001.
    """
    model = models.sticky_hidden_markov()
    assert model.length == 100
    transition = np.where(np.eye(5, dtype=bool), 0.97, 0.0075)
    emission = np.where(np.eye(5, dtype=bool), 0.35, 0.1625)
    engine = models.HiddenMarkov(length=100).closed_form()
    symbols = eqx.filter_jit(model.sample)(1_000, key=jax.random.key(3)).shown["symbol"]

    def answer(symbol: jax.Array) -> tuple[jax.Array, jax.Array]:
        tables = {"transition": jnp.array(transition), "emission": jnp.array(emission)}
        sites = {**tables, "symbol": symbol}
        return engine(sites).log_predictive, engine.windowed(sites, 20)

    exact, window = (np.asarray(x) for x in jax.jit(jax.vmap(answer))(symbols))
    entropy = [-np.sum(np.exp(x) * x, axis=-1) / np.log(2.0) for x in (exact, window)]
    divergence = np.sum(np.exp(exact) * (exact - window), axis=-1) / np.log(2.0)
    for found, figure in ((np.abs(entropy[0] - entropy[1]), 0.1162), (divergence, 0.0447)):
        means = found.mean(axis=1)
        assert means.mean() == pytest.approx(figure, abs=4.0 * means.std() / np.sqrt(len(means)))


def test_constants_score_on_sula_what_was_published_for_them():
    """After 0, 1, 2, 4 and 8 labels a constant bit scores 0.637, the best constant 0.328."""
    model = models.sula(length=8)
    batch = eqx.filter_jit(model.sample)(4_096, key=jax.random.key(4))
    entropy = np.asarray(bc.derive_oracle(model)(batch).entropy) / np.log(2.0)
    asked = np.concatenate([np.ones((4_096, 1)), entropy[:, [0, 1, 3, 7]]], axis=1)
    best = min(np.mean(np.abs(asked - constant)) for constant in np.linspace(0.0, 1.0, 401))
    # Errors of a single entropy spread by at most half a bit: 5 * 0.5 / sqrt(5 * 4096) = 0.018.
    assert np.mean(np.abs(asked - 1.0)) == pytest.approx(0.637, abs=0.018)
    assert best == pytest.approx(0.328, abs=0.018)


def test_context_tree_weighting_equals_conjugate_counts_on_every_tree():
    model = models.ContextTree(depth=2, length=12)
    counts = find_conjugate(model.program, model.layout)
    with jax.enable_x64(True):
        sites = model.engine_sites(eqx.filter_jit(model.sample)(16, key=jax.random.key(5)))
        ours = jax.jit(jax.vmap(model.closed_form()))(sites)
        theirs = jax.jit(jax.vmap(counts))(sites)
    np.testing.assert_allclose(ours.log_predictive, theirs.log_predictive, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(ours.log_evidence, theirs.log_evidence, rtol=0.0, atol=1e-12)
    settings = np.indices((2, 2, 2)).reshape(3, -1)  # the last node fastest
    split = np.asarray(theirs.belief["split"]) @ settings.T
    np.testing.assert_allclose(ours.belief["split"][..., 1], split, atol=1e-12)


def test_the_pseudo_count_of_a_prompt_matrix_can_be_read_off():
    """``p(seen once) / p(never seen) = (1 + alpha) / alpha`` after one token of a prompt."""
    model = models.prompt_matrix(num_prompts=1, num_tokens=3, length=2, concentration=0.2)
    sites = {"prompt": jnp.zeros(2, int), "token": jnp.array([1, 0])}
    law = np.exp(bc.derive_oracle(model).engine(sites).log_predictive[1])
    assert law[1] / law[0] == pytest.approx(1.2 / 0.2, rel=1e-4)


def test_one_cause_explains_the_other_away():
    model = models.diagnosis()
    shown = jnp.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]])
    belief = bc.derive_oracle(model)(model.batch_from_sites({"answer": shown})).belief["flu"]
    flu = np.asarray(belief)[..., 1]
    assert flu[0, 0] == pytest.approx(0.1, abs=1e-5)
    assert flu[0, 1] > 0.2, "sneezing speaks for flu"
    assert flu[0, 2] < flu[0, 1], "itching speaks for allergy, and so against flu"
    assert flu[1, 4] > flu[1, 3], "without allergy only flu is left"


def test_gates_are_logical_where_strengths_are_one():
    gates = (
        models.Gate("a", leak=0.5),
        models.Gate("b", leak=0.5),
        models.Gate("both", ("a", "b"), (1.0, 1.0), kind="and"),
        models.Gate("either", ("a", "b"), (1.0, 1.0)),
    )
    model = models.belief_network(gates, ("a", "b", "both", "either"))
    a, b, both, either = np.asarray(model.sample(64, key=jax.random.key(6)).outcomes).T
    np.testing.assert_array_equal(both, a & b)
    np.testing.assert_array_equal(either, a | b)
    assert len({*zip(a.tolist(), b.tolist(), strict=True)}) == 4


# ------------------------------------------------------------------ bad arguments

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "sticky_states": (lambda: models.sticky_hidden_markov(num_states=1), "num_states: expected at"),
    "sticky_stay": (lambda: models.sticky_hidden_markov(stay=1.0), "stay: expected a number betw"),
    "mixture_seed": (lambda: models.hidden_markov_mixture(seed=-1), "seed: expected at least 0"),
    "mixture_rows": (lambda: models.hidden_markov_mixture(concentration=0.0), "concentration: ex"),
    "pool": (lambda: models.chain_pool(num_chains=0), "num_chains: expected at least 1"),
    "order": (lambda: models.markov_chain(order=0), "order: expected at least 1"),
    "contexts": (lambda: models.markov_chain(num_states=9, order=4), "at most 4,096 contexts"),
    "prompts": (lambda: models.prompt_matrix(num_prompts=0), "num_prompts: expected at least 1"),
    "weights": (lambda: models.dirichlet_mixture(weights=(0.5, 0.6)), "weights: expected probab"),
    "few_weights": (lambda: models.dirichlet_mixture(weights=(1.0,)), "weights: expected 2, one"),
    "priors": (lambda: models.dirichlet_mixture(concentrations=((1.0,),)), "concentrations: expe"),
    "tokens": (lambda: models.dirichlet_mixture(concentrations=((1.0, -1.0),)), "concentrations:"),
    "urns": (lambda: models.Urns(((1, 2), (3,))), "contents: expected urns with the same"),
    "empty_urn": (lambda: models.Urns(((1, 2), (0, 0))), "at least one ball in each urn"),
    "draws": (lambda: models.Urns(length=11, replace=False), "length: expected 1 to 10, the"),
    "no_draw": (lambda: models.Urns(length=0), "length: expected at least 1, got 0"),
    "change": (lambda: models.changepoint(length=1), "length: expected at least 2"),
    "regimes": (lambda: models.changepoint(regimes=((1.0,), (0.5, 0.5))), "regimes: expected two"),
    "no_law": (lambda: models.changepoint(regimes=((0.9, 0.2), (0.5, 0.5))), "regimes: expected"),
    "pairs": (lambda: models.AssociativeRecall(num_keys=3, num_pairs=4), "expected 1 to 3 .the k"),
    "reliability": (lambda: models.sula(reliabilities=(1.0,)), "reliabilities: expected a numb"),
    "answers": (lambda: models.sula(num_answers=1), "num_answers: expected at least 2"),
    "depth": (lambda: models.ContextTree(depth=0), "depth: expected at least 1"),
    "strengths": (lambda: models.Gate("a", ("b",)), "strengths: expected one for each of 1"),
    "leak": (lambda: models.Gate("a"), "leak: expected a number between 0 and 1"),
    "parents": (
        lambda: models.belief_network((models.Gate("a", ("b",), (0.5,)),)),
        "expected the parents of 'a' before it, got none for .'b'.",
    ),
    "asked": (
        lambda: models.belief_network((models.Gate("a", leak=0.5),), ("b",)),
        "asked: expected different names among .'a'.",
    ),
    "names": (
        lambda: models.belief_network((models.Gate("a", leak=0.5), models.Gate("a", leak=0.5))),
        "gates: expected different names",
    ),
    "features": (lambda: models.linear_regression(num_features=0), "num_features: expected at l"),
    "bins": (lambda: models.linear_regression(num_bins=1), "num_bins: expected at least 2"),
    "tasks": (lambda: models.regression_pool(num_tasks=0), "num_tasks: expected at least 1"),
    "noise": (lambda: models.gaussian_process(noise=-1.0), "noise: expected a positive number"),
    "scale": (lambda: models.logistic_regression(scale=0.0), "scale: expected a positive number"),
    "groups": (lambda: models.hierarchical_normal(num_groups=0), "num_groups: expected at least"),
    "between": (lambda: models.hierarchical_normal(between=0.0), "between: expected a positive"),
    "unknown": (lambda: models.unknown_hidden_markov(num_symbols=1), "num_symbols: expected at"),
    "length": (lambda: models.sula(length=0), "length: expected at least 1"),
}


@pytest.mark.parametrize(("build", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as raised:
        build()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.sticky_hidden_markov(asked="token"), "asked: expected one of"),  # pyright: ignore
        (lambda: models.Gate("a", leak=0.5, kind="xor"), "kind: expected one of"),  # pyright: ignore
    ],
)
def test_unknown_words_are_refused(build, message):
    """By the type checker of the tests, or else by the model itself."""
    with pytest.raises((TypeCheckError, ValueError), match=f"{message}|Literal"):
        build()


@pytest.mark.parametrize("name", ["dirichlet_mixture", "regression_pool"])
def test_a_model_that_no_other_engine_reaches_is_held_against_its_draws(name):
    result = bc.certify(REGISTRY[name].small())
    assert result.passed, str(result)
    assert result.judge == "drawn outcomes"
