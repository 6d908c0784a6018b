"""Grounding, contradictions, and the exact law of questions against the list of all worlds."""

from collections.abc import Callable
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised, unchecked

import bayescmp as bc
from bayescmp import models
from bayescmp.certification import MOST_ERRORS, count_deviation
from bayescmp.models import ANSWERS, KINDS, Concept, GroundedQueries, KnowledgeBase, Rule
from bayescmp.models.contradictions import find_contradictions
from bayescmp.models.query_engine import read_facts

EXACT = 1e-12
"""Sums of at most 32 products of five numbers, each right to 2e-16, and their quotients."""

SICKROOM = KnowledgeBase(
    entities=(("person", ("ann",)),),
    concepts=(
        Concept("exposed", ("person",), 0.3),
        Concept("covid", ("person",)),
        Concept("cold", ("person",), 0.2),
        Concept("fever", ("person",), 0.05),
        Concept("cough", ("person",), 0.1),
    ),
    rules=(
        Rule("covid(P)", ("exposed(P)",), 0.5),
        Rule("fever(P)", ("covid(P)",), 0.8),
        Rule("fever(P)", ("cold(P)",), 0.4),
        Rule("cough(P)", ("cold(P)",), 0.7),
    ),
)
FINDINGS = ("exposed(ann)", "covid(ann)", "cough(ann)")
IMPOSSIBLE = "covid(ann) and not exposed(ann)"
HELD_OUT = (("cough(ann)", "cold(ann)"),)


def questions(**changes) -> GroundedQueries:
    settings = {"num_questions": 3, "ungrounded": ("horoscope",), "contradictory_share": 0.4}
    return GroundedQueries(SICKROOM, FINDINGS, **{**settings, **changes})


def sickroom_law(world: dict[str, bool]) -> float:
    """The probability of a world, written out by hand from the rules above."""
    exposed, covid, cold, fever, cough = (
        world[f"{name}(ann)"] for name in ("exposed", "covid", "cold", "fever", "cough")
    )
    chances = [
        (exposed, 0.3),
        (covid, 0.5 * exposed),
        (cold, 0.2),
        (fever, 1 - 0.95 * (1 - 0.8 * covid) * (1 - 0.4 * cold)),
        (cough, 1 - 0.9 * (1 - 0.7 * cold)),
    ]
    return float(np.prod([chance if value else 1 - chance for value, chance in chances]))


def worlds() -> list[dict[str, bool]]:
    names = [gate.name for gate in SICKROOM.gates]
    return [dict(zip(names, v, strict=True)) for v in product((False, True), repeat=len(names))]


