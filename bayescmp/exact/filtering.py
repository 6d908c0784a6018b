"""Forward filtering in hidden Markov models, in log space."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.records import Reference

LogMatrix = Float[Array, "state next_state"]


class FilterEngine(AbstractEngine):
    """Filtered state of a hidden Markov model whose parameters are given.

    ``log p(z_t | y_0 .. y_t, T, E)`` by the forward recursion
    ``p(z_t, y_0..t) = E[z_t, y_t] sum_z T[z, z_t] p(z_{t-1} = z, y_0..t-1)``.
    ``belief[state][t, k]`` is ``p(z_t = k | y_0 .. y_t)``. The first state is uniform.
    """

    transition_site: str = eqx.field(static=True)
    emission_site: str = eqx.field(static=True)
    symbol_site: str = eqx.field(static=True)
    state_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        log_initial, log_transition, log_likelihood = self._log_tables(sites)
        log_filtered, log_evidence = forward_filter(log_initial, log_transition, log_likelihood)
        return Reference(
            log_predictive=log_filtered,
            log_evidence=log_evidence,
            belief={self.state_site: jnp.exp(log_filtered)},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Filter the last ``window`` symbols, from the state's law without earlier ones."""
        return windowed_filter(*self._log_tables(sites), window=window)

    def restarted(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Filter the last ``window`` symbols as if the chain had begun with the first of them.

        A weaker rival than :meth:`windowed`, which knows the state's law at the window's
        start. This is the one whose figures stand in the literature: entropy errors of
        0.186, 0.060, 0.021 and 0.003 bits for 1, 2, 3 and 5 symbols (flat Dirichlet rows,
        5 states, 5 symbols, 20 steps).
        """
        log_initial, log_transition, log_likelihood = self._log_tables(sites)
        return windowed_filter(
            log_initial, log_transition, log_likelihood, window=window, restart=True
        )

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.transition_site: "given",
            self.emission_site: "given",
            self.symbol_site: "shown",
            self.state_site: "asked; earlier states summed by forward filtering",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "the forward recursion sums over all paths of states"

    def _log_tables(
        self, sites: dict[str, Array]
    ) -> tuple[Float[Array, " state"], LogMatrix, Float[Array, "position state"]]:
        log_transition = jnp.log(sites[self.transition_site])
        log_emission = jnp.log(sites[self.emission_site])
        num_states = log_transition.shape[0]
        log_initial = jnp.full(num_states, -jnp.log(num_states), log_transition.dtype)
        return log_initial, log_transition, log_emission.T[sites[self.symbol_site]]


def forward_filter(
    log_initial: Float[Array, " state"],
    log_transition: LogMatrix,
    log_likelihood: Float[Array, "position state"],
) -> tuple[Float[Array, "position state"], Float[Array, " position"]]:
    """Filter a hidden Markov chain forwards.

    Args:
        log_initial: ``log p(z_0)``, in nats.
        log_transition: ``log p(z_{t+1} = column | z_t = row)``.
        log_likelihood: ``log p(y_t | z_t)`` for the symbols that were seen.

    Returns:
        ``log p(z_t | y_0 .. y_t)`` and ``log p(y_0 .. y_t)``.
    """

    def step(
        carry: tuple[Array, Array], log_lik: Array
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        log_prior, log_evidence = carry
        log_joint = log_prior + log_lik
        log_norm = logsumexp(log_joint)
        log_filtered = log_joint - log_norm
        # What is impossible stays so: its law is NaN from here on, its evidence is not.
        log_evidence = jnp.where(jnp.isneginf(log_evidence), -jnp.inf, log_evidence + log_norm)
        return (_predict(log_filtered, log_transition), log_evidence), (log_filtered, log_evidence)

    zero = jnp.zeros((), log_initial.dtype)
    return jax.lax.scan(step, (log_initial, zero), log_likelihood)[1]


def windowed_filter(
    log_initial: Float[Array, " state"],
    log_transition: LogMatrix,
    log_likelihood: Float[Array, "position state"],
    *,
    window: int,
    restart: bool = False,
) -> Float[Array, "position state"]:
    """Filter at every position from the last ``window`` observations alone.

    The window's first state has its law without any observation, ``T`` applied that
    often to the initial law; so this is ``p(z_t | y_{t - window + 1} .. y_t)`` exactly.
    With ``restart`` it has the initial law itself, as if the chain began there.

    Args:
        log_initial: ``log p(z_0)``, in nats.
        log_transition: ``log p(z_{t+1} = column | z_t = row)``.
        log_likelihood: ``log p(y_t | z_t)`` for the symbols that were seen.
        window: Number of observations, at least one.
        restart: Whether every window starts from the initial law.

    Returns:
        Log probabilities in nats.
    """
    length = log_likelihood.shape[0]

    def forget(log_prior: Array, _: None) -> tuple[Array, Array]:
        log_next = log_prior if restart else _predict(log_prior, log_transition)
        return log_next, log_prior

    _, log_marginals = jax.lax.scan(forget, log_initial, None, length=length)
    positions = jnp.arange(length)
    predict_all = jax.vmap(_predict, in_axes=(0, None))

    def look(log_belief: Array, age: Int[Array, ""]) -> tuple[Array, None]:
        # Position t takes in observation t - age; a belief starts at its window's first.
        source = positions - age
        first = jnp.maximum(positions - window + 1, 0)
        started = (source == first)[:, None]
        inside = (source >= first)[:, None]
        log_prior = jnp.where(
            started, log_marginals[first], predict_all(log_belief, log_transition)
        )
        updated = log_prior + log_likelihood[jnp.maximum(source, 0)]
        updated = updated - logsumexp(updated, axis=1, keepdims=True)
        return jnp.where(inside, updated, log_belief), None

    ages = jnp.arange(min(window, length))[::-1]
    return jax.lax.scan(look, log_marginals, ages)[0]


def _predict(log_filtered: Float[Array, " state"], log_transition: LogMatrix) -> Array:
    """Return ``log sum_z p(z) T[z, .]``."""
    return logsumexp(log_filtered[:, None] + log_transition, axis=0)
