"""Blocks against rounds of messages: planted streams, constructed networks, tables and pages."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp import plots
from bayescmp.comparison.evaluation import answer_exactly
from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.inspection import Recording, follow_rounds, propagate_beliefs, rounds_group
from bayescmp.inspection.examine import ROUNDS
from bayescmp.inspection.recording import record_on
from bayescmp.networks.constructed import message_passing
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.records import LayerTrace
from bayescmp.report.rounds import build_rounds_section
from bayescmp.results.tree import make_tree

KEY = jax.random.key(0)
MODEL = bc.models.FactorGraphModel(
    bc.models.graph_structures.chain(4), bc.models.GaussianCouplings(scale=1.5)
)
DIAMETER = 3


@final
class Echo(AbstractTracedNetwork):
    """A network whose read-out is its residual stream itself."""

    def __call__(self, inputs: Array) -> Array:
        return inputs

    def logits_at(self, inputs: Array, positions: Array, *, places: Array | None = None) -> Array:
        return inputs[..., positions, :]

    def trace_layers(self, inputs: Array) -> LayerTrace:
        raise NotImplementedError

    def read_out(self, stream: Array) -> Array:
        return stream


@pytest.fixture(scope="module")
def evaluation():
    oracle = bc.derive_oracle(MODEL)
    batch = eqx.filter_jit(MODEL.sample)(40, key=jax.random.key(1))
    return answer_exactly(oracle, batch)


@pytest.fixture(scope="module")
def beliefs(evaluation):
    return propagate_beliefs(evaluation, 1)


def planted(evaluation, answers) -> Recording:
    """Make the recording of a network that gives these answers after its embedding and blocks."""
    finite = np.maximum(answers, -60.0)
    streams = np.stack([finite[(place + 1) // 2] for place in range(2 * len(finite) - 1)])
    return Recording(Echo(), evaluation, {}, finite[-1], streams)


def test_beliefs_are_those_of_each_number_of_rounds(evaluation, beliefs):
    assert len(beliefs) == 1 + DIAMETER
    with jax.enable_x64(True):
        sites = jax.tree.map(lambda x: x[0], MODEL.engine_sites(evaluation.batch))
        rows = MODEL.rows(sites)
        tables = tuple(
            jnp.asarray(np.asarray(rows.log_tables)[v, 0 if v == 0 else 1].reshape(2, 2))
            for v in range(3)
        )
        for num_rounds in range(1 + DIAMETER):
            judge = propagate(
                MODEL.graph, tables, tuple(rows.log_potentials), num_rounds=num_rounds
            )
            # Two codes in double precision: rounding of a few sums of exponentials.
            np.testing.assert_allclose(
                np.exp(beliefs[num_rounds, 0]), np.exp(np.stack(judge.log_beliefs)), atol=1e-12
            )
    counts = evaluation.supervised
    np.testing.assert_allclose(
        np.exp(beliefs[-1][counts]), np.exp(evaluation.log_p[counts]), atol=1e-6
    )


def test_blocks_that_are_rounds_are_told(evaluation, beliefs):
    found = follow_rounds(planted(evaluation, beliefs), key=KEY)
    assert found.told_apart == (1, 2)
    # Beliefs of 1e-26 or less are cut off in what is planted.
    np.testing.assert_allclose(np.diagonal(found.kl[0]), 0.0, atol=1e-9)
    assert found.closest[0].tolist() == [0, 1, 2, 3]
    assert abs(found.progress) < 1e-6  # read-outs are in 32 bits
    assert found.misfit < 1e-6
    assert found.own_round_kl < 1e-9 < 1e-3 < found.own_exact_kl
    # What the stream holds itself, a softmax regression finds but for its penalty.
    assert np.diagonal(found.kl[1]).max() < 0.05 * found.exact_kl[0, 0]


def test_a_network_that_knows_the_answer_at_once_is_told(evaluation):
    answers = np.broadcast_to(evaluation.log_p, (4, *evaluation.log_p.shape))
    found = follow_rounds(planted(evaluation, answers), key=KEY, lenses=("read-out",))
    assert found.progress == pytest.approx(1.0, abs=1e-6)
    assert found.misfit < 1e-6
    assert found.own_exact_kl < 1e-6 < 1e-3 < found.own_round_kl
    np.testing.assert_array_equal(found.closest, DIAMETER)


@pytest.mark.parametrize("seed", [0, 1])
def test_chance_follows_neither(evaluation, seed):
    rng = np.random.default_rng(seed)
    answers = rng.normal(size=(4, *evaluation.log_p.shape))
    found = follow_rounds(planted(evaluation, answers), key=KEY, lenses=("read-out",))
    assert found.misfit > 0.5
    assert found.own_round_kl > 0.1


def test_a_constructed_network_is_rounds():
    oracle = bc.derive_oracle(MODEL)
    with jax.enable_x64(True):
        network = message_passing(MODEL.graph_shape, 3, form="softplus", shared=True)
        batch = MODEL.sample(16, key=jax.random.key(2))
        found = follow_rounds(
            record_on(network, answer_exactly(oracle, batch)), key=KEY, lenses=("read-out",)
        )
    np.testing.assert_allclose(np.diagonal(found.kl[0]), 0.0, atol=1e-6)
    assert abs(found.progress) < 1e-6
    assert found.exact_kl[0, -1] < 1e-6


def test_group_figure_and_section_agree(evaluation, beliefs):
    seeds = [
        follow_rounds(planted(evaluation, answers), key=KEY, lenses=("read-out",))
        for answers in (beliefs, beliefs[::-1])
    ]
    groups, attrs = split(synthetic_tree(num_seeds=2, num_layers=3))
    tree = make_tree({**groups, "/rounds": rounds_group(seeds)}, attrs)
    assert tree["/rounds/closest"].values[0].tolist() == [[0, 1, 2, 3]]
    section = build_rounds_section(tree)
    assert section.figures[0].variables == ("/rounds/kl", "/rounds/exact_kl")
    assert "0: the round, 1: exact" in section.paragraphs[0]
    assert len(plots.plot_rounds(tree).axes) == 2
    assert build_rounds_section(synthetic_tree(num_seeds=2)).missing


def test_rounds_end_where_the_network_is_shallow(evaluation, beliefs):
    found = follow_rounds(planted(evaluation, beliefs[:2]), key=KEY, lenses=("read-out",))
    assert found.kl.shape == (1, 2, 1 + DIAMETER)
    assert found.told_apart == (1,)


def test_other_models_are_refused(evaluation):
    model = bc.models.beta_bernoulli(length=3)
    oracle = bc.derive_oracle(model)
    network = bc.Transformer.for_model(
        model, bc.TransformerConfig(num_layers=1, model_size=8, mlp_size=8), key=KEY
    )
    with pytest.raises(ValueError, match="'rounds' for models of factor graphs alone"):
        bc.examine(network, oracle, key=KEY, instruments=[ROUNDS])
    with pytest.raises(ValueError, match="model: expected one of factor graphs"):
        propagate_beliefs(answer_exactly(oracle, model.sample(2, key=KEY)), 1)
    with pytest.raises(ValueError, match="lenses: expected"):
        follow_rounds(planted(evaluation, evaluation.log_p[None]), key=KEY, lenses=("fitted",))
