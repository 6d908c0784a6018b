"""The law that samplers draw from: continuous latents, with all discrete ones summed out.

With ``theta`` the continuous latents and ``s_t`` what is shown when question ``t`` is asked,

    p(theta | s_t)  is proportional to  p(theta) p(given | theta) p(s_t | given, theta),
    p(y_t | s_t)  =  E[ p(y_t | s_t, theta) | s_t ],

where both laws given ``theta`` come from one exact pass forwards (Rao and Blackwell's theorem:
summing out what can be summed never makes the error larger).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.infer.util import compute_log_probs

from bayescmp._types import Key
from bayescmp.exact.forward.forward_engine import ForwardEngine
from bayescmp.exact.forward.runner import run_plan
from bayescmp.exact.reading.evidence import data_indices
from bayescmp.exact.reading.factors import factor_program
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.montecarlo.latents import SampledLatents, find_latents
from bayescmp.program import blank_values, trace_program

MAX_BYTES = 2**28
"""Rough size of the arrays that may be filled at once."""


class Path(eqx.Module):
    """What one value of ``theta`` says about every question of one sequence."""

    log_before: Float[Array, " position"]
    """``log p(s_t | given, theta)``."""
    log_after: Float[Array, " position"]
    """``log p(all shown by the end of step t | given, theta)``."""
    log_predictive: Float[Array, "position outcome"]
    """``log p(y_t | s_t, theta)``."""
    belief: dict[str, Array]
    """``p(z | s_t, theta)`` for discrete latents ``z``; the axis ``position`` comes first."""


@dataclass(frozen=True, eq=False)
class Target:
    """The continuous latents of a model with their law given each prefix."""

    model: AbstractGenerativeModel
    latents: SampledLatents
    engine: ForwardEngine

    @property
    def at_once(self) -> int:
        """Number of draws for which a path can be computed together."""
        return max(1, MAX_BYTES // self.engine.bytes_per_sequence)

    def in_64_bits(self, sites: Mapping[str, Array | np.ndarray]) -> dict[str, Array]:
        """Return values in the types in which the program draws them; call where 64 bits hold.

        Args:
            sites: Values by name, any number of batch axes.

        Returns:
            The same values.
        """
        types = {name: x.dtype for name, x in blank_values(self.model.program).items()}
        return {name: jnp.asarray(np.asarray(x), types[name]) for name, x in sites.items()}

    def draw_prior(self, sites: dict[str, Array], *, key: Key) -> Float[Array, " coordinate"]:
        """Draw from the prior.

        Args:
            sites: Values of all given, query and outcome sites of one sequence.
            key: Typed key.

        Returns:
            Unbounded coordinates.
        """
        given = {site.name: sites[site.name] for site in self.model.layout.given}
        trace = trace_program(self.model.program, key=key, substituted=given)
        return self.latents.unconstrain({n: trace[n]["value"] for n in self.latents.names})

    def log_prior(
        self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array]
    ) -> Float[Array, ""]:
        """Return the log density of coordinates a priori.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            ``log p(theta) + log |d theta / d coordinates|``.
        """
        values, log_volume = self.latents.constrain(coordinates)
        return log_volume + self._log_densities(self.latents.names, {**sites, **values})

    def log_given(
        self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array]
    ) -> Float[Array, ""]:
        """Return ``log p(given | theta)``, or zero where it does not depend on ``theta``.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            Log density.
        """
        if not self.latents.given_tells:
            return jnp.zeros((), coordinates.dtype)
        values, _ = self.latents.constrain(coordinates)
        names = tuple(site.name for site in self.model.layout.given)
        return self._log_densities(names, {**sites, **values})

    def log_posterior(
        self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array], position: Array
    ) -> Float[Array, ""]:
        """Return the log density of coordinates when a question is asked, not normalised.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.
            position: Which question.

        Returns:
            ``log p(theta, given, s_t)`` up to a constant, with the volume of the coordinates.
        """
        path = self.path(coordinates, sites)
        prior = self.log_prior(coordinates, sites) + self.log_given(coordinates, sites)
        return prior + path.log_before[position]

    def path(self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array]) -> Path:
        """Answer every question given the continuous latents.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            The answers.
        """
        factored, plan = self.engine.factored, self.engine.plan
        values = {**sites, **self.latents.constrain(coordinates)[0]}
        # What was shown is read off before the outcome comes in: to divide the outcome out again
        # would be 0 / 0 where it is impossible.
        found = run_plan(factored, plan, factored.tables(values), data_indices(factored, values))
        believed = zip(plan.beliefs.items(), found.marginals, strict=True)
        belief = {name: self._belief(name, own, x) for (name, own), x in believed}
        return Path(found.log_asked, found.log_evidence, found.log_predictive, belief)

    def _belief(self, name: str, by_row: bool, marginals: Array) -> Array:
        """Give the elements of a summed site the axes that they have in the program."""
        site = self.engine.factored.site(name)
        shape = () if site is None else site.batch_shape[int(by_row) :]
        return marginals.reshape(marginals.shape[0], *shape, marginals.shape[-1])

    def _log_densities(self, names: tuple[str, ...], values: dict[str, Array]) -> Float[Array, ""]:
        """Add up the log densities of some sites, on none of which a summed site has a say."""
        everything = {**blank_values(self.model.program), **values}
        found, _ = compute_log_probs(self.model.program, (), {}, everything, sum_log_prob=False)
        return sum((jnp.sum(found[name]) for name in names), jnp.zeros(()))


@lru_cache(maxsize=64)
def build_target(model: AbstractGenerativeModel) -> Target:
    """Split a model's latents into those that are sampled and those that are summed.

    Args:
        model: Generative model.

    Returns:
        The law to sample from.

    Raises:
        ValueError: If the latents cannot be sampled, or the discrete ones not summed.

    Example:
        >>> build_target(bc.models.beta_bernoulli(length=4)).latents.names
        ('bias',)
    """
    with jax.enable_x64(True):
        latents = find_latents(model)
        tables = factor_program(model.program, model.layout, fixed=latents.names)
        return Target(model, latents, ForwardEngine(tables))
