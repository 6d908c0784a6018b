"""The forward recursion of hidden Markov chains, with one matrix product a step.

In logs each step needs ``state * next_state`` exponentials, with probabilities one for
each state; but a product of probabilities underflows. What is done about that:

1. The law itself stays in logs. Only the step ahead, ``p(z_{t+1} = k | y_0 .. y_t) =
   sum_z p(z_t = z | ..) T[z, k]``, is a product of matrices, of weights relative to the
   largest and of ``T``, so neither long sequences nor tiny likelihoods underflow.
2. Weights and entries of ``T`` that are possible but below ``r``, the square root of the
   smallest normal number, are lifted to ``r``. A product of two lifted numbers is still a
   normal number, so a sum of zero means impossible, and nothing else does.
3. Each of the terms of a sum grows by at most ``r`` for a lifted weight and ``r`` for a
   lifted entry, so a sum of ``num_states`` terms is off by ``2 * num_states * r`` at most.
   A sum no smaller than that over the machine epsilon is therefore off by one epsilon,
   as by any rounding. (In float32 the bound is 1.8e-12 times the number of states, in
   float64 1.3e-138 times.)
4. Where any sum of a sequence is smaller, the whole sequence is filtered again in logs.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

LogTables = Float[Array, "state next_state"] | Float[Array, "position state next_state"]
"""``log p(z_{t+1} = column | z_t = row)``: the same everywhere, or one table for each ``t``."""

Filtered = tuple[Float[Array, "position state"], Float[Array, " position"]]
"""``log p(z_t | y_0 .. y_t)`` and ``log p(y_0 .. y_t)``."""

StepAhead = Callable[[Array, Array], tuple[Array, Array, Array]]
"""From log weights of the states and a table to the log of the weights' sum, the log law one
step ahead, and the smallest sum in it that is not zero."""


def predict(
    log_law: Float[Array, " state"], log_table: Float[Array, "state next_state"]
) -> Float[Array, " next_state"]:
    """Move a law one step ahead: ``log sum_z p(z) T[z, .]``, in logs throughout.

    Args:
        log_law: Log probabilities [nat].
        log_table: ``log p(next = column | now = row)``.

    Returns:
        Log probabilities [nat].
    """
    return logsumexp(log_law[:, None] + log_table, axis=0)


def find_moves(mask: Bool[Array, " position"]) -> Bool[Array, " position"]:
    """Mark the positions before which the chain takes a step.

    It stands still at a masked position, and there is no step before the first other one.

    Args:
        mask: True where there is a position of the sequence, False where there is none.

    Returns:
        True where a position and one before it are there.
    """
    return mask & (jnp.cumsum(mask) > 1)


@jax.custom_jvp
def run_forwards(
    log_initial: Float[Array, " state"],
    log_transition: LogTables,
    log_likelihood: Float[Array, "position state"],
    mask: Bool[Array, " position"] | None,
) -> Filtered:
    """Filter forwards; see the module's text for what is kept exact, and how.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_transition: Log transition table, or one for each position.
        log_likelihood: ``log p(y_t | z_t)`` for the symbols that were seen.
        mask: False where there is no position; None where all are there.

    Returns:
        Log filtered laws and log evidences [nat].
    """
    tables = _lift(jnp.exp(log_transition), log_transition > -jnp.inf)
    filtered, smallest = _scan(log_initial, tables, log_likelihood, mask, ahead=_multiply)
    bound = _smallest_exact_sum(log_initial)

    # Under vmap this loop's body runs if any sequence needs it, and a jax.lax.cond would
    # always run both branches. The zero that is added comes from the loop's own state, lest
    # XLA find that nothing in the body changes and run it in advance, needed or not.
    def again(state: tuple[Array, Array, Filtered]) -> tuple[Array, Array, Filtered]:
        _, zero, _ = state
        exact = run_in_logs(log_initial, log_transition, log_likelihood + zero, mask)
        return jnp.zeros((), bool), zero + 1.0, exact

    start = (smallest < bound, jnp.zeros((), log_initial.dtype), filtered)
    return jax.lax.while_loop(lambda state: state[0], again, start)[2]


@run_forwards.defjvp
def _differentiate(primals: tuple, tangents: tuple) -> tuple[Filtered, Filtered]:
    """Differentiate the recursion in logs, which has the same values and no loop to undo."""
    exact = functools.partial(run_in_logs, mask=primals[3])
    return jax.jvp(exact, primals[:3], tangents[:3])


def run_in_logs(
    log_initial: Float[Array, " state"],
    log_transition: LogTables,
    log_likelihood: Float[Array, "position state"],
    mask: Bool[Array, " position"] | None,
) -> Filtered:
    """Filter forwards with sums of exponentials only: slower, and never in doubt.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_transition: Log transition table, or one for each position.
        log_likelihood: ``log p(y_t | z_t)`` for the symbols that were seen.
        mask: False where there is no position; None where all are there.

    Returns:
        Log filtered laws and log evidences [nat].
    """

    def ahead(log_weights: Array, log_table: Array) -> tuple[Array, Array, Array]:
        log_norm = logsumexp(log_weights)
        log_law = log_weights - log_norm
        return log_norm, predict(log_law, log_table), jnp.ones((), log_weights.dtype)

    return _scan(log_initial, log_transition, log_likelihood, mask, ahead=ahead)[0]


def _scan(
    log_initial: Array,
    tables: Array,
    log_likelihood: Array,
    mask: Array | None,
    *,
    ahead: StepAhead,
) -> tuple[Filtered, Array]:
    """Run the recursion, and return the smallest sum that is not zero beside its answers."""
    varies = tables.ndim == 3
    if mask is None:
        seen = moves_next = None
    else:
        seen = mask
        moves_next = jnp.append(find_moves(mask)[1:], False)
        log_likelihood = jnp.where(mask[:, None], log_likelihood, 0.0)

    def step(carry: tuple[Array, Array, Array], now: tuple) -> tuple[tuple, tuple[Array, Array]]:
        log_prior, log_evidence, smallest = carry
        log_lik, table, is_seen, moves = now
        log_weights = log_prior + log_lik
        log_norm, log_next, least = ahead(log_weights, table if varies else tables)
        log_law = log_weights - log_norm
        # What is impossible stays so: its law is NaN from here on, its evidence is not.
        impossible = jnp.isneginf(log_evidence)
        log_total = jnp.where(impossible, -jnp.inf, log_evidence + log_norm)
        if is_seen is not None:
            log_law = jnp.where(is_seen, log_law, log_prior)
            log_total = jnp.where(is_seen, log_total, log_evidence)
            log_next = jnp.where(moves, log_next, log_law)
        return (log_next, log_total, jnp.minimum(smallest, least)), (log_law, log_total)

    zero = jnp.zeros((), log_initial.dtype)
    steps = (log_likelihood, tables if varies else None, seen, moves_next)
    (_, _, smallest), filtered = jax.lax.scan(step, (log_initial, zero, zero + 1.0), steps)
    return filtered, smallest


def _multiply(log_weights: Array, table: Array) -> tuple[Array, Array, Array]:
    """Go one step ahead by a product with a lifted table of probabilities."""
    largest = jnp.max(log_weights)
    largest = jnp.where(jnp.isneginf(largest), 0.0, largest)
    weights = _lift(jnp.exp(log_weights - largest), log_weights > -jnp.inf)
    total = jnp.sum(weights)
    # GPUs would round the factors to 10 bits by default.
    sums = jnp.matmul(weights, table, precision=jax.lax.Precision.HIGHEST)
    least = jnp.min(jnp.where(sums > 0.0, sums, 1.0))
    return largest + jnp.log(total), jnp.log(sums / total), least


def _lift(values: Array, possible: Array) -> Array:
    """Lift what is possible to the square root of the smallest normal number."""
    return jnp.where(possible, jnp.maximum(values, _root(values)), 0.0)


def _root(values: Array) -> float:
    return float(jnp.finfo(values.dtype).tiny) ** 0.5


def _smallest_exact_sum(values: Array) -> float:
    """Return the bound of step 3 above."""
    return 2.0 * values.shape[0] * _root(values) / float(jnp.finfo(values.dtype).eps)
