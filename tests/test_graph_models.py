"""Models of factor graphs: draws, rows and answers against loops over all settings."""

from functools import cache

import equinox as eqx
import factor_graphs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised
from scipy import stats

import bayescmp as bc
from bayescmp.auditing.decisions import Decisions
from bayescmp.certification import MOST_ERRORS, count_deviation
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.measures.decisions import ACTIONS, Utilities
from bayescmp.models import (
    ConditionalTables,
    FactorGraphModel,
    FixedTables,
    GaussianCouplings,
    RandomTrees,
    SignCouplings,
    UniformTables,
    bayesian_network,
    graph_structures,
    random_parents,
)

UNEVEN = FactorGraph(((0, 1, 2), (2, 3), (3,)), (2, 3, 2, 3))
"""A factor of three, one of two and one of one; two and three values."""

MODELS = {
    "uneven": FactorGraphModel(
        UNEVEN, UniformTables(0.1), evidence_prob=0.4, shape=GraphShape(5, 4, num_slots=3, arity=3)
    ),
    "loop": FactorGraphModel(graph_structures.complete(4), SignCouplings(1.0)),
    "network": FactorGraphModel(bayesian_network(random_parents(4, 2)), ConditionalTables(0.5)),
    "trees": RandomTrees(num_variables=5, num_children=2, depth=2, evidence_prob=0.4),
    "chains": RandomTrees(4, 3, 1, GaussianCouplings(2.0), is_relabelled=False),
}
every_model = pytest.mark.parametrize("name", MODELS)


@cache
def drawn(name: str, num_sequences: int = 1_024):
    """Draw in 64 bits, and return the batch, its sites, its rows and the exact answers."""
    model = MODELS[name]

    @eqx.filter_jit
    def everything(key):
        batch = model.sample(num_sequences, key=key)
        sites = model.engine_sites(batch)
        oracle = bc.derive_oracle(model)
        return batch, sites, jax.vmap(model.rows)(sites), oracle(batch), oracle.engine

    with jax.enable_x64(True):
        *found, _ = everything(jax.random.key(1))
        return jax.tree.map(np.asarray, tuple(found))


def decode(rows: GraphRows, number: int) -> tuple[tuple, tuple, np.ndarray]:
    """Read the rows of one graph back as scopes, log tables and the variables that are there.

    Every factor is found once from each of its variables; tables must agree between them.
    """
    potentials = rows.log_potentials[number]
    num, shape = len(potentials), rows.shape
    there = [v for v in range(num) if not np.isneginf(potentials[v]).all()]
    found: dict[frozenset, list] = {}
    for v in there:
        for slot in range(shape.num_slots):
            others = rows.others[number, v, slot].tolist()
            back = rows.back[number, v, slot].tolist()
            if others[0] == num:
                assert set(others) == {num}
                assert set(back) == {shape.num_slots}
                continue
            table = rows.log_tables[number, v, slot].reshape(shape.table_shape)
            own = [v, *(u for u in others if u < num)]
            table = table[(..., *(0,) * (shape.arity - len(own)))]
            # The other one has this factor where the back pointer says.
            for u, b in zip(own[1:], back, strict=False):
                assert v in rows.others[number, u, b]
            order = np.argsort(own)
            found.setdefault(frozenset(own), []).append(np.transpose(table, order))
    for scope, tables in found.items():
        assert len(tables) == len(scope)  # no two factors tie the same variables here
        for table in tables[1:]:
            np.testing.assert_array_equal(table, tables[0])
    scopes = tuple(tuple(sorted(scope)) for scope in found)
    return scopes, tuple(tables[0] for tables in found.values()), np.array(there)


@every_model
def test_rows_say_all_that_the_answers_need(name):
    batch, _, rows, reference = drawn(name)
    for number in range(8):
        scopes, tables, there = decode(rows, number)
        # Padding has its first value, which no factor sees.
        padding = np.where(np.arange(rows.shape.num_values) == 0, 0.0, -np.inf)
        potentials = [
            rows.log_potentials[number, v] if v in there else padding
            for v in range(rows.shape.num_variables)
        ]
        _, expected = factor_graphs.brute_force(scopes, tables, tuple(potentials))
        answers = np.exp(reference.log_predictive[number])
        counts = batch.supervised[number]
        # Sums of up to 500 products of ten factors in 64 bits: 500 * 1e-15.
        np.testing.assert_allclose(answers[counts], np.array(expected)[counts], atol=1e-12)


