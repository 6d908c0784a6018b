"""The compiled part of training: a chunk of steps in one scan over all local devices."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike
from bayescmp.oracle import Oracle
from bayescmp.training.devices import BATCH_AXIS
from bayescmp.training.objectives import ObjectiveName, batch_losses
from bayescmp.training.optimisers import Optimiser


class TrainState(eqx.Module):
    """What one step hands to the next."""

    params: PyTree[Array]
    """Trainable arrays of the network."""
    opt_state: PyTree[Array]
    """State of the optimiser."""


class StepRecord(eqx.Module):
    """What one step leaves for the history."""

    loss: Float[Array, "*step"]
    """Training loss in nats."""
    excess: Float[Array, "*step"]
    """Loss above the entropy floor in nats; NaN without an oracle."""


@dataclass(frozen=True)
class Problem:
    """Everything that stays the same during a run."""

    model: AbstractGenerativeModel
    oracle: Oracle | None
    objective: ObjectiveName
    optimiser: Optimiser
    num_steps: int
    """Length of the whole run, which the learning rate's schedule needs."""
    static: NetworkLike
    """The network without its trainable arrays."""
    batch_size: int
    mesh: Mesh


Chunk = Callable[[TrainState, Int[Array, ""], Key], tuple[TrainState, StepRecord]]
"""Compiled: from a state, the number of the first step and the root key to a new state."""


def start_state(problem: Problem, params: PyTree[Array]) -> TrainState:
    """Return the state before the first step.

    Args:
        problem: What is trained, and on what.
        params: Trainable arrays; they are copied, since the first chunk reuses buffers.

    Returns:
        The state.
    """
    return jax.jit(lambda p: TrainState(jax.tree.map(jnp.copy, p), _transformation(problem).init(p)))(
        params
    )


def compile_chunk(
    problem: Problem, num_steps: int, state: TrainState, *, key: Key
) -> tuple[Chunk, float]:
    """Compile a scan over consecutive steps; the state's buffers are reused.

    The batch of step ``s`` is drawn from ``fold_in(key, s)``, each sequence from a key
    of its own, so it depends neither on the chunk nor on the number of devices. The
    result is kept, so that further seeds of the same problem need not compile.

    Args:
        problem: What is trained, and on what.
        num_steps: Steps in the chunk.
        state: A state of the right shapes; it is not touched.
        key: Root key of the data.

    Returns:
        The compiled chunk and the floating-point operations of one step, by XLA's count.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: (state, key)))
    try:
        return _compile(problem, num_steps, tuple(leaves), structure)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _compile.__wrapped__(problem, num_steps, tuple(leaves), structure)


@lru_cache(maxsize=16)
def _compile(
    problem: Problem,
    num_steps: int,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    structure: jax.tree_util.PyTreeDef,
) -> tuple[Chunk, float]:
    optimiser = _transformation(problem)
    gradients = _sharded_gradients(problem)

    def step(state: TrainState, number: Array, key: Key) -> tuple[TrainState, StepRecord]:
        keys = jax.random.split(jax.random.fold_in(key, number), problem.batch_size)
        record, grads = gradients(state.params, keys)
        updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
        return TrainState(optax.apply_updates(state.params, updates), opt_state), record

    def chunk(state: TrainState, first: Array, key: Key) -> tuple[TrainState, StepRecord]:
        numbers = first + jnp.arange(num_steps)
        return jax.lax.scan(lambda carry, number: step(carry, number, key), state, numbers)

    state, key = jax.tree.unflatten(structure, leaves)
    arguments = (state, jax.ShapeDtypeStruct((), jnp.int32), key)
    everywhere = NamedSharding(problem.mesh, P())
    jitted = jax.jit(
        chunk,
        donate_argnums=0,
        in_shardings=jax.tree.map(lambda _: everywhere, arguments),
        out_shardings=everywhere,
    )
    costs = jax.jit(step).lower(*arguments).cost_analysis()
    flops = costs.get("flops", math.nan) if isinstance(costs, dict) else math.nan
    return jitted.lower(*arguments).compile(), float(flops) * problem.mesh.size


def _transformation(problem: Problem) -> optax.GradientTransformation:
    return problem.optimiser.build(problem.num_steps)


def _sharded_gradients(
    problem: Problem,
) -> Callable[[PyTree[Array], Key], tuple[StepRecord, PyTree[Array]]]:
    """Spread the batch over devices and average losses and gradients."""

    def loss(params: PyTree[Array], keys: Key) -> tuple[Array, StepRecord]:
        network = eqx.combine(params, problem.static)
        batch = jax.vmap(lambda k: problem.model.draw(key=k))(keys)
        value, excess = batch_losses(
            network, problem.model, problem.oracle, problem.objective, batch
        )
        return value, StepRecord(value, excess)

    def gradients(params: PyTree[Array], keys: Key) -> tuple[StepRecord, PyTree[Array]]:
        grads, record = jax.grad(loss, has_aux=True)(params, keys)
        return jax.lax.pmean((record, grads), BATCH_AXIS)

    return jax.shard_map(
        gradients,
        mesh=problem.mesh,
        in_specs=(P(), P(BATCH_AXIS)),
        out_specs=P(),
        check_vma=False,
    )
