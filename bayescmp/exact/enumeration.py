"""Brute force: run the program at every setting of its sites and add up.

This is the judge of all other engines, so it is as plain as it can be: the joint
probability of each setting comes from NumPyro, and every answer is a ratio of two sums
over the settings that agree with what was shown.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float
from numpyro.infer.util import compute_log_probs

from bayescmp.engine import AbstractEngine
from bayescmp.exact.settings import SettingGrid, constant, list_settings, reject_dependent
from bayescmp.layout import Layout
from bayescmp.program import Program, Site, blank_values
from bayescmp.records import Reference

CHUNK = 4_096
"""Settings evaluated at once."""


class EnumerationEngine(AbstractEngine):
    """Answers by summing the program's joint probability over all settings.

    With ``w_i`` the joint probability of setting ``i`` and ``A_t`` the settings that agree
    with all shown when question ``t`` is asked,
    ``p(y_t = o | s_t) = sum_{i in A_t, y_t^i = o} w_i / sum_{i in A_t} w_i``.

    A continuous latent between fixed bounds is replaced by Gauss-Legendre nodes (Gauss-Jacobi
    for a Beta law), exact where the rest of the joint law is a polynomial in it of a degree
    below twice their number. A query with infinitely many values is taken as it is shown;
    its law must not depend on any site that is not shown before it.
    """

    program: Program = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    grids: tuple[SettingGrid, ...] = eqx.field(static=True)

    def __init__(self, program: Program, layout: Layout, *, num_nodes: int = 64) -> None:
        """List the settings of every site that the prompt does not give.

        Args:
            program: NumPyro program without arguments.
            layout: The program's layout.
            num_nodes: Quadrature nodes for each continuous latent.

        Raises:
            ValueError: If a site cannot be enumerated (a binned outcome is none that can),
                there are too many settings, or a query with infinitely many values depends
                on a site that is not given.
        """
        if layout.edges:
            raise ValueError(
                f"engine: expected finitely many outcomes to enumerate, got the continuous "
                f"{layout.outcome.name!r}, which is shown as a number"
            )
        self.program = program
        self.layout = layout
        fixed = {site.name for site in (*layout.given, *self._continuous_queries)}
        self.grids = list_settings(program, fixed=fixed, num_nodes=num_nodes)
        reject_dependent(program, layout, fixed)

    @property
    def num_settings(self) -> int:
        """Number of joint settings."""
        return math.prod(grid.values.shape[0] for grid in self.grids)

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the largest arrays behind the answers for one sequence."""
        return self.num_settings * self.layout.length * (self.layout.length + 8)

    @property
    def _continuous_queries(self) -> list[Site]:
        return [site for site in self.layout.query if site.num_values is None]

    @property
    def is_exact(self) -> bool:
        """Whether every site is discrete, so that nothing was replaced by nodes."""
        return not any(grid.is_continuous for grid in self.grids)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        log_joint = self._log_joint(sites)
        steps = self._agreeing_steps(sites)
        asked = self._agrees_when_asked(steps, self.layout.length)
        shown = self._agrees_after(steps)
        log_evidence = logsumexp(jnp.where(shown, log_joint[:, None], -jnp.inf), axis=0)
        log_evidence = log_evidence + self._log_continuous(sites)
        return Reference(
            log_predictive=self._log_predictive(log_joint, asked),
            log_evidence=log_evidence,
            belief=self._beliefs(log_joint, asked),
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the settings that agree with the last steps."""
        asked = self._agrees_when_asked(self._agreeing_steps(sites), window)
        return self._log_predictive(self._log_joint(sites), asked)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        how = {
            grid.name: "summed over quadrature nodes" if grid.is_continuous else "enumerated"
            for grid in self.grids
        }
        how |= {site.name: "shown" for site in self._continuous_queries}
        return how | {site.name: "given" for site in self.layout.given}

    def reason(self) -> str:
        """Say why the answer is exact."""
        if self.is_exact:
            return f"the sum runs over all {self.num_settings:,} joint settings of the program"
        return (
            f"the sum runs over {self.num_settings:,} joint settings, of which continuous "
            "sites contribute quadrature nodes"
        )

    def _settings(self, index: Array) -> dict[str, Array]:
        """Decode a joint setting's number into a value for each site."""
        values = {}
        for grid in reversed(self.grids):
            size = grid.values.shape[0]
            values[grid.name] = constant(grid.values)[index % size]
            index = index // size
        return values

    def _log_weight(self, index: Array) -> Array:
        log_weight = jnp.zeros(())
        for grid in reversed(self.grids):
            size = grid.values.shape[0]
            log_weight = log_weight + constant(grid.log_weights)[index % size]
            index = index // size
        return log_weight

    def _fixed(self, sites: dict[str, Array]) -> dict[str, Array]:
        return {s.name: sites[s.name] for s in (*self.layout.given, *self._continuous_queries)}

    def _log_joint(self, sites: dict[str, Array]) -> Float[Array, " setting"]:
        """Return the log probability of each setting given what is fixed."""
        fixed = self._fixed(sites)
        types = {name: value.dtype for name, value in blank_values(self.program).items()}

        def one(index: Array) -> Array:
            values = {**fixed, **self._settings(index)}
            values = {name: value.astype(types[name]) for name, value in values.items()}
            log_probs, _ = compute_log_probs(self.program, (), {}, values)
            return sum(log_probs.values(), self._log_weight(index))

        log_joint = jax.lax.map(one, jnp.arange(self.num_settings), batch_size=CHUNK)
        return log_joint - logsumexp(log_joint)

    def _log_continuous(self, sites: dict[str, Array]) -> Float[Array, " position"]:
        """Return the log density of the continuous queries up to each step."""
        log_density = jnp.zeros(self.layout.length)
        if not self._continuous_queries:
            return log_density
        values = {**self._settings(jnp.zeros((), int)), **self._fixed(sites)}
        log_probs, _ = compute_log_probs(self.program, (), {}, values, sum_log_prob=False)
        for site in self._continuous_queries:
            steps = log_probs[site.name].reshape(self.layout.length, -1)
            log_density = log_density + jnp.cumsum(steps.sum(axis=1))
        return log_density

    def _site_values(self, name: str) -> Array:
        indices = jnp.arange(self.num_settings)
        return jax.vmap(lambda index: self._settings(index)[name])(indices)

    def _agreeing_steps(self, sites: dict[str, Array]) -> tuple[Array, Array]:
        """Mark, for each setting and step, agreement with the query and with the outcome."""
        length = self.layout.length
        query = jnp.ones((self.num_settings, length), bool)
        for site in self.layout.query:
            if site.num_values is None:
                continue
            same = self._site_values(site.name) == sites[site.name]
            query &= same.reshape(self.num_settings, length, -1).all(axis=2)
        outcome = jnp.ones((self.num_settings, length), bool)
        if self.layout.reveal:
            name = self.layout.outcome.name
            outcome = self._site_values(name) == sites[name]
        return query, outcome

    def _agrees_when_asked(
        self, steps: tuple[Array, Array], window: int
    ) -> Bool[Array, "setting position"]:
        query, outcome = steps
        positions = jnp.arange(self.layout.length)
        age = positions[:, None] - positions[None, :]
        past = (age > 0) & (age <= window)
        if not self.layout.reveal:
            past = (age > 0) & (age < window)
        wrong = ~(query & outcome)
        return query & ~jnp.any(wrong[:, None, :] & past[None, :, :], axis=2)

    def _agrees_after(self, steps: tuple[Array, Array]) -> Bool[Array, "setting position"]:
        return jnp.cumprod(steps[0] & steps[1], axis=1) > 0

    def _log_predictive(
        self, log_joint: Float[Array, " setting"], agrees: Bool[Array, "setting position"]
    ) -> Float[Array, "position outcome"]:
        outcome = self.layout.outcome
        values = self._site_values(outcome.name) - outcome.lowest
        log_weights = jnp.where(agrees, log_joint[:, None], -jnp.inf)

        def of_outcome(index: Array) -> Array:
            return logsumexp(jnp.where(values == index, log_weights, -jnp.inf), axis=0)

        log_counts = jax.lax.map(of_outcome, jnp.arange(self.layout.num_outcomes))
        return (log_counts - logsumexp(log_counts, axis=0)).T

    def _beliefs(
        self, log_joint: Float[Array, " setting"], agrees: Bool[Array, "setting position"]
    ) -> dict[str, Array]:
        """Return ``p(site takes its i-th setting | s_t)`` for sites that are never shown."""
        shown = {site.name for site in self.layout.shown_sites}
        log_weights = jnp.where(agrees, log_joint[:, None], -jnp.inf)
        log_posterior = log_weights - logsumexp(log_weights, axis=0)
        beliefs, stride = {}, 1
        for grid in reversed(self.grids):
            size = grid.values.shape[0]
            if grid.name not in shown:
                number = (jnp.arange(self.num_settings) // stride) % size
                totals = jax.ops.segment_sum(jnp.exp(log_posterior), number, size)
                beliefs[grid.name] = totals.T
            stride *= size
        return beliefs
