"""Losses with the same expected gradient: against drawn outcomes, or the exact law."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp._types import PerPosition
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, logits_at
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch

ObjectiveName = Literal["sampled", "rao_blackwell"]
"""``sampled`` is the cross-entropy on the drawn outcome, ``rao_blackwell`` its conditional
expectation given what was shown: the cross-entropy against the exact predictive."""


class BatchLosses(eqx.Module):
    """Sums over the supervised questions of a batch, so that parts of a batch add up."""

    loss: Float[Array, ""]
    """Loss in nats."""
    excess: Float[Array, ""]
    """``KL(exact || network)`` in nats; NaN without an oracle."""
    num_questions: Float[Array, ""]
    """Number of supervised questions."""


def batch_losses(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None,
    objective: ObjectiveName,
    batch: Batch,
) -> BatchLosses:
    """Sum a batch's losses, and how far they lie above their floor.

    ``sampled``: ``-log q(y_t)``. ``rao_blackwell``: ``-sum_y p(y | s_t) log q(y)``, which
    has the same expected gradient and less variance.

    Args:
        network: Network.
        model: Generative model of the batch.
        oracle: Oracle of the model, if there is one.
        objective: Which loss; ``rao_blackwell`` needs the oracle.
        batch: Sequences.

    Returns:
        Sums over sequences and supervised positions.
    """
    logits = logits_at(network, batch.inputs, model.asked_positions)
    log_q = jax.nn.log_softmax(logits)
    losses = measures.log_loss(log_q, batch.outcomes)
    excess = jnp.full_like(losses, jnp.nan)
    if oracle is not None:
        log_p = jax.lax.stop_gradient(oracle(batch).log_predictive).astype(log_q.dtype)
        excess = measures.kl(log_p, log_q)
        if objective == "rao_blackwell":
            losses = measures.cross_entropy(log_p, log_q)

    def total(values: PerPosition) -> Float[Array, ""]:
        return jnp.sum(jnp.where(batch.supervised, values, 0.0))

    return BatchLosses(total(losses), total(excess), total(jnp.ones_like(losses)))
