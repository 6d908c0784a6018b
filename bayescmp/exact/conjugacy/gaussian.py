"""Linear-Gaussian latents: regression, Gaussian processes, hierarchies and Kalman chains."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpyro import distributions as dist

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate_bins import log_student, log_student_bins
from bayescmp.exact.conjugacy.conjugate_linear import (
    LinearForm,
    LinearModel,
    read_linear,
)
from bayescmp.exact.conjugacy.conjugate_linear_search import find_linear_form
from bayescmp.exact.conjugacy.conjugate_mixture import (
    Part,
    answer_parts,
    mixed_predictive,
    mixed_reference,
    remembered_steps,
    settings_at_once,
    windowed_by_listing,
)
from bayescmp.exact.conjugacy.conjugate_roles import Roles
from bayescmp.exact.reading.bins import log_normal_bins
from bayescmp.exact.settings import element_law
from bayescmp.records import Reference


class State(eqx.Module):
    """What is believed of the latents, and how likely all was that led there."""

    mean: Float[Array, " number"]
    covariance: Float[Array, "number number"]
    """Where the variance is unknown in units of it."""
    shape: Float[Array, ""]
    """Shape of the precision's Gamma law; unused where the variance is known."""
    rate: Float[Array, ""]
    log_density: Float[Array, ""]
    """Log density of everything that was taken in."""


class Observed(eqx.Module):
    """Values that are normal around ``weight . u + offset``; one, or an axis of many."""

    weight: Array
    offset: Array
    scale: Array
    value: Array

    def predict(self, state: State) -> tuple[Array, Array]:
        """Return the location, and the variance (in units of an unknown one)."""
        spread = state.covariance @ self.weight
        return self.weight @ state.mean + self.offset, self.weight @ spread + self.scale**2