@every_model
def test_drawn_values_follow_the_exact_answers(name):
    batch, _, rows, reference = drawn(name)
    right = np.eye(rows.shape.num_values)[batch.outcomes]
    law = np.where(batch.supervised[..., None], np.exp(reference.log_predictive), right)
    # Exceeded less than once in 100,000 draws.
    assert count_deviation(law, batch.outcomes, revealed=False) < MOST_ERRORS


@every_model
def test_what_is_seen_or_padding_does_not_count(name):
    batch, sites, rows, _ = drawn(name)
    there = ~np.isneginf(rows.log_potentials).all(axis=-1)
    np.testing.assert_array_equal(batch.supervised, there & (sites["evidence"] == 0))
    seen = sites["evidence"] > 0
    np.testing.assert_array_equal(batch.outcomes[seen], sites["evidence"][seen] - 1)
    assert not seen[~there].any()
    assert not batch.outcomes[~there].any()


def test_a_program_with_padding_agrees_with_its_enumeration():
    # The registry has a loop and trees that are held against enumeration in test_models.
    result = bc.certify(MODELS["uneven"], num_sequences=8)
    assert result.passed, result
    assert "enumeration" in result.judge


def test_joint_draws_follow_the_tables():
    tables = [[[0.9, 0.3, 0.0], [0.1, 0.5, 0.7]], [[0.2, 0.8], [0.6, 0.1], [0.5, 0.5]]]
    law, graph = FixedTables(tables), FactorGraph(((0, 1), (1, 2)), (2, 3, 2))
    model = FactorGraphModel(graph, law, names=("a", "b", "c"), evidence_prob=0.25)
    batch = eqx.filter_jit(model.sample)(8_192, key=jax.random.key(3))
    numbers = np.ravel_multi_index([np.asarray(batch.latents[n]) for n in "abc"], graph.sizes)
    with np.errstate(divide="ignore"):
        logs = tuple(np.log(table) for table in tables)
    nothing = tuple(np.zeros(size) for size in graph.sizes)
    joint = factor_graphs.joint_law(graph.scopes, logs, nothing).ravel()
    counts, possible = np.bincount(numbers, minlength=12), joint > 0
    assert not counts[~possible].any()
    expected = joint[possible] / joint.sum() * 8_192
    # Level 1e-4; every cell is expected more than a hundred times.
    assert stats.chisquare(counts[possible], expected).pvalue > 1e-4
    shares = (np.asarray(batch.shown["evidence"]) > 0).mean(axis=0)
    # Four standard errors of a share of a quarter.
    np.testing.assert_allclose(shares, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 8_192))


def test_trees_have_all_sizes_and_shapes_within_their_bounds():
    batch, *_ = drawn("trees")
    parents, sizes = batch.shown["parents"], batch.latents["size"]
    # Four sizes are equally likely, at level 1e-4.
    assert stats.chisquare(np.bincount(sizes)[2:]).pvalue > 1e-4
    for row, size in zip(parents, sizes, strict=True):
        assert (row[size:] == 5).all()
        assert row[0] == 5
        assert (row[1:size] < np.arange(1, size)).all()
        depth = np.zeros(6, int)
        for v in range(1, size):
            depth[v] = depth[row[v]] + 1
        assert depth.max() <= 2
        assert np.bincount(row, minlength=6)[:5].max() <= 2
    # The root stands in each row equally often.
    assert stats.chisquare(np.bincount(batch.shown["labels"][:, 0], minlength=5)).pvalue > 1e-4
    assert MODELS["trees"].num_rounds == 4


def test_evidence_rows_are_the_evidence_blocks_of_the_whole():
    law = FixedTables([[[0.9, 0.2], [0.1, 0.8]], [0.3, 0.7]])
    graph = FactorGraph(((0, 1), (1,)), (2, 2))
    whole, alone = (FactorGraphModel(graph, law, shows=shows) for shows in ("graph", "evidence"))
    first, second = (model.pose({"x0": 1}) for model in (whole, alone))
    assert second.inputs.shape == (3, 3)
    blocks = [whole.graph_shape.block(name) for name in ("start", "evidence")]
    taken = np.concatenate([first.inputs[:, block] for block in blocks], axis=1)
    np.testing.assert_array_equal(second.inputs, taken)
    answers = [
        bc.derive_oracle(model)(batch).log_predictive
        for model, batch in ((whole, first), (alone, second))
    ]
    np.testing.assert_array_equal(*answers)
    # p(x1 | x0 = 1) ~ T(1, x1) U(x1)
    law = np.array([0.1 * 0.3, 0.8 * 0.7])
    np.testing.assert_allclose(np.exp(answers[0][1]), law / law.sum(), rtol=1e-6)


