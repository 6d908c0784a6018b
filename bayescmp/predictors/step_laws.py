"""What a program says about each step once its latents are known.

Given the latents ``z``, step ``t`` has the law ``p(query_t, y_t | steps before t, z)``. It
is read off one run of the program with everything shown put in place of draws: the law of
the asked site there, evaluated at every outcome. Only where a query's law depends on
outcomes is the program run again for each step and outcome.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp.exact.reading.bins import log_bin_probs
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.program import draw_sites, trace_program, visit_sites

Sites = dict[str, Array]

TASKS_AT_ONCE = 256
"""Latent settings for which the program runs together."""

LEAK = 1e-4
"""Largest change in nats of an earlier step's law that rounding in float32 explains: laws of
a few hundred outcomes, each within some 100 * 6e-8 of log probabilities up to 10."""


class StepLaws(eqx.Module):
    """The law of each step of a model, given values of all its latents.

    Latents are the sites that are neither shown nor asked.

    Example:
        >>> steps = find_step_laws(bc.models.beta_bernoulli(length=2))
        >>> log_law, log_shown = steps({"bias": jnp.array(0.25)}, {"token": jnp.array([0, 1])})
        >>> jnp.exp(log_law).round(2).tolist(), jnp.exp(log_shown).round(2).tolist()
        ([[0.75, 0.25], [0.75, 0.25]], [0.75, 0.25])
    """

    model: AbstractGenerativeModel
    queries: tuple[str, ...] = eqx.field(static=True)
    """Query sites whose law depends on latents or outcomes; others say nothing about them."""
    is_coupled: bool = eqx.field(static=True)
    """Whether a query's law depends on outcomes, and these are finite."""

    def __call__(
        self, latents: Sites, sites: Sites
    ) -> tuple[Float[Array, "position outcome"], Float[Array, " position"]]:
        """Return the law of each step of one example.

        Args:
            latents: Value of every latent site.
            sites: Value of every query and outcome site.

        Returns:
            ``log p(query_t as shown, y_t = outcome | steps before, latents)``, and the
            same at what was shown, in nats: a density where that is a real number.
        """
        values = {**latents, **sites}
        asked = self.model.layout.outcome
        if self.is_coupled:
            log_law = self._one_by_one(values)
        else:
            law, log_query = self._run(values)
            log_law = self._log_outcomes(law, values[asked.name]) + log_query[:, None]
            if self.model.layout.edges:
                return log_law, law.log_prob(values[asked.name]) + log_query
        outcomes = (values[asked.name] - asked.lowest)[:, None]
        return log_law, jnp.take_along_axis(log_law, outcomes, axis=1)[:, 0]

    def of_all(
        self, tasks: Sites, sites: Sites
    ) -> tuple[Float[Array, "task position outcome"], Float[Array, "task position"]]:
        """Return the laws for many settings of the latents, a part of them at a time."""
        return jax.lax.map(lambda z: self(z, sites), tasks, batch_size=TASKS_AT_ONCE)

    def bytes_per_sequence(self, num_tasks: int) -> int:
        """Return the rough size of the laws of one example for many settings."""
        return 16 * num_tasks * self.model.length * self.model.num_outcomes

    def _run(self, values: Sites) -> tuple[Any, Float[Array, " position"]]:
        """Run the program: the asked site's law, and the log probability of each query."""
        messages = trace_program(self.model.program, key=jax.random.key(0), substituted=values)
        log_query = jnp.zeros(self.model.length)
        for name in self.queries:
            log_probs = messages[name]["fn"].log_prob(values[name])
            log_query = log_query + log_probs.reshape(self.model.length, -1).sum(axis=1)
        return messages[self.model.layout.outcome.name]["fn"], log_query

    def _log_outcomes(self, law: Any, shown: Array) -> Float[Array, "position outcome"]:
        layout = self.model.layout
        if layout.edges:
            edges = jnp.array(layout.edges, shown.dtype)
            return log_bin_probs(law, edges, layout.length)
        values = jnp.arange(layout.num_outcomes, dtype=shown.dtype) + layout.outcome.lowest
        return jax.vmap(lambda value: law.log_prob(jnp.full_like(shown, value)))(values).T

    def _one_by_one(self, values: Sites) -> Float[Array, "position outcome"]:
        """Put every outcome in place of the shown one at every step, one at a time."""
        asked = self.model.layout.outcome

        def at(position: Array, outcome: Array) -> Array:
            changed = values[asked.name].at[position].set(outcome)
            law, log_query = self._run({**values, asked.name: changed})
            return (law.log_prob(changed) + log_query)[position]

        of_position = jax.vmap(at, in_axes=(None, 0))
        outcomes = jnp.arange(self.model.num_outcomes, dtype=values[asked.name].dtype)
        outcomes = outcomes + asked.lowest
        return jax.lax.map(lambda t: of_position(t, outcomes), jnp.arange(self.model.length))


def latent_names(model: AbstractGenerativeModel) -> list[str]:
    """Return the names of the sites that are neither shown nor asked.

    Args:
        model: Generative model.

    Returns:
        Names in the order of execution.
    """
    layout = model.layout
    known = {site.name for site in (*layout.given, *layout.query, layout.outcome)}
    return [name for name in model.sites if name not in known]


def find_step_laws(model: AbstractGenerativeModel) -> StepLaws:
    """Find out which laws make up each step of a model.

    Args:
        model: Model whose steps have laws of their own once the latents are known.

    Returns:
        The laws.

    Raises:
        ValueError: If they have not; the message says why.
    """
    found = _find(model)
    if isinstance(found, str):
        raise ValueError(f"model: expected {found}")
    return found