class GaussianEngine(AbstractEngine):
    """Jointly normal latents behind a normal outcome, with discrete latents around.

    Given the discrete latents and all before, ``y_t ~ Normal(w_t . u + o_t, s_t)`` with
    ``u ~ Normal(m, C)``. Each revealed outcome conditions ``u`` (Kalman's update in Joseph's
    form); with ``v = w C w + s^2`` the predictive is ``Normal(w . m + o, sqrt(v))``. Where all
    variances are proportional to an unknown one with an inverse Gamma law, ``(a, b)`` become
    ``(a + 1/2, b + r^2 / 2v)`` for the residual ``r``, and the predictive is Student's with
    ``2a`` degrees of freedom and squared scale ``v b / a``. ``w``, ``o`` and ``s`` are read off
    the program by automatic differentiation.

    ``belief[latent][t]`` holds for a normal site of ``n`` elements the posterior mean and
    covariance side by side, shape ``(n, 1 + n)`` (the covariance in units of an unknown
    variance), and for an unknown precision or variance ``(a, b)``; an axis for the joint
    setting comes first where there are discrete latents.
    """

    roles: Roles = eqx.field(static=True)
    form: LinearForm = eqx.field(static=True)
    memoryless: bool = eqx.field(static=True)
    """Whether steps are independent given the latents."""

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        parts, log_posterior = answer_parts(
            self.roles, lambda setting: self._part({**sites, **setting}), self._at_once
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
            self.roles,
            lambda setting: self._windowed_part({**sites, **setting}, remembered),
            self._at_once,
        )
        return mixed_predictive(parts)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            **dict.fromkeys(self.roles.continuous, "integrated in closed form"),
            **self.roles.treatment(),
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        law = "a normal prior is conjugate to normal outcomes around linear functions"
        if self.form.scale_site is not None:
            law = "a normal and inverse Gamma prior is conjugate to normal outcomes"
        return law + self.roles.around()

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the arrays behind the answers for one sequence."""
        at_once = min(self._at_once, self.roles.num_settings)
        return 8 * (6 * at_once + 2 * self.roles.num_settings) * self._floats

    @property
    def _floats(self) -> int:
        layout, numbers = self.roles.layout, self.form.num_numbers
        return layout.length * (layout.num_outcomes + (numbers + 1) ** 2)

    @property
    def _at_once(self) -> int:
        return settings_at_once(self._floats)

    def _part(self, values: dict[str, Array]) -> Part:
        """Answer within one setting of the discrete latents, everything remembered."""
        model, start, log_query = self._begin(values)
        length, reveal = self.roles.layout.length, self.roles.layout.reveal
        steps = self._steps(model, values)
        kept = jnp.full(length, reveal)
        end, before = jax.lax.scan(self._step, start, (steps, kept))
        before_query = jnp.cumsum(log_query) - log_query
        after = jnp.append(before.log_density[1:], end.log_density)
        return Part(
            log_base=start.log_density,
            log_past=before.log_density + before_query,
            log_joint=log_query[:, None] + jax.vmap(self._log_bins)(before, steps),
            log_shown=after + jnp.cumsum(log_query),
            belief=jax.vmap(self._belief)(before),
        )

    def _windowed_part(
        self, values: dict[str, Array], remembered: Bool[np.ndarray, "position step"]
    ) -> Part:
        """Answer within one setting, each question from the steps that it remembers."""
        model, start, log_query = self._begin(values)
        steps = self._steps(model, values)
        mask = jnp.asarray(remembered.copy())

        def condition(kept: Array) -> State:
            taken = kept & self.roles.layout.reveal
            return jax.lax.scan(self._step, start, (steps, taken))[0]

        state = jax.vmap(condition)(mask)
        log_past = state.log_density + jnp.sum(jnp.where(mask, log_query, 0.0), axis=1)
        return Part(
            log_base=start.log_density,
            log_past=log_past,
            log_joint=log_query[:, None] + jax.vmap(self._log_bins)(state, steps),
            log_shown=log_past,
            belief={},
        )

    def _begin(self, values: dict[str, Array]) -> tuple[LinearModel, State, Array]:
        """Return the model, the state that the prompt leads to, and the queries' log laws."""
        model = read_linear(self.roles, self.form, values)
        hidden = self.form.split(model.mean)
        if self.form.scale_site is not None:
            hidden[self.form.scale_site] = jnp.ones(())
        messages = self.roles.messages({**values, **hidden})
        log_base = self.roles.log_base(messages)
        parts = [jnp.zeros(0)]
        for name in self.form.given:
            log_base -= jnp.sum(messages[name]["fn"].log_prob(values[name]))
            parts.append(values[name].ravel())
        shape, rate = self._scale_prior(messages)
        state = State(model.mean, model.covariance, shape, rate, log_base)
        observed = jnp.concatenate(parts)
        rows = (model.weight, model.offset, model.scale)
        weight, offset, scale = (x[: observed.shape[0]] for x in rows)
        seen = jnp.full(observed.shape[0], True)
        state, _ = jax.lax.scan(
            self._step, state, (Observed(weight, offset, scale, observed), seen)
        )
        return model, state, self.roles.log_query(messages)

    def _steps(self, model: LinearModel, values: dict[str, Array]) -> Observed:
        """Return weight, offset, scale and value of the outcome at each position."""
        length = self.roles.layout.length
        rows = (model.weight, model.offset, model.scale)
        weight, offset, scale = (x[-length:] for x in rows)
        outcome = values[self.roles.layout.outcome.name].astype(model.offset.dtype)
        return Observed(weight, offset, scale, outcome)

    def _scale_prior(self, messages: dict) -> tuple[Array, Array]:
        """Return shape and rate of the precision's Gamma law."""
        if self.form.scale_site is None:
            return jnp.ones(()), jnp.ones(())
        law = element_law(messages[self.form.scale_site]["fn"])
        gamma: Any = law.base_dist if isinstance(law, dist.InverseGamma) else law
        return jnp.asarray(gamma.concentration, float), jnp.asarray(gamma.rate, float)

    def _step(self, state: State, x: tuple[Observed, Array]) -> tuple[State, State]:
        """Take in one outcome, if it is kept; return the state before it, too."""
        seen, kept = x
        weight = seen.weight
        loc, variance = seen.predict(state)
        residual = seen.value - loc
        gain = state.covariance @ weight / variance
        rest = jnp.eye(weight.shape[0], dtype=weight.dtype) - jnp.outer(gain, weight)
        noise = seen.scale**2 * jnp.outer(gain, gain)
        taken = State(
            mean=state.mean + gain * residual,
            covariance=rest @ state.covariance @ rest.T + noise,
            shape=state.shape + 0.5,
            rate=state.rate + residual**2 / (2.0 * variance),
            log_density=state.log_density + self._log_density(state, residual, variance),
        )
        return jax.tree.map(lambda new, old: jnp.where(kept, new, old), taken, state), state

    def _log_density(self, state: State, residual: Array, variance: Array) -> Array:
        if self.form.scale_site is not None:
            scale = jnp.sqrt(variance * state.rate / state.shape)
            return log_student(residual, 2.0 * state.shape, scale)
        return -0.5 * (jnp.log(2.0 * jnp.pi * variance) + residual**2 / variance)

    def _log_bins(self, state: State, asked: Observed) -> Array:
        """Return the log probability of each bin."""
        loc, variance = asked.predict(state)
        edges = jnp.array(self.roles.layout.edges, loc.dtype) - loc
        if self.form.scale_site is not None:
            scaled = edges / jnp.sqrt(variance * state.rate / state.shape)
            return log_student_bins(scaled, 2.0 * state.shape)
        return log_normal_bins(edges / jnp.sqrt(variance))

    def _belief(self, state: State) -> dict[str, Array]:
        """Return mean and covariance of each normal site, and what is known of the scale."""
        found, start = {}, 0
        for name, shape in self.form.latents:
            part = slice(start, start + int(np.prod(shape, dtype=int)))
            columns = (state.mean[part, None], state.covariance[part, part])
            found[name] = jnp.concatenate(columns, axis=1)
            start = part.stop
        if self.form.scale_site is not None:
            found[self.form.scale_site] = jnp.stack([state.shape, state.rate])
        return found


def find_gaussian(roles: Roles) -> GaussianEngine:
    """Recognise jointly normal latents behind a binned normal outcome.

    Args:
        roles: The program and its sites.

    Returns:
        The engine.

    Raises:
        NotConjugateError: If the program has another form; says which site and why.
    """
    form, memoryless = find_linear_form(roles)
    return GaussianEngine(roles, form, memoryless)
