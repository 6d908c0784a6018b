"""The compiled part of training: a chunk of steps in one scan over all local devices."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, PyTree
from jaxtyping import Key as KeyArray

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike
from bayescmp.oracle import AbstractOracle
from bayescmp.training.devices import BATCH_AXIS
from bayescmp.training.objectives import BatchLosses, ObjectiveName, batch_losses
from bayescmp.training.optimisers import Optimiser

Keys = KeyArray[Array, " sequence"]
"""A typed key for each sequence of a batch."""


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
    finite: Bool[Array, "*step"]
    """Whether the loss, and the weights after the step, are finite."""


@dataclass(frozen=True)
class Problem:
    """Everything that stays the same during a run."""

    model: AbstractGenerativeModel
    oracle: AbstractOracle | None
    objective: ObjectiveName
    optimiser: Optimiser
    num_steps: int
    """Length of the whole run, which the learning rate's schedule needs."""
    static: NetworkLike
    """The network without its trainable arrays."""
    batch_size: int
    mesh: Mesh


@dataclass(frozen=True)
class CompiledChunk:
    """A compiled scan over consecutive steps."""

    run: Callable[[TrainState, Int[Array, ""], Key], tuple[TrainState, StepRecord]]
    """From a state, the number of the first step and the root key to a new state."""
    flops_per_step: float
    """Floating-point operations on all devices, by XLA's count; NaN where it gives none."""


def start_state(problem: Problem, params: PyTree[Array]) -> TrainState:
    """Return the state before the first step.

    Args:
        problem: What is trained, and on what.
        params: Trainable arrays; they are copied, since the first chunk reuses buffers.

    Returns:
        The state.
    """

    def start(params: PyTree[Array]) -> TrainState:
        return TrainState(jax.tree.map(jnp.copy, params), _transformation(problem).init(params))

    return replicate(problem, jax.jit(start)(params))


def replicate(problem: Problem, tree: PyTree[Array]) -> PyTree[Array]:
    """Put arrays on all devices of a problem, wherever they were.

    Args:
        problem: What is trained, and on what.
        tree: Arrays.

    Returns:
        The same arrays, as compiled chunks expect them.
    """
    return jax.device_put(tree, NamedSharding(problem.mesh, P()))


def compile_chunk(
    problem: Problem, num_steps: int, state: TrainState, *, key: Key
) -> CompiledChunk:
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
        The compiled chunk.
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
    structure: Hashable,
) -> CompiledChunk:
    optimiser = _transformation(problem)
    gradients = sharded_gradients(problem)

    def step(state: TrainState, number: Array, key: Key) -> tuple[TrainState, StepRecord]:
        keys = jax.random.split(jax.random.fold_in(key, number), problem.batch_size)
        loss, excess, grads = gradients(state.params, keys)
        updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jax.tree.map(lambda leaf: jnp.all(jnp.isfinite(leaf)), (loss, params))
        everything = jnp.all(jnp.stack(jax.tree.leaves(finite)))
        return TrainState(params, opt_state), StepRecord(loss, excess, everything)

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
    compiled = jitted.lower(*arguments).compile()
    return CompiledChunk(compiled, float(flops) * problem.mesh.size)


def _transformation(problem: Problem) -> optax.GradientTransformation:
    return problem.optimiser.build(problem.num_steps)


def sharded_gradients(
    problem: Problem,
) -> Callable[[PyTree[Array], Keys], tuple[Array, Array, PyTree[Array]]]:
    """Spread a batch over devices and differentiate its mean loss.

    Means are sums over all devices divided by the number of questions on all devices, so
    that they do not depend on how the batch is spread.

    Args:
        problem: What is trained, and on what.

    Returns:
        Function from trainable arrays and a key for each sequence to the mean loss, the
        mean excess and the gradient of the loss.
    """

    def loss(params: PyTree[Array], keys: Keys) -> tuple[Array, BatchLosses]:
        network = eqx.combine(params, problem.static)
        batch = jax.vmap(lambda k: problem.model.draw(key=k))(keys)
        sums = batch_losses(network, problem.model, problem.oracle, problem.objective, batch)
        return sums.loss, sums

    def gradients(params: PyTree[Array], keys: Keys) -> tuple[Array, Array, PyTree[Array]]:
        grads, sums = jax.lax.psum(jax.grad(loss, has_aux=True)(params, keys), BATCH_AXIS)
        return jax.tree.map(lambda x: x / sums.num_questions, (sums.loss, sums.excess, grads))

    return jax.shard_map(
        gradients,
        mesh=problem.mesh,
        in_specs=(P(), P(BATCH_AXIS)),
        out_specs=P(),
        check_vma=False,
    )
