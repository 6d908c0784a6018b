"""Two laws around zero, normal and logistic, from which mixtures are made."""

import abc
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

import jax
import jax.numpy as jnp
from jax.scipy.special import logit, ndtri
from jaxtyping import Array, Float

from bayescmp.exact.reading.bins import log_cdf

Numbers = Float[Array, "..."]
Family = Literal["normal", "logistic"]


class AbstractStandardLaw(abc.ABC):
    """A law on the real line that is symmetric around zero, with a scale of one.

    Law: ``log_mass(low, width)`` keeps its relative precision however narrow the interval is
    and however far out it lies.
    """

    @property
    @abc.abstractmethod
    def variance(self) -> float:
        """Variance."""

    @abc.abstractmethod
    def log_prob(self, z: Numbers) -> Numbers:
        """Return the log density at ``z``, in nats."""

    @abc.abstractmethod
    def log_cdf(self, z: Numbers) -> Numbers:
        """Return the log probability of less than ``z``, in nats."""

    @abc.abstractmethod
    def log_mass(self, low: Numbers, width: Numbers) -> Numbers:
        """Return the log probability of ``low`` to ``low + width``, in nats; both are finite."""

    @abc.abstractmethod
    def quantile(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``."""


@final
@dataclass(frozen=True)
class StandardNormal(AbstractStandardLaw):
    """``exp(-z^2 / 2) / sqrt(2 pi)``."""

    @property
    def variance(self) -> float:
        """Variance."""
        return 1.0

    def log_prob(self, z: Numbers) -> Numbers:
        """Return the log density."""
        return -0.5 * jnp.square(z) - 0.5 * math.log(2.0 * math.pi)

    def log_cdf(self, z: Numbers) -> Numbers:
        """Return the log probability of less than ``z``."""
        return log_cdf(z)

    def log_mass(self, low: Numbers, width: Numbers) -> Numbers:
        """Return the log probability of an interval.

        With middle ``m`` and width ``h`` it is ``phi(m)`` times the integral of
        ``exp(-m t - t^2 / 2)`` over ``|t| < h / 2``. Without ``t^2 / 2``, which is at most
        ``h^2 / 8``, that is ``h sinh(m h / 2) / (m h / 2)``. This serves where the difference
        of two distribution functions would lose more: with the unit of rounding ``eps`` it
        loses about ``eps max(1, |m|) / h``, so the two meet near the third root of that.
        """
        middle = low + 0.5 * width
        is_narrow = width < jnp.cbrt(jnp.finfo(width.dtype).eps * jnp.maximum(1.0, abs(middle)))
        lever = jnp.where(is_narrow, 0.5 * middle * width, 0.0)
        narrow = self.log_prob(middle) + jnp.log(width) + _log_sinhc(lever)
        # The interval's mirror image has the same mass, and no distribution function near one.
        high = jnp.where(middle > 0.0, -low, low + width)
        log_high, log_low = log_cdf(high), log_cdf(high - width)
        # The function falls by a factor of at least exp(high * width) where high is negative;
        # far out the difference of two huge logarithms may not show it.
        gap = jnp.minimum(log_low - log_high, jnp.minimum(high, 0.0) * width)
        wide = log_high + jnp.log(-jnp.expm1(jnp.where(is_narrow, -1.0, gap)))
        return jnp.where(is_narrow, narrow, wide)

    def quantile(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``."""
        return ndtri(u)


@final
@dataclass(frozen=True)
class StandardLogistic(AbstractStandardLaw):
    """``exp(-z) / (1 + exp(-z))^2``, whose distribution function is ``1 / (1 + exp(-z))``."""

    @property
    def variance(self) -> float:
        """Variance."""
        return math.pi**2 / 3.0

    def log_prob(self, z: Numbers) -> Numbers:
        """Return the log density."""
        return jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)

    def log_cdf(self, z: Numbers) -> Numbers:
        """Return the log probability of less than ``z``."""
        return jax.nn.log_sigmoid(z)

    def log_mass(self, low: Numbers, width: Numbers) -> Numbers:
        """Return ``log F(b) + log F(-a) + log(1 - exp(a - b))``, which is exact.

        For ``F(b) - F(a) = F(b) F(-a) - F(a) F(-b)`` and ``F(a) / F(-a) = exp(a)``.
        """
        ends = jax.nn.log_sigmoid(low + width) + jax.nn.log_sigmoid(-low)
        return ends + jnp.log(-jnp.expm1(-width))

    def quantile(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``."""
        return logit(u)


STANDARD_LAWS: MappingProxyType[Family, AbstractStandardLaw] = MappingProxyType(
    {"normal": StandardNormal(), "logistic": StandardLogistic()}
)
"""Every law by its name."""


def _log_sinhc(x: Numbers) -> Numbers:
    """Return ``log(sinh(x) / x)``; the series' next term is ``x^6 / 2835``."""
    size = jnp.abs(x)
    is_small = size < 0.03
    large = jnp.where(is_small, 1.0, size)
    series = jnp.square(x) / 6.0 - jnp.square(jnp.square(x)) / 180.0
    direct = large + jnp.log(-jnp.expm1(-2.0 * large)) - jnp.log(2.0 * large)
    return jnp.where(is_small, series, direct)
