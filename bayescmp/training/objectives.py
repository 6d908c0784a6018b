"""Losses with the same expected gradient: against drawn outcomes, or the exact law."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, logits_at
from bayescmp.oracle import Oracle
from bayescmp.records import Batch

ObjectiveName = Literal["sampled", "rao_blackwell"]
"""``sampled`` is the cross-entropy on the drawn outcome, ``rao_blackwell`` its conditional
expectation given what was shown: the cross-entropy against the exact predictive."""


def batch_losses(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: Oracle | None,
    objective: ObjectiveName,
    batch: Batch,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return a batch's loss and how far it lies above its floor.

    ``sampled``: ``mean -log q(y_t)``. ``rao_blackwell``: ``mean -sum_y p(y | s_t) log q(y)``,
    which has the same expected gradient and less variance. With an oracle the second
    number is ``mean KL(p || q)`` in both cases; without one it is NaN.

    Args:
        network: Network.
        model: Generative model of the batch.
        oracle: Oracle of the model, if there is one.
        objective: Which loss.
        batch: Sequences.

    Returns:
        Loss and excess in nats, means over sequences and supervised positions.
    """
    logits = logits_at(network, batch.inputs, model.asked_positions)
    log_q = jax.nn.log_softmax(logits)
    share = batch.supervised / jnp.sum(batch.supervised)
    if oracle is None:
        return _mean(share, _log_loss(log_q, batch)), jnp.full((), jnp.nan)
    log_p = jax.lax.stop_gradient(oracle(batch).log_predictive).astype(log_q.dtype)
    p = jnp.exp(log_p)
    cross_entropy = -jnp.sum(p * log_q, axis=-1)
    entropy = -jnp.sum(p * jnp.where(p > 0, log_p, 0.0), axis=-1)
    excess = _mean(share, cross_entropy - entropy)
    if objective == "sampled":
        return _mean(share, _log_loss(log_q, batch)), excess
    return _mean(share, cross_entropy), excess


def _log_loss(log_q: Array, batch: Batch) -> Array:
    return -jnp.take_along_axis(log_q, batch.outcomes[..., None], axis=-1)[..., 0]


def _mean(share: Array, losses: Array) -> Array:
    return jnp.sum(share * losses)
