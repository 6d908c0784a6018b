"""Compare transformers and other sequence models with exact Bayesian inference.

Public names are curated here by hand and load on first use (PEP 562), so that
``import bayescmp`` costs next to nothing and allocates no device array::

    import bayescmp as bc
    from bayescmp.models import Bijection

    model = Bijection(size=20)
    oracle = bc.derive_oracle(model)
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp import auditing as auditing
    from bayescmp import exact as exact
    from bayescmp import inspection as inspection
    from bayescmp import layers as layers
    from bayescmp import measures as measures
    from bayescmp import models as models
    from bayescmp import montecarlo as montecarlo
    from bayescmp import networks as networks
    from bayescmp import plots as plots
    from bayescmp import predictors as predictors
    from bayescmp import studies as studies
    from bayescmp import training as training
    from bayescmp._types import Key as Key
    from bayescmp.auditing.audit import audit as audit
    from bayescmp.certification import certify as certify
    from bayescmp.cli import study_main as study_main
    from bayescmp.comparison.compare import compare as compare
    from bayescmp.comparison.explaining import WhichBayes as WhichBayes
    from bayescmp.comparison.explaining import which_bayes as which_bayes
    from bayescmp.comparison.memory import MemoryLength as MemoryLength
    from bayescmp.comparison.memory import memory_length as memory_length
    from bayescmp.comparison.siding import find_side as find_side
    from bayescmp.derivation import derive_oracle as derive_oracle
    from bayescmp.exact.graphs.asking import ask_graph as ask_graph
    from bayescmp.exact.graphs.asking import explain_impossible as explain_impossible
    from bayescmp.exact.graphs.named_graph import NamedGraph as NamedGraph
    from bayescmp.exact.graphs.read_graph import read_graph as read_graph
    from bayescmp.experiment import train_and_compare as train_and_compare
    from bayescmp.generative import AbstractGenerativeModel as AbstractGenerativeModel
    from bayescmp.generative import GenerativeModel as GenerativeModel
    from bayescmp.inspection.examine import examine as examine
    from bayescmp.networks.importing import import_transformer as import_transformer
    from bayescmp.networks.interventions import Interventions as Interventions
    from bayescmp.networks.matching import match_parameters as match_parameters
    from bayescmp.networks.registry import build_network as build_network
    from bayescmp.networks.transformer import Transformer as Transformer
    from bayescmp.networks.transformer import TransformerConfig as TransformerConfig
    from bayescmp.oracle import AbstractOracle as AbstractOracle
    from bayescmp.oracle import Certificate as Certificate
    from bayescmp.oracle import Oracle as Oracle
    from bayescmp.predictors.ladder import standard_ladder as standard_ladder
    from bayescmp.predictors.predictor import AbstractPredictor as AbstractPredictor
    from bayescmp.records import Batch as Batch
    from bayescmp.records import LayerTrace as LayerTrace
    from bayescmp.records import Reference as Reference
    from bayescmp.report.gate import judge_gate as judge_gate
    from bayescmp.report.glance import show as show
    from bayescmp.report.notebook import write_notebook as write_notebook
    from bayescmp.report.side_by_side import write_side_by_side as write_side_by_side
    from bayescmp.report.write import write_report as write_report
    from bayescmp.results.claims import Claim as Claim
    from bayescmp.results.claims_file import load_claims as load_claims
    from bayescmp.results.merging import merge_trees as merge_trees
    from bayescmp.results.tree import validate_tree as validate_tree
    from bayescmp.results.tree_file import load_tree as load_tree
    from bayescmp.results.tree_file import save_tree as save_tree
    from bayescmp.results.verdicts import Verdict as Verdict
    from bayescmp.results.verdicts import judge as judge
    from bayescmp.running import run_study as run_study
    from bayescmp.sweep.resources import SlurmResources as SlurmResources
    from bayescmp.sweep.sweeping import SweepResult as SweepResult
    from bayescmp.sweep.sweeping import run_sweep as run_sweep
    from bayescmp.training.checkpoints.snapshots import load_snapshots as load_snapshots
    from bayescmp.training.checkpoints.stored_network import load_network as load_network
    from bayescmp.training.costs.accounting import account as account
    from bayescmp.training.costs.accounting import learning_curve as learning_curve
    from bayescmp.training.devices.cores import use_all_cores as use_all_cores
    from bayescmp.training.devices.hosts import join_hosts as join_hosts
    from bayescmp.training.fit import Fit as Fit
    from bayescmp.training.loop import fit as fit
    from bayescmp.training.loop import fit_seeds as fit_seeds
    from bayescmp.training.optimisers import SGD as SGD
    from bayescmp.training.optimisers import Adam as Adam
    from bayescmp.training.optimisers import AdamW as AdamW
    from bayescmp.training.optimisers import Lion as Lion
    from bayescmp.training.optimisers import Muon as Muon
    from bayescmp.training.optimisers import ParameterGroup as ParameterGroup
    from bayescmp.training.optimisers import ScheduleFree as ScheduleFree
    from bayescmp.training.optimisers import two_timescale as two_timescale
    from bayescmp.training.optimisers import two_timescale_controls as two_timescale_controls
    from bayescmp.training.settings import Training as Training
    from bayescmp.workspace import Workspace as Workspace

    __version__: str

__all__ = [
    "SGD",
    "AbstractGenerativeModel",
    "AbstractOracle",
    "AbstractPredictor",
    "Adam",
    "AdamW",
    "Batch",
    "Certificate",
    "Claim",
    "Fit",
    "GenerativeModel",
    "Interventions",
    "Key",
    "LayerTrace",
    "Lion",
    "MemoryLength",
    "Muon",
    "NamedGraph",
    "Oracle",
    "ParameterGroup",
    "Reference",
    "ScheduleFree",
    "SlurmResources",
    "SweepResult",
    "Training",
    "Transformer",
    "TransformerConfig",
    "Verdict",
    "WhichBayes",
    "Workspace",
    "__version__",
    "account",
    "ask_graph",
    "audit",
    "auditing",
    "build_network",
    "certify",
    "compare",
    "derive_oracle",
    "exact",
    "examine",
    "explain_impossible",
    "find_side",
    "fit",
    "fit_seeds",
    "import_transformer",
    "inspection",
    "join_hosts",
    "judge",
    "judge_gate",
    "layers",
    "learning_curve",
    "load_claims",
    "load_network",
    "load_snapshots",
    "load_tree",
    "match_parameters",
    "measures",
    "memory_length",
    "merge_trees",
    "models",
    "montecarlo",
    "networks",
    "plots",
    "predictors",
    "read_graph",
    "run_study",
    "run_sweep",
    "save_tree",
    "show",
    "standard_ladder",
    "studies",
    "study_main",
    "train_and_compare",
    "training",
    "two_timescale",
    "two_timescale_controls",
    "use_all_cores",
    "validate_tree",
    "which_bayes",
    "write_notebook",
    "write_report",
    "write_side_by_side",
]

_SUBMODULES = (
    "auditing",
    "exact",
    "inspection",
    "layers",
    "measures",
    "models",
    "montecarlo",
    "networks",
    "plots",
    "predictors",
    "studies",
    "training",
)

_HOMES = {
    "AbstractGenerativeModel": "bayescmp.generative",
    "AbstractOracle": "bayescmp.oracle",
    "AbstractPredictor": "bayescmp.predictors.predictor",
    "Adam": "bayescmp.training.optimisers",
    "AdamW": "bayescmp.training.optimisers",
    "Batch": "bayescmp.records",
    "Certificate": "bayescmp.oracle",
    "Claim": "bayescmp.results.claims",
    "Fit": "bayescmp.training.fit",
    "GenerativeModel": "bayescmp.generative",
    "Interventions": "bayescmp.networks.interventions",
    "Key": "bayescmp._types",
    "LayerTrace": "bayescmp.records",
    "Lion": "bayescmp.training.optimisers",
    "MemoryLength": "bayescmp.comparison.memory",
    "Muon": "bayescmp.training.optimisers",
    "NamedGraph": "bayescmp.exact.graphs.named_graph",
    "Oracle": "bayescmp.oracle",
    "ParameterGroup": "bayescmp.training.optimisers",
    "Reference": "bayescmp.records",
    "SGD": "bayescmp.training.optimisers",
    "ScheduleFree": "bayescmp.training.optimisers",
    "SlurmResources": "bayescmp.sweep.resources",
    "SweepResult": "bayescmp.sweep.sweeping",
    "Training": "bayescmp.training.settings",
    "Transformer": "bayescmp.networks.transformer",
    "TransformerConfig": "bayescmp.networks.transformer",
    "Verdict": "bayescmp.results.verdicts",
    "WhichBayes": "bayescmp.comparison.explaining",
    "Workspace": "bayescmp.workspace",
    "account": "bayescmp.training.costs.accounting",
    "ask_graph": "bayescmp.exact.graphs.asking",
    "audit": "bayescmp.auditing.audit",
    "build_network": "bayescmp.networks.registry",
    "certify": "bayescmp.certification",
    "compare": "bayescmp.comparison.compare",
    "derive_oracle": "bayescmp.derivation",
    "examine": "bayescmp.inspection.examine",
    "explain_impossible": "bayescmp.exact.graphs.asking",
    "find_side": "bayescmp.comparison.siding",
    "fit": "bayescmp.training.loop",
    "fit_seeds": "bayescmp.training.loop",
    "import_transformer": "bayescmp.networks.importing",
    "join_hosts": "bayescmp.training.devices.hosts",
    "judge": "bayescmp.results.verdicts",
    "judge_gate": "bayescmp.report.gate",
    "learning_curve": "bayescmp.training.costs.accounting",
    "load_claims": "bayescmp.results.claims_file",
    "load_network": "bayescmp.training.checkpoints.stored_network",
    "load_snapshots": "bayescmp.training.checkpoints.snapshots",
    "load_tree": "bayescmp.results.tree_file",
    "match_parameters": "bayescmp.networks.matching",
    "memory_length": "bayescmp.comparison.memory",
    "merge_trees": "bayescmp.results.merging",
    "read_graph": "bayescmp.exact.graphs.read_graph",
    "run_study": "bayescmp.running",
    "run_sweep": "bayescmp.sweep.sweeping",
    "save_tree": "bayescmp.results.tree_file",
    "show": "bayescmp.report.glance",
    "standard_ladder": "bayescmp.predictors.ladder",
    "study_main": "bayescmp.cli",
    "train_and_compare": "bayescmp.experiment",
    "two_timescale": "bayescmp.training.optimisers",
    "two_timescale_controls": "bayescmp.training.optimisers",
    "use_all_cores": "bayescmp.training.devices.cores",
    "validate_tree": "bayescmp.results.tree",
    "which_bayes": "bayescmp.comparison.explaining",
    "write_notebook": "bayescmp.report.notebook",
    "write_report": "bayescmp.report.write",
    "write_side_by_side": "bayescmp.report.side_by_side",
}


if not TYPE_CHECKING:  # type checkers read the imports above and report unknown names

    def __getattr__(name):
        """Import the home of a public name when it is first asked for."""
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version(__name__)
        elif name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
