"""The law that samplers draw from: continuous latents, with all discrete ones summed out.

With ``theta`` the continuous latents and ``s_t`` what is shown when question ``t`` is asked,

    p(theta | s_t)  is proportional to  p(theta) p(given | theta) p(s_t | given, theta),
    p(y_t | s_t)  =  E[ p(y_t | s_t, theta) | s_t ],

where all laws given ``theta`` come from one exact pass forwards (Rao and Blackwell's theorem:
summing out what can be summed never makes the error larger). Where the law of some of ``theta``
depends on discrete latents ``z``, as that of a mixture's mean on its component,
``p(theta) = sum_z p(z) p(theta | z)``, and each draw weighs their values by ``p(z | theta)``.
"""

import math
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
from bayescmp.exact.forward.runner import Answers, run_plan
from bayescmp.exact.reading.evidence import data_indices, known_when_asked
from bayescmp.exact.reading.factors import FactoredProgram, factor_program
from bayescmp.exact.reading.leaks import ancestors
from bayescmp.exact.reading.tabulation import MAX_TABLE
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
    log_given: Float[Array, ""]
    """``log p(given | theta)``, up to what does not depend on ``theta``."""
    belief: dict[str, Array]
    """``p(z | s_t, theta)`` for discrete latents ``z``; the axis ``position`` comes first."""


@dataclass(frozen=True, eq=False)
class Target:
    """The continuous latents of a model with their law given each prefix."""

    model: AbstractGenerativeModel
    latents: SampledLatents
    engine: ForwardEngine
    window: int | None = None
    """Number of last steps that are remembered; None remembers all."""

    @property
    def at_once(self) -> int:
        """Number of draws for which a path can be computed together."""
        engine = self.engine
        size = engine.bytes_per_sequence if self.window is None else engine.bytes_per_window
        return max(1, MAX_BYTES // size)

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
        values, log_volume = self._values(coordinates, sites)
        found = (
            jax.tree.map(lambda x: x[position], self._run(values))
            if self.window is None
            else self.engine.answer_window(values, self.window, position)
        )
        log_latents, log_given = self._log_conditions(found.log_conditions, values)
        return log_volume + log_latents + log_given + found.log_asked

    def path(self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array]) -> Path:
        """Answer every question given the continuous latents.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            The answers.
        """
        values, _ = self._values(coordinates, sites)
        window, positions = self.window, jnp.arange(self.model.length)
        found = (
            self._run(values)
            if window is None
            else jax.vmap(lambda t: self.engine.answer_window(values, window, t))(positions)
        )
        return Path(
            log_before=found.log_asked,
            log_after=found.log_evidence,
            log_predictive=found.log_predictive,
            log_given=self._log_conditions(found.log_conditions[0], values)[1],
            belief=self.engine.beliefs(found) if window is None else {},
        )

    def _values(
        self, coordinates: Float[Array, " coordinate"], sites: dict[str, Array]
    ) -> tuple[dict[str, Array], Float[Array, ""]]:
        """Put the continuous latents beside what is shown."""
        drawn, log_volume = self.latents.constrain(coordinates)
        return {**sites, **drawn}, log_volume

    def _run(self, values: dict[str, Array]) -> Answers:
        """Sum over the discrete latents."""
        # What was shown is read off before the outcome comes in: to divide the outcome out again
        # would be 0 / 0 where it is impossible.
        factored = self.engine.factored
        indices = data_indices(factored, values)
        return run_plan(factored, self.engine.plan, factored.tables(values), indices)

    def _log_conditions(
        self, found: Float[Array, "2"], values: dict[str, Array]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return ``log p(theta)`` and ``log p(given | theta)``, whose parts stand in two places."""
        return (
            found[0] + self._log_densities(self.latents.names, values),
            found[1] + self._log_densities(self.latents.telling, values),
        )

    def _log_densities(self, names: tuple[str, ...], values: dict[str, Array]) -> Float[Array, ""]:
        """Add up the log densities of those sites on which no discrete latent has a say."""
        in_tables = {family.site for family in self.engine.factored.families}
        alone = [name for name in names if name not in in_tables]
        if not alone:
            return jnp.zeros(())
        everything = {**blank_values(self.model.program), **values}
        found, _ = compute_log_probs(self.model.program, (), {}, everything, sum_log_prob=False)
        return sum((jnp.sum(found[name]) for name in alone), jnp.zeros(()))


@lru_cache(maxsize=64)
def build_target(model: AbstractGenerativeModel, window: int | None = None) -> Target:
    """Split a model's latents into those that are sampled and those that are summed.

    Args:
        model: Generative model.
        window: Number of last steps that each question remembers; None for all.

    Returns:
        The law to sample from.

    Raises:
        ValueError: If the latents cannot be sampled, the discrete ones not summed, or what
            stands before a window neither.

    Example:
        >>> build_target(bc.models.beta_bernoulli(length=4)).latents.names
        ('bias',)
    """
    with jax.enable_x64(True):
        latents = find_latents(model)
        tables = factor_program(model.program, model.layout, fixed=latents.names)
        _reject_many_settings(tables, latents)
        if window is not None:
            known_when_asked(tables, window)
        return Target(model, latents, ForwardEngine(tables), window)


def _reject_many_settings(tables: FactoredProgram, latents: SampledLatents) -> None:
    """Check that the discrete latents behind continuous ones are few enough to list."""
    families = tables.families
    own = {f.child: number for number, f in enumerate(families) if f.child is not None}
    members = [f for f in families if f.site in latents.names]
    behind = ancestors(families, own, {v for family in members for v in family.scope})
    num_settings = math.prod(tables.sizes[v] for v in behind)
    if num_settings > MAX_TABLE:
        raise ValueError(
            f"program: expected at most {MAX_TABLE:,} joint settings of the discrete latents on "
            f"which the law of continuous ones depends, got {num_settings:,} behind "
            f"{sorted({family.site for family in members})}; draw one continuous latent for each "
            "value of a discrete one, and select by it where it is used"
        )
