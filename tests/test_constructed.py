"""Networks whose weights pass messages, against messages passed one by one in NumPy."""

from dataclasses import dataclass
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.special
from complaints import raised
from factor_graphs import Scopes, Tables, brute_force, chain, complete, cycle, grid
from plain_messages import Round, branching_tree, pass_messages

from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.exact.graphs.elimination import marginals, plan_elimination
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import FLOOR, GraphShape
from bayescmp.layers.lens import logit_lens
from bayescmp.networks import Transformer
from bayescmp.networks.constructed import (
    StreamLayout,
    count_heads,
    message_passing,
    read_cavities,
    read_messages,
)
from bayescmp.networks.constructed.softplus_units import STEP, line_shifts, softplus_units
from bayescmp.records import LayerTrace

TOLERANCE = 1e-6
"""What is promised. Sums of sigmoids are right to 1e-9 each, the other forms to some 1e-15."""

ROUNDS = 6


@dataclass(frozen=True)
class Case:
    """A graph with random tables and evidence; the last variable is observed."""

    scopes: Scopes
    num_values: int = 2
    seed: int = 0

    @property
    def graph(self) -> FactorGraph:
        count = 1 + max(map(max, self.scopes))
        return FactorGraph(self.scopes, (self.num_values,) * count)

    @property
    def numbers(self) -> tuple[Tables, Tables]:
        rng, values = np.random.default_rng(self.seed), self.num_values
        tables = tuple(np.log(rng.uniform(0.05, 1, (values,) * len(s))) for s in self.scopes)
        evidence = [np.log(rng.uniform(0.05, 1, values)) for _ in self.graph.sizes]
        seen = np.arange(values) == rng.integers(values)
        evidence[-1] = np.where(seen, 0.0, -np.inf)
        return tables, tuple(evidence)

    def rows(self, shape: GraphShape) -> GraphRows:
        with jax.enable_x64(True):
            tables, evidence = (tuple(map(jnp.asarray, part)) for part in self.numbers)
            return lay_out(self.graph, shape, tables, evidence)

    def rounds(self, num_rounds: int = ROUNDS) -> list[Round]:
        return pass_messages(self.scopes, *self.numbers, num_rounds)


RNG = np.random.default_rng(0)
PAIRS = {
    "one pair": Case(((1, 0),)),
    "chain": Case(chain(5)),
    "binary tree": Case(branching_tree(RNG, 7, 2, 2)),
    "ternary tree": Case(branching_tree(RNG, 9, 3, 2)),
    "triangle": Case(cycle(3)),
    "square": Case(cycle(4)),
    "K4": Case(complete(4)),
    "grid": Case(grid(3, 3)),
    "two trees": Case(((0, 1), (2, 3))),
    "one pair twice": Case(((0, 1), (1, 0))),
}
TRIPLES = {
    "triples": Case(branching_tree(RNG, 9, 2, 3)),
    "triples and pairs": Case(((2, 0, 1), (1, 3), (3, 4, 5))),
    "loop of triples": Case(((0, 1, 2), (2, 3, 0))),
}
FOUR_VALUES = {
    "tree": Case(branching_tree(RNG, 6, 3, 2), 4),
    "triangle": Case(cycle(3), 4),
    "grid": Case(grid(2, 3), 4),
}
FAMILIES: dict[str, tuple[GraphShape, dict[str, Case]]] = {
    "pairs": (GraphShape(9, 2, num_slots=4), PAIRS),
    "triples": (GraphShape(9, 2, num_slots=3, arity=3), TRIPLES),
    "four values": (GraphShape(6, 4, num_slots=4), FOUR_VALUES),
}
FORMS = [
    *(("pairs", form) for form in ("softplus", "sigmoid", "logsumexp", "softmax")),
    *((family, form) for family in ("triples", "four values") for form in ("logsumexp", "softmax")),
]
EVERY_FORM = pytest.mark.parametrize(("family", "form"), FORMS)


# --------------------------------------------------------------------- answers