def read(facts: np.ndarray) -> list[tuple[str, bool]]:
    """The facts as somebody would read them."""
    return [(FINDINGS[(token - 1) // 2], (token - 1) % 2 == 1) for token in facts if token > 0]


def judge(facts: np.ndarray, word: str) -> np.ndarray:
    """The law of an answer by summing over all worlds."""
    if word == "horoscope":
        return np.eye(4)[ANSWERS.index("ungrounded")]
    weights = np.zeros(2)
    for world in worlds():
        if all(world[name] == value for name, value in read(facts)):
            weights[int(world[word])] += sickroom_law(world)
    if weights.sum() == 0.0:
        return np.eye(4)[ANSWERS.index("contradictory")]
    return np.append(weights / weights.sum(), [0.0, 0.0])


# ------------------------------------------------------------------ rules


def test_rules_are_filled_in_with_different_entities_of_their_types():
    base = KnowledgeBase(
        entities=(("person", ("ann", "bob", "eve")), ("place", ("pub",))),
        concepts=(
            Concept("carrier", ("person",), 0.1),
            Concept("visits", ("person", "place"), 0.5),
            Concept("sick", ("person",), 0.01),
        ),
        rules=(
            Rule("sick(P)", ("carrier(P)",), 0.9),
            Rule("sick(P)", ("carrier(Q)", "visits(P, L)", "visits(Q, L)"), 0.2),
        ),
    )
    gates = {gate.name: gate for gate in base.gates}
    both = "carrier({0}) and visits(ann, pub) and visits({0}, pub)"
    assert gates["sick(ann)"].parents == ("carrier(ann)", both.format("bob"), both.format("eve"))
    assert gates["sick(ann)"].strengths == (0.9, 0.2, 0.2)
    assert gates["sick(ann)"].leak == 0.01
    assert gates[both.format("bob")].kind == "and"
    assert gates[both.format("bob")].strengths == (1.0, 1.0, 1.0)
    assert len(gates) == 3 + 3 + 3 + 6
    names = [gate.name for gate in base.gates]
    for number, gate in enumerate(base.gates):
        assert set(gate.parents) <= set(names[:number])


def test_variables_that_may_trade_places_count_once():
    base = KnowledgeBase(
        entities=(("person", ("ann", "bob")),),
        concepts=(Concept("loud", ("person",), 0.5), Concept("noise")),
        rules=(Rule("noise", ("loud(P)", "loud(Q)")),),
    )
    assert base.gates[-1] == models.Gate(
        "noise", ("loud(ann)", "loud(bob)"), (1.0, 1.0), 0.0, "and"
    )


def test_gates_have_the_law_of_the_rules():
    graph, log_tables = models.gate_graph(SICKROOM.gates)
    for world in worlds():
        values = [int(world[gate.name]) for gate in SICKROOM.gates]
        log_law = sum(
            float(table[tuple(values[v] for v in scope)])
            for scope, table in zip(graph.scopes, log_tables, strict=True)
        )
        np.testing.assert_allclose(np.exp(log_law), sickroom_law(world), rtol=1e-5)  # 32 bits


def test_contradictions_are_the_smallest_sets_that_no_world_has():
    possible = [world for world in worlds() if sickroom_law(world) > 0.0]
    expected: list[set[tuple[str, bool]]] = []
    for size in (1, 2, 3):
        for told in product((None, False, True), repeat=len(FINDINGS)):
            facts = {(n, v) for n, v in zip(FINDINGS, told, strict=True) if v is not None}
            if len(facts) != size or any(other <= facts for other in expected):
                continue
            if not any(all(world[n] == v for n, v in facts) for world in possible):
                expected.append(facts)
    found = find_contradictions(SICKROOM.gates, FINDINGS)
    assert [set(each) for each in found] == expected
    assert [models.describe_contradiction(each) for each in found] == [IMPOSSIBLE]


def test_the_written_bases_are_what_they_say():
    for base, findings, is_tree in (
        (models.CLINIC, models.CLINIC_FINDINGS, False),
        (models.WARD, models.WARD_FINDINGS, True),
    ):
        assert models.gate_graph(base.gates)[0].is_tree is is_tree
        texts = [
            models.describe_contradiction(c) for c in find_contradictions(base.gates, findings)
        ]
        assert "positive test(ann) and not exposed(ann)" in texts
        assert "suspected case(ann) and not fever(ann)" in texts


# ------------------------------------------------------------------ questions


@pytest.fixture(scope="module")
def drawn() -> bc.Batch:
    return eqx.filter_jit(questions().sample)(4_096, key=jax.random.key(1))


@pytest.fixture(scope="module")
def exact(drawn) -> np.ndarray:
    with jax.enable_x64(True):
        reference = bc.derive_oracle(questions())(drawn)
        return np.exp(np.asarray(reference.log_predictive))


def test_the_law_of_answers_is_that_of_all_worlds(drawn, exact):
    words = questions().words
    for number in range(200):
        for step, word in enumerate(np.asarray(drawn.shown["asked"][number])):
            expected = judge(np.asarray(drawn.shown["fact"][number]), words[word])
            np.testing.assert_allclose(exact[number, step], expected, rtol=0, atol=EXACT)
    np.testing.assert_array_equal(exact[:200] == 0.0, exact[:200] < EXACT)


def test_drawn_answers_follow_it(drawn, exact):
    outcomes = np.asarray(drawn.outcomes)
    assert np.take_along_axis(exact, outcomes[..., None], axis=-1).min() > 0.0
    assert count_deviation(exact, outcomes, revealed=False) <= MOST_ERRORS
    # Facts contradict each other exactly where the program garbled them.
    told = np.asarray(drawn.shown["fact"])[:300]
    is_impossible = [not judge(facts, "cold(ann)")[:2].any() for facts in told]
    np.testing.assert_array_equal(is_impossible, np.asarray(drawn.latents["trouble"][:300]) > 0)


def test_causes_speak_for_effects_and_effects_for_causes():
    model = questions()
    asked = {word: number for number, word in enumerate(model.words)}
    exposed, covid, cough = 2, 4, 6
    facts = jnp.array([[0, 0], [exposed, 0], [cough, 0], [covid, 0], [covid, exposed]])
    _, probs = jax.jit(jax.vmap(lambda told: model.engine.posterior(read_facts(told, 3))))(facts)
    fever, cold = (probs[:, asked[word], 1] for word in ("fever(ann)", "cold(ann)"))
    assert fever[1] > fever[0]
    assert cold[2] > cold[0]
    assert float(fever[4]) == pytest.approx(float(fever[3]))  # covid stands between the two


def test_kinds_of_question_are_what_the_facts_say(drawn):
    model = questions(held_out=HELD_OUT, left_out=(IMPOSSIBLE, "cough(ann) and not cough(ann)"))
    kinds, words = models.question_kinds(model, drawn), model.words
    for number in range(300):
        facts = dict.fromkeys(read(np.asarray(drawn.shown["fact"][number])))
        denied = [name for name in FINDINGS if (name, True) in facts and (name, False) in facts]
        told = {name for name, _ in facts}
        for step, asked in enumerate(np.asarray(drawn.shown["asked"][number])):
            if words[asked] == "horoscope":
                expected = "without grounding"
            elif denied and denied != ["cough(ann)"]:
                expected = "told yes and no"
            elif denied:
                expected = "told yes and no, unseen"
            elif ("covid(ann)", True) in facts and ("exposed(ann)", False) in facts:
                expected = "against the rules, unseen"
            elif "cough(ann)" in told and words[asked] == "cold(ann)":
                expected = "held-out combination"
            else:
                expected = "all findings told" if len(told) == 3 else "facts missing"
            assert KINDS[kinds[number, step]] == expected
    assert set(kinds.ravel()) == set(range(len(KINDS))) - {KINDS.index("against the rules")}


def test_what_is_left_out_never_comes():
    left_out = ("cough(ann) and not cough(ann)",)
    model = questions(held_out=HELD_OUT, left_out=left_out, ungrounded=())
    batch = eqx.filter_jit(model.sample)(2_048, key=jax.random.key(2))
    kinds = {KINDS[kind] for kind in models.question_kinds(model, batch).ravel()}
    assert kinds == {
        "all findings told",
        "facts missing",
        "told yes and no",
        "against the rules",
    }
    assert not (np.asarray(batch.outcomes) == ANSWERS.index("ungrounded")).any()


# ------------------------------------------------------------------ rivals


def test_belief_propagation_is_exact_on_a_tree_and_names_what_is_impossible(drawn, exact):
    model = questions()
    assert models.gate_graph(SICKROOM.gates)[0].is_tree
    batch = jax.tree.map(lambda x: x[:256], drawn)
    with jax.enable_x64(True):
        rivals = [models.QueryPropagation(model, 4, floored=floored) for floored in (False, True)]
        laws = jax.jit(lambda batch: [rival.log_predictive(batch) for rival in rivals])(batch)
    kept, floored = (np.exp(np.asarray(law)) for law in laws)
    np.testing.assert_allclose(kept, exact[:256], rtol=0, atol=EXACT)
    contradictory = exact[:256, :, ANSWERS.index("contradictory")] == 1.0
    assert contradictory.sum() > 100
    np.testing.assert_allclose(floored[~contradictory], exact[:256][~contradictory], atol=1e-12)
    # At the floor there is always an answer: all of it stands where the exact law has nothing.
    np.testing.assert_allclose(floored[contradictory][:, :2].sum(axis=-1), 1.0, atol=1e-12)


# ------------------------------------------------------------------ bad input

PERSON = (("person", ("ann", "bob")),)
ILL = (Concept("flu", ("person",), 0.1), Concept("fever", ("person",)))
CAUSES = (Rule("fever(P)", ("flu(P)",), 0.9),)


def base(entities=PERSON, concepts=ILL, rules=CAUSES) -> KnowledgeBase:
    return KnowledgeBase(entities, concepts, rules)


MANY = tuple(Concept(f"cause {number}", (), 0.1) for number in range(22))

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "prior": (
        lambda: Concept("flu", prior=1.5),
        "prior: expected a probability for 'flu'",
    ),
    "strength": (lambda: Rule("a", ("b",), -0.1), "strength: expected a probability for 'a'"),
    "body": (lambda: Rule("a", ()), "body: expected different statements for 'a', got"),
    "twice": (lambda: Rule("a", ("b", "b")), "body: expected different statements"),
    "entities": (
        lambda: base((*PERSON, ("place", ("ann",)))),
        "entities: expected different names, got .'ann'. twice",
    ),
    "types": (lambda: base(PERSON * 2), "types: expected different names, got .'person'. twice"),
    "concepts": (lambda: base(concepts=(*ILL, ILL[0])), "concepts: expected different names"),
    "capital": (
        lambda: base((("person", ("Ann",)),)),
        "entities: expected names without a capital",
    ),
    "type": (
        lambda: base(concepts=(*ILL, Concept("open", ("shop",), 0.1))),
        "types: expected some of .'person'. for 'open', got .'shop'.",
    ),
    "concept": (
        lambda: base(rules=(Rule("fever(P)", ("gout(P)",)),)),
        "rules: expected statements such as .*got 'gout.P.' in the rule for 'fever.P.'",
    ),
    "arguments": (
        lambda: base(rules=(Rule("fever(P)", ("flu(P, Q)",)),)),
        "rules: expected statements such as .*got 'flu.P, Q.'",
    ),
    "entity": (
        lambda: base(rules=(*CAUSES, Rule("fever(eve)", ("flu(eve)",)))),
        "rules: expected a person out of .'ann', 'bob'. .*got 'eve'",
    ),
    "two_types": (
        lambda: base(
            (*PERSON, ("place", ("pub",))),
            (*ILL, Concept("open", ("place",), 0.5)),
            (*CAUSES, Rule("fever(P)", ("open(P)",))),
        ),
        "rules: expected 'P' to be of one type in the rule for 'fever.P.', got",
    ),
    "statement": (
        lambda: base(rules=(Rule("fever(P", ("flu(P)",)),)),
        "rules: expected a statement such as 'fever.P.', got 'fever.P'",
    ),
    "same_term": (
        lambda: base(
            concepts=(*ILL, Concept("meets", ("person", "person"), 0.1)),
            rules=(*CAUSES, Rule("fever(P)", ("meets(P, P)",))),
        ),
        "rules: expected different terms, got 'meets.P, P.'",
    ),
    "again": (
        lambda: base(rules=CAUSES * 2),
        "rules: expected one from .* to 'fever.ann.'",
    ),
    "circle": (
        lambda: base(rules=(*CAUSES, Rule("flu(P)", ("fever(P)",), 0.1))),
        "rules: expected no circle of causes, got .*flu.ann. -> fever.ann.",
    ),
    "no_cause": (
        lambda: base(rules=()),
        "concepts: expected a prior between 0 and 1 for 'fever.ann.', which no rule causes, got 0",
    ),
    "too_many": (
        lambda: base((), (*MANY, Concept("end")), tuple(Rule("end", (c.name,)) for c in MANY)),
        "rules: expected at most 21 causes of 'end', got 22",
    ),
    "too_many_at_once": (
        lambda: base((), (*MANY, Concept("end")), (Rule("end", tuple(c.name for c in MANY)),)),
        "rules: expected at most 21 causes of 'end', got 22",
    ),
    "share": (lambda: questions(told_share=1.0), "told_share: expected at least 0 and below 1"),
    "no_question": (lambda: questions(num_questions=0), "num_questions: expected at least 1"),
    "findings": (
        lambda: GroundedQueries(SICKROOM, ("gout(ann)",)),
        "findings: expected different names among",
    ),
    "clash": (
        lambda: questions(ungrounded=("covid(ann)",)),
        "ungrounded: expected names other than .* got .'covid.ann.'.",
    ),
    "site": (lambda: questions(ungrounded=("fact",)), "ungrounded: expected names other than"),
    "held_out": (
        lambda: questions(held_out=(("fever(ann)", "cold(ann)"),)),
        "held_out: expected a finding and a statement, got",
    ),
    "nothing_left": (
        lambda: questions(held_out=tuple(("cough(ann)", gate.name) for gate in SICKROOM.gates)),
        "held_out: expected a statement that can always be asked, got none",
    ),
    "left_out": (lambda: questions(left_out=("gout",)), "left_out: expected some of"),
    "rounds": (lambda: models.QueryPropagation(questions(), 0), "num_rounds: expected at least 1"),
    "unknown_finding": (
        lambda: find_contradictions(SICKROOM.gates, ("gout",)),
        "findings: expected nodes of the network, got .'gout'.",
    ),
    "nodes": (
        lambda: find_contradictions((models.Gate("a", leak=0.5),) * 21, ("a",)),
        "gates: expected at most 20 nodes, got 21",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as raised:
        build()
    assert "\n" not in str(raised.value)


def test_entities_that_are_no_pairs_are_refused():
    with unchecked():
        complaint = raised(TypeError, lambda: KnowledgeBase({"person": ("ann",)}, (), ()))
    assert "pairs of a type and its names" in complaint
