"""Exact inference: pure functions on arrays, and engines that answer a program's questions."""

from bayescmp.exact.conjugate import BetaBernoulliEngine as BetaBernoulliEngine
from bayescmp.exact.enumeration import EnumerationEngine as EnumerationEngine
from bayescmp.exact.filtering import FilterEngine as FilterEngine
from bayescmp.exact.filtering import forward_filter as forward_filter
from bayescmp.exact.filtering import windowed_filter as windowed_filter
from bayescmp.exact.permutation import PermutationEngine as PermutationEngine
