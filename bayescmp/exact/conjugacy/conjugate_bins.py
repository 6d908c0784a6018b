"""Log probabilities of bins under laws whose parameters were integrated out."""

import jax.numpy as jnp
from jax.scipy.special import betainc, gammaln
from jaxtyping import Array, Float


def log_student_bins(
    edges: Float[Array, " edge"], degrees: Float[Array, ""]
) -> Float[Array, " bin"]:
    """Return the log probability of each bin under a standard Student law.

    With ``I`` the regularised incomplete Beta function and ``n`` the degrees of freedom,
    ``P(x < -|e|) = I(n / (n + e^2); n / 2, 1 / 2) / 2``. A bin above zero is mirrored, since
    differences of probabilities near one would cancel.

    Args:
        edges: Inner edges in units of the scale from the centre, rising.
        degrees: Degrees of freedom.

    Returns:
        Log probabilities in nats.

    Example:
        >>> jnp.exp(log_student_bins(jnp.array([0.0]), jnp.array(3.0)))
        Array([0.5, 0.5], dtype=float32)
    """
    squares = edges**2
    # The tail beyond |e|, and what lies between 0 and |e|, each without a difference.
    tail = betainc(degrees / 2.0, 0.5, degrees / (degrees + squares)) / 2.0
    body = betainc(0.5, degrees / 2.0, squares / (degrees + squares)) / 2.0
    return _log_bins(edges, tail, body)


def _log_bins(edges: Array, tail: Array, body: Array) -> Array:
    """Return log probabilities of bins under a symmetric law around zero."""
    end, half = jnp.array([jnp.inf], edges.dtype), jnp.array([0.5], edges.dtype)
    low, high = jnp.concatenate([-end, edges]), jnp.concatenate([edges, end])
    tails = jnp.concatenate([0.0 * half, tail, 0.0 * half])
    bodies = jnp.concatenate([half, body, half])
    apart = jnp.abs(tails[1:] - tails[:-1])
    across = bodies[1:] + bodies[:-1]
    return jnp.log(jnp.where((low < 0.0) & (high > 0.0), across, apart))


def log_student(
    value: Float[Array, ""], degrees: Float[Array, ""], scale: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the log density of a Student law around zero.

    Args:
        value: Where.
        degrees: Degrees of freedom.
        scale: Scale, in the unit of the value.

    Returns:
        Log density in nats.

    Example:
        >>> density = log_student(jnp.array(0.0), jnp.array(1.0), jnp.array(1.0))
        >>> round(float(jnp.exp(density) * jnp.pi), 5)
        1.0
    """
    half = (degrees + 1.0) / 2.0
    norm = gammaln(half) - gammaln(degrees / 2.0) - 0.5 * jnp.log(degrees * jnp.pi)
    return norm - jnp.log(scale) - half * jnp.log1p((value / scale) ** 2 / degrees)


def log_waiting_bins(
    edges: Float[Array, " edge"], shape: Float[Array, ""], rate: Float[Array, ""]
) -> Float[Array, " bin"]:
    """Return the log probability of each bin of an exponential time with a Gamma rate.

    ``P(y > e) = (rate / (rate + e))^shape``, the law of Lomax.

    Args:
        edges: Inner edges, rising.
        shape: Shape of the rate's Gamma law.
        rate: Its rate, in the unit of the edges.

    Returns:
        Log probabilities in nats.

    Example:
        >>> jnp.exp(log_waiting_bins(jnp.array([1.0]), jnp.array(1.0), jnp.array(1.0)))
        Array([0.5, 0.5], dtype=float32)
    """
    log_above = -shape * jnp.log1p(jnp.maximum(edges, 0.0) / rate)
    start = jnp.zeros(1, log_above.dtype)
    log_above = jnp.concatenate([start, log_above, start - jnp.inf])
    return log_above[:-1] + jnp.log(-jnp.expm1(log_above[1:] - log_above[:-1]))


def log_count_bins(
    edges: Float[Array, " edge"], shape: Float[Array, ""], rate: Float[Array, ""]
) -> Float[Array, " bin"]:
    """Return the log probability of each bin of a Poisson count with a Gamma mean.

    The counts are negative binomial: ``P(y <= k) = I(rate / (rate + 1); shape, k + 1)``.

    Args:
        edges: Inner edges, rising.
        shape: Shape of the mean's Gamma law.
        rate: Its rate.

    Returns:
        Log probabilities in nats.

    Example:
        >>> jnp.exp(log_count_bins(jnp.array([0.5]), jnp.array(1.0), jnp.array(1.0)))
        Array([0.5, 0.5], dtype=float32)
    """
    counts = jnp.maximum(jnp.floor(edges) + 1.0, 0.0)
    inside = counts > 0.0
    counted = jnp.where(inside, counts, 1.0)
    below = jnp.where(inside, betainc(shape, counted, rate / (rate + 1.0)), 0.0)
    above = jnp.where(inside, betainc(counted, shape, 1.0 / (rate + 1.0)), 1.0)
    none, whole = jnp.zeros(1, below.dtype), jnp.ones(1, below.dtype)
    below, above = jnp.concatenate([none, below, whole]), jnp.concatenate([whole, above, none])
    # Differences of the smaller of the two tails lose the fewest digits.
    left, right = below[1:] - below[:-1], above[:-1] - above[1:]
    return jnp.log(jnp.where(below[1:] < above[:-1], left, right))
