"""The study of a grounded knowledge base: its questions, its constructed network, its figures."""

import dataclasses

import jax
import numpy as np
import pytest

import bayescmp as bc
from bayescmp import models
from bayescmp.models import ANSWERS, KINDS, Concept, KnowledgeBase, Rule
from bayescmp.studies import grounded_knowledge as study

PERSON = ("person",)
CHAIN = KnowledgeBase(
    entities=(("person", ("ann",)),),
    concepts=(Concept("exposed", PERSON, 0.3), Concept("flu", PERSON), Concept("fever", PERSON)),
    rules=(Rule("flu(P)", ("exposed(P)",), 0.6), Rule("fever(P)", ("flu(P)",), 0.8)),
)
"""Fever never comes without flu, nor flu without exposure: a tree, and full of contradictions."""


@pytest.fixture(scope="module")
def model() -> models.GroundedQueries:
    findings = ("exposed(ann)", "fever(ann)")
    return models.GroundedQueries(
        CHAIN, findings, ("horoscope",), num_questions=2, contradictory_share=0.5
    )


@pytest.fixture(scope="module")
def answers(model) -> study.Answers:
    config = dataclasses.replace(study.PRESETS["quick"], eval_sequences=256)
    asked: dict[str, bc.AbstractPredictor] = {study.CONSTRUCTED: study.construct(model)}
    asked[study.PROPAGATION] = models.QueryPropagation(model, study.num_rounds(model))
    return study.examine(config, model, asked, {}, seen=model, key=jax.random.key(0))


def test_the_constructed_network_is_exact_where_there_is_a_posterior(answers):
    # Log-odds of at most 80, added up over three factors in double precision.
    assert study.largest_error(answers) < 1e-12
    assert np.isin(answers.kinds, study.ANSWERED).sum() > 100


def test_it_answers_contradictions_with_a_law_and_never_says_so(answers):
    contradictory = np.isin(answers.kinds, study.SEEN)
    law = answers.laws[study.CONSTRUCTED][contradictory]
    assert contradictory.sum() > 100
    np.testing.assert_allclose(law[:, :2].sum(axis=1), 1.0, atol=1e-12)
    assert answers.mean(study.CONSTRUCTED, "impossible_mass", study.SEEN) == pytest.approx(1.0)
    assert answers.mean(study.CONSTRUCTED, "confidence", study.SEEN) > 0.5
    for name in answers.laws:  # a word without grounding is looked up
        assert answers.mean(name, "impossible_mass", study.WORD) == 0.0
    # Zeros that stay zeros tell what cannot be.
    assert answers.mean(study.PROPAGATION, "impossible_mass", study.SEEN) == 0.0


def test_a_fact_and_its_denial_cancel_at_the_floor(model):
    """Told yes and no, the network falls back on the other facts, not even on the prior."""
    denied = models.query_rows(model, jax.numpy.array([1, 0, 2]), floored=True).log_potentials
    np.testing.assert_array_equal(denied[0], [-80.0, -80.0])


def made_up(kinds: list[int], law: list[list[float]], exact: list[list[float]]) -> study.Answers:
    laws = {study.CONSTRUCTED: np.array([law]), "rao_blackwell": np.array([law])}
    return study.Answers(np.array([kinds]), np.array([exact]), laws)


def test_measures_are_what_they_are_called():
    no, contradictory = [0.8, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]
    answers = made_up(
        [1, 5, 5],
        [[0.7, 0.2, 0.1, 0.0], [0.95, 0.03, 0.0, 0.02], [0.3, 0.3, 0.0, 0.4]],
        [no, contradictory, contradictory],
    )
    expected = {
        "impossible_mass": [0.1, 0.98, 0.6],
        "confidence": [0.7, 0.95, 0.3],
        "sure": [0.0, 1.0, 0.0],
        "total_variation": [0.1, 0.98, 0.6],
    }
    for name, values in answers.measure(study.CONSTRUCTED).items():
        np.testing.assert_allclose(values[0], expected[name], atol=1e-12)
    assert answers.mean(study.CONSTRUCTED, "impossible_mass", study.UNSEEN) == pytest.approx(0.79)
    assert answers.mean(study.CONSTRUCTED, "sure", (1,)) == 0.0
    assert np.isnan(answers.mean(study.CONSTRUCTED, "sure", study.WORD))
    assert np.isnan(answers.mean("nobody", "sure", (1,)))
    assert study.largest_error(answers) == pytest.approx(0.1)


def test_every_claim_names_a_figure_with_a_meaning():
    one = made_up([0, 4], [[1.0, 0, 0, 0], [0, 0, 0, 1.0]], [[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    table = study.tabulate([one, one], [one, one])
    for claim in study.CLAIMS:
        assert table[claim.metric.removeprefix("/grounding/")].dims == ("seed",)
    assert all(variable.attrs["long_name"] for variable in table.variables.values())
    assert table["impossible_mass"].dims == ("seed", "predictor", "kind")
    assert table["count"].sum() == 4
    assert table["trained_seen_mass"].values.tolist() == [0.0, 0.0]
    assert np.isnan(table["sampled_seen_mass"]).all()


def test_kinds_fall_into_the_groups_that_claims_speak_of():
    groups = (study.ANSWERED, study.SEEN, study.UNSEEN, study.WORD)
    assert sorted(sum(groups, ())) == list(range(len(KINDS)))
    assert [KINDS[k].endswith("unseen") for k in study.UNSEEN] == [True, True]
    assert ANSWERS[:2] == ("no", "yes")


def test_training_leaves_out_what_the_study_calls_unseen():
    config = study.PRESETS["quick"]
    trained = study.queries(config, whole=False)
    assert trained.held_out == study.HELD_OUT
    assert trained.left_out == study.LEFT_OUT
