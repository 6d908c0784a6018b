"""Updates between checkpoints, held beside the gradients inside attention and random updates."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from jaxtyping import Key as KeyArray

from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.inspection.effect import exceedance
from bayescmp.inspection.history import find_reach
from bayescmp.layers.alignment import (
    Shown,
    allowed_places,
    cosines,
    random_cosine,
    read_heads,
    shake,
)
from bayescmp.layers.attention_offsets import AttentionGradients, differentiate
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch
from bayescmp.training.objectives import ObjectiveName, batch_losses

NUM_CONTROLS = 12
"""Random updates beside each real one."""


@dataclass(frozen=True)
class Alignment:
    """How the updates between checkpoints lie to the two gradients, downhill."""

    steps: tuple[int, ...]
    """Steps done at the end of each update."""
    cosine: Float[np.ndarray, "update kind block head"]
    """Of the update with the direction; NaN where one of the two is zero."""
    controls: Float[np.ndarray, "update draw kind block head"]
    """Of updates in random directions, as large as the real one in every array of weights."""
    nulls: tuple[float, float]
    """95 % of all random directions of scores, and of values, have a smaller ``|cos|``; NaN
    where sequences have weights."""

    @property
    def p_values(self) -> Float[np.ndarray, "update kind block head"]:
        """Chance of so large a cosine by one more random update; NaN without a cosine."""
        p = np.full(self.cosine.shape, np.nan)
        for place in np.ndindex(self.cosine.shape):
            update, *rest = place
            draws = self.controls[(update, slice(None), *rest)]
            if np.isfinite(self.cosine[place]) and np.isfinite(draws).all():
                p[place] = exceedance(float(self.cosine[place]), draws)
        return p


def mean_weights(evaluation: Evaluation) -> Float[np.ndarray, " sequence"]:
    """Return what each sequence counts for in a mean.

    Args:
        evaluation: Sequences.

    Returns:
        Weights that sum to one.
    """
    num, weights = evaluation.log_p.shape[0], evaluation.weights
    return np.full(num, 1.0 / num) if weights is None else weights / weights.sum()


@eqx.filter_jit
def pull(
    network: AbstractResidualNetwork, oracle: AbstractOracle, batch: Batch, objective: ObjectiveName
) -> AttentionGradients:
    """Differentiate a training objective inside attention.

    Args:
        network: Network without loops that attends.
        oracle: Oracle of the model.
        batch: Sequences.
        objective: The objective, summed over sequences and questions.

    Returns:
        The gradients, those of each sequence by its own loss, in nats.
    """
    usable = oracle if oracle.certificate.jittable else None

    def loss(network: AbstractResidualNetwork) -> Float[Array, ""]:
        return batch_losses(network, oracle.model, usable, objective, batch).loss

    return differentiate(network, batch.inputs, loss)


def align(
    networks: dict[int, AbstractResidualNetwork],
    evaluation: Evaluation,
    objective: ObjectiveName,
    *,
    key: Key,
) -> Alignment:
    """Hold the update between each two neighbouring checkpoints beside the gradients.

    Args:
        networks: Networks without loops by the number of steps done, in order.
        evaluation: Sequences.
        objective: Training objective.
        key: Typed key of the random updates.

    Returns:
        The cosines of all updates.
    """
    steps, checkpoints = tuple(networks), tuple(networks.values())
    shown, weights = jnp.asarray(find_reach(evaluation)), jnp.asarray(mean_weights(evaluation))
    keys = jax.random.split(key, (len(steps) - 1, NUM_CONTROLS))
    found, controls = [], []
    for now, then, draws in zip(checkpoints[:-1], checkpoints[1:], keys, strict=True):
        pulled = pull(now, evaluation.oracle, evaluation.batch, objective)
        weights = weights.astype(pulled.pattern.dtype)
        one, random = _hold(now, then, pulled, evaluation.batch, shown, weights, keys=draws)
        found.append(np.asarray(one, np.float64))
        controls.append(np.asarray(random, np.float64))
    nulls = (np.nan, np.nan)
    if evaluation.weights is None:
        nulls = _nulls(checkpoints[0], shown)
    return Alignment(steps[1:], np.stack(found), np.stack(controls), nulls)


@eqx.filter_jit
def _hold(
    now: AbstractResidualNetwork,
    then: AbstractResidualNetwork,
    pulled: AttentionGradients,
    batch: Batch,
    shown: Shown,
    weights: Float[Array, " sequence"],
    *,
    keys: KeyArray[Array, " draw"],
) -> tuple[Float[Array, "kind layer head"], Float[Array, "draw kind layer head"]]:
    """Return the cosines of an update, and those of random ones of its size."""
    old, static = eqx.partition(now, eqx.is_inexact_array)
    new = eqx.filter(then, eqx.is_inexact_array)
    before = read_heads(now, batch.inputs, shown)
    downhill = -pulled.scores, -pulled.responsibility

    def hold(params: AbstractResidualNetwork) -> Float[Array, "kind layer head"]:
        after = read_heads(eqx.combine(params, static), batch.inputs, shown)
        return cosines(before, after, *downhill, weights)

    return hold(new), jax.lax.map(lambda key: hold(shake(old, new, key=key)), keys)


def _nulls(network: AbstractResidualNetwork, shown: Shown) -> tuple[float, float]:
    """Return what random directions of scores and values stay below; a row has one tie."""
    mixer = network.blocks.mixer
    if not isinstance(mixer, Attention):
        raise ValueError("network: expected one with attention, got one without")
    allowed = np.asarray(allowed_places(mixer, shown))[:, 0].sum(axis=-1)
    head_size = mixer.value.shape[-1] // mixer.num_source_heads
    num_values = int(np.asarray(shown).sum()) * head_size
    return random_cosine(int(np.maximum(allowed - 1, 0).sum())), random_cosine(num_values)
