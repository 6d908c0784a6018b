"""Forward filtering in hidden Markov models, in log space."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.exact.chains.forward_recursion import (
    Filtered,
    LogTables,
    find_moves,
    predict,
    run_forwards,
)
from bayescmp.records import Reference

LogMatrix = Float[Array, "state next_state"]
Mask = Bool[Array, " position"]


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
    log_transition: LogTables,
    log_likelihood: Float[Array, "position state"],
    *,
    mask: Mask | None = None,
) -> Filtered:
    """Filter a hidden Markov chain forwards.

    ``p(z_t, y_0..t) = p(y_t | z_t) sum_z T_{t-1}[z, z_t] p(z_{t-1} = z, y_0..t-1)``.

    A masked position is none: the chain stands still there and nothing is seen, so that
    law and evidence stay as they were. That is how sequences of different lengths go
    through one call.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_transition: ``log p(z_{t+1} = column | z_t = row)`` [nat], for all ``t`` or one
            table for each; the last of those leads out of the sequence and is not used.
        log_likelihood: ``log p(y_t | z_t)`` [nat] for the symbols that were seen.
        mask: False at positions that are to be left out.

    Returns:
        ``log p(z_t | y_0 .. y_t)`` and ``log p(y_0 .. y_t)`` [nat]. From the first symbol on
        that is impossible, the law is NaN and the evidence minus infinity.

    Raises:
        ValueError: If the arrays disagree about the number of positions.

    Example:
        >>> stay = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> seen = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2]]))
        >>> np.exp(forward_filter(jnp.log(jnp.array([0.5, 0.5])), stay, seen)[0]).round(3)
        array([[0.8  , 0.2  ],
               [0.919, 0.081]], dtype=float32)
    """
    check_lengths(log_transition, log_likelihood, mask)
    return run_forwards(log_initial, log_transition, log_likelihood, mask)


def windowed_filter(
    log_initial: Float[Array, " state"],
    log_transition: LogTables,
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
        log_initial: ``log p(z_0)`` [nat].
        log_transition: Log transition table, or one for each position.
        log_likelihood: ``log p(y_t | z_t)`` [nat] for the symbols that were seen.
        window: Number of observations, at least one.
        restart: Whether every window starts from the initial law.

    Returns:
        Log probabilities [nat].

    Raises:
        ValueError: If the arrays disagree about the number of positions.

    Example:
        >>> stay = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> seen = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2]]))
        >>> start = jnp.log(jnp.array([0.5, 0.5]))
        >>> np.exp(windowed_filter(start, stay, seen, window=1))[1].round(3)
        array([0.8, 0.2], dtype=float32)
    """
    check_lengths(log_transition, log_likelihood, None)
    length = log_likelihood.shape[0]
    varies = log_transition.ndim == 3

    def forget(log_prior: Array, table: Array | None) -> tuple[Array, Array]:
        log_table = log_transition if table is None else table
        return (log_prior if restart else predict(log_prior, log_table)), log_prior

    tables = log_transition if varies else None
    _, log_marginals = jax.lax.scan(forget, log_initial, tables, length=length)
    positions = jnp.arange(length)
    predict_all = jax.vmap(predict, in_axes=(0, 0 if varies else None))

    def look(log_belief: Array, age: Int[Array, ""]) -> tuple[Array, None]:
        # Position t takes in observation t - age; a belief starts at its window's first.
        source = positions - age
        first = jnp.maximum(positions - window + 1, 0)
        started = (source == first)[:, None]
        inside = (source >= first)[:, None]
        into = log_transition[jnp.maximum(source - 1, 0)] if varies else log_transition
        moved = predict_all(log_belief, into)
        log_prior = jnp.where(started, log_marginals[first], moved)
        updated = log_prior + log_likelihood[jnp.maximum(source, 0)]
        updated = updated - logsumexp(updated, axis=1, keepdims=True)
        return jnp.where(inside, updated, log_belief), None

    ages = jnp.arange(min(window, length))[::-1]
    return jax.lax.scan(look, log_marginals, ages)[0]


def steps_between(
    log_transition: LogTables, length: int, mask: Mask | None
) -> Float[Array, "step state next_state"]:
    """Return the table that leads from each position to the next one.

    Args:
        log_transition: Log transition table, or one for each position.
        length: Number of positions.
        mask: False at positions that are left out; the identity leads there.

    Returns:
        Log tables [nat], one fewer than positions.
    """
    tables = jnp.broadcast_to(log_transition, (length, *log_transition.shape[-2:]))[:-1]
    if mask is None:
        return tables
    stay = jnp.log(jnp.eye(tables.shape[-1], dtype=tables.dtype))
    return jnp.where(find_moves(mask)[1:, None, None], tables, stay)


def check_lengths(log_transition: Array, log_likelihood: Array, mask: Array | None) -> None:
    """Check that all arrays with an axis of positions have the same number of them.

    Args:
        log_transition: Log transition table, or one for each position.
        log_likelihood: Log likelihoods.
        mask: False at positions that are left out.

    Raises:
        ValueError: If they have not.
    """
    length = log_likelihood.shape[0]
    if mask is not None and mask.shape != (length,):
        raise ValueError(
            f"mask: expected shape {(length,)}, one entry for each position, got {mask.shape}"
        )
    if log_transition.ndim == 3 and log_transition.shape[0] != length:
        raise ValueError(
            f"log_transition: expected one table, or {length} of them, one for each position, "
            f"got {log_transition.shape[0]}"
        )