@eqx.filter_jit
def trace(network: Transformer, inputs: jax.Array) -> tuple[LayerTrace, jax.Array]:
    """Return a trace, and the logit lens of the embedding and of each layer."""
    found = network.trace_layers(inputs)
    return found, logit_lens(network, found, jnp.arange(1, inputs.shape[-2]))


def build(shape: GraphShape, num_rounds: int = ROUNDS, **options) -> Transformer:
    with jax.enable_x64(True):
        return message_passing(shape, num_rounds, **options)


def run(network: Transformer, inputs: jax.Array) -> tuple[LayerTrace, np.ndarray]:
    with jax.enable_x64(True):
        found, log_beliefs = trace(network, inputs)
        return jax.tree.map(np.asarray, found), np.exp(np.asarray(log_beliefs))


@cache
def encode(shape: GraphShape, *cases: Case) -> jax.Array:
    with jax.enable_x64(True):
        return jnp.stack([case.rows(shape).encode() for case in cases])


@cache
def answers(family: str, form: str) -> tuple[LayerTrace, np.ndarray]:
    """One network on all graphs of a family, in one call."""
    shape, cases = FAMILIES[family]
    return run(build(shape, form=form, shared=True), encode(shape, *cases.values()))


def beliefs_of(found: np.ndarray, case: Case) -> np.ndarray:
    return found[..., : len(case.graph.sizes), :]


# ------------------------------------------------------------------- the rounds


@EVERY_FORM
def test_every_layer_is_a_round_of_belief_propagation(family: str, form: str):
    _, found = answers(family, form)
    for number, (name, case) in enumerate(FAMILIES[family][1].items()):
        for layer, known in enumerate(case.rounds(), 1):
            error = np.abs(beliefs_of(found[layer, number], case) - known.beliefs)
            assert error.max() <= TOLERANCE, (name, layer)


@EVERY_FORM
def test_as_many_layers_as_the_diameter_are_exact_on_trees_and_fewer_are_not(
    family: str, form: str
):
    _, found = answers(family, form)
    too_early, on_loops = 0.0, 0.0
    for number, (name, case) in enumerate(FAMILIES[family][1].items()):
        _, exact = brute_force(case.scopes, *case.numbers)
        errors = np.abs(beliefs_of(found[:, number], case) - np.array(exact)).max(axis=(1, 2))
        if case.graph.is_tree:
            assert errors[case.graph.diameter] <= TOLERANCE, name
            too_early = max(too_early, errors[case.graph.diameter - 1])
        else:
            on_loops = max(on_loops, errors[-1])
    assert min(too_early, on_loops) > 1e2 * TOLERANCE


def test_the_last_layer_is_what_our_own_propagation_says_of_a_loop():
    case = PAIRS["grid"]
    _, found = answers("pairs", "softplus")
    with jax.enable_x64(True):
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in case.numbers)
        known = propagate(case.graph, tables, evidence, num_rounds=ROUNDS).log_beliefs
    beliefs = beliefs_of(found[-1, list(PAIRS).index("grid")], case)
    np.testing.assert_allclose(beliefs, np.exp(known), rtol=0, atol=TOLERANCE)


def test_a_large_tree_against_elimination():
    case = Case(branching_tree(np.random.default_rng(7), 32, 3, 2))
    graph, shape = case.graph, GraphShape(32, 2, num_slots=4)
    assert graph.diameter <= 16
    with jax.enable_x64(True), jax.disable_jit():
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in case.numbers)
        plan = plan_elimination(graph.scopes, graph.sizes)
        _, exact = marginals(plan, graph.scopes, tables, evidence)
    _, found = run(build(shape, 16, form="softplus", shared=True), encode(shape, case))
    errors = np.abs(found[:, 0] - np.array(exact)).max(axis=(1, 2))
    assert errors[graph.diameter] <= TOLERANCE


