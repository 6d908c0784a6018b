"""Rows of latent probabilities, and what adding counts to their Dirichlet laws gives."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.exact.settings import element_law
from bayescmp.layout import Layout

NO_LOG = -1e30
"""NumPyro writes the log of a zero probability as the lowest number of the float type;
below this number it is taken for the minus infinity that it stands for."""


@dataclass(frozen=True)
class SimplexSite:
    """A latent whose rows are probabilities; a Beta site holds the first of two."""

    name: str
    shape: tuple[int, ...]
    """Shape of the rows, without the axis that sums to one."""
    size: int
    """Probabilities in a row."""
    is_pair: bool
    """Whether the site is a Beta site."""

    @property
    def num_numbers(self) -> int:
        """Number of probabilities in all rows."""
        return int(np.prod(self.shape, dtype=int)) * self.size


class LogLinear(eqx.Module):
    """Log probabilities ``constant + sum_k count_k log theta_k``."""

    constant: Array
    count: Array
    """The same axes, and one for all latent probabilities of all sites in a row."""


class Tables(eqx.Module):
    """The laws of all steps in one setting."""

    base: Any
    """Log probability of the setting and of what the prompt gives."""
    joint: Any
    """Log probability of query and outcome, by position and outcome."""
    kept: Any
    """Log probability of what is shown in the step, by position."""


def prior_pair(law: Any) -> Array:
    """Return both concentrations of a Beta law; the uniform law is one, too."""
    if isinstance(law, dist.Uniform):
        return jnp.ones(2)
    pair = jnp.broadcast_arrays(law.concentration1, law.concentration0)
    return jnp.stack(pair, axis=-1)


def outcome_range(layout: Layout) -> tuple[int, int]:
    """Return the lowest outcome, and how many there are."""
    return layout.outcome.lowest, layout.num_outcomes


def outcome_table(fn: Any, length: int, lowest: int, num: int) -> Float[Array, "position outcome"]:
    """Return the log probability of each outcome at each position."""
    law = element_law(fn)
    values = jnp.broadcast_to(lowest + jnp.arange(num)[:, None], (num, length))
    log_probs = jnp.where(law.support(values), law.log_prob(values), -jnp.inf)
    return jnp.where(log_probs > NO_LOG, log_probs, -jnp.inf).T


def log_rise(
    alpha: Float[Array, "*more number"], count: Float[Array, "*axes number"], rows: np.ndarray
) -> Float[Array, "*axes"]:
    """Return ``log B(alpha + count) - log B(alpha)``, summed over rows."""
    num_rows = int(rows[-1]) + 1

    def of_rows(x: Array) -> Array:
        totals = jax.ops.segment_sum(jnp.moveaxis(x, -1, 0), rows, num_rows)
        return jnp.moveaxis(totals, 0, -1)

    rises = _log_ascent(alpha, count).sum(axis=-1)
    return rises - _log_ascent(of_rows(alpha), of_rows(count)).sum(axis=-1)


def _log_ascent(a: Array, n: Array) -> Array:
    """Return ``log Gamma(a + n) / Gamma(a)``, to the last digit for counts of none and one."""
    rise = gammaln(a + n) - gammaln(a)
    return jnp.where(n == 0.0, 0.0, jnp.where(n == 1.0, jnp.log(a), rise))


def align(vector: Array, like: Array) -> Array:
    """Give a vector trailing axes, to multiply the first axis of another array."""
    return vector.reshape(-1, *(1,) * (like.ndim - 1))
