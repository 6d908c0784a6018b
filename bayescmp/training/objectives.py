"""Losses with the same expected gradient: against drawn outcomes, or the exact law."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp._types import PerPosition
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, logits_at
from bayescmp.networks.parts.positions import Places
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch
from bayescmp.training.precision import Precision, full_products, lower

ObjectiveName = Literal["sampled", "rao_blackwell"]
"""``sampled`` is the cross-entropy on the drawn outcome, ``rao_blackwell`` its conditional
expectation given what was shown: the cross-entropy against the exact predictive."""


class BatchLosses(eqx.Module):
    """Weighted sums over the supervised questions of a batch, so that parts of it add up."""

    loss: Float[Array, "*seed"]
    """Loss in nats."""
    excess: Float[Array, "*seed"]
    """``KL(exact || network)`` in nats; NaN without an oracle."""
    weight: Float[Array, "*seed"]
    """What the questions weigh together: their number, where each weighs one."""


def batch_losses(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None,
    objective: ObjectiveName,
    batch: Batch,
    *,
    weights: tuple[float, ...] | Float[Array, " position"] | None = None,
    places: Places | None = None,
    precision: Precision = "float32",
) -> BatchLosses:
    """Sum a batch's losses, and how far they lie above their floor.

    ``sampled``: ``-log q(y_t)``. ``rao_blackwell``: ``-sum_y p(y | s_t) log q(y)``, which
    has the same expected gradient and less variance. The mean loss of a batch is
    ``sum_t w_t loss_t / sum_t w_t`` over its supervised questions.

    Args:
        network: Network.
        model: Generative model of the batch.
        oracle: Oracle of the model, if there is one.
        objective: Which loss; ``rao_blackwell`` needs the oracle.
        batch: Sequences.
        weights: How much each question of a sequence counts, one for each by default; a
            question of weight zero is left out, whatever the network answers.
        places: Where the inputs of each sequence stand; one after the other by default.
        precision: Arithmetic of the network; its logits are compared in float32 at least.

    Returns:
        Sums over sequences and supervised positions.
    """
    logits = _ask(network, model, batch, places, precision)
    log_q = jax.nn.log_softmax(logits)
    losses = measures.log_loss(log_q, batch.outcomes)
    excess = jnp.full_like(losses, jnp.nan)
    if oracle is not None:
        log_p = jax.lax.stop_gradient(oracle(batch).log_predictive).astype(log_q.dtype)
        excess = measures.kl(log_p, log_q)
        if objective == "rao_blackwell":
            losses = measures.cross_entropy(log_p, log_q)

    weight = jnp.asarray(np.ones(model.length) if weights is None else weights, losses.dtype)
    counts = batch.supervised & (weight > 0)

    def total(values: PerPosition) -> Float[Array, ""]:
        return jnp.sum(jnp.where(counts, weight * values, 0.0))

    return BatchLosses(total(losses), total(excess), total(jnp.ones_like(losses)))


def _ask(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    batch: Batch,
    places: Places | None,
    precision: Precision,
) -> Float[Array, "sequence position outcome"]:
    """Return the logits of each question, computed in one precision and kept in float32."""
    params, static = eqx.partition(network, eqx.is_inexact_array)
    lowered = eqx.combine(lower(params, precision), static)
    inputs = lower(batch.inputs, precision)
    with full_products(precision):
        logits = logits_at(lowered, inputs, model.asked_positions, places=places)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
