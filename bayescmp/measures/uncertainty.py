"""Uncertainty about an outcome, split by where it comes from.

With ``theta`` for all that is hidden and ``s`` for all that is shown,

``H(y | s) = E[H(y | theta, s)] + I(y; theta | s)``:

what would remain if the hidden were known (aleatoric), and what seeing more could still take
away (epistemic). The second is also ``E KL(p(y | theta, s) || p(y | s))``.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats
from jax.scipy.special import entr
from jaxtyping import Array, Float, Int

Rows = Float[np.ndarray, "sequence position"]


def dirichlet_aleatoric(
    alpha: Float[np.ndarray, "*rows outcome"],
) -> Float[np.ndarray, "*rows"]:
    """Compute the expected entropy of a law that has a Dirichlet law.

    ``E H(theta) = psi(A + 1) - sum_k (a_k / A) psi(a_k + 1)`` with ``A = sum_k a_k``, since
    ``E[theta_k log theta_k] = (a_k / A) (psi(a_k + 1) - psi(A + 1))``.

    Args:
        alpha: Concentrations, positive; of a Beta law both.

    Returns:
        Expected entropy [nat].

    Raises:
        ValueError: If a concentration is not positive.

    Example:
        >>> from bayescmp.measures.uncertainty import dirichlet_aleatoric
        >>> dirichlet_aleatoric(np.array([[1.0, 1.0]])).round(6)  # a flat coin: half a nat
        array([0.5])
    """
    if not np.all(alpha > 0.0):
        raise ValueError(f"alpha: expected positive concentrations, got {float(alpha.min())}")
    total = alpha.sum(axis=-1, keepdims=True)
    terms = alpha / total * scipy.special.digamma(alpha + 1.0)
    return scipy.special.digamma(total[..., 0] + 1.0) - terms.sum(axis=-1)


def split_over_settings(
    log_weight: Float[Array, "setting *rows"],
    log_law: Float[Array, "setting *rows outcome"],
) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
    """Split a mixture's entropy into the mean entropy of its parts and the rest.

    Args:
        log_weight: ``log p(theta, s)`` of each setting of the hidden, up to a constant [nat].
        log_law: ``log p(y | theta, s)`` [nat]; looked at only where the weight is positive.

    Returns:
        Aleatoric and epistemic part [nat]. Rows without any possible setting are NaN.

    Example:
        >>> from bayescmp.measures.uncertainty import split_over_settings
        >>> law = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> parts = split_over_settings(jnp.zeros(2), law)  # sum to that of the mean law, ln 2
        >>> [round(float(part), 4) for part in parts]
        [0.3251, 0.3681]
    """
    weight = jax.nn.softmax(log_weight, axis=0)
    possible = weight > 0.0
    laws = jnp.where(possible[..., None], jnp.exp(log_law), 0.0)
    inside = jnp.where(possible, weight * entr(laws).sum(axis=-1), 0.0)
    mixture = (weight[..., None] * laws).sum(axis=0)
    missing = jnp.where(jnp.isnan(weight).any(axis=0), jnp.nan, 0.0)
    aleatoric = inside.sum(axis=0) + missing
    return aleatoric, entr(mixture).sum(axis=-1) - aleatoric


@dataclass(frozen=True)
class Shrinkage:
    """How fast epistemic uncertainty falls with what was seen, ``I_n ~ n^-exponent``."""

    exponent: float
    """Fitted exponent; 1 is the law of large samples for finitely many smooth parameters."""
    low: float
    """Lower end of its interval over sequences."""
    high: float
    """Upper end."""


NO_SHRINKAGE = Shrinkage(np.nan, np.nan, np.nan)
"""Where there is nothing to fit."""


def fit_shrinkage(
    epistemic: Rows,
    num_seen: Float[np.ndarray, " position"] | Int[np.ndarray, " position"],
    *,
    level: float = 0.95,
) -> Shrinkage:
    """Fit how epistemic uncertainty falls with the number of observations.

    ``log mean_s I_n = c - b log n`` by least squares over positions. Sequences are the
    independent units: with ``w_n`` the weights by which the slope is a sum over positions,
    sequence ``s`` moves ``b`` by ``-sum_n w_n I_sn / mean I_n`` to first order, and the spread
    of that over sequences gives a Student interval. Positions of one sequence may depend on
    each other as they like. At small ``n`` the exact exponent is not one either: compare
    with the oracle's over the same positions.

    Args:
        epistemic: Epistemic uncertainty of each sequence, in any unit.
        num_seen: Observations before each question, positive, at least two different ones.
        level: Coverage of the interval.

    Returns:
        Exponent and interval; NaN where a mean is not positive, since it has no logarithm.

    Raises:
        ValueError: If there are fewer than two sequences or numbers of observations.

    Example:
        >>> from bayescmp.measures.uncertainty import fit_shrinkage
        >>> seen = np.array([4.0, 8.0, 16.0])
        >>> fit = fit_shrinkage(np.outer([1.0, 2.0, 3.0], 1 / seen), seen)
        >>> round(fit.exponent, 6), round(fit.high - fit.low, 6)
        (1.0, 0.0)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    if len(epistemic) < 2 or np.unique(num_seen).size < 2 or np.any(num_seen <= 0):
        raise ValueError(
            "num_seen: expected two sequences and two different positive numbers of "
            f"observations at least, got {len(epistemic)} sequences and {num_seen}"
        )
    mean = epistemic.mean(axis=0)
    if not np.all(mean > 0.0):
        return NO_SHRINKAGE
    centred = np.log(num_seen) - np.log(num_seen).mean()
    weight = centred / np.sum(centred**2)
    influence = -(epistemic / mean) @ weight
    exponent = -float(weight @ np.log(mean))
    error = float(influence.std(ddof=1)) / np.sqrt(len(influence))
    half = float(scipy.stats.t.ppf(0.5 * (1.0 + level), len(influence) - 1) * error)
    return Shrinkage(exponent, exponent - half, exponent + half)
