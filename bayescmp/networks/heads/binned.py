"""A density that is constant in each bin and falls exponentially in the two outer ones."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.networks.heads.density import AbstractDensity, BinLogProbs, Edges, Numbers

PerBin = Float[Array, "*numbers bin"]
TINY = 1e-30
"""Shares of a bin below this count as none, so that gradients of their logarithms are finite."""


@final
class BinnedDensity(AbstractDensity):
    """``p_k / (e_k - e_{k-1})`` in bin ``k``; in the outer ones ``p exp(-distance / s) / s``.

    ``distance`` is that from the outermost edge, and the scale ``s`` of an outer bin, which is
    also its mean distance, is the width of the bin beside it. No bins can tell how far out
    their outcomes lie; this is right to a few per cent for bins that are equally likely
    under a normal law.

    Example:
        >>> density = bc.networks.BinnedDensity(jnp.array([0.0, 2.0]), jnp.log(jnp.ones(3) / 3))
        >>> density.cdf(jnp.array([0.0, 1.0])).round(3), density.quantile(jnp.array(0.5)).round(3)
        (Array([0.333, 0.5  ], dtype=float32), Array(1., dtype=float32))
    """

    edges: Edges
    """Where bins meet, two or more, rising; an edge belongs to the bin below it."""
    log_probs: BinLogProbs
    """Normalised log probability of each bin."""

    def __check_init__(self) -> None:
        """Reject bins that do not fit."""
        num_edges, num_bins = self.edges.shape[-1], self.log_probs.shape[-1]
        if num_edges < 2:
            raise ValueError(
                f"edges: expected two or more, whose distance tells how far the outer bins reach, "
                f"got {num_edges}"
            )
        if num_bins != num_edges + 1:
            raise ValueError(
                f"log_probs: expected {num_edges + 1} bins between {num_edges} edges, "
                f"got {num_bins}"
            )

    @property
    def widths(self) -> Float[Array, " bin"]:
        """Width of each bin, and the scale of the outer two."""
        inner = jnp.diff(self.edges)
        return jnp.concatenate([inner[:1], inner, inner[-1:]])

    @property
    def centres(self) -> Float[Array, " bin"]:
        """Mean of the law inside each bin."""
        middles = 0.5 * (self.edges[1:] + self.edges[:-1])
        outer = self.widths[jnp.array([0, -1])]
        return jnp.concatenate([self.edges[:1] - outer[:1], middles, self.edges[-1:] + outer[1:]])

    @property
    def mean(self) -> Numbers:
        """Mean of each row's law."""
        return jnp.exp(self.log_probs) @ self.centres

    @property
    def variance(self) -> Numbers:
        """Variance of each row's law: within bins, and of their centres."""
        within = jnp.square(self.widths) / 12.0
        within = within.at[jnp.array([0, -1])].multiply(12.0)
        between = jnp.square(self.centres - self.mean[..., None])
        return jnp.sum(jnp.exp(self.log_probs) * (within + between), axis=-1)

    def log_prob(self, y: Numbers) -> Numbers:
        """Return the log density at ``y``, in nats per unit of ``y``."""
        chosen = jnp.searchsorted(self.edges, y, method="compare_all")
        outside = jnp.maximum(self.edges[0] - y, 0.0) + jnp.maximum(y - self.edges[-1], 0.0)
        width = self.widths[chosen]
        return _pick(self.log_probs, chosen) - jnp.log(width) - outside / width

    def log_cdf(self, y: Numbers) -> Numbers:
        """Return the log probability of at most ``y``, in nats."""
        return self._log_mass(jnp.full_like(y, -jnp.inf), y)

    def log_survival(self, y: Numbers) -> Numbers:
        """Return the log probability of more than ``y``, in nats."""
        return self._log_mass(y, jnp.full_like(y, jnp.inf))

    def bin_log_probs(self, edges: Edges) -> BinLogProbs:
        """Return the log probability of each bin between rising edges, the outer ones open."""
        ends = jnp.full_like(edges[:1], jnp.inf)
        low, high = jnp.concatenate([-ends, edges]), jnp.concatenate([edges, ends])
        density = eqx.tree_at(lambda law: law.log_probs, self, self.log_probs[..., None, :])
        return density._log_mass(low, high)

    def invert(self, u: Numbers) -> Numbers:
        """Return where the distribution function is ``u``, strictly between zero and one."""
        probs = jnp.exp(self.log_probs)
        below = jnp.cumsum(probs, axis=-1) - probs
        # The last bin that begins below u: bins without probability are passed over.
        chosen = jnp.sum(below[..., 1:] < u[..., None], axis=-1)
        prob, width = _pick(probs, chosen), self.widths[chosen]
        # Rounding of the sum may leave a share of the bin a little outside [0, 1].
        share = jnp.clip((u - _pick(below, chosen)) / prob, 0.0, 1.0)
        inner = self.edges[jnp.maximum(chosen - 1, 0)] + width * share
        left = self.edges[0] + width * jnp.log(jnp.minimum(u / prob, 1.0))
        right = self.edges[-1] - width * jnp.log(jnp.minimum((1.0 - u) / prob, 1.0))
        is_last = chosen == self.edges.shape[-1]
        return jnp.where(chosen == 0, left, jnp.where(is_last, right, inner))

    def _log_mass(self, low: Numbers, high: Numbers) -> Numbers:
        """Return the log probability of what lies between two numbers."""
        shares = self._log_shares(low[..., None], high[..., None])
        return jax.nn.logsumexp(self.log_probs + shares, axis=-1)

    def _log_shares(
        self, low: Float[Array, "*numbers 1"], high: Float[Array, "*numbers 1"]
    ) -> PerBin:
        """Return the log of the share of each bin's own mass between two numbers."""
        first, last, widths = self.edges[0], self.edges[-1], self.widths
        starts, ends = self.edges[:-1], self.edges[1:]
        overlap = jnp.minimum(high, ends) - jnp.maximum(low, starts)
        left = _log_exponential(first - jnp.minimum(high, first), first - low, widths[0])
        right = _log_exponential(jnp.maximum(low, last) - last, high - last, widths[-1])
        return jnp.concatenate([left, _log_share(overlap / widths[1:-1]), right], axis=-1)


def _pick(rows: Float[Array, "*rows bin"], chosen: Array) -> Numbers:
    """Return one bin of each row; rows and choices broadcast."""
    shape = jnp.broadcast_shapes(rows.shape[:-1], chosen.shape)
    rows = jnp.broadcast_to(rows, (*shape, rows.shape[-1]))
    return jnp.take_along_axis(rows, jnp.broadcast_to(chosen, shape)[..., None], axis=-1)[..., 0]


def _log_share(share: Numbers) -> Numbers:
    """Return the log of a share, minus infinity where there is none."""
    is_some = share > TINY
    return jnp.where(is_some, jnp.log(jnp.where(is_some, share, 1.0)), -jnp.inf)


def _log_exponential(near: Numbers, far: Numbers, scale: Numbers) -> Numbers:
    """Return the log of ``exp(-near / scale) - exp(-far / scale)``, if ``far`` is further."""
    is_open = jnp.isinf(far)  # kept out of the quotient, whose gradient would be no number
    gap = jnp.where(is_open, 0.0, jnp.maximum(far - near, 0.0))
    share = jnp.where(is_open, 1.0, -jnp.expm1(-gap / scale))
    return -near / scale + _log_share(share)
