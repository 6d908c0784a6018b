"""Rival explanations of what a network does."""

from bayescmp.predictors.ladder import standard_ladder as standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor as AbstractPredictor
from bayescmp.predictors.predictor import FixedLaw as FixedLaw
from bayescmp.predictors.predictor import RestartPredictor as RestartPredictor
from bayescmp.predictors.predictor import WindowPredictor as WindowPredictor
