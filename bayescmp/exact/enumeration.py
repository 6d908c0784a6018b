"""Brute force: run the program at every setting of its sites and add up.

This is the judge of all other engines, so it is as plain as it can be: the joint
probability of each setting comes from NumPyro, and every answer is a ratio of two sums
over the settings that agree with what was shown.
"""

import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float
from numpyro.distributions import constraints
from numpyro.infer.util import log_density

from bayescmp.engine import AbstractEngine
from bayescmp.layout import Layout
from bayescmp.program import Program, trace_program
from bayescmp.records import Reference

MAX_SETTINGS = 1_000_000
"""Largest number of joint settings that enumeration accepts."""

CHUNK = 4_096
"""Settings evaluated at once."""


@dataclass(frozen=True)
class SettingGrid:
    """All values of one site: for a continuous one, quadrature nodes with weights."""

    name: str
    values: np.ndarray
    """Shape (settings, *site shape)."""
    log_weights: np.ndarray
    """Log quadrature weight of each setting; zero for discrete sites."""
    is_continuous: bool


class EnumerationEngine(AbstractEngine):
    """Answers by summing the program's joint probability over all settings.

    With ``w_i`` the joint probability of setting ``i`` and ``A_t`` the settings that agree
    with all shown when question ``t`` is asked,
    ``p(y_t = o | s_t) = sum_{i in A_t, y_t^i = o} w_i / sum_{i in A_t} w_i``.

    A continuous latent on the unit interval is replaced by Gauss-Legendre nodes, exact
    for densities that are polynomials of degree below twice their number.
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
            ValueError: If a site cannot be enumerated, or there are too many settings.
        """
        given = {site.name for site in layout.given}
        messages = trace_program(program, key=jax.random.key(0))
        free = {name: msg for name, msg in messages.items() if name not in given}
        sizes = {name: _num_settings(msg, num_nodes) for name, msg in free.items()}
        total = math.prod(sizes.values())
        if total > MAX_SETTINGS:
            parts = ", ".join(f"{name}: {size:.3g}" for name, size in sizes.items())
            raise ValueError(
                f"program: expected at most {MAX_SETTINGS:,} joint settings to enumerate, got "
                f"{total:.3g} ({parts}); use a smaller model, or one with a closed form"
            )
        self.program = program
        self.layout = layout
        self.grids = tuple(_grid(name, msg, num_nodes) for name, msg in free.items())

    @property
    def num_settings(self) -> int:
        """Number of joint settings."""
        return math.prod(grid.values.shape[0] for grid in self.grids)

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
        return Reference(
            log_predictive=self._log_predictive(log_joint, asked),
            log_evidence=log_evidence,
            belief=self._beliefs(log_joint, asked),
        )

    def windowed(
        self, sites: dict[str, Array], window: int
    ) -> Float[Array, "position outcome"]:
        """Answer from the settings that agree with the last steps."""
        asked = self._agrees_when_asked(self._agreeing_steps(sites), window)
        return self._log_predictive(self._log_joint(sites), asked)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        how = {
            grid.name: "summed over quadrature nodes" if grid.is_continuous else "enumerated"
            for grid in self.grids
        }
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
            values[grid.name] = jnp.asarray(grid.values)[index % size]
            index = index // size
        return values

    def _log_weight(self, index: Array) -> Array:
        log_weight = jnp.zeros(())
        for grid in reversed(self.grids):
            size = grid.values.shape[0]
            log_weight = log_weight + jnp.asarray(grid.log_weights)[index % size]
            index = index // size
        return log_weight

    def _log_joint(self, sites: dict[str, Array]) -> Float[Array, " setting"]:
        given = {site.name: sites[site.name] for site in self.layout.given}

        def one(index: Array) -> Array:
            values = {**given, **self._settings(index)}
            return log_density(self.program, (), {}, values)[0] + self._log_weight(index)

        log_joint = jax.lax.map(one, jnp.arange(self.num_settings), batch_size=CHUNK)
        # Conditioning on what the prompt gives: divide by the sum over everything else.
        return log_joint - logsumexp(log_joint)

    def _site_values(self, name: str) -> Array:
        indices = jnp.arange(self.num_settings)
        return jax.vmap(lambda index: self._settings(index)[name])(indices)

    def _agreeing_steps(self, sites: dict[str, Array]) -> tuple[Array, Array]:
        """Mark, for each setting and step, agreement with the query and with the outcome."""
        length = self.layout.length
        query = jnp.ones((self.num_settings, length), bool)
        for site in self.layout.query:
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


def _num_settings(msg: dict[str, Any], num_nodes: int) -> int:
    fn, shape = msg["fn"], np.shape(msg["value"])
    elements = math.prod(shape[: len(shape) - len(fn.event_shape)])
    if _on_unit_interval(fn):
        return num_nodes**elements
    if not fn.has_enumerate_support:
        raise ValueError(
            f"program: site {msg['name']!r} with support {fn.support} cannot be enumerated; "
            "expected finitely many values, or a scalar on the unit interval"
        )
    return _num_values(fn) ** elements


def _num_values(fn: Any) -> int:
    """Return the number of values of one draw, without listing permutations."""
    if hasattr(fn, "num_draws") and fn.event_shape:
        return math.perm(fn.size, fn.num_draws)
    return int(fn.enumerate_support(expand=False).shape[0])


def _on_unit_interval(fn: Any) -> bool:
    return fn.support is constraints.unit_interval and not fn.is_discrete


def _grid(name: str, msg: dict[str, Any], num_nodes: int) -> SettingGrid:
    """List all values of a site, the last element fastest."""
    fn, shape = msg["fn"], np.shape(msg["value"])
    batch_shape = shape[: len(shape) - len(fn.event_shape)]
    if _on_unit_interval(fn):
        nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
        base, log_base = (nodes + 1.0) / 2.0, np.log(weights / 2.0)
    else:
        base = np.asarray(fn.enumerate_support(expand=False))
        base = base.reshape(base.shape[0], *fn.event_shape)
        log_base = np.zeros(base.shape[0])
    num_elements = math.prod(batch_shape)
    numbers = np.indices((base.shape[0],) * num_elements).reshape(num_elements, -1).T
    return SettingGrid(
        name=name,
        values=base[numbers].reshape(-1, *shape),
        log_weights=log_base[numbers].sum(axis=1),
        is_continuous=_on_unit_interval(fn),
    )
