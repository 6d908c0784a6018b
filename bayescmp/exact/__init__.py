"""Exact inference: pure functions on arrays, and engines that answer a program's questions."""

from bayescmp.exact.chains.filtering import FilterEngine as FilterEngine
from bayescmp.exact.chains.filtering import forward_filter as forward_filter
from bayescmp.exact.chains.filtering import windowed_filter as windowed_filter
from bayescmp.exact.chains.labelled_chain import LabelledChainEngine as LabelledChainEngine
from bayescmp.exact.chains.labelled_chain import labelled_filter as labelled_filter
from bayescmp.exact.chains.labelled_chain import (
    windowed_labelled_filter as windowed_labelled_filter,
)
from bayescmp.exact.chains.parallel_filtering import parallel_filter as parallel_filter
from bayescmp.exact.chains.smoothing import Smoothed as Smoothed
from bayescmp.exact.chains.smoothing import smooth as smooth
from bayescmp.exact.conjugacy.conjugate import BetaBernoulliEngine as BetaBernoulliEngine
from bayescmp.exact.conjugacy.conjugate import explain_conjugate as explain_conjugate
from bayescmp.exact.conjugacy.conjugate import find_conjugate as find_conjugate
from bayescmp.exact.conjugacy.conjugate_counts import CountsEngine as CountsEngine
from bayescmp.exact.conjugacy.conjugate_rates import RatesEngine as RatesEngine
from bayescmp.exact.conjugacy.gaussian import GaussianEngine as GaussianEngine
from bayescmp.exact.enumeration import EnumerationEngine as EnumerationEngine
from bayescmp.exact.forward.forward_engine import ForwardEngine as ForwardEngine
from bayescmp.exact.graphs.belief_propagation import FactorGraph as FactorGraph
from bayescmp.exact.graphs.belief_propagation import Propagation as Propagation
from bayescmp.exact.graphs.belief_propagation import propagate as propagate
from bayescmp.exact.graphs.elimination import EliminationPlan as EliminationPlan
from bayescmp.exact.graphs.elimination import log_partition as log_partition
from bayescmp.exact.graphs.elimination import marginals as marginals
from bayescmp.exact.graphs.elimination import plan_elimination as plan_elimination
from bayescmp.exact.graphs.elimination_engine import EliminationEngine as EliminationEngine
from bayescmp.exact.permutation import PermutationEngine as PermutationEngine
from bayescmp.exact.reading.factors import FactoredProgram as FactoredProgram
from bayescmp.exact.reading.factors import factor_program as factor_program
