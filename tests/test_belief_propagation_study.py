"""The study of belief propagation: what it measures fires where it must, and nowhere else."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayescmp as bc
from bayescmp.inspection.construction import (
    STAGES,
    ConstructionFindings,
    construction_group,
)
from bayescmp.inspection.following import (
    EXACT,
    UNCLEAR,
    follow_errors,
    following_group,
    name_nearer,
)
from bayescmp.inspection.loops import FIGURES, check_loops, loops_group
from bayescmp.models import FactorGraphModel, SignCouplings, graph_structures
from bayescmp.networks.constructed.departures import Departure, Place
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch
from bayescmp.report.belief_propagation import (
    build_construction_section,
    build_following_section,
    build_loops_section,
)
from bayescmp.results.schema import SCHEMA
from bayescmp.results.tree import validate_tree
from bayescmp.studies import belief_propagation as study
from tests.synthetic_tree import synthetic_tree

ROUNDS = (1, 20)


@pytest.fixture(scope="module")
def oracle() -> bc.AbstractOracle:
    square = graph_structures.cycle(4)
    return bc.derive_oracle(FactorGraphModel(square, SignCouplings(strength=1.0)))


class Between(AbstractPredictor):
    """A mixture of exact marginals and propagated beliefs, in known parts."""

    oracle: bc.AbstractOracle
    rival: AbstractPredictor
    part: float
    name: str

    def log_predictive(self, batch: Batch) -> Predictive:
        exact = jnp.exp(self.oracle(batch).log_predictive)
        belief = jnp.exp(self.rival.log_predictive(batch))
        return jnp.log((1.0 - self.part) * exact + self.part * belief)


def follow(subject, oracle: bc.AbstractOracle):
    return follow_errors(subject, oracle, ROUNDS, num_graphs=128, key=jax.random.key(0))


def test_propagation_is_found_to_follow_itself(oracle):
    found = follow(bc.predictors.GraphPropagation(oracle.model, 20), oracle)
    assert found.follows == "20 rounds"
    assert found.slope == pytest.approx(1.0)
    assert found.to_propagation[1] == pytest.approx(0.0, abs=1e-9)
    assert found.error == found.propagation_error > 0.01


def test_exact_inference_is_found_to_follow_nothing(oracle):
    found = follow(oracle, oracle)
    assert found.follows == EXACT
    assert found.slope == pytest.approx(0.0, abs=1e-6)
    assert found.to_exact == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(found.to_propagation > 0.0, True)


def test_the_slope_is_the_share_of_errors_that_is_repeated(oracle):
    rival = bc.predictors.GraphPropagation(oracle.model, 20)
    mixed = Between(oracle=oracle, rival=rival, part=0.25, name="between")
    assert follow(mixed, oracle).slope == pytest.approx(0.25, abs=1e-6)


def test_nothing_is_named_where_two_answers_are_equally_far():
    rng, counts = np.random.default_rng(0), np.ones((200, 3), bool)
    noise = rng.normal(size=(100, 3))
    level = np.concatenate([noise, -noise])
    assert name_nearer(level, counts, "20 rounds") == UNCLEAR
    assert name_nearer(level + 1.0, counts, "20 rounds") == EXACT
    assert name_nearer(level - 1.0, counts, "20 rounds") == "20 rounds"
    assert name_nearer(np.full((200, 3), 1e-15), counts, "20 rounds") == UNCLEAR  # rounding
    # What does not count does not.
    assert name_nearer(level + 1.0 - 9.0 * ~counts, counts, "20 rounds") == EXACT


def test_distances_are_means_of_divergences(oracle):
    found = follow(bc.predictors.GraphPropagation(oracle.model, 1), oracle)
    assert found.to_exact == pytest.approx(found.between[0])
    assert found.follows == "1 round"


def test_loops_harm_where_couplings_are_strong_and_nowhere_else():
    figures = check_loops(
        ("triangle",), (0.01, 1.0), num_draws=60, num_rounds=60, key=jax.random.key(1)
    )
    table = loops_group([figures, figures], num_rounds=60)
    error = table["error"].sel(loop_graph="triangle").values[0]
    # Errors are of the third order in the coupling around a loop of three.
    assert error[1] < 1e-5
    assert error[2] > 0.05
    assert error[0] < 0.005  # the published tables, and their figure of 0.0021
    assert table["strong_error"].values.tolist() == [error[2]] * 2
    assert table["published_converged"].values.tolist() == [1.0] * 2
    with pytest.raises(ValueError, match="graphs: expected names among"):
        check_loops(("line",), (1.0,), num_draws=1, key=jax.random.key(0))


def departure(error: float, place: Place | None = None) -> Departure:
    line = np.array([0.0, error])
    return Departure((), place, line, 2 * line, 3 * line, 4 * error, 5 * error, 0.1)


def test_stages_are_laid_out_by_graph():
    place = Place(1, "gather", "scratch 0", 0.5)
    cases = {
        "pair": [departure(0.3, place), *[departure(0.1)] * 3, departure(0.02), departure(0.0)],
        "loop": [departure(0.7, place), *[departure(0.6)] * 5],
    }
    table = construction_group([ConstructionFindings({"2": departure(0.25)}, cases)] * 2, ["pair"])
    assert table["stage_error"].sel(graph_case="pair", seed=1).values.tolist() == [
        *[0.3, 0.1, 0.1, 0.1, 0.02, 0.0]
    ]
    assert table["place"].sel(repair="as published", graph_case="pair").item() == str(place)
    assert table["place"].sel(repair=STAGES[-1], graph_case="pair").item() == "nowhere"
    assert table["largest_tree_error"].values.tolist() == [1.0, 1.0]
    assert table["largest_layer_error"].values.tolist() == [3.0, 3.0]
    # Loops are no trees: the published claim is not held against them.
    np.testing.assert_allclose(table["published_error"], 0.3)
    np.testing.assert_allclose(table["published_excess"], 0.2)
    np.testing.assert_allclose(table["naive_error"], 0.02)


def test_networks_are_laid_out_by_coupling(oracle):
    exact = follow(oracle, oracle)
    propagated = follow(bc.predictors.GraphPropagation(oracle.model, 20), oracle)
    table = following_group([{"0.1": propagated, "1": exact}] * 2, ROUNDS)
    assert table["follows"].values[0].tolist() == ["20 rounds", EXACT]
    np.testing.assert_allclose(table["weakest_slope"], 1.0)
    assert (table["margin"] > 0.0).all()


def test_every_claim_is_judged_on_a_variable_of_the_table():
    for claim in study.CLAIMS:
        _, group, name = claim.metric.split("/")
        assert SCHEMA[f"/{group}"].variables[name].dims == ("seed",)


def test_presets_differ_in_size_alone():
    quick, default = study.PRESETS["quick"], study.PRESETS["default"]
    assert default.seeds == 5
    assert [field.name for field in fields(quick)] == [field.name for field in fields(default)]
    assert set(quick.loop_graphs) <= set(default.loop_graphs)
    assert quick.couplings[-1] == default.couplings[-1]


def test_the_report_shows_what_the_study_adds(oracle):
    tree = synthetic_tree(num_seeds=2)
    for build in (build_construction_section, build_loops_section, build_following_section):
        assert build(tree).missing
    cases = {"pair": [departure(0.3)] * 6}
    findings = [ConstructionFindings({"2": departure(0.1)}, cases)] * 2
    figures = {
        graph: {
            law: dict.fromkeys(FIGURES, value) for law, value in (("weak", 0.1), ("strong", 0.3))
        }
        for graph in ("triangle", "K4")
    }
    followed = follow(oracle, oracle)
    for name, table in (
        ("construction", construction_group(findings, ["pair"])),
        ("loops", loops_group([figures] * 2, num_rounds=9)),
        ("following", following_group([{"0.5": followed, "1": followed}] * 2, ROUNDS)),
    ):
        tree[f"/{name}"] = xr.DataTree(table)
    validate_tree(tree)
    shown = [build_construction_section(tree), build_loops_section(tree)]
    shown.append(build_following_section(tree))
    assert [section.figures[0].ident for section in shown] == [
        *["fig-construction", "fig-loops", "fig-following"]
    ]
    assert "exact" in [cell.text for cell in shown[2].figures[0].data.rows[0].cells]
