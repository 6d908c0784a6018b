"""Latent rates with Gamma priors, behind counts and waiting times."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Bool, Float

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate_bins import log_count_bins, log_waiting_bins
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
from bayescmp.exact.settings import element_law
from bayescmp.records import Reference


class LogGamma(eqx.Module):
    """Log densities ``constant + sum_k count_k log rate_k - exposure_k rate_k``."""

    constant: Array
    count: Array
    exposure: Array


class RatesEngine(AbstractEngine):
    """Gamma rates behind a Poisson or exponential outcome, with discrete latents around.

    Given the discrete latents and all before, the outcome's mean count (or its rate) is
    ``w_t`` times one of the latents, so what is shown has the density
    ``c + n log rate - m rate`` in logs and ``Gamma(a, b)`` becomes ``Gamma(a + n, b + m)``.
    Predictives are negative binomial, or Lomax for waiting times. All numbers are read off
    the program.

    ``belief[latent][t]`` holds shape and rate of each element, with an axis for the joint
    setting first where there are discrete latents.
    """

    roles: Roles = eqx.field(static=True)
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    """Latent rates with their shapes."""
    counts: bool = eqx.field(static=True)
    """Whether outcomes are counts; waiting times otherwise."""
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
        """Answer from the last outcomes and the prompt.

        Raises:
            ValueError: If steps lean on earlier ones.
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
        how = {name: "integrated in closed form" for name, _ in self.shapes}
        return how | self.roles.treatment()

    def reason(self) -> str:
        """Say why the answer is exact."""
        law = "Poisson counts" if self.counts else "exponential waiting times"
        return f"a Gamma prior is conjugate to {law}" + self.roles.around()

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the arrays behind the answers for one sequence."""
        at_once = min(self._at_once, self.roles.num_settings)
        return 8 * (4 * at_once + 2 * self.roles.num_settings) * self._floats

    @property
    def num_numbers(self) -> int:
        """Number of latent rates, element by element."""
        return sum(int(np.prod(shape, dtype=int)) for _, shape in self.shapes)

    @property
    def _floats(self) -> int:
        layout = self.roles.layout
        return layout.length * (layout.num_outcomes + 2 * self.num_numbers + 1)

    @property
    def _at_once(self) -> int:
        return settings_at_once(self._floats)

    def split(self, numbers: Float[Array, "*axes number"]) -> dict[str, Array]:
        """Split the last axis into sites."""
        values, start = {}, 0
        for name, shape in self.shapes:
            size = int(np.prod(shape, dtype=int))
            part = numbers[..., start : start + size]
            values[name] = part.reshape(*numbers.shape[:-1], *shape)
            start += size
        return values

    def _part(
        self, values: dict[str, Array], remembered: Bool[np.ndarray, "position step"]
    ) -> Part:
        """Answer within one setting of the discrete latents."""
        layout = self.roles.layout
        base, kept = self.read(values)
        shape, rate, log_query, weight = self.laws(values)
        mask = jnp.asarray(remembered.copy())
        taken = mask.astype(rate.dtype)
        counts, exposures = (
            base.count + taken @ kept.count,
            base.exposure + taken @ kept.exposure,
        )
        log_past = base.constant + jnp.sum(jnp.where(mask, kept.constant, 0.0), axis=1)
        after = (
            base.count + jnp.cumsum(kept.count, axis=0),
            base.exposure + jnp.cumsum(kept.exposure, axis=0),
        )
        log_after = base.constant + jnp.cumsum(kept.constant)
        which = weight > 0.0
        of_step = jnp.sum(jnp.where(which, shape + counts, 0.0), axis=1)
        scale = jnp.sum(
            jnp.where(which, (rate + exposures) / jnp.where(which, weight, 1.0), 0.0), 1
        )
        edges = jnp.array(layout.edges, rate.dtype)
        bins = log_count_bins if self.counts else log_waiting_bins
        log_bins = jax.vmap(lambda a, b: bins(edges, a, b))(of_step, scale)
        belief = jnp.stack([shape + counts, rate + exposures])
        split = self.split(belief)
        return Part(
            log_base=base.constant + _log_gain(shape, rate, base.count, base.exposure),
            log_past=log_past + _log_gain(shape, rate, counts, exposures),
            log_joint=log_query[:, None] + log_bins,
            log_shown=log_after + _log_gain(shape, rate, *after),
            belief={name: jnp.moveaxis(x, 0, -1) for name, x in split.items()},
        )

    def read(self, values: dict[str, Array]) -> tuple[LogGamma, LogGamma]:
        """Read constants, counts and exposures of the base and of each step.

        With ``f(r) = c + n log r - m r`` in one rate, ``f(2) - f(1) = n log 2 - m`` and
        ``f(4) - f(1) = 2 n log 2 - 3 m``, which gives both.

        Args:
            values: Values of all sites but the latents that are integrated.

        Returns:
            Log densities of the base, and of what each step shows.
        """
        unit = jnp.eye(self.num_numbers)
        points = jnp.concatenate([jnp.ones((1, self.num_numbers)), 1.0 + unit, 1.0 + 3.0 * unit])
        found = jax.vmap(lambda x: self.log_densities({**values, **self.split(x)}))(points)
        base, kept = (self._solve(x) for x in found)
        return base, kept

    def _solve(self, found: Array) -> LogGamma:
        num = self.num_numbers
        possible = found[0] > -jnp.inf
        start = jnp.where(possible, found[0], 0.0)
        double, fourfold = (
            jnp.where(possible, found[1 : num + 1], 0.0) - start,
            jnp.where(possible, found[num + 1 :], 0.0) - start,
        )
        exposure = 2.0 * double - fourfold
        count = (double + exposure) / np.log(2.0)
        constant = found[0] + jnp.sum(exposure, axis=0)
        return LogGamma(constant, jnp.moveaxis(count, 0, -1), jnp.moveaxis(exposure, 0, -1))

    def log_densities(self, values: dict[str, Array]) -> tuple[Array, Array]:
        """Run the program and return log densities of the base and of what steps show.

        Args:
            values: Values of all sites.

        Returns:
            A number, and one for each position.
        """
        messages = self.roles.messages(values)
        kept = self.roles.log_query(messages)
        if self.roles.layout.reveal:
            law = element_law(messages[self.roles.layout.outcome.name]["fn"])
            kept = kept + law.log_prob(values[self.roles.layout.outcome.name])
        return self.roles.log_base(messages), kept

    def outcome_rates(self, values: dict[str, Array], rates: Array) -> Float[Array, " position"]:
        """Return the outcome's rate at each position, for some values of the latents."""
        messages = self.roles.messages({**values, **self.split(rates)})
        law = element_law(messages[self.roles.layout.outcome.name]["fn"])
        return jnp.broadcast_to(law.rate, (self.roles.layout.length,))

    def laws(self, values: dict[str, Array]) -> tuple[Array, Array, Array, Array]:
        """Return the priors' shapes and rates, the queries' laws, and weights of the latents."""
        ones = jnp.ones(self.num_numbers)
        messages = self.roles.messages({**values, **self.split(ones)})
        priors = []
        for name, shape in self.shapes:
            law = element_law(messages[name]["fn"])
            concentration = getattr(law, "concentration", 1.0)
            pair = (jnp.broadcast_to(x, shape).ravel() for x in (concentration, law.rate))
            priors.append(jnp.stack(list(pair)))
        shape, rate = jnp.concatenate(priors, axis=1).astype(float)
        weight = jax.jacfwd(lambda x: self.outcome_rates(values, x))(ones)
        return shape, rate, self.roles.log_query(messages), weight


def _log_gain(shape: Array, rate: Array, count: Array, exposure: Array) -> Array:
    """Return the log of the integral of ``r^count exp(-exposure r)`` under the prior."""
    rise = gammaln(shape + count) - gammaln(shape)
    shrink = shape * jnp.log1p(exposure / rate) + count * jnp.log(rate + exposure)
    return jnp.sum(rise - shrink, axis=-1)