@pytest.mark.parametrize(("family", "form"), [("pairs", "softplus"), ("four values", "logsumexp")])
def test_messages_are_read_out_of_the_stream(family: str, form: str):
    shape, cases = FAMILIES[family]
    found, _ = answers(family, form)
    with jax.enable_x64(True):
        messages = np.asarray(read_messages(shape, found))
        cavities = np.asarray(read_cavities(shape, found))
    for number, case in enumerate(cases.values()):
        tables, evidence = case.numbers
        floored = tuple(np.maximum(row, FLOOR) for row in evidence)  # as inputs have them
        for layer, known in enumerate(pass_messages(case.scopes, tables, floored, ROUNDS)):
            taken = dict.fromkeys(range(shape.num_variables), 0)
            for factor, scope in enumerate(case.scopes):
                for variable, other in (scope, scope[::-1]):
                    place = layer, number, variable, taken[variable]
                    told = known.messages[factor, variable]
                    np.testing.assert_allclose(messages[place], told, atol=1e-9)
                    told = known.cavities[other, factor]
                    np.testing.assert_allclose(cavities[place][0], told - told[0], atol=1e-9)
                    taken[variable] += 1
            for variable, count in taken.items():
                assert np.abs(messages[layer, number, variable, count:]).max(initial=0) < 1e-9


def test_every_head_finds_what_it_is_to_find():
    shape, cases = FAMILIES["pairs"]
    patterns = answers("pairs", "softplus")[0].attn_pattern
    assert patterns is not None
    pattern = patterns[0]  # graph, head, token, source
    for number, case in enumerate(cases.values()):
        rows = case.rows(shape)
        for head, (slot, back) in enumerate(np.ndindex(4, 4)):
            there = np.asarray(rows.back[:, slot, 0]) == back
            wanted = np.where(there, np.asarray(rows.others[:, slot, 0]) + 1, 0)
            weights = pattern[number, head, np.arange(10), [0, *wanted]]
            rest = pattern[number, head].sum(axis=-1) - weights
            assert weights.min() == 1.0
            assert rest.max() == 0.0
        np.testing.assert_array_equal(np.argmax(pattern[number, -1], axis=-1), np.arange(10))


# ------------------------------------------------------------ one set of weights


def test_a_graph_in_the_weights_answers_as_one_in_the_prompt():
    shape, cases = FAMILIES["pairs"]
    case = cases["grid"]
    rows = case.rows(shape)
    network = build(shape, 3, form="logsumexp", graph=rows)
    assert network.shape.input_size == 1 + shape.num_values
    with jax.enable_x64(True):
        shown = [shape.block("start"), shape.block("evidence")]
        inputs = jnp.concatenate([rows.encode()[:, part] for part in shown], axis=-1)
    _, found = run(network, inputs)
    _, expected = answers("pairs", "logsumexp")
    number = list(cases).index("grid")
    np.testing.assert_allclose(found, expected[:4, number], rtol=0, atol=1e-12)


def test_layers_that_share_weights_answer_as_layers_of_their_own():
    shape, cases = FAMILIES["four values"]
    network = build(shape, ROUNDS, form="logsumexp")
    assert network.config.num_layers == ROUNDS
    _, found = run(network, encode(shape, *cases.values()))
    np.testing.assert_array_equal(found, answers("four values", "logsumexp")[1])


def test_room_for_more_changes_nothing():
    case = PAIRS["triangle"]
    shape = GraphShape(4, 3, num_slots=3, arity=3)
    _, found = run(build(shape, 2), encode(shape, case))
    _, expected = answers("pairs", "logsumexp")
    number = list(PAIRS).index("triangle")
    # A third value that is impossible has a weight of exp(-80).
    beliefs = found[:, 0, :3]
    np.testing.assert_allclose(beliefs[..., :2], expected[:3, number, :3], rtol=0, atol=1e-12)
    assert beliefs[..., 2].max() < 1e-34
    np.testing.assert_allclose(found[:, 0, 3], 1 / 3)  # of a variable that is not there


