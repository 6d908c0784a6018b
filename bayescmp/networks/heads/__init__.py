"""Heads: how the last residual stream becomes a law over outcomes."""

from bayescmp.networks.heads.binned import BinnedDensity as BinnedDensity
from bayescmp.networks.heads.density import AbstractDensity as AbstractDensity
from bayescmp.networks.heads.finite import FiniteHead as FiniteHead
from bayescmp.networks.heads.mixture import MixtureHead as MixtureHead
from bayescmp.networks.heads.mixture_density import MixtureDensity as MixtureDensity

Head = FiniteHead | MixtureHead
"""Any of the heads."""
