"""What is of the wrong kind altogether is refused in one line that names the argument."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from complaints import raised, unchecked

import bayescmp as bc
from bayescmp.cli import main
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.files import write_atomically
from bayescmp.layers import weight_distance
from bayescmp.models import FactorGraphModel, FixedTables, RandomTrees, UniformTables
from bayescmp.networks import LSTMConfig

KEY = jax.random.key(0)
CHAIN = bc.models.graph_structures.chain(2)
LAW = UniformTables()
FLU = bc.NamedGraph.from_factors({("flu",): [0.9, 0.1], ("flu", "fever"): [[0.9, 0.1], [0.2, 0.8]]})
MODEL = FactorGraphModel(CHAIN, FixedTables([[[0.9, 0.1], [0.2, 0.8]]]))
SHAPE = GraphShape(3, 2, 2)
TOSSES = bc.models.beta_bernoulli(length=4)
ORACLE = bc.derive_oracle(TOSSES)


def network(kind: str = "gelu") -> bc.Transformer:
    config = bc.TransformerConfig(
        num_layers=1, num_heads=1, model_size=4, mlp_size=4, activation=kind
    )
    return bc.Transformer.for_model(bc.models.Bijection(3), config, key=KEY)


def audit(**change) -> object:
    given = {"draws": np.zeros((50, 9, 2)), "truths": np.zeros((50, 2))} | change
    return bc.auditing.audit_posterior(given.pop("draws"), given.pop("truths"), key=KEY, **given)


def calibrate(subject: object = ORACLE, shown: object = None, **options) -> object:
    return bc.auditing.simulate_calibration(
        subject, ORACLE, key=KEY, num_replicates=20, observed=shown, **options
    )


def tossed(length: int) -> bc.Batch:
    return TOSSES.batch_from_sites({"token": np.array([1, 0, 1, 0])}, lengths=length)


CASES: dict[str, Callable[[], object]] = {
    "subject: expected an oracle, settings of chains, or a function of a batch and a key, got "
    "Transformer": lambda: bc.auditing.simulate_calibration(
        network(), ORACLE, key=KEY, num_replicates=20
    ),
    "num_places: expected 1 to 25, got 0": lambda: audit(num_places=0),
    "graph: expected a FactorGraph, got list": lambda: FactorGraphModel([(0, 1)], LAW),
    "law: expected a TableLaw, got list": lambda: FactorGraphModel(CHAIN, [[0.5, 0.5]]),
    "shape: expected a GraphShape, got tuple": lambda: FactorGraphModel(CHAIN, LAW, shape=(2, 2)),
    "names: expected text for each": lambda: FactorGraphModel(CHAIN, LAW, names=(1, 2)),
    "evidence_prob: expected a probability, got 'x'": lambda: FactorGraphModel(
        CHAIN, LAW, evidence_prob="x"
    ),
    "tables: expected numbers": lambda: FixedTables([[[1, 2], [3]]]),
    "a setting that all of them allow, got none": lambda: FactorGraphModel(
        bc.models.graph_structures.chain(3),
        FixedTables([[[1, 0], [1, 0]], [[0, 0], [0, 1]]]),  # the middle one has no value left
    ),
    "evidence: expected a Mapping, got list": lambda: MODEL.pose(["x0"]),
    "expected x0 in 0 .. 1, got [0 1]": lambda: MODEL.pose({"x0": np.array([0, 1])}),
    "sizes: expected at least 1 value": lambda: FactorGraph(((0,),), (0,)),
    "scopes: expected tuples": lambda: FactorGraph([[0, 1]], (2, 2)),
    "num_variables: expected a whole number, got 4.5": lambda: RandomTrees(4.5),
    "num_children: expected a whole number": lambda: RandomTrees(4, num_children="two"),
    "sizes: expected a tuple of two whole numbers, got 3": lambda: RandomTrees(8, sizes=3),
    "whole numbers, got (2, 3.5)": lambda: RandomTrees(8, sizes=(2, 3.5)),
    "law: expected a TableLaw, got str": lambda: RandomTrees(8, law="uniform"),
    "graph: expected a NamedGraph": lambda: bc.ask_graph({("flu",): [0.9, 0.1]}),
    "NamedGraph.from_factors or read_graph, got FactorGraph": lambda: bc.explain_impossible(
        CHAIN, {}
    ),
    "evidence: expected values by name": lambda: bc.ask_graph(FLU, ["flu"]),
    "expected flu in 0 .. 1, got 0.5": lambda: bc.ask_graph(FLU, {"flu": 0.5}),
    "expected flu in 0 .. 1, got None": lambda: bc.explain_impossible(FLU, {"flu": None}),
    "factors: expected a mapping by name": lambda: bc.NamedGraph.from_factors([("a",)]),
    "factors: expected at least one": lambda: bc.NamedGraph.from_factors({}),
    "factor ('a',): expected a table of weights": lambda: bc.NamedGraph.from_factors(
        {("a",): ["some", "more"]}
    ),
    "values: expected a name for each": lambda: bc.NamedGraph.from_factors(
        {("a",): [1, 2]}, values={"a": "ny"}
    ),
    "model: expected a generative model": lambda: bc.read_graph(FLU),
    "shape: expected a GraphShape, such as": lambda: bc.networks.message_passing(MODEL, 2),
    "num_rounds: expected a whole number": lambda: bc.networks.message_passing(SHAPE, 2.5),
    "graph: expected GraphRows": lambda: bc.networks.message_passing(SHAPE, 2, graph=CHAIN),
    "network: expected a Transformer, got LSTM": lambda: weight_distance(
        bc.build_network(LSTMConfig(), bc.models.Bijection(3), key=KEY), network()
    ),
    "reference: expected a Transformer, got NoneType": lambda: weight_distance(network(), None),
    "reference's activation 'gelu', got 'relu'": lambda: weight_distance(
        network("relu"), network()
    ),
    "draws: expected an array (simulation, draw, parameter), got list": lambda: audit(draws=[[1]]),
    "truths: expected an array (simulation, parameter), got (50,)": lambda: audit(
        truths=np.zeros(50)
    ),
    "features: expected an array": lambda: audit(features=np.zeros(50)),
    "log_densities: expected a tuple of two": lambda: audit(log_densities=np.zeros((50, 9))),
    "log_densities: expected numbers, got NaN": lambda: audit(
        log_densities=(np.full((50, 9), np.nan), np.zeros(50))
    ),
    "names: expected one for each parameter, got 'ab'": lambda: audit(names="ab"),
    "observed: expected what batch_from_sites": lambda: calibrate(shown={"token": [1]}),
    "observed: expected one sequence": lambda: calibrate(shown=TOSSES.sample(3, key=KEY)),
    "observed: expected from 1 to 3": lambda: calibrate(shown=tossed(4)),
    "at most 2 questions that count with replicates='posterior', got 3": lambda: calibrate(
        shown=tossed(3), replicates="posterior"
    ),
    "subject: expected laws by name, got ndarray": lambda: calibrate(lambda *_: np.zeros(20)),
    "subject: expected LatentDraws or a LatentTable of 'bias'": lambda: calibrate(
        lambda *_: {"bias": np.zeros((20, 9))}
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_what_is_wrong_is_named_in_one_line(message: str) -> None:
    with unchecked():
        assert message in raised((TypeError, ValueError), CASES[message])


def test_numbers_from_arrays_are_values_too() -> None:
    with unchecked():
        for value in (np.int64(1), jax.numpy.array(1), True):
            assert bc.ask_graph(FLU, {"flu": value})["flu"].tolist() == [0.0, 1.0]
            assert int(MODEL.pose({"x0": value}).shown["evidence"][0]) == 2


def test_a_folder_is_no_file_to_write(tmp_path) -> None:
    message = raised(ValueError, lambda: write_atomically(tmp_path, b""))
    assert message == f"path: expected a file, got the folder {tmp_path}"


STUDY = '''"""Does it fail?"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    seeds: int = 1


PRESETS = {"default": Config()}
CLAIMS = ()


def run(config, *, key, workspace):
    raise KeyError("unheard of")
'''


def test_an_error_of_a_study_of_ones_own_is_one_line(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(STUDY)
    assert main(["run", "mine.py", "--out", "out"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("bayescmp: error: KeyError: 'unheard of' (--traceback shows where)\n")
    assert "Traceback" not in said
