"""Graphs by name: read off programs, asked one at a time, and what cannot be seen together."""

import re
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
import pytest
from complaints import model_of, raised
from numpyro import distributions as dist

import bayescmp as bc
from bayescmp.exact.graphs.asking import ask_graph, explain_impossible, find_impossible
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.named_graph import NamedGraph
from bayescmp.exact.graphs.read_graph import read_graph
from bayescmp.models.belief_network import Gate, belief_network, diagnosis, knowledge_base

ROUNDING = 1e-5
"""The oracle answers in 32 bits: up to seven tables are multiplied, off by 6e-8 each, and the
evidence that divides them is as small as 0.01."""

SMELL = NamedGraph.from_factors(
    {
        ("flu",): [0.9, 0.1],
        ("cold",): [0.8, 0.2],
        ("flu", "smell"): [[1.0, 0.0], [0.6, 0.4]],
        ("cold", "nose"): [[0.9, 0.1], [0.2, 0.8]],
    },
    values={"flu": ("no", "yes"), "smell": ("kept", "lost"), "nose": ("free", "blocked")},
)


@pytest.mark.parametrize("build", [diagnosis, knowledge_base])
def test_a_program_read_off_answers_as_its_oracle_does(build: Callable[[], bc.GenerativeModel]):
    model = build()
    graph = read_graph(model)
    assert "answer" not in " ".join(graph.names)
    # Its noisy gates are all there is, one for each variable, parents first.
    assert [scope[-1] for scope in graph.graph.scopes] == list(range(len(graph.names)))
    asked = dict(model.arguments)["asked"]
    batch = model.sample(1, key=jax.random.key(0))
    found = eqx.filter_jit(bc.derive_oracle(model))(batch)
    for position in (0, 2, 4):
        seen = dict(zip(asked[:position], batch.outcomes[0].tolist(), strict=False))
        ours = ask_graph(graph, seen)
        for name in graph.names:
            expected = found.belief[name][0, position]
            np.testing.assert_allclose(ours[name], expected, atol=ROUNDING)


def test_a_copy_among_the_concepts_stays():
    """An AND of one certain premise is a concept of its own, though it repeats another."""
    gates = Gate("rain", leak=0.2), Gate("wet", ("rain",), (1.0,), kind="and")
    assert read_graph(belief_network(gates)).names == ("rain", "wet")


def test_what_cannot_be_read():
    message = raised(ValueError, lambda: read_graph(bc.models.beta_bernoulli(length=2)))
    assert message == "model: expected discrete sites, got the continuous ['bias']"
    message = raised(ValueError, lambda: read_graph(bc.models.HiddenMarkov(2, 2, length=3)))
    assert "expected tables that are the same in every sequence" in message
    assert read_graph(model_of(dist.Bernoulli(0.3))).names == ("token[0]", "token[1]", "token[2]")


def test_answers_by_hand():
    found = ask_graph(SMELL, {"nose": "blocked"})
    cold = 0.2 * 0.8 / (0.2 * 0.8 + 0.8 * 0.1)
    np.testing.assert_allclose(found["cold"], [1 - cold, cold], rtol=1e-12)
    np.testing.assert_allclose(found["flu"], [0.9, 0.1], rtol=1e-12)
    np.testing.assert_allclose(ask_graph(SMELL)["smell"], [0.96, 0.04], rtol=1e-12)


def test_impossible_evidence_is_named_with_what_rules_it_out_and_nothing_else():
    evidence = {"nose": "blocked", "flu": "no", "cold": 0, "smell": "lost"}
    assert find_impossible(SMELL, evidence) == ("flu", "smell")
    message = raised(ValueError, lambda: ask_graph(SMELL, evidence))
    assert message == (
        "evidence: expected values that are possible together, got smell=lost, which has "
        "probability zero given flu=no"
    )
    # In another order the other piece is the one that comes too late.
    late = explain_impossible(SMELL, {"smell": "lost", "nose": "free", "flu": 0})
    assert late == "flu=no, which has probability zero given smell=lost"


def test_possible_evidence_is_not_named():
    assert explain_impossible(SMELL, {"nose": "blocked", "flu": "yes", "smell": "lost"}) is None


def test_evidence_that_is_impossible_alone_and_graphs_that_allow_nothing():
    never = NamedGraph.from_factors({("a",): [0.0, 1.0], ("a", "b"): np.eye(2)})
    assert explain_impossible(never, {"b": 0}) == "b=0, which has probability zero"
    nothing = NamedGraph.from_factors({("a",): [0.0, 1.0], ("a", "b"): [[1.0, 1.0], [0.0, 0.0]]})
    assert find_impossible(nothing, {"a": 0}) == ()
    message = raised(ValueError, lambda: ask_graph(nothing))
    assert message.endswith("got a graph of which no setting is possible")


def test_log_weights_that_overflow_as_odds_are_answered():
    """Couplings of 1,000 nats: their odds are no double."""
    pull = np.array([[0.0, -1000.0], [-1000.0, 0.0]])
    values = (("0", "1"),) * 2
    shape = FactorGraph(((0, 1), (0,)), (2, 2))
    graph = NamedGraph(("a", "b"), values, shape, (pull, np.array([1.0, 999.0])))
    found = ask_graph(graph)
    odds = np.exp(998.0 - 1000.0)
    # a = 1 is better by 998 nats, and b follows it up to 1,000 nats.
    np.testing.assert_allclose(found["a"], [0.0, 1.0], atol=1e-300)
    np.testing.assert_allclose(found["b"], [0.0, 1.0], atol=1e-300)
    seen = ask_graph(graph, {"b": 0})
    np.testing.assert_allclose(seen["a"], [1 / (1 + odds), odds / (1 + odds)], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NamedGraph.from_factors({("a",): [0.5, -0.5]}), "at least 0, got -0.5"),
        (lambda: NamedGraph.from_factors({("a",): [0.5, np.nan]}), "finite weights of at least 0"),
        (lambda: NamedGraph.from_factors({("a",): [0.0, 0.0]}), "factor ('a',): expected a posi"),
        (lambda: NamedGraph.from_factors({("a", "a"): np.eye(2)}), "different ones, got 'a' twice"),
        (lambda: NamedGraph.from_factors({("a",): np.eye(2)}), "expected a tuple of 2 names"),
        (
            lambda: NamedGraph.from_factors({("a",): [1, 1], ("a", "b"): np.ones((3, 2))}),
            "factors: expected 2 values of 'a' in ('a', 'b'), got 3",
        ),
        (
            lambda: NamedGraph.from_factors({("flu",): [1, 1]}, values={"flue": ("no", "yes")}),
            "values: expected one of ['flu'], got 'flue'; did you mean 'flu'?",
        ),
        (
            lambda: NamedGraph.from_factors({("a",): [1, 1]}, values={"a": ("no", "no")}),
            "values of 'a': expected different ones, got 'no' twice",
        ),
        (lambda: ask_graph(SMELL, {"smel": 1}), "got 'smel'; did you mean 'smell'?"),
        (lambda: ask_graph(SMELL, {"smell": "lots"}), "got 'lots'; did you mean 'lost'?"),
        (lambda: ask_graph(SMELL, {"smell": 2}), "evidence: expected smell in 0 .. 1, got 2"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str):
    assert re.search(re.escape(message), raised(ValueError, call))
