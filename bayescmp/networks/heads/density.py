"""What every law on the real line can tell."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "..."]
"""Arguments and answers; a law for each row takes what broadcasts with its rows."""
Edges = Float[Array, " edge"]
BinLogProbs = Float[Array, "*rows bin"]


class AbstractDensity(eqx.Module):
    """A law on the real line, or one for each row.

    Laws: ``exp(log_prob)`` integrates to one; ``cdf`` is its integral and ``survival`` the
    rest, each with its relative precision kept far out in the tail where it is small;
    ``quantile`` inverts ``cdf``.
    """

    @abc.abstractmethod
    def log_prob(self, y: Numbers) -> Numbers:
        """Return the log density at ``y``, in nats per unit of ``y``."""

    @abc.abstractmethod
    def log_cdf(self, y: Numbers) -> Numbers:
        """Return the log probability of at most ``y``, in nats."""

    @abc.abstractmethod
    def log_survival(self, y: Numbers) -> Numbers:
        """Return the log probability of more than ``y``, in nats."""

    @abc.abstractmethod
    def bin_log_probs(self, edges: Edges) -> BinLogProbs:
        """Return the log probability of each bin between rising edges, the outer ones open."""

    @property
    @abc.abstractmethod
    def mean(self) -> Numbers:
        """Mean of each row's law."""

    @property
    @abc.abstractmethod
    def variance(self) -> Numbers:
        """Variance of each row's law."""

    @abc.abstractmethod
    def invert(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``, strictly between zero and one."""

    def cdf(self, y: Numbers) -> Numbers:
        """Return the probability of at most ``y``.

        Args:
            y: Numbers.

        Returns:
            Probabilities.
        """
        return jnp.exp(self.log_cdf(y))

    def survival(self, y: Numbers) -> Numbers:
        """Return the probability of more than ``y``.

        Args:
            y: Numbers.

        Returns:
            Probabilities.
        """
        return jnp.exp(self.log_survival(y))

    def quantile(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``.

        Args:
            u: Probabilities.

        Returns:
            Numbers: infinite at zero and one, and NaN outside.
        """
        inside = (u > 0.0) & (u < 1.0)
        ends = jnp.where(u == 0.0, -jnp.inf, jnp.where(u == 1.0, jnp.inf, jnp.nan))
        return jnp.where(inside, self.invert(jnp.where(inside, u, 0.5)), ends)
