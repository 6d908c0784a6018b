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
from bayescmp.program import blank_values, visit_sites

FURTHEST = 700.0
"""Draws that round to a bound would lie at infinity; they are put here, at exp(-700) = 1e-304,
which float64 still tells from zero."""


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
    telling: tuple[str, ...]
    """Sites given in the prompt that depend on sampled latents."""

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
            depend on other draws, or a law that depends on what the steps show or ask.
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
    if layout.edges and not layout.reveal:
        raise ValueError("reveal: expected True for a continuous outcome, got False")
    return SampledLatents(tuple(found), _find_telling(model, [site.name for site in found]))


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


def _find_telling(model: AbstractGenerativeModel, sampled: list[str]) -> tuple[str, ...]:
    """Check what is drawn before the steps, and list the given sites that tell of latents."""
    layout, parents = model.layout, _find_parents(model)
    steps = {site.name for site in (*layout.query, layout.outcome)}
    given = [site.name for site in layout.given]
    summed = set(model.sites) - steps - set(given) - set(sampled)
    behind = parents
    for _ in summed:  # each round reaches through one more of them
        behind = {
            name: found.union(*(behind[other] for other in found & summed))
            for name, found in behind.items()
        }
    for name in (*sampled, *given):
        if behind[name] & steps:
            raise ValueError(
                f"{'given' if name in given else 'program'}: expected continuous latents and "
                f"given sites to be drawn before the steps, got {name!r}, which depends on "
                f"{sorted(behind[name] & steps)}"
            )
    return tuple(name for name in given if parents[name] & set(sampled))


def _find_parents(model: AbstractGenerativeModel) -> dict[str, set[str]]:
    """Return for each site the others that its law depends on."""
    values, names = blank_values(model.program), list(model.sites)
    labels = {name: np.full(value.shape, names.index(name)) for name, value in values.items()}
    densities = partial(log_densities, model.program, model.layout)
    found = find_dependence(densities, values, labels, len(names))
    rows = {name: found[name].reshape(-1, len(names)).any(axis=0) for name in names}
    return {name: {names[n] for n in np.flatnonzero(rows[name])} - {name} for name in names}


def _is_unbounded(transform: Transform) -> bool:
    """Whether a transform leaves numbers as they are."""
    inner = getattr(transform, "base_transform", transform)
    return isinstance(inner, dist.transforms.IdentityTransform)
