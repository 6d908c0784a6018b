"""Forward filtering in hidden Markov models by a parallel scan over positions."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp.exact.chains.filtering import Mask, check_lengths, steps_between
from bayescmp.exact.chains.forward_recursion import Filtered, LogTables

LogProducts = tuple[Float[Array, "*batch state next_state"], Float[Array, "*batch"]]
"""Products of matrices, as logs with largest entry zero and the logs of their scales."""


def parallel_filter(
    log_initial: Float[Array, " state"],
    log_transition: LogTables,
    log_likelihood: Float[Array, "position state"],
    *,
    mask: Mask | None = None,
) -> Filtered:
    """Filter like ``forward_filter`` in a logarithmic number of steps.

    The matrices ``M_t[z, k] = T_{t-1}[z, k] p(y_t | k)`` are multiplied by a parallel scan.
    That takes ``num_states`` times the work, and pays on an accelerator for one long sequence.

    Source: Särkkä and García-Fernández, "Temporal Parallelization of Bayesian Smoothers",
    IEEE Transactions on Automatic Control 66 (2021), arXiv 1905.13002.

    Args:
        log_initial: ``log p(z_0)`` [nat].
        log_transition: Log transition table, or one for each position.
        log_likelihood: ``log p(y_t | z_t)`` [nat] for the symbols that were seen.
        mask: False at positions that are to be left out.

    Returns:
        The same as ``forward_filter``, up to rounding.

    Raises:
        ValueError: If the arrays disagree about the number of positions.

    Example:
        >>> stay = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> seen = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2]]))
        >>> np.exp(parallel_filter(jnp.log(jnp.array([0.5, 0.5])), stay, seen)[1]).round(3)
        array([0.5  , 0.322], dtype=float32)
    """
    check_lengths(log_transition, log_likelihood, mask)
    log_steps = steps_between(log_transition, log_likelihood.shape[0], mask)
    if mask is not None:
        log_likelihood = jnp.where(mask[:, None], log_likelihood, 0.0)
    first = jnp.broadcast_to(log_initial, (1, *log_steps.shape[1:]))
    log_matrices = jnp.concatenate([first, log_steps]) + log_likelihood[:, None, :]
    products, log_scales = jax.lax.associative_scan(_multiply, _rescale(log_matrices, 0.0))
    log_joint = products[:, 0]  # all rows of the first matrix are equal, so all rows of products
    log_norms = logsumexp(log_joint, axis=1)
    return log_joint - log_norms[:, None], log_scales + log_norms


def _multiply(earlier: LogProducts, later: LogProducts) -> LogProducts:
    (log_a, scale_a), (log_b, scale_b) = earlier, later
    log_product = logsumexp(log_a[..., :, :, None] + log_b[..., None, :, :], axis=-2)
    return _rescale(log_product, scale_a + scale_b)


def _rescale(log_matrices: Array, log_scales: Array | float) -> LogProducts:
    """Divide by the largest entry, so that logs stay small and keep their digits."""
    largest = jnp.max(log_matrices, axis=(-2, -1))
    largest = jnp.where(jnp.isneginf(largest), 0.0, largest)
    return log_matrices - largest[..., None, None], log_scales + largest
