"""Rival explanations of what a network does."""

from bayescmp.predictors.counts import AddAlphaCounts as AddAlphaCounts
from bayescmp.predictors.graph_propagation import GraphPropagation as GraphPropagation
from bayescmp.predictors.ladder import standard_ladder as standard_ladder
from bayescmp.predictors.mixture import Mixture as Mixture
from bayescmp.predictors.other_oracle import OtherOracle as OtherOracle
from bayescmp.predictors.plug_in import PlugIn as PlugIn
from bayescmp.predictors.pool import MemorisedPool as MemorisedPool
from bayescmp.predictors.pool import draw_pool as draw_pool
from bayescmp.predictors.predictor import AbstractPredictor as AbstractPredictor
from bayescmp.predictors.predictor import FixedLaw as FixedLaw
from bayescmp.predictors.predictor import RestartPredictor as RestartPredictor
from bayescmp.predictors.predictor import WindowPredictor as WindowPredictor
