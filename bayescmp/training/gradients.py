"""The gradient of one seed's loss on one step's batch, in parts and over devices."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
from jaxtyping import Key as KeyArray

from bayescmp._types import Key
from bayescmp.training.devices.mesh import BATCH_AXIS
from bayescmp.training.objectives import BatchLosses, batch_losses
from bayescmp.training.places import draw_places
from bayescmp.training.problem import Problem

Keys = KeyArray[Array, " sequence"]
"""A typed key for each sequence of a batch."""

Gradients = tuple[PyTree[Array], BatchLosses]
"""Gradient of a sum of losses, and the sums."""


def sum_gradients(
    problem: Problem, params: PyTree[Array], number: Int[Array, ""], *, key: Key, spread: bool
) -> Gradients:
    """Differentiate the summed loss of one seed's batch, or of this device's part of it.

    The batch of step ``s`` is drawn from ``fold_in(key, s)``, each sequence from a key of
    its own, so it depends neither on devices nor on the parts it is cut into.

    Args:
        problem: What is trained, and on what.
        params: Trainable arrays of one network.
        number: Number of the step.
        key: Root key of the seed's data.
        spread: Whether this is one device's part, inside a map over the problem's mesh.

    Returns:
        Sums that add up over devices: see :func:`add_over_devices`.
    """
    keys = jax.random.split(jax.random.fold_in(key, number), problem.batch_size)
    if spread:
        share = problem.batch_size // problem.mesh.shape[BATCH_AXIS]
        first = jax.lax.axis_index(BATCH_AXIS) * share
        keys = jax.lax.dynamic_slice_in_dim(keys, first, share)

    def loss(params: PyTree[Array], keys: Keys) -> tuple[Array, BatchLosses]:
        sums = batch_losses(
            eqx.combine(params, problem.static),
            problem.model,
            problem.oracle,
            problem.objective,
            jax.vmap(lambda k: problem.model.draw(key=k))(keys),
            weights=weights_at(problem, number),
            places=_places(problem, keys),
            precision=problem.precision,
        )
        return sums.loss, sums

    gradients = jax.grad(loss, has_aux=True)
    return _add_parts(lambda k: gradients(params, k), keys.reshape(problem.accumulate, -1))


def add_over_devices(gradients: Gradients) -> Gradients:
    """Add what devices with parts of the same batch have found.

    Means are sums over all devices divided by the weight of the questions on all devices,
    so that they do not depend on how a batch is spread.

    Args:
        gradients: Sums of this device.

    Returns:
        Sums over the whole batch, the same on each of these devices.
    """
    return jax.lax.psum(gradients, BATCH_AXIS)


def weights_at(
    problem: Problem, number: Int[Array, ""]
) -> tuple[float, ...] | Float[Array, " position"] | None:
    """Return how much each question counts at a step.

    Args:
        problem: What is trained, and on what.
        number: Number of the step.

    Returns:
        One number for each question; None where all count alike at every step.
    """
    if problem.first_steps is None:
        return problem.weights
    known = jnp.ones(problem.model.length) if problem.weights is None else problem.weights
    return jnp.where(number >= jnp.asarray(problem.first_steps), jnp.asarray(known), 0.0)


def _places(problem: Problem, keys: Keys) -> Int[Array, "sequence input_position"] | None:
    """Draw where the inputs of each sequence stand, if that is random."""
    places, model = problem.places, problem.model
    if places is None:
        return None
    return jax.vmap(lambda key: draw_places(places, model, key=key))(keys)


def _add_parts(
    gradients: Callable[[Keys], Gradients], keys: KeyArray[Array, "part sequence"]
) -> Gradients:
    """Add what each part of a batch gives, one after the other."""
    if len(keys) == 1:
        return gradients(keys[0])

    def add(total: Gradients, part: Keys) -> tuple[Gradients, None]:
        return jax.tree.map(jnp.add, total, gradients(part)), None

    shapes = jax.eval_shape(gradients, keys[0])
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, nothing, keys)[0]