def test_extreme_couplings_stay_in_log_space():
    model = FactorGraphModel(graph_structures.cycle(3), GaussianCouplings(1.0, 0.0))
    with jax.enable_x64(True):
        batch = model.pose({"x0": 1}, coupling=[2e4, 3e4, 1e4])
        log_p = bc.derive_oracle(model)(batch).log_predictive
    # x1 = 0 breaks its agreement with x0; x2 best stays with x1 (3e4), at the cost of the last.
    np.testing.assert_allclose(log_p[1], [-(4e4 + 2e4), 0.0], rtol=1e-12)
    np.testing.assert_allclose(log_p[2], [-(4e4 + 2e4), 0.0], rtol=1e-12)


STRUCTURES = {
    "chain": (graph_structures.chain(5), True, 4),
    "star": (graph_structures.star(5), True, 2),
    "tree": (graph_structures.tree(2, 2), True, 4),
    "tree of threes": (graph_structures.tree(2, 1, arity=3), True, 3),
    "random tree": (graph_structures.random_tree(9, num_children=1), True, 8),
    "triangle": (graph_structures.cycle(3), False, 2),
    "square": (graph_structures.cycle(4), False, 2),
    "K4": (graph_structures.complete(4), False, 2),
    "grid": (graph_structures.grid(2, 3), False, 3),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_have_their_shape(name):
    graph, is_tree, diameter = STRUCTURES[name]
    # Two variables of one factor are neighbours; all can be reached from each other.
    num = len(graph.sizes)
    reach = np.eye(num, dtype=int)
    for scope in graph.scopes:
        reach[np.ix_(scope, scope)] = 1
    assert (np.linalg.matrix_power(reach, num) > 0).all()
    edges, nodes = sum(map(len, graph.scopes)), num + len(graph.scopes)
    assert graph.is_tree == is_tree == (edges == nodes - 1)
    assert graph.diameter == diameter


def test_without_evidence_a_network_answers_with_its_first_table():
    model = MODELS["network"]
    rows = np.random.default_rng(0).dirichlet([0.5, 0.5], 11)
    batch = model.pose({}, rows=rows)
    found = np.exp(bc.derive_oracle(model)(batch).log_predictive)
    np.testing.assert_allclose(found[0], rows[0], rtol=1e-5)
    # The second variable has the first as its only parent.
    np.testing.assert_allclose(found[1], rows[0] @ rows[1:3], rtol=1e-5)


def test_decisions_are_averaged_over_sequences_that_ask_something():
    # Where all variables happen to be seen, no question is left.
    worth = np.array([[0.5, np.nan], [np.nan, np.nan], [0.25, 0.75]])
    share = np.zeros((len(ACTIONS), len(ACTIONS)))
    found = Decisions(Utilities(), "nothing", worth - 0.25, worth, worth, share)
    np.testing.assert_allclose(found.mean_regret.mean, 0.25)


CHAIN = graph_structures.chain(2)
TABLE = [[0.9, 0.1], [0.2, 0.8]]
COMPLAINTS = {
    "names: expected different names": lambda: FactorGraphModel(
        CHAIN, UniformTables(), names=("a", "a")
    ),
    "got 'evidence'": lambda: FactorGraphModel(CHAIN, UniformTables(), names=("a", "evidence")),
    "got 'entries'": lambda: FactorGraphModel(CHAIN, UniformTables(), names=("a", "entries")),
    "names: expected one for each of 2": lambda: FactorGraphModel(
        CHAIN, UniformTables(), names=("a",)
    ),
    "evidence_prob: expected a probability, got 1.5": lambda: FactorGraphModel(
        CHAIN, UniformTables(), evidence_prob=1.5
    ),
    "evidence_prob: expected below 1": lambda: FactorGraphModel(
        CHAIN, UniformTables(), evidence_prob=1.0
    ),
    "observable: expected names among": lambda: FactorGraphModel(
        CHAIN, UniformTables(), observable=("b",)
    ),
    "shows: expected 'graph' for tables that differ": lambda: FactorGraphModel(
        CHAIN, UniformTables(), shows="evidence"
    ),
    "expected num_variables of at least 2": lambda: FactorGraphModel(
        CHAIN, UniformTables(), shape=GraphShape(1, 2, 1)
    ),
    "expected num_slots of at least 3": lambda: FactorGraphModel(
        graph_structures.star(4), UniformTables(), shape=GraphShape(4, 2, 2)
    ),
    "shape (2, 2) for factor a-b, got (2, 3)": lambda: FactorGraphModel(
        CHAIN, FixedTables([np.ones((2, 3))]), names=("a", "b")
    ),
    "not negative for factor a-b, got -0.5": lambda: FactorGraphModel(
        CHAIN, FixedTables([[[0.9, -0.5], [0.2, 0.8]]]), names=("a", "b")
    ),
    "positive weight for factor a-b, got only zeros": lambda: FactorGraphModel(
        CHAIN, FixedTables([np.zeros((2, 2))]), names=("a", "b")
    ),
    "tables: expected one for each of 1 factors, got 2": lambda: FactorGraphModel(
        CHAIN, FixedTables([TABLE, TABLE])
    ),
    "evidence: expected x0 in 0 .. 1, got 2": lambda: FactorGraphModel(
        CHAIN, FixedTables([TABLE])
    ).pose({"x0": 2}),
    "did you mean 'x1'?": lambda: FactorGraphModel(CHAIN, FixedTables([TABLE])).pose({"xx1": 0}),
    "not negative for factor x0-x1, got -1": lambda: FactorGraphModel(CHAIN, UniformTables()).pose(
        {}, entries=jnp.array([0.5, -1.0, 0.5, 0.5])
    ),
    "a network with a cycle is none": lambda: bayesian_network([(1,), (0,)]),
    "as bayesian_network makes it": lambda: FactorGraphModel(CHAIN, ConditionalTables()),
    "low: expected at least 0 and below 1": lambda: UniformTables(low=1.0),
    "scale: expected a positive number": lambda: GaussianCouplings(scale=0.0),
    "field_scale: expected": lambda: SignCouplings(field_scale=-1.0),
    "num_variables: expected at least 3": lambda: graph_structures.cycle(2),
    "num_variables: expected at least 2, got 1": lambda: RandomTrees(1),
    "depth: expected room for 8 variables": lambda: RandomTrees(8, num_children=1, depth=3),
}


@pytest.mark.parametrize("message", COMPLAINTS)
def test_arguments_are_checked(message):
    assert message in raised(ValueError, COMPLAINTS[message])


def tree_sites(**changes) -> dict:
    """Return the sites of one tree of three variables and padding, some of them changed."""
    sites = {
        "parents": [4, 0, 0, 4],
        "labels": [1, 0, 3, 2],
        "entries": np.full(12, 0.5),
        "evidence": [0, 2, 0, 0],
        "value": [0, 1, 0, 0],
    }
    return {name: jnp.asarray(value) for name, value in {**sites, **changes}.items()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": [4, 2, 1, 4]}, "a graph with a cycle is no tree"),
        ({"parents": [4, 0, 4, 0]}, "those after the last"),
        ({"parents": [4, 0, 0, 0]}, "at most 2 children of a variable, got 3 of x0"),
        ({"labels": [0, 0, 1, 2]}, "each row from 0 to 3 once"),
        ({"evidence": [0, 0, 1, 0]}, "nothing seen of padding, got 0 in row 2"),
        ({"entries": np.r_[np.zeros(4), np.ones(8)]}, "factor above x1, got only zeros"),
    ],
)
def test_supplied_trees_are_checked(changes, message):
    model = RandomTrees(4, num_children=2)
    model.batch_from_sites(tree_sites())
    assert message in raised(ValueError, lambda: model.batch_from_sites(tree_sites(**changes)))


def test_impossible_evidence_is_refused():
    model = FactorGraphModel(graph_structures.chain(3), FixedTables([np.eye(2), TABLE]))
    message = raised(ValueError, lambda: bc.derive_oracle(model)(model.pose({"x0": 0, "x1": 1})))
    assert "probability zero" in message


def test_networks_are_trained_on_graphs_and_compared():
    model = FactorGraphModel(CHAIN, FixedTables([TABLE]), shows="evidence")
    oracle = bc.derive_oracle(model)
    config = bc.TransformerConfig(num_layers=1, model_size=8, num_heads=1, causal=False)
    network = bc.Transformer.for_model(model, config, key=jax.random.key(0))
    training = bc.Training(num_steps=2, batch_size=4)
    fit = bc.fit(network, model, key=jax.random.key(1), training=training, progress=False)
    rungs = (bc.predictors.GraphPropagation(model, 1),)
    tree = bc.compare(fit.network, oracle, key=jax.random.key(2), num_sequences=16, ladder=rungs)
    assert np.isfinite(tree["divergence/mean_kl"]).all()
    # One factor: a single round is exact. Sums of four numbers in 32 bits.
    np.testing.assert_allclose(tree["ladder/mean_kl"], 0.0, atol=1e-6)
