"""Log densities of a model's continuous latents, fast enough for thousands of replicates.

Where every hidden site is continuous and every step has a log probability of its own,

    log p(theta, given, s_t) = log p(theta) + log p(given | theta) + sum of the steps before t,

read off the program in one run: no scan over steps, and so small trees of the no-U-turn sampler
for thousands of chains at a time. Where discrete latents have to be summed, it is the exact
forward pass of :mod:`bayescmp.montecarlo.target`.
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.infer.util import compute_log_probs

from bayescmp.montecarlo.target import Target
from bayescmp.program import blank_values

Values = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Density:
    """Log densities of what is shown when one question is asked, for one sequence."""

    target: Target
    """The model's continuous latents."""
    position: int
    """Which question."""

    @cached_property
    def is_direct(self) -> bool:
        """Whether nothing has to be summed, and each step has a log probability of its own."""
        layout = self.target.model.layout
        steps = (*layout.query, layout.outcome)
        visible = {site.name for site in (*layout.given, *steps)}
        if layout.edges or set(self.target.model.sites) != visible | set(self.target.latents.names):
            return False
        found = jax.eval_shape(lambda: self._log_probs({}))
        return all(found[site.name].shape[:1] == (layout.length,) for site in steps)

    def log_posterior(
        self, coordinates: Float[Array, " coordinate"], sites: Values
    ) -> Float[Array, ""]:
        """Return ``log p(theta, given, s_t)`` of unbounded coordinates, up to a constant.

        Args:
            coordinates: Unbounded coordinates.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            Log density in nats, with the volume of the coordinates.
        """
        if not self.is_direct:
            return self.target.log_posterior(coordinates, sites, jnp.asarray(self.position))
        latents, log_volume = self.target.latents.constrain(coordinates)
        found = self._log_probs({**sites, **latents})
        prior = sum((jnp.sum(found[name]) for name in latents), log_volume)
        return prior + self._log_given(found) + self._log_steps(found)

    def log_likelihood(self, latents: Values, sites: Values) -> Float[Array, ""]:
        """Return ``log p(s_t | given, theta)``.

        Args:
            latents: Values of the continuous latents.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            Log probability or density in nats.
        """
        if not self.is_direct:
            coordinates = self.target.latents.unconstrain(latents)
            return self.target.path(coordinates, sites).log_before[self.position]
        return self._log_steps(self._log_probs({**sites, **latents}))

    def log_next(self, latents: Values, sites: Values) -> Float[Array, " outcome"]:
        """Return ``log p(y_t | s_t, theta)``.

        Args:
            latents: Values of the continuous latents.
            sites: Values of all given, query and outcome sites of one sequence.

        Returns:
            Log probability of each outcome, in nats.
        """
        layout, t = self.target.model.layout, self.position
        if not self.is_direct:
            coordinates = self.target.latents.unconstrain(latents)
            return self.target.path(coordinates, sites).log_predictive[t]
        asked = layout.outcome

        def of(value: Int[Array, ""]) -> Array:
            changed = sites[asked.name].at[t].set(value.astype(sites[asked.name].dtype))
            found = self._log_probs({**sites, **latents, asked.name: changed})
            return jnp.sum(found[asked.name][t])

        return jax.vmap(of)(asked.lowest + jnp.arange(layout.num_outcomes))

    def _log_probs(self, values: Values) -> Values:
        """Run the program at some values and return the log probability of every site's parts."""
        program = self.target.model.program
        everything = {**blank_values(program), **values}
        return compute_log_probs(program, (), {}, everything, sum_log_prob=False)[0]

    def _log_given(self, found: Values) -> Float[Array, ""]:
        given = self.target.model.layout.given
        return sum((jnp.sum(found[site.name]) for site in given), jnp.zeros(()))

    def _log_steps(self, found: Values) -> Float[Array, ""]:
        """Add up what is shown before the question, its own query included."""
        layout, steps = self.target.model.layout, np.arange(self.target.model.length)
        total = jnp.zeros(())
        for site in layout.query:
            rows = found[site.name].reshape(layout.length, -1).sum(axis=1)
            total += jnp.sum(jnp.where(steps <= self.position, rows, 0.0))
        if layout.reveal:
            rows = found[layout.outcome.name].reshape(layout.length, -1).sum(axis=1)
            total += jnp.sum(jnp.where(steps < self.position, rows, 0.0))
        return total
