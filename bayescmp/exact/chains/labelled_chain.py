"""Filtering in edge-emitting chains, whose symbols stand on the steps between states."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.exact.chains.forward_recursion import predict
from bayescmp.records import Reference

LogLabelled = Float[Array, "symbol state next_state"]
"""``log p(symbol, next state | state)``, one matrix for each symbol."""

Nested = tuple[tuple[tuple[float, ...], ...], ...]
"""A table with three axes as a value that can be hashed."""


class LabelledChainEngine(AbstractEngine):
    """Next token of an edge-emitting chain with known labelled matrices.

    ``p(next state, tokens, token) = sum_z p(z, tokens) T[token][z, next state]``.
    ``belief[state][t, k]`` is ``p(state before token t = k | tokens before t)``.
    """

    initial: tuple[float, ...] = eqx.field(static=True)
    """``p(state)`` before the first token."""
    labelled: Nested = eqx.field(static=True)
    """``p(symbol, next state | state)``, one matrix for each symbol."""
    symbol_site: str = eqx.field(static=True)
    state_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        symbols = sites[self.symbol_site]
        log_predictive, log_belief, log_evidence = labelled_filter(*self._log_tables(), symbols)
        return Reference(
            log_predictive=log_predictive[:-1],
            log_evidence=log_evidence[1:],
            belief={self.state_site: jnp.exp(log_belief[:-1])},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the last ``window`` tokens, and the state's law without earlier ones."""
        symbols = sites[self.symbol_site]
        return windowed_labelled_filter(*self._log_tables(), symbols, window=window)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.state_site: "summed by forward filtering",
            self.symbol_site: "asked, then shown",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "the forward recursion sums over all paths of states"

    def _log_tables(self) -> tuple[Float[Array, " state"], LogLabelled]:
        """Return the tables in the precision that holds now.

        The arrays are made anew, since JAX converts each NumPy array once and goes on with
        the precision that held then.
        """
        with np.errstate(divide="ignore"):
            tables = np.log(np.array(self.initial)), np.log(np.array(self.labelled))
        dtype = jnp.result_type(float)
        return jnp.asarray(tables[0].astype(dtype)), jnp.asarray(tables[1].astype(dtype))


def labelled_filter(
    log_initial: Float[Array, " state"],
    log_labelled: LogLabelled,
    symbols: Int[Array, " position"],
) -> tuple[
    Float[Array, "position+1 symbol"], Float[Array, "position+1 state"], Float[Array, "position+1"]
]:
    """Filter an edge-emitting chain, and predict its next symbol after every prefix.

    ``p(z_{t+1}, y_0..t) = sum_z p(z_t = z, y_0..t-1) T[y_t][z, z_{t+1}]`` and
    ``p(y_t | y_0..t-1) = sum_{z, k} p(z_t = z | y_0..t-1) T[y_t][z, k]``.

    Args:
        log_initial: ``log p(z_0)`` [nat], the state before the first symbol.
        log_labelled: ``log p(symbol, next state = column | state = row)`` [nat].
        symbols: Symbols that were seen, as indices.

    Returns:
        For the prefix of each length ``t`` from none to all: ``log p(y_t | y_0 .. y_{t-1})``
        over all symbols, ``log p(z_t | y_0 .. y_{t-1})``, and ``log p(y_0 .. y_{t-1})``
        [nat]. After an impossible symbol laws are NaN and the evidence is minus infinity.

    Example:
        >>> even = [[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]]  # ones come in pairs
        >>> tables = jnp.log(jnp.array([2 / 3, 1 / 3])), jnp.log(jnp.array(even))
        >>> log_predictive, _, _ = labelled_filter(*tables, jnp.array([0, 1]))
        >>> np.exp(log_predictive).round(3)
        array([[0.333, 0.667],
               [0.5  , 0.5  ],
               [0.   , 1.   ]], dtype=float32)
    """

    def step(carry: tuple[Array, Array], symbol: Array) -> tuple[tuple, tuple[Array, Array]]:
        log_belief, log_evidence = carry
        log_joint = predict(log_belief, log_labelled[symbol])
        log_norm = logsumexp(log_joint)
        # What is impossible stays so: its law is NaN from here on, its evidence is not.
        impossible = jnp.isneginf(log_evidence)
        after = log_joint - log_norm, jnp.where(impossible, -jnp.inf, log_evidence + log_norm)
        return after, after

    before = log_initial, jnp.zeros((), log_initial.dtype)
    _, after = jax.lax.scan(step, before, symbols)
    log_belief, log_evidence = (
        jnp.concatenate([first[None], rest]) for first, rest in zip(before, after, strict=True)
    )
    return _next_symbol(log_belief, log_labelled), log_belief, log_evidence


def windowed_labelled_filter(
    log_initial: Float[Array, " state"],
    log_labelled: LogLabelled,
    symbols: Int[Array, " position"],
    *,
    window: int,
) -> Float[Array, "position symbol"]:
    """Predict each symbol from the last ``window`` symbols before it alone.

    The state before a window has its law without any symbol, which is the initial law moved
    on by ``sum_y T[y]``: this is ``p(y_t | y_{t - window} .. y_{t-1})`` exactly.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_labelled: ``log p(symbol, next state = column | state = row)`` [nat].
        symbols: Symbols that were seen, as indices.
        window: Number of symbols that are remembered, at least one.

    Returns:
        Log probabilities [nat].

    Example:
        >>> even = [[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]]
        >>> tables = jnp.log(jnp.array([2 / 3, 1 / 3])), jnp.log(jnp.array(even))
        >>> law = windowed_labelled_filter(*tables, jnp.array([0, 1, 1]), window=1)
        >>> np.exp(law[2]).round(3)  # an odd one or an even one?
        array([0.25, 0.75], dtype=float32)
    """
    length = symbols.shape[0]
    log_transition = logsumexp(log_labelled, axis=0)

    def forget(log_prior: Array, _: None) -> tuple[Array, Array]:
        return predict(log_prior, log_transition), log_prior

    _, log_marginals = jax.lax.scan(forget, log_initial, None, length=length)
    positions = jnp.arange(length)
    first = jnp.maximum(positions - window, 0)

    def look(log_belief: Array, age: Int[Array, ""]) -> tuple[Array, None]:
        # The belief before position t takes in symbol t - age, from its window's first on.
        source = positions - age
        log_next = jax.vmap(predict)(log_belief, log_labelled[symbols[jnp.maximum(source, 0)]])
        log_next = log_next - logsumexp(log_next, axis=1, keepdims=True)
        return jnp.where((source >= first)[:, None], log_next, log_belief), None

    ages = jnp.arange(1, min(window, length) + 1)[::-1]
    log_belief, _ = jax.lax.scan(look, log_marginals[first], ages)
    return _next_symbol(log_belief, log_labelled)


def _next_symbol(
    log_belief: Float[Array, "prefix state"], log_labelled: LogLabelled
) -> Float[Array, "prefix symbol"]:
    """Return ``log sum_z p(z) p(symbol | z)`` for each belief."""
    log_emission = logsumexp(log_labelled, axis=2).T
    return jax.vmap(predict, in_axes=(0, None))(log_belief, log_emission)
