"""All values that one element of a site can take, or quadrature nodes in their place."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array
from numpyro import distributions as dist
from scipy.special import roots_genlaguerre, roots_hermitenorm, roots_jacobi


def element_law(fn: Any) -> Any:
    """Return the law of one element, which plates and event axes repeat.

    Args:
        fn: Law of a site.

    Returns:
        The law inside, which is ``fn`` itself where nothing is wrapped around it.
    """
    while isinstance(fn, dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    return fn


def elementwise(fn: Any) -> Any:
    """Return a law whose log probability is not summed over elements that are independent.

    Args:
        fn: Law of a site.

    Returns:
        The same law with events that are single elements.
    """
    if isinstance(fn, dist.Independent):
        return elementwise(fn.base_dist)
    if isinstance(fn, dist.ExpandedDistribution) and isinstance(fn.base_dist, dist.Independent):
        inner = fn.base_dist
        joined = inner.event_shape[: inner.reinterpreted_batch_ndims]
        return elementwise(inner.base_dist.expand((*fn.batch_shape, *joined)))
    return fn


def constant(values: np.ndarray) -> Array:
    """Return a constant in the precision that holds now.

    It is copied, since JAX converts each NumPy array once and goes on with the precision
    that held then.

    Args:
        values: Numbers in 64 bits.

    Returns:
        The same in 32 or 64 bits.
    """
    dtype = jnp.result_type(float) if values.dtype.kind == "f" else values.dtype
    return jnp.asarray(values.astype(dtype))


@dataclass(frozen=True, eq=False)
class ElementValues:
    """All values of one element of a site, or quadrature nodes in their place."""

    values: np.ndarray
    """Shape (values, *event shape)."""
    log_weights: np.ndarray
    """Log quadrature weights; zero for discrete laws."""
    is_continuous: bool


def element_values(name: str, law: dist.Distribution, num_nodes: int) -> ElementValues:
    """List all values that one element of a site can take.

    A continuous law between fixed bounds gets Gauss-Legendre nodes (Gauss-Jacobi for a Beta
    law, Gauss-Hermite for a normal law, Gauss-Laguerre for a gamma law, Gauss-Legendre in
    quantiles for other laws with fixed parameters and known quantiles).

    Args:
        name: Site, for messages.
        law: Law of one element, with its parameters where they are fixed.
        num_nodes: Number of quadrature nodes for a continuous law.

    Returns:
        The values.

    Raises:
        ValueError: If the law has neither finitely many values nor nodes.
    """
    nodes = None if law.is_discrete else _nodes(law, num_nodes)
    if nodes is not None:
        return ElementValues(*nodes, is_continuous=True)
    values = _list_values(name, law)
    return ElementValues(values, np.zeros(values.shape[0]), is_continuous=False)


def _list_values(name: str, law: dist.Distribution) -> np.ndarray:
    """Return all values of one element."""
    if not law.has_enumerate_support:
        raise ValueError(
            f"program: site {name!r} with support {law.support} cannot be enumerated; "
            "expected finitely many values, or a continuous law with fixed parameters"
        )
    try:
        values = np.asarray(law.enumerate_support(expand=False))
    except NotImplementedError as error:
        raise ValueError(
            f"program: site {name!r} cannot be enumerated, since its elements can take "
            "different values; expected the same values for all"
        ) from error
    return values.reshape(values.shape[0], *law.event_shape)


def _fixed_number(values: Any) -> float | None:
    """Return a number that is the same for all elements and depends on no draw."""
    if values is None or isinstance(values, Tracer) or np.ptp(values) > 0.0:
        return None
    return float(np.min(values))


def _nodes(law: Any, num_nodes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return quadrature nodes for a scalar law with the logs of their weights."""
    low = _fixed_number(getattr(law.support, "lower_bound", None))
    high = _fixed_number(getattr(law.support, "upper_bound", None))
    if law.event_shape:
        return None
    if low is not None and high is not None and np.isfinite(high - low):
        return _bounded_nodes(law, (low, high), num_nodes)
    if isinstance(law, dist.Normal):
        return _normal_nodes(law, num_nodes)
    if isinstance(law, dist.Gamma):
        return _gamma_nodes(law, num_nodes)
    return _quantile_nodes(law, num_nodes)


def _bounded_nodes(
    law: dist.Distribution, interval: tuple[float, float], num_nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre nodes, or for a Beta law with fixed parameters Gauss-Jacobi.

    The weights of the latter hold the density, which may be infinite at the bounds, so it is
    divided out again.
    """
    a, b = _beta_parameters(law)
    nodes, weights = roots_jacobi(num_nodes, b - 1.0, a - 1.0)
    low, high = interval
    log_weights = np.log(weights) - (b - 1.0) * np.log1p(-nodes) - (a - 1.0) * np.log1p(nodes)
    return low + (high - low) * (nodes + 1.0) / 2.0, log_weights + np.log((high - low) / 2.0)


def _beta_parameters(law: dist.Distribution) -> tuple[float, float]:
    """Return a Beta law's fixed parameters, and 1, 1 for every other law."""
    if not isinstance(law, dist.Beta):
        return 1.0, 1.0
    a, b = _fixed_number(law.concentration1), _fixed_number(law.concentration0)
    return (1.0, 1.0) if a is None or b is None else (a, b)


def _normal_nodes(law: dist.Normal, num_nodes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return Gauss-Hermite nodes, whose weights hold the density: it is divided out again."""
    loc, scale = _fixed_number(law.loc), _fixed_number(law.scale)
    if loc is None or scale is None:
        return None
    nodes, weights = roots_hermitenorm(num_nodes)
    return loc + scale * nodes, np.log(weights) + 0.5 * nodes**2 + np.log(scale)


def _gamma_nodes(law: dist.Gamma, num_nodes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return Gauss-Laguerre nodes, whose weights hold the density: it is divided out again."""
    shape, rate = _fixed_number(law.concentration), _fixed_number(law.rate)
    if shape is None or rate is None:
        return None
    nodes, weights = roots_genlaguerre(num_nodes, shape - 1.0)
    log_weights = np.log(weights) - (shape - 1.0) * np.log(nodes) + nodes - np.log(rate)
    return nodes / rate, log_weights


def _quantile_nodes(law: Any, num_nodes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a law's quantiles at Gauss-Legendre nodes, each with weight / density."""
    parameters = [getattr(law, name) for name in law.arg_constraints]
    if any(isinstance(p, Tracer) or np.ptp(p) > 0.0 for p in parameters if p is not None):
        return None
    nodes, weights = roots_jacobi(num_nodes, 0.0, 0.0)
    with jax.enable_x64(True):
        try:
            values = np.asarray(law.icdf((nodes + 1.0) / 2.0), np.float64)
        except (NotImplementedError, ImportError):
            return None
        log_density = np.asarray(law.log_prob(values), np.float64)
    return values, np.log(weights / 2.0) - log_density
