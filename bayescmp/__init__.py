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
    from bayescmp import exact as exact
    from bayescmp import measures as measures
    from bayescmp import models as models
    from bayescmp import montecarlo as montecarlo
    from bayescmp import networks as networks
    from bayescmp import predictors as predictors
    from bayescmp import studies as studies
    from bayescmp._types import Key as Key
    from bayescmp.certification import certify as certify
    from bayescmp.comparison.compare import compare as compare
    from bayescmp.comparison.explaining import WhichBayes as WhichBayes
    from bayescmp.comparison.explaining import which_bayes as which_bayes
    from bayescmp.comparison.memory import MemoryLength as MemoryLength
    from bayescmp.comparison.memory import memory_length as memory_length
    from bayescmp.derivation import derive_oracle as derive_oracle
    from bayescmp.experiment import train_and_compare as train_and_compare
    from bayescmp.generative import AbstractGenerativeModel as AbstractGenerativeModel
    from bayescmp.generative import GenerativeModel as GenerativeModel
    from bayescmp.networks.interventions import Interventions as Interventions
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
    from bayescmp.report.write import write_report as write_report
    from bayescmp.results.claims import Claim as Claim
    from bayescmp.results.claims import Verdict as Verdict
    from bayescmp.results.claims import judge as judge
    from bayescmp.results.tree import load_tree as load_tree
    from bayescmp.results.tree import save_tree as save_tree
    from bayescmp.results.tree import validate_tree as validate_tree
    from bayescmp.running import run_study as run_study
    from bayescmp.training.devices import use_all_cores as use_all_cores
    from bayescmp.training.loop import Fit as Fit
    from bayescmp.training.loop import Training as Training
    from bayescmp.training.loop import fit as fit
    from bayescmp.training.optimisers import AdamW as AdamW
    from bayescmp.training.optimisers import Muon as Muon
    from bayescmp.workspace import Workspace as Workspace

    __version__: str

__all__ = [
    "AbstractGenerativeModel",
    "AbstractOracle",
    "AbstractPredictor",
    "AdamW",
    "Batch",
    "Certificate",
    "Claim",
    "Fit",
    "GenerativeModel",
    "Interventions",
    "Key",
    "LayerTrace",
    "MemoryLength",
    "Muon",
    "Oracle",
    "Reference",
    "Training",
    "Transformer",
    "TransformerConfig",
    "Verdict",
    "WhichBayes",
    "Workspace",
    "__version__",
    "certify",
    "compare",
    "derive_oracle",
    "exact",
    "fit",
    "judge",
    "load_tree",
    "measures",
    "memory_length",
    "models",
    "montecarlo",
    "networks",
    "predictors",
    "run_study",
    "save_tree",
    "standard_ladder",
    "studies",
    "train_and_compare",
    "use_all_cores",
    "validate_tree",
    "which_bayes",
    "write_report",
]

_SUBMODULES = ("exact", "measures", "models", "montecarlo", "networks", "predictors", "studies")

_HOMES = {
    "AbstractGenerativeModel": "bayescmp.generative",
    "AbstractOracle": "bayescmp.oracle",
    "AbstractPredictor": "bayescmp.predictors.predictor",
    "AdamW": "bayescmp.training.optimisers",
    "Batch": "bayescmp.records",
    "Certificate": "bayescmp.oracle",
    "Claim": "bayescmp.results.claims",
    "Fit": "bayescmp.training.loop",
    "GenerativeModel": "bayescmp.generative",
    "Interventions": "bayescmp.networks.interventions",
    "Key": "bayescmp._types",
    "LayerTrace": "bayescmp.records",
    "MemoryLength": "bayescmp.comparison.memory",
    "Muon": "bayescmp.training.optimisers",
    "Oracle": "bayescmp.oracle",
    "Reference": "bayescmp.records",
    "Training": "bayescmp.training.loop",
    "Transformer": "bayescmp.networks.transformer",
    "TransformerConfig": "bayescmp.networks.transformer",
    "Verdict": "bayescmp.results.claims",
    "WhichBayes": "bayescmp.comparison.explaining",
    "Workspace": "bayescmp.workspace",
    "certify": "bayescmp.certification",
    "compare": "bayescmp.comparison.compare",
    "derive_oracle": "bayescmp.derivation",
    "fit": "bayescmp.training.loop",
    "judge": "bayescmp.results.claims",
    "load_tree": "bayescmp.results.tree",
    "memory_length": "bayescmp.comparison.memory",
    "run_study": "bayescmp.running",
    "save_tree": "bayescmp.results.tree",
    "standard_ladder": "bayescmp.predictors.ladder",
    "train_and_compare": "bayescmp.experiment",
    "use_all_cores": "bayescmp.training.devices",
    "validate_tree": "bayescmp.results.tree",
    "which_bayes": "bayescmp.comparison.explaining",
    "write_report": "bayescmp.report.write",
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
