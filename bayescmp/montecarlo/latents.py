"""Which latents of a program are sampled, and how they map to numbers without bounds."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from numpyro import distributions as dist
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform

from bayescmp.exact.reading.dependence import find_dependence
from bayescmp.exact.reading.elements import element_law
from bayescmp.exact.reading.variables import log_densities
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Layout
from bayescmp.program import blank_values, visit_sites

FURTHEST = 700.0
"""Draws that round to a bound would lie at infinity; they are put here, at exp(-700) = 1e-304,
which float64 still tells from zero."""

_SAMPLED, _SUMMED, _GIVEN, _QUERY, _ANSWER = range(5)


@dataclass(frozen=True, eq=False)
class SampledSite:
    """A site that is sampled, and the way from unbounded coordinates to its values."""

    name: str
    shape: tuple[int, ...]
    transform: Transform
    """From unbounded coordinates to values."""
    coordinate_shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return math.prod(self.coordinate_shape)


@dataclass(frozen=True, eq=False)
class SampledLatents:
    """The continuous latents ``theta`` of a program; all others are summed exactly."""

    sites: tuple[SampledSite, ...]
    given_tells: bool
    """Whether what the prompt gives depends on sampled latents."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sampled sites."""
        return tuple(site.name for site in self.sites)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return sum(site.size for site in self.sites)

    def constrain(
        self, coordinates: Float[Array, " coordinate"]
    ) -> tuple[dict[str, Array], Float[Array, ""]]:
        """Turn coordinates into values.

        Args:
            coordinates: Any numbers.

        Returns:
            Value of each site, and ``log |d values / d coordinates|``.
        """
        values, log_volume, start = {}, jnp.zeros((), coordinates.dtype), 0
        for site in self.sites:
            part = coordinates[start : start + site.size].reshape(site.coordinate_shape)
            value = site.transform(part)
            log_volume += jnp.sum(site.transform.log_abs_det_jacobian(part, value))
            values[site.name] = value
            start += site.size
        return values, log_volume

    def unconstrain(self, values: dict[str, Array]) -> Float[Array, " coordinate"]:
        """Turn values into coordinates, those at a bound into ones just inside of it.

        Args:
            values: Value of each site.

        Returns:
            Coordinates.
        """
        parts = []
        for site in self.sites:
            part = jnp.ravel(site.transform.inv(values[site.name]))
            if not _is_unbounded(site.transform):
                part = jnp.clip(part, -FURTHEST, FURTHEST)
            parts.append(part)
        return jnp.concatenate(parts)


def find_latents(model: AbstractGenerativeModel) -> SampledLatents:
    """List the continuous latents of a model.

    Args:
        model: Generative model.

    Returns:
        The latents that are sampled.

    Raises:
        ValueError: If there is none, or one has infinitely many discrete values, bounds that
            depend on other draws, or a law that depends on anything that is not sampled or given.
    """
    layout = model.layout
    shown = {site.name for site in (*layout.given, *layout.query, layout.outcome)}
    found: list[SampledSite] = []

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name not in shown and model.sites[name].num_values is None:
            found.append(_sampled_site(name, msg))

    visit_sites(model.program, visit)
    if not found:
        raise ValueError(
            f"model: expected a continuous latent to sample, got none in {model.title()}; "
            "discrete latents are summed exactly, so use engine='auto'"
        )
    queries_tell, given_tells = _find_tells(model, [site.name for site in found])
    _reject_layout(layout, queries_tell)
    return SampledLatents(tuple(found), given_tells)


def _sampled_site(name: str, msg: dict[str, Any]) -> SampledSite:
    law, support = element_law(msg["fn"]), msg["fn"].support
    if law.is_discrete:
        raise ValueError(
            f"program: expected discrete latents with finitely many values, got {name!r} with "
            f"support {support}"
        )
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(support)):
        raise ValueError(
            f"program: the bounds of site {name!r} depend on other draws; expected fixed bounds: "
            "sample a number between 0 and 1 and stretch it"
        )
    try:
        transform = biject_to(support)
    except NotImplementedError as error:
        raise ValueError(
            f"program: site {name!r} with support {support} cannot be sampled; expected a "
            "support that maps to unbounded numbers"
        ) from error
    shape = tuple(int(size) for size in np.shape(msg["value"]))
    coordinate_shape = tuple(int(size) for size in transform.inverse_shape(shape))
    return SampledSite(name, shape, transform, coordinate_shape)


def _find_tells(model: AbstractGenerativeModel, sampled: list[str]) -> tuple[bool, bool]:
    """Check what sampled latents depend on, and find out which shown sites tell of latents."""
    layout = model.layout
    kinds = dict.fromkeys(model.sites, _SUMMED) | dict.fromkeys(sampled, _SAMPLED)
    kinds |= {site.name: _GIVEN for site in layout.given}
    kinds |= {site.name: _QUERY for site in layout.query} | {layout.outcome.name: _ANSWER}
    values = blank_values(model.program)
    labels = {name: np.full(np.shape(value), kinds[name]) for name, value in values.items()}
    found = find_dependence(partial(log_densities, model.program, layout), values, labels, 5)
    parents = {name: mask.reshape(-1, 5).any(axis=0) for name, mask in found.items()}
    for name in sampled:
        if parents[name][[_SUMMED, _QUERY, _ANSWER]].any():
            others = sorted(n for n in kinds if kinds[n] in (_SUMMED, _QUERY, _ANSWER))
            raise ValueError(
                f"program: expected continuous latents that depend on given sites and on each "
                f"other alone, got {name!r}, which depends on something among {others}; draw one "
                "latent for each value of a discrete one, and select by it where it is used"
            )
    for site in layout.given:
        if parents[site.name][[_SUMMED, _QUERY, _ANSWER]].any():
            raise ValueError(
                f"given: expected sites that depend on continuous latents alone, got "
                f"{site.name!r}, which depends on something else that is drawn"
            )
    queries_tell = any(
        parents[site.name][[_SAMPLED, _SUMMED, _ANSWER]].any() for site in layout.query
    )
    given_tells = any(parents[site.name][_SAMPLED] for site in layout.given)
    return bool(queries_tell), bool(given_tells)


def _reject_layout(layout: Layout, queries_tell: bool) -> None:
    if layout.edges and not layout.reveal:
        raise ValueError("reveal: expected True for a continuous outcome, got False")
    if layout.edges and queries_tell:
        raise ValueError(
            "query: expected queries that depend on nothing hidden beside a continuous outcome, "
            f"got {[site.name for site in layout.query]}"
        )


def _is_unbounded(transform: Transform) -> bool:
    """Whether a transform leaves numbers as they are."""
    inner = getattr(transform, "base_transform", transform)
    return isinstance(inner, dist.transforms.IdentityTransform)
