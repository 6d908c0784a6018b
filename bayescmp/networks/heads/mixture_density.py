"""Mixtures of normal or logistic laws."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.heads.density import AbstractDensity, BinLogProbs, Edges, Numbers
from bayescmp.networks.heads.standard_laws import STANDARD_LAWS, AbstractStandardLaw, Family

PerComponent = Float[Array, "*rows component"]


@final
class MixtureDensity(AbstractDensity):
    """``sum_k w_k f((y - location_k) / scale_k) / scale_k`` with a standard law ``f``.

    Example:
        >>> weights, locations = jnp.log(jnp.array([0.5, 0.5])), jnp.array([-1.0, 1.0])
        >>> density = bc.networks.MixtureDensity(weights, locations, jnp.zeros(2))
        >>> float(density.mean), float(density.variance), density.cdf(jnp.array(0.0)).round(3)
        (0.0, 2.0, Array(0.5, dtype=float32))
    """

    log_weights: PerComponent
    """Normalised log probability of each component."""
    locations: PerComponent
    """Middle of each component, in the outcome's unit."""
    log_scales: PerComponent
    """Log of each component's scale: a normal law's standard deviation."""
    family: Family = eqx.field(static=True, default="normal")

    def __check_init__(self) -> None:
        """Reject parts of different shapes, and laws that do not exist."""
        shapes = (self.log_weights.shape, self.locations.shape, self.log_scales.shape)
        if len(set(shapes)) > 1:
            raise ValueError(
                f"log_weights, locations, log_scales: expected one shape, got {shapes}"
            )
        if self.family not in STANDARD_LAWS:
            raise ValueError(f"family: expected 'normal' or 'logistic', got {self.family!r}")

    @property
    def law(self) -> AbstractStandardLaw:
        """Law of which every component is a shifted and stretched copy."""
        return STANDARD_LAWS[self.family]

    @property
    def mean(self) -> Numbers:
        """Mean of each row's law."""
        return jnp.sum(jnp.exp(self.log_weights) * self.locations, axis=-1)

    @property
    def variance(self) -> Numbers:
        """Variance of each row's law: within components, and of their locations."""
        within = self.law.variance * jnp.exp(2.0 * self.log_scales)
        between = jnp.square(self.locations - self.mean[..., None])
        return jnp.sum(jnp.exp(self.log_weights) * (within + between), axis=-1)

    def log_prob(self, y: Numbers) -> Numbers:
        """Return the log density at ``y``, in nats per unit of ``y``."""
        return self._sum(self.law.log_prob(self._standardise(y)) - self.log_scales)

    def log_cdf(self, y: Numbers) -> Numbers:
        """Return the log probability of at most ``y``, in nats."""
        return self._sum(self.law.log_cdf(self._standardise(y)))

    def log_survival(self, y: Numbers) -> Numbers:
        """Return the log probability of more than ``y``, in nats."""
        return self._sum(self.law.log_cdf(-self._standardise(y)))

    def bin_log_probs(self, edges: Edges) -> BinLogProbs:
        """Return the log probability of each bin between rising edges, the outer ones open."""
        scale = jnp.exp(self.log_scales)[..., None, :]
        lows = self._standardise(edges, bins=True)
        inner = self.law.log_mass(lows[..., :-1, :], jnp.diff(edges)[:, None] / scale)
        masses = [self.law.log_cdf(lows[..., :1, :]), inner, self.law.log_cdf(-lows[..., -1:, :])]
        joined = jnp.concatenate(masses, axis=-2) + self.log_weights[..., None, :]
        return jax.nn.logsumexp(joined, axis=-1)

    def invert(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``, strictly between zero and one.

        Bisection between the least and the greatest of the components' own quantiles: at the
        least, no component has more than ``u`` below it. The derivative is that of the
        inverse function, ``dy = (du - dF(y)) / f(y)``.
        """
        root = jax.lax.stop_gradient(self._bisect(u))
        change = u - self.cdf(root)
        # The change counts as zero and passes its gradient on; where no law reaches, the slope
        # would be infinite, and is kept at e^80.
        slope = jnp.exp(jnp.minimum(-self.log_prob(root), 80.0))
        return root + (change - jax.lax.stop_gradient(change)) * jax.lax.stop_gradient(slope)

    def _bisect(self, u: Numbers) -> Numbers:
        """Halve an interval until its ends are neighbouring numbers, or nearly."""
        quantiles = self.locations + jnp.exp(self.log_scales) * self.law.quantile(u)[..., None]
        target, is_low = jnp.log(u), u < 0.5

        def halve(_: object, ends: tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers]:
            low, high = ends
            middle = 0.5 * (low + high)
            # Each half of the law is judged by the tail that is small there.
            below = jnp.where(
                is_low, self.log_cdf(middle) < target, self.log_survival(middle) > jnp.log1p(-u)
            )
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        num_steps = 2 + jnp.finfo(u.dtype).nmant + 16  # digits of a number, and room for zeros
        ends = jnp.min(quantiles, axis=-1), jnp.max(quantiles, axis=-1)
        low, high = jax.lax.fori_loop(0, num_steps, halve, ends)
        return 0.5 * (low + high)

    def _standardise(self, y: Numbers, *, bins: bool = False) -> Numbers:
        """Return distances from the components in units of their scales, components last."""
        locations, log_scales = self.locations, self.log_scales
        if bins:
            locations, log_scales = locations[..., None, :], log_scales[..., None, :]
        return (y[..., None] - locations) * jnp.exp(-log_scales)

    def _sum(self, log_terms: Numbers) -> Numbers:
        """Weigh and add the components, last axis, in logs."""
        return jax.nn.logsumexp(log_terms + self.log_weights, axis=-1)
