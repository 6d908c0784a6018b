"""Latent probabilities with Beta and Dirichlet priors, which what is shown merely counts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate_mixture import (
    Part,
    answer_parts,
    mixed_predictive,
    mixed_reference,
    remembered_steps,
    settings_at_once,
    windowed_by_listing,
)
from bayescmp.exact.conjugacy.conjugate_roles import (
    Roles,
)
from bayescmp.exact.conjugacy.conjugate_simplex import (
    NO_LOG,
    LogLinear,
    SimplexSite,
    Tables,
    align,
    log_rise,
    outcome_range,
    outcome_table,
    prior_pair,
)
from bayescmp.exact.settings import element_law
from bayescmp.records import Reference


class CountsEngine(AbstractEngine):
    """Beta and Dirichlet latents that enter through counts, with discrete latents around.

    Given the discrete latents ``d`` and all before, each law is
    ``log p = c + sum_k n_k log theta_k``. Then ``theta`` stays Dirichlet, with the counts
    added to the concentrations ``alpha``, and with ``B`` the multivariate Beta function
    ``p(step | d, s) = exp(c) B(alpha + N_s + n) / B(alpha + N_s)``. The counts ``n`` are read
    off the program, by running it at one interior ``theta`` for each probability.

    ``belief[latent][t]`` holds the concentrations of each row (of a Beta site both), with an
    axis for the joint setting first where there are discrete latents.
    """

    roles: Roles = eqx.field(static=True)
    simplices: tuple[SimplexSite, ...] = eqx.field(static=True)
    entangled: bool = eqx.field(static=True)
    """Whether the law of a query depends on the outcome of its step."""
    memoryless: bool = eqx.field(static=True)
    """Whether steps are independent given the latents."""

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        remembered = remembered_steps(self.roles.layout, self.roles.layout.length)
        parts, log_posterior = answer_parts(
            self.roles, lambda setting: self._part({**sites, **setting}, remembered), self._at_once
        )
        return mixed_reference(self.roles, parts, log_posterior)

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the counts of the last steps.

        Raises:
            ValueError: If steps lean on earlier ones and there are too many sequences for
                a sum over all that may stand before the window.
        """
        if not self.memoryless:
            return windowed_by_listing(
                self.roles, lambda example: self(example).log_evidence, sites, window
            )
        remembered = remembered_steps(self.roles.layout, window)
        parts, _ = answer_parts(
            self.roles, lambda setting: self._part({**sites, **setting}, remembered), self._at_once
        )
        return mixed_predictive(parts)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            **{site.name: "integrated in closed form" for site in self.simplices},
            **self.roles.treatment(),
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "Dirichlet (or Beta) priors are conjugate to laws that count" + self.roles.around()

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the arrays behind the answers for one sequence."""
        at_once = min(self._at_once, self.roles.num_settings)
        return 8 * (4 * at_once * self._floats + 2 * self.roles.num_settings * self._rows)

    @property
    def num_numbers(self) -> int:
        """Number of latent probabilities of all sites."""
        return sum(site.num_numbers for site in self.simplices)

    @property
    def _rows(self) -> int:
        layout = self.roles.layout
        return layout.length * (layout.num_outcomes + self.num_numbers)

    @property
    def _floats(self) -> int:
        layout = self.roles.layout
        sub_runs = layout.length * layout.num_outcomes if self.entangled else 1
        return layout.length * layout.num_outcomes * (self.num_numbers + 1) * sub_runs

    @property
    def _at_once(self) -> int:
        return settings_at_once(self._floats)

    def _part(
        self, values: dict[str, Array], remembered: Bool[np.ndarray, "position step"]
    ) -> Part:
        """Answer within one setting of the discrete latents."""
        tables, prior = self.read(values), self._concentrations(values)
        rows = self._row_numbers
        base, kept, joint = tables.base, tables.kept, tables.joint
        mask = jnp.asarray(remembered.copy())
        before = base.count + mask.astype(prior.dtype) @ kept.count
        after = base.count + jnp.cumsum(kept.count, axis=0)
        log_past = jnp.sum(jnp.where(mask, kept.constant, 0.0), axis=1)
        belief = prior + before
        return Part(
            log_base=base.constant + log_rise(prior, base.count, rows),
            log_past=base.constant + log_past + log_rise(prior, before, rows),
            log_joint=joint.constant + log_rise(belief[:, None], joint.count, rows),
            log_shown=base.constant + jnp.cumsum(kept.constant) + log_rise(prior, after, rows),
            belief={
                site.name: x for site, x in zip(self.simplices, self.split(belief), strict=True)
            },
        )

    def read(self, values: dict[str, Array]) -> Tables:
        """Read constants and counts of all laws off the program.

        With ``theta = softmax(eta)`` per row and ``f(eta) = c + n . log theta``, one step in
        coordinate ``k`` of a row of ``K`` from ``eta = 0`` changes ``f`` by
        ``n_k - N log((e + K - 1) / K)``, where ``N = sum_k n_k``; the sum of these over ``k``
        gives ``N``. Only points where rows sum to one are ever used.

        Args:
            values: Values of all sites but the latents that are integrated.

        Returns:
            The laws at these values.
        """
        num_numbers = self.num_numbers
        points = jnp.concatenate([jnp.zeros((1, num_numbers)), jnp.eye(num_numbers)])
        found = jax.vmap(lambda eta: self.log_tables({**values, **self.theta(eta)}))(points)
        return jax.tree.map(self._solve, found)

    def _solve(self, found: Array) -> LogLinear:
        """Solve for constant and counts from values at zero and at each unit step."""
        possible = found[0] > NO_LOG
        step = jnp.where(possible, found[1:] - found[0], 0.0)
        rows, sizes = self._row_numbers, self._row_sizes
        # Rounded to the precision in force, since NumPy holds constants in 64 bits.
        change = jnp.asarray(np.log((np.e + sizes - 1.0) / sizes), found.dtype)
        size = jnp.asarray(sizes.copy(), found.dtype)
        sums = jax.ops.segment_sum(step, rows, len(sizes))
        totals = sums / align(1.0 - size * change, sums)
        count = step + (totals * align(change, totals))[rows]
        snap = jnp.sqrt(jnp.finfo(found.dtype).eps) / 8.0
        whole = jnp.round(count)
        count = jnp.where(jnp.abs(count - whole) < snap, whole, count)
        log_size = jnp.asarray(np.log(sizes), found.dtype)[rows]
        constant = found[0] + jnp.sum(count * align(log_size, count), axis=0)
        constant = jnp.where(possible, constant, -jnp.inf)
        return LogLinear(constant, jnp.moveaxis(count, 0, -1))

    def log_tables(self, values: dict[str, Array]) -> Tables:
        """Run the program and return the log probabilities of all steps.

        Args:
            values: Values of all sites.

        Returns:
            Log probabilities at these values.
        """
        layout, name = self.roles.layout, self.roles.layout.outcome.name
        messages = self.roles.messages(values)
        query = self.roles.log_query(messages)
        joint = query[:, None] + outcome_table(
            messages[name]["fn"], layout.length, *outcome_range(layout)
        )
        if self.entangled:
            joint = self._joint_one_by_one(values)
        kept = query
        if layout.reveal:
            index = layout.outcome_indices(values)
            kept = jnp.take_along_axis(joint, index[:, None], axis=1)[:, 0]
        return Tables(self.roles.log_base(messages), joint, kept)

    def _joint_one_by_one(self, values: dict[str, Array]) -> Float[Array, "position outcome"]:
        """Put each outcome at each position in turn, since the query's law depends on it."""
        layout, name = self.roles.layout, self.roles.layout.outcome.name

        def one(position: Array, index: Array) -> Array:
            outcome = (index + layout.outcome.lowest).astype(values[name].dtype)
            outcomes = values[name].at[position].set(outcome)
            messages = self.roles.messages({**values, name: outcomes})
            law = outcome_table(messages[name]["fn"], layout.length, *outcome_range(layout))
            return self.roles.log_query(messages)[position] + law[position, index]

        over_outcomes = jax.vmap(one, in_axes=(None, 0))
        indices = jnp.arange(layout.num_outcomes)
        return jax.vmap(over_outcomes, in_axes=(0, None))(jnp.arange(layout.length), indices)

    def theta(self, eta: Float[Array, " number"]) -> dict[str, Array]:
        """Turn unconstrained numbers into a value for each latent.

        Args:
            eta: One number for each latent probability, all sites in a row.

        Returns:
            Values by name.
        """
        values = {}
        for site, part in zip(self.simplices, self.split(eta), strict=True):
            theta = jax.nn.softmax(part, axis=-1)
            values[site.name] = theta[..., 0] if site.is_pair else theta
        return values

    def split(self, numbers: Float[Array, "*axes number"]) -> list[Array]:
        """Split the last axis into sites, rows and probabilities."""
        parts, start = [], 0
        for site in self.simplices:
            part = numbers[..., start : start + site.num_numbers]
            parts.append(part.reshape(*numbers.shape[:-1], *site.shape, site.size))
            start += site.num_numbers
        return parts

    def _concentrations(self, values: dict[str, Array]) -> Float[Array, " number"]:
        """Return the prior concentrations of all latents in a row."""
        messages = self.roles.messages({**values, **self.theta(jnp.zeros(self.num_numbers))})
        parts = []
        for site in self.simplices:
            law = element_law(messages[site.name]["fn"])
            found = prior_pair(law) if site.is_pair else law.concentration
            parts.append(jnp.broadcast_to(found, (*site.shape, site.size)).ravel())
        return jnp.concatenate(parts).astype(float)

    @property
    def _row_sizes(self) -> np.ndarray:
        return np.concatenate(
            [np.full(site.num_numbers // site.size, site.size) for site in self.simplices]
        )

    @property
    def _row_numbers(self) -> np.ndarray:
        """The row to which each latent probability belongs."""
        sizes = self._row_sizes
        return np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
