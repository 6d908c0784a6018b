"""Belief propagation as a rung for graph tasks, and the ladder that has it."""

from functools import cache

import equinox as eqx
import jax
import numpy as np
import pytest
from complaints import raised

import bayescmp as bc
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.models import FactorGraphModel, RandomTrees, SignCouplings, UniformTables
from bayescmp.models.graph_structures import chain, cycle
from bayescmp.predictors import AbstractPredictor, GraphPropagation, standard_ladder

EXACT = 1e-10
"""Some thousand operations in 64 bits, 2e-16 each."""

CHAIN = FactorGraphModel(chain(5), UniformTables(low=0.1))
LOOP = FactorGraphModel(cycle(3), SignCouplings(strength=1.0))
TREES = RandomTrees(num_variables=5, num_children=3)


def rungs_of(model: AbstractGraphModel) -> tuple[AbstractPredictor, ...]:
    """Return the ladder, and enough rounds for a tree; for drawn trees a short one."""
    ladder = standard_ladder(bc.derive_oracle(model), key=jax.random.key(1), num_sequences=64)
    enough = (GraphPropagation(model, model.num_rounds),) if model.is_tree else ()
    return (*(ladder[1:5] if model is TREES else ladder), *enough)


@cache
def answer(model: AbstractGraphModel) -> tuple[bc.Batch, np.ndarray, dict[str, np.ndarray]]:
    """Return a batch, the exact laws and those of all rungs, in 64 bits."""
    oracle, rungs = bc.derive_oracle(model), rungs_of(model)
    batch = eqx.filter_jit(model.sample)(64, key=jax.random.key(2))
    ask = eqx.filter_jit(lambda o, r, b: (o(b).log_predictive, [x.log_predictive(b) for x in r]))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)
        exact, laws = ask(oracle, rungs, wide)
    return batch, np.exp(exact), {r.name: np.exp(x) for r, x in zip(rungs, laws, strict=True)}


def largest_error(model: AbstractGraphModel, name: str) -> float:
    batch, exact, laws = answer(model)
    return float(np.abs(laws[name] - exact)[np.asarray(batch.supervised)].max())


@pytest.mark.parametrize("model", [CHAIN, TREES], ids=["chain", "random trees"])
def test_trees_are_exact_after_their_diameter_and_not_before(model: AbstractGraphModel):
    assert model.num_rounds == 4
    assert largest_error(model, "belief propagation, 4 rounds") <= EXACT
    assert largest_error(model, "neighbours alone") > 0.01
    for law in answer(model)[2].values():  # where nothing is asked, too
        np.testing.assert_allclose(law.sum(axis=-1), 1.0, atol=EXACT)


def test_half_of_the_rounds_and_naive_messages_are_wrong():
    assert largest_error(CHAIN, "belief propagation, 2 rounds") > 0.001
    assert largest_error(CHAIN, "naive belief propagation, 4 rounds") > 0.01


def test_it_knows_where_it_is_exact():
    assert GraphPropagation(CHAIN, 4).is_exact
    assert GraphPropagation(FactorGraphModel(chain(2), UniformTables(low=0.1)), 1).is_exact
    assert not GraphPropagation(CHAIN, 3).is_exact
    assert not GraphPropagation(CHAIN, 4, cavity=False).is_exact
    assert not GraphPropagation(LOOP, 50).is_exact


def test_no_round_leaves_the_evidence_alone():
    batch, _, laws = answer(CHAIN)
    rows = jax.vmap(CHAIN.rows)(CHAIN.engine_sites(batch))
    weights = np.exp(np.asarray(rows.log_potentials, np.float64))
    expected = weights / weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(laws["evidence alone"], expected, atol=1e-6)  # sites of 32 bits


def test_on_a_loop_messages_rest_in_the_wrong_place():
    assert largest_error(LOOP, "belief propagation, 50 rounds") > 0.05
    rest = eqx.filter_jit(lambda rung, batch: rung.residual(batch))
    assert rest(GraphPropagation(LOOP, 50), answer(LOOP)[0]).max() < 1e-3
    assert np.isnan(rest(GraphPropagation(LOOP, 0), answer(LOOP)[0])).all()


def test_the_ladder_has_propagation_in_place_of_windows():
    assert list(answer(CHAIN)[2])[:-1] == [
        "uniform",
        "best constant",
        "position only",
        "evidence alone",
        "neighbours alone",
        "belief propagation, 2 rounds",
        "naive belief propagation, 4 rounds",
    ]


def test_the_ladder_of_a_loop_goes_on_until_messages_rest():
    assert list(answer(LOOP)[2])[3:] == [
        "evidence alone",
        "neighbours alone",
        "belief propagation, 2 rounds",
        "belief propagation, 50 rounds",
        "naive belief propagation, 2 rounds",
    ]


def test_means_are_taken_over_the_questions_that_count():
    """What is seen is certain, and would make the best constant too sure."""
    oracle = bc.derive_oracle(TREES)
    _, _, laws = answer(TREES)
    batch = eqx.filter_jit(TREES.sample)(64, key=jax.random.key(1))
    exact = np.exp(eqx.filter_jit(oracle)(batch).log_predictive)
    counts = np.asarray(batch.supervised)
    assert not counts.all()
    constant = laws["best constant"][0, 0]
    np.testing.assert_allclose(constant, exact[counts].mean(axis=0), rtol=1e-5)
    expected = [exact[counts[:, v], v].mean(axis=0) for v in range(5)]
    np.testing.assert_allclose(laws["position only"][0], expected, rtol=1e-5)


def test_names_and_what_it_does_not_take():
    assert GraphPropagation(LOOP, 3, cavity=False).name == "naive belief propagation, 3 rounds"
    assert GraphPropagation(LOOP, 3, name="mine").name == "mine"
    message = raised(ValueError, lambda: GraphPropagation(LOOP, -1))
    assert message == "num_rounds: expected at least 0, got -1"