def test_single_precision_is_enough_for_five_digits():
    shape = FAMILIES["pairs"][0]
    network = message_passing(shape, ROUNDS, form="softplus", shared=True)
    inputs = jnp.asarray(np.asarray(encode(shape, *PAIRS.values()), np.float32))
    _, log_beliefs = trace(network, inputs)
    assert log_beliefs.dtype == jnp.float32
    # Log-odds of up to some hundred nats are right to 6e-8 of that, in each of six rounds.
    expected = answers("pairs", "softplus")[1]
    np.testing.assert_allclose(jnp.exp(log_beliefs), expected, rtol=0, atol=2e-5)


# ---------------------------------------------------------------------- extremes

CHAIN = chain(4)
SMALL = GraphShape(4, 2, num_slots=2)


Numbers = tuple[Tables, Tables]
"""Log tables and evidence of the chain, none of it below the floor of inputs."""


def of_numbers(tables: list, evidence: list) -> Numbers:
    first, second = (tuple(np.array(part, float) for part in both) for both in (tables, evidence))
    return first, second


def messages_after(numbers: Numbers, **options) -> np.ndarray:
    """Return what factor 0 tells variable 0, and factor 2 variable 3, after three rounds."""
    with jax.enable_x64(True):
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in numbers)
        inputs = lay_out(FactorGraph(CHAIN, (2,) * 4), SMALL, tables, evidence).encode()
        found, _ = run(build(SMALL, 3, **options), inputs)
        return np.asarray(read_messages(SMALL, found))[-1, [0, 3], 0, 1]


def known_messages(numbers: Numbers) -> np.ndarray:
    last = pass_messages(CHAIN, *numbers, 3)[-1].messages
    return np.array([last[0, 0][1], last[2, 3][1]])


HUGE = of_numbers(
    [[[300.0, 0.0], [0.0, 420.0]], [[0.0, 510.0], [350.0, 0.0]], [[260.0, 1.0], [0.0, 270.0]]],
    [[0.0, 170.0], [3.0, 0.0], [0.0, 700.0], [650.0, 0.0]],
)
"""Log-odds of hundreds of nats, some of which cancel."""
TIGHT = of_numbers(
    [[[300.0, 0.0], [0.0, 300.0]]] * 3, [[0.0, 0.0], [0.0, 170.0], [0.0, 0.0], [0.0, 0.0]]
)
"""Couplings of hundreds of nats, and no contradiction."""
SURE = of_numbers(
    [[[2.0, 0.0], [0.0, 2.0]]] * 3, [[0.0, 0.0], [0.0, 400.0], [0.0, 500.0], [0.0, 0.0]]
)
"""Weak couplings, and evidence that is sure of itself."""


@pytest.mark.parametrize("form", ["softplus", "logsumexp"])
@pytest.mark.parametrize("numbers", [HUGE, SURE])
def test_log_odds_of_hundreds_are_exact(form: str, numbers: Numbers):
    known = known_messages(numbers)
    assert np.abs(known).max() > (100 if numbers is HUGE else 1.9)
    # Sums of numbers of about 1,000, which double precision has to 1e-13.
    np.testing.assert_allclose(messages_after(numbers, form=form), known, rtol=0, atol=1e-11)


def test_shares_know_sure_neighbours_and_cut_sure_messages_off():
    known = known_messages(SURE)
    np.testing.assert_allclose(messages_after(SURE, form="softmax"), known, rtol=0, atol=1e-9)
    assert known_messages(TIGHT).min() > 160.0
    found = messages_after(TIGHT, form="softmax")
    assert ((found > 40.0) & (found < 66.0)).all()


def test_sigmoids_are_right_within_their_reach_and_wrong_beyond():
    known = known_messages(SURE)
    right = messages_after(SURE, form="sigmoid", reach=600.0)
    np.testing.assert_allclose(right, known, rtol=0, atol=2e-9)
    # Both terms of a message are as large as they can be, and only the table's first column
    # is left: log T(1, 0) - log T(0, 0) = -2.
    np.testing.assert_allclose(messages_after(SURE, form="sigmoid"), [-2.0, -2.0], atol=1e-6)
    assert (known > 1.9).all()