def why_no_step_laws(model: AbstractGenerativeModel) -> str | None:
    """Say what a model would need for its steps to have laws of their own.

    Args:
        model: Generative model.

    Returns:
        What was expected and what was found; None where they have.
    """
    found = _find(model)
    return found if isinstance(found, str) else None


@lru_cache(maxsize=256)
def _find(model: AbstractGenerativeModel) -> StepLaws | str:
    """Return the laws of a model's steps, or what is missing for them."""
    missing = _missing(model)
    if missing is not None:
        return missing
    latents, shown = latent_names(model), [site.name for site in model.layout.query]
    queries = tuple(name for name in shown if name in _drawn_laws(model, shown))
    leaning = _drawn_laws(model, [*shown, *latents]) & set(queries)
    # What a continuous outcome does to its own query would have to be integrated over a bin.
    steps = StepLaws(model, queries, is_coupled=bool(leaning) and not model.layout.edges)
    return _leak(steps, drawn=_drawn_laws(model, latents)) or steps


def _missing(model: AbstractGenerativeModel) -> str | None:
    layout, latents = model.layout, latent_names(model)
    if not latents:
        return f"a latent site beside those shown and asked, got only {sorted(model.sites)}"
    if layout.given:
        return f"nothing given in the prompt, got {[site.name for site in layout.given]}"
    if not layout.reveal:
        return f"outcomes that are shown after they are asked, got {layout.outcome.name!r} hidden"
    shown = [*(site.name for site in layout.query), layout.outcome.name]
    late = _drawn_laws(model, latents) & set(latents)
    if late:
        return f"latents drawn before and outside of the steps, got {sorted(late)}"
    told = _drawn_laws(model, [site.name for site in layout.query]) & set(shown)
    for name, shape in _law_shapes(model, told | {layout.outcome.name}).items():
        if shape[:1] != (layout.length,):
            return f"a law for each position of {name!r}, got one for all together"
    return None


def log_bayes(
    log_law: Float[Array, "task position outcome"],
    log_shown: Float[Array, "task position"],
    log_prior: Float[Array, " task"],
) -> tuple[Float[Array, "task position"], Float[Array, "task position outcome"]]:
    """Weigh settings of the latents by what was shown before each question is answered.

    Args:
        log_law: ``log p(query_t, y_t = outcome | steps before, z)``.
        log_shown: The same at what was shown.
        log_prior: ``log p(z)``.

    Returns:
        ``log p(z, s_t)``, where ``s_t`` includes the query at ``t``, and
        ``log p(z, s_t, y_t = outcome)``.
    """
    past = jnp.cumsum(log_shown, axis=1)
    before = jnp.concatenate([jnp.zeros_like(past[:, :1]), past[:, :-1]], axis=1)
    log_joint = (before + log_prior[:, None])[:, :, None] + log_law
    return logsumexp(log_joint, axis=2), log_joint


def _values(model: AbstractGenerativeModel) -> Sites:
    return draw_sites(model.program, key=jax.random.key(0))


def _drawn_laws(model: AbstractGenerativeModel, fixed: Collection[str]) -> set[str]:
    """Return the sites whose law depends on a draw of any site that is not fixed.

    Inside a ``scan`` that draws anything, every law counts as one that does.
    """
    values, found = _values(model), set()

    def visit(name: str, msg: dict[str, Any]) -> None:
        if isinstance(msg["fn"].log_prob(values[name]), Tracer):
            found.add(name)

    visit_sites(model.program, visit, substituted={name: values[name] for name in fixed})
    return found


def _law_shapes(
    model: AbstractGenerativeModel, names: Collection[str]
) -> dict[str, tuple[int, ...]]:
    messages = trace_program(model.program, key=jax.random.key(0))
    laws = {name: msg["fn"].log_prob(msg["value"]) for name, msg in messages.items()}
    return {name: tuple(laws[name].shape) for name in names}


def _leak(steps: StepLaws, *, drawn: Collection[str]) -> str | None:
    """Look on two draws for a step's law that depends on what comes after it.

    Left out where no law depends on anything shown, as inside most plates.
    """
    model, edges = steps.model, bool(steps.model.layout.edges)
    asked = model.layout.outcome.name
    if not set(drawn) & {asked, *steps.queries}:
        return None
    names = [*(site.name for site in model.layout.query), asked]
    first, other = (draw_sites(model.program, key=jax.random.key(seed)) for seed in (1, 2))
    latents = {name: first[name] for name in latent_names(model)}

    def spliced(position: Array) -> Array:
        """Return the laws of a sequence that goes on differently after a position."""
        sites = {}
        for name in names:
            # The law of all finite outcomes tells what any of them does to its query.
            early = jnp.arange(model.length) < position + (not edges or name != asked)
            early = early.reshape(-1, *[1] * (first[name].ndim - 1))
            sites[name] = jnp.where(early, first[name], other[name])
        return steps(latents, sites)[0]

    laws = np.asarray(jax.jit(jax.vmap(spliced))(jnp.arange(model.length + 1)))
    for position, law in enumerate(laws[:-1]):
        ours, theirs = laws[-1, : position + 1], law[: position + 1]
        with np.errstate(invalid="ignore"):  # equal infinities are equal, and differ by NaN
            agree = (ours == theirs) | (np.abs(ours - theirs) <= LEAK)
        if not agree.all():
            later = f"the outcome at {position}" if edges else f"position {position + 1}"
            return (
                "steps whose laws depend on earlier ones alone, got a law at position "
                f"{int(np.argwhere(~agree)[0][0])} that depends on {later} or later"
            )
    return None
