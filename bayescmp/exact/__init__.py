"""Exact inference: pure functions on arrays, and engines that answer a program's questions."""

from bayescmp.exact.belief_propagation import FactorGraph as FactorGraph
from bayescmp.exact.belief_propagation import Propagation as Propagation
from bayescmp.exact.belief_propagation import propagate as propagate
from bayescmp.exact.conjugate import BetaBernoulliEngine as BetaBernoulliEngine
from bayescmp.exact.elimination import EliminationPlan as EliminationPlan
from bayescmp.exact.elimination import log_partition as log_partition
from bayescmp.exact.elimination import marginals as marginals
from bayescmp.exact.elimination import plan_elimination as plan_elimination
from bayescmp.exact.elimination_engine import EliminationEngine as EliminationEngine
from bayescmp.exact.enumeration import EnumerationEngine as EnumerationEngine
from bayescmp.exact.factors import FactoredProgram as FactoredProgram
from bayescmp.exact.factors import factor_program as factor_program
from bayescmp.exact.filtering import FilterEngine as FilterEngine
from bayescmp.exact.filtering import forward_filter as forward_filter
from bayescmp.exact.filtering import windowed_filter as windowed_filter
from bayescmp.exact.forward import ForwardEngine as ForwardEngine
from bayescmp.exact.labelled_chain import LabelledChainEngine as LabelledChainEngine
from bayescmp.exact.labelled_chain import labelled_filter as labelled_filter
from bayescmp.exact.labelled_chain import windowed_labelled_filter as windowed_labelled_filter
from bayescmp.exact.parallel_filtering import parallel_filter as parallel_filter
from bayescmp.exact.permutation import PermutationEngine as PermutationEngine
from bayescmp.exact.smoothing import Smoothed as Smoothed
from bayescmp.exact.smoothing import smooth as smooth
