"""Linear-Gaussian structure: what is normal around a linear function of normal latents."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayescmp.exact.conjugacy.conjugate_roles import (
    Roles,
)
from bayescmp.exact.settings import element_law


@dataclass(frozen=True)
class LinearForm:
    """The parts that sites play in a linear-Gaussian program."""

    latents: tuple[tuple[str, tuple[int, ...]], ...]
    """Normal latents with their shapes."""
    given: tuple[str, ...]
    """Given sites that are normal around a linear function of the latents."""
    scale_site: str | None = None
    """Latent that scales all variances, where there is one."""
    scale_kind: str = "precision"
    """Whether that latent is a precision or a variance."""

    @property
    def num_numbers(self) -> int:
        """Number of normal latents, element by element."""
        return sum(int(np.prod(shape, dtype=int)) for _, shape in self.latents)

    def split(self, numbers: Float[Array, " number"]) -> dict[str, Array]:
        """Split a vector into the values of the normal latents."""
        values, start = {}, 0
        for name, shape in self.latents:
            size = int(np.prod(shape, dtype=int))
            values[name] = numbers[start : start + size].reshape(shape)
            start += size
        return values


class Laws(eqx.Module):
    """The normal laws of a program at one value of all sites."""

    latent_loc: Float[Array, " number"]
    latent_root: Float[Array, "number number"]
    """Lower triangular factor of the latents' covariance around their own locations."""
    loc: Float[Array, " observation"]
    """Locations of the given normal sites, then of the outcome at each position."""
    scale: Float[Array, " observation"]


class LinearModel(eqx.Module):
    """``u ~ Normal(mean, covariance)`` and ``y_i ~ Normal(weight_i . u + offset_i, scale_i)``.

    Where a latent scales all variances these are the laws at the value one of it.
    """

    mean: Float[Array, " number"]
    covariance: Float[Array, "number number"]
    weight: Float[Array, "observation number"]
    offset: Float[Array, " observation"]
    scale: Float[Array, " observation"]


def read_laws(
    roles: Roles, form: LinearForm, values: dict[str, Array], numbers: Array, scale: Array
) -> Laws:
    """Run the program and collect the parameters of its normal laws.

    Args:
        roles: The program and its sites.
        form: Which sites are normal.
        values: Values of all sites but the continuous latents.
        numbers: Values of the normal latents, all in a row.
        scale: Value of the site that scales variances.

    Returns:
        The laws.
    """
    hidden = form.split(numbers)
    if form.scale_site is not None:
        hidden[form.scale_site] = scale
    messages = roles.messages({**values, **hidden})
    locs, roots = [], []
    for name, shape in form.latents:
        loc, root = _normal_parameters(element_law(messages[name]["fn"]), shape)
        locs.append(loc)
        roots.append(root)
    around, spread = [], []
    for name in (*form.given, roles.layout.outcome.name):
        law, shape = element_law(messages[name]["fn"]), messages[name]["value"].shape
        around.append(jnp.broadcast_to(law.loc, shape).ravel())
        spread.append(jnp.broadcast_to(law.scale, shape).ravel())
    empty = jnp.zeros(0, numbers.dtype)
    return Laws(
        latent_loc=jnp.concatenate([empty, *locs]),
        latent_root=block_diag(*roots) if roots else jnp.zeros((0, 0), numbers.dtype),
        loc=jnp.concatenate(around),
        scale=jnp.concatenate(spread),
    )


def read_linear(roles: Roles, form: LinearForm, values: dict[str, Array]) -> LinearModel:
    """Read a linear-Gaussian model off the program.

    Locations are ``m + F u`` for latents and ``o + W u`` for what is observed, both read by
    automatic differentiation at ``u = 0``. Since a latent depends on earlier ones alone,
    ``I - F`` is triangular with ones, and with ``R`` the factors of the latents' own
    covariances, ``u = (I - F)^-1 (m + R noise)``. No covariance is inverted.

    Args:
        roles: The program and its sites.
        form: Which sites are normal.
        values: Values of all sites but the continuous latents.

    Returns:
        The model.
    """
    zero, one = jnp.zeros(form.num_numbers), jnp.ones(())
    at_zero = read_laws(roles, form, values, zero, one)

    def locations(numbers: Array) -> tuple[Array, Array]:
        laws = read_laws(roles, form, values, numbers, one)
        return laws.latent_loc, laws.loc

    among, weight = jax.jacfwd(locations)(zero)
    unmixed = jnp.eye(form.num_numbers) - among
    mean = jnp.linalg.solve(unmixed, at_zero.latent_loc)
    root = jnp.linalg.solve(unmixed, at_zero.latent_root)
    return LinearModel(mean, root @ root.T, weight, at_zero.loc, at_zero.scale)


def _normal_parameters(law: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return location and root of the covariance of a site, all elements in a row."""
    loc = jnp.broadcast_to(law.loc, shape).ravel()
    if not isinstance(law, dist.MultivariateNormal):
        return loc, jnp.diag(jnp.broadcast_to(law.scale, shape).ravel())
    size = shape[-1]
    roots = jnp.broadcast_to(jnp.asarray(law.scale_tril), (*shape[:-1], size, size))
    roots = roots.reshape(-1, size, size)
    return loc, block_diag(*roots)
