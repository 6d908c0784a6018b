"""Smoothing in hidden Markov models: what all observations say about each state."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

from bayescmp.exact.chains.filtering import check_lengths, forward_filter, steps_between
from bayescmp.exact.chains.forward_recursion import LogTables


class Smoothed(eqx.Module):
    """What a whole sequence ``y`` says about the states of a hidden Markov chain."""

    log_smoothed: Float[Array, "position state"]
    """``log p(z_t | y)`` [nat]."""
    log_pairwise: Float[Array, "step state next_state"]
    """``log p(z_t, z_{t+1} | y)`` [nat], for all but the last position."""
    log_evidence: Float[Array, ""]
    """``log p(y)`` [nat]."""


def smooth(
    log_initial: Float[Array, " state"],
    log_transition: LogTables,
    log_likelihood: Float[Array, "position state"],
    *,
    mask: Bool[Array, " position"] | None = None,
) -> Smoothed:
    """Smooth a hidden Markov chain: filter forwards, then look back from the end.

    With ``b_t[z] = p(y_{t+1} .. | z_t = z) = sum_k T_t[z, k] p(y_{t+1} | k) b_{t+1}[k]``,
    ``p(z_t | y)`` is proportional to ``p(z_t | y_0 .. y_t) b_t[z_t]``, and
    ``p(z_t, z_{t+1} | y)`` to ``p(z_t | y_0 .. y_t) T_t[z_t, z_{t+1}] p(y_{t+1} | z_{t+1})
    b_{t+1}[z_{t+1}]``.

    At a masked position the chain stands still, so its state is the one before it.

    Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77 (1989),
    equations 24 to 27 and 36 to 37.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_transition: ``log p(z_{t+1} = column | z_t = row)`` [nat], for all ``t`` or one
            table for each; the last of those leads out of the sequence and is not used.
        log_likelihood: ``log p(y_t | z_t)`` [nat] for the symbols that were seen.
        mask: False at positions that are to be left out.

    Returns:
        Smoothed laws. If the sequence is impossible, they are NaN and the evidence minus
        infinity.

    Raises:
        ValueError: If the arrays disagree about the number of positions.

    Example:
        >>> stay = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> seen = jnp.log(jnp.array([[0.5, 0.5], [0.8, 0.2]]))
        >>> smoothed = smooth(jnp.log(jnp.array([0.5, 0.5])), stay, seen)
        >>> np.exp(smoothed.log_smoothed).round(3)
        array([[0.74, 0.26],
               [0.8 , 0.2 ]], dtype=float32)
    """
    check_lengths(log_transition, log_likelihood, mask)
    log_filtered, log_evidence = forward_filter(
        log_initial, log_transition, log_likelihood, mask=mask
    )
    log_steps = steps_between(log_transition, log_likelihood.shape[0], mask)
    if mask is not None:
        log_likelihood = jnp.where(mask[:, None], log_likelihood, 0.0)
    log_ahead = _look_back(log_steps, log_likelihood)
    log_smoothed = log_filtered + log_ahead
    log_pairs = log_steps + log_filtered[:-1, :, None]
    log_pairs = log_pairs + (log_likelihood + log_ahead)[1:, None, :]
    return Smoothed(
        log_smoothed=log_smoothed - logsumexp(log_smoothed, axis=1, keepdims=True),
        log_pairwise=log_pairs - logsumexp(log_pairs, axis=(1, 2), keepdims=True),
        log_evidence=log_evidence[-1],
    )


def _look_back(
    log_steps: Float[Array, "step state next_state"],
    log_likelihood: Float[Array, "position state"],
) -> Float[Array, "position state"]:
    """Return ``log p(y_{t+1} .. | z_t)``, each position's up to a constant."""

    def step(log_ahead: Array, later: tuple[Array, Array]) -> tuple[Array, Array]:
        log_table, log_lik = later
        log_before = logsumexp(log_table + (log_lik + log_ahead)[None, :], axis=1)
        largest = jnp.max(log_before)
        # Without a constant taken out, logs of long sequences would lose their digits.
        log_before = log_before - jnp.where(jnp.isneginf(largest), 0.0, largest)
        return log_before, log_before

    last = jnp.zeros(log_likelihood.shape[1], log_likelihood.dtype)
    later = (log_steps, log_likelihood[1:])
    _, log_before = jax.lax.scan(step, last, later, reverse=True)
    return jnp.concatenate([log_before, last[None]])
