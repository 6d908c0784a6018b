"""Generative models, one family a file. Start your own from the nearest one."""

from bayescmp.models.bijection import Bijection as Bijection
from bayescmp.models.coin import beta_bernoulli as beta_bernoulli
from bayescmp.models.coin import coin as coin
from bayescmp.models.hidden_markov import HiddenMarkov as HiddenMarkov
from bayescmp.models.registry import REGISTRY as REGISTRY
from bayescmp.models.registry import ModelEntry as ModelEntry