@pytest.mark.parametrize("reach", [1.0, 40.0, 120.0])
def test_sums_of_sigmoids_are_as_good_as_stated(reach: float):
    shifts, weights = softplus_units(reach)
    z = np.concatenate([np.linspace(-900.0, -45.0, 50), np.linspace(-45.0, reach, 5_003)])
    sums = scipy.special.expit(z[:, None] - shifts) @ weights
    assert np.abs(sums - np.logaddexp(0.0, z)).max() <= 1e-9
    assert abs(scipy.special.expit(1e4 - shifts) @ weights - reach) < 8.0
    shifts, z = line_shifts(reach), np.linspace(-reach, reach, 5_003)
    sums = STEP * (scipy.special.expit(z[:, None] - shifts) - 0.5).sum(axis=1)
    assert np.abs(sums - z).max() <= 1e-10


# ---------------------------------------------------------------------- sizes, errors


def test_sizes_by_hand():
    shape = GraphShape(num_variables=5, num_values=3, num_slots=2, arity=3)
    layout = StreamLayout(shape)
    # Start, own number, evidence; two slots with two others each; tables, messages, cavities.
    assert layout.width == 1 + 5 + 2 + 4 * 5 + 4 * 2 + 2 * 27 + 2 * 2 + 4 * 2
    blocks = ("own", "evidence", "address", "back", "table", "messages", "cavities")
    features = [layout.start, *(i for name in blocks for i in getattr(layout, name).ravel())]
    assert sorted(features) == list(range(layout.width))
    assert layout.embedding().shape == (shape.num_features, layout.width)
    assert count_heads(shape) == 2 * 2 * 2 + 1
    network = build(shape, 2)
    assert network.config.heads_per_layer == 9
    assert network.config.mlp_size == 2 * 3 * 9
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(network))
    assert message_passing(SMALL, 1).embedding.dtype == jnp.float32


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the tests' type checker off, so that a user's error message is seen."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("shape", "num_rounds", "options", "message"),
    [
        (SMALL, 0, {}, "num_rounds: expected at least 1, got 0"),
        (
            SMALL,
            1,
            {"form": "relu"},
            "form: expected 'softplus', 'sigmoid', 'logsumexp' or 'softmax', got 'relu'",
        ),
        (
            GraphShape(3, 4, num_slots=2),
            1,
            {"form": "softplus"},
            "form: expected 'logsumexp' or 'softmax' for 4 values, got 'softplus'",
        ),
        (
            GraphShape(3, 2, num_slots=2, arity=3),
            1,
            {"form": "sigmoid"},
            "form: expected 'logsumexp' or 'softmax' for factors of 3 variables, got 'sigmoid'",
        ),
        (SMALL, 1, {"reach": 9.0}, "reach: expected None with form='logsumexp', got 9.0"),
        (
            SMALL,
            1,
            {"form": "softmax", "reach": 0.5},
            "reach: expected at least 1 and finite, got 0.5",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    shape: GraphShape, num_rounds: int, options: dict, message: str, untyped
):
    assert raised(ValueError, lambda: message_passing(shape, num_rounds, **options)) == message


def test_a_graph_beyond_the_bounds_says_how_many_heads_it_needs():
    rows = PAIRS["K4"].rows(GraphShape(4, 2, num_slots=3))
    message = raised(ValueError, lambda: message_passing(SMALL, 1, graph=rows))
    assert message == (
        "graph: expected at most 2 factors of a variable and 2 variables of a factor, which 5 "
        "heads serve, got 3 and 2, which need 10"
    )
    rows = PAIRS["one pair"].rows(GraphShape(3, 2, num_slots=2))
    message = raised(ValueError, lambda: message_passing(SMALL, 1, graph=rows))
    assert message.startswith("graph: expected one graph of GraphShape(num_variables=4, ")
