"""The compiled part of training: a loop over steps of all seeds, on all devices."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree

from bayescmp._types import Key
from bayescmp.training.averaging import include
from bayescmp.training.costs.operations import count_operations
from bayescmp.training.devices.mesh import SEED_AXIS
from bayescmp.training.gradients import Gradients, add_over_devices, sum_gradients
from bayescmp.training.problem import Keys, Problem, place

GOES_ON, STOPPED_EARLY, DIVERGED = range(3)
"""What has become of a seed."""


class TrainState(eqx.Module):
    """What one step hands to the next; each array has the axis ``seed`` in front.

    A seed that was stopped, or that diverged, stays in the batch and is not changed any
    more. One that diverged keeps the state before the step at which it did.
    """

    params: PyTree[Array]
    """Trainable arrays of the network."""
    opt_state: PyTree[Array]
    """State of the optimiser."""
    average: PyTree[Array]
    """Moving average of the trainable arrays; None where none is kept."""
    num_steps: Int[Array, "*seed"]
    """Steps done, one that diverged included."""
    fate: Int[Array, "*seed"]
    """``GOES_ON``, ``STOPPED_EARLY`` or ``DIVERGED``."""


class StepRecord(eqx.Module):
    """What steps leave for the history; NaN for a seed that does not go on."""

    loss: Float[Array, "*seed_step"]
    """Training loss in nats."""
    excess: Float[Array, "*seed_step"]
    """Loss above the entropy floor in nats; NaN without an oracle."""


Chunk = Callable[[TrainState, np.int32, np.int32, Keys], tuple[TrainState, StepRecord]]
"""From a state, the number of the first step, how many steps to do, and the root keys, to a
new state and a record with room for ``CompiledChunk.max_steps`` steps."""


Carry = tuple[Int[Array, ""], TrainState, StepRecord]
"""Steps done, and what they left."""


@dataclass(frozen=True)
class CompiledChunk:
    """A compiled loop over consecutive steps."""

    run: Chunk
    max_steps: int
    """Most steps in one call."""
    flops_per_step: float
    """Floating-point operations of a step of one seed on all devices, by XLA's count of the
    operations written down, each once; NaN where it gives none."""


def start_state(problem: Problem, params: PyTree[Array | np.ndarray]) -> TrainState:
    """Return the state before the first step.

    Args:
        problem: What is trained, and on what.
        params: Trainable arrays, with the axis ``seed`` in front; they are copied, since
            the first chunk reuses buffers.

    Returns:
        The state.
    """

    def start(params: PyTree[Array]) -> TrainState:
        return TrainState(
            params=jax.tree.map(jnp.copy, params),
            opt_state=_transformation(problem).init(params),
            average=None if problem.average is None else jax.tree.map(jnp.copy, params),
            num_steps=jnp.zeros((), jnp.int32),
            fate=jnp.full((), GOES_ON, jnp.int32),
        )

    return place(problem, jax.jit(jax.vmap(start))(params))


def compile_chunk(
    problem: Problem, max_steps: int, state: TrainState, *, keys: Keys
) -> CompiledChunk:
    """Compile a loop over consecutive steps; the state's buffers are reused.

    How many steps it does is an argument, so that chunks of any length, and thereby all
    that is computed, come from one program. The program is kept, so that further seeds of
    the same problem need not compile.

    Args:
        problem: What is trained, and on what.
        max_steps: Most steps in one call.
        state: A state of the right shapes; it is not touched.
        keys: Root keys of the data.

    Returns:
        The compiled chunk.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: (state, keys)))
    try:
        return _compile(problem, max_steps, tuple(leaves), structure)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _compile.__wrapped__(problem, max_steps, tuple(leaves), structure)


def _options(problem: Problem) -> dict[str, bool]:
    """Return what makes a GPU's steps the same bits in every run and every process.

    Without it, sums of gradients are added in whatever order their threads come, and the
    compiler picks kernels by how fast they were when it tried them.
    """
    on_gpu = problem.mesh.devices.flat[0].platform == "gpu"
    return {"xla_gpu_deterministic_ops": True} if on_gpu else {}


@lru_cache(maxsize=16)
def _compile(
    problem: Problem,
    max_steps: int,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    structure: Hashable,
) -> CompiledChunk:
    state, keys = jax.tree.unflatten(structure, leaves)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    of_seeds, everywhere = P(SEED_AXIS), P()
    mapped = jax.shard_map(
        _loop_over_seeds(problem, max_steps),
        mesh=problem.mesh,
        in_specs=(of_seeds, everywhere, everywhere, of_seeds),
        out_specs=of_seeds,
        check_vma=False,
    )
    shardings = [NamedSharding(problem.mesh, spec) for spec in (of_seeds, everywhere)]
    jitted = jax.jit(
        mapped,
        donate_argnums=0,
        in_shardings=(shardings[0], shardings[1], shardings[1], shardings[0]),
        # Each process has the whole record, since each decides with it what comes next.
        out_shardings=(shardings[0], shardings[1]),
    )
    one, key = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), (state, keys))
    step = partial(take_step, replace(problem, accumulate=1), spread=False)
    flops = count_operations(lambda state, s, key: step(state, s, key=key), one, number, key)
    compiled = jitted.lower(state, number, number, keys).compile(_options(problem))
    return CompiledChunk(compiled, max_steps, float(flops))


def _loop_over_seeds(
    problem: Problem, max_steps: int
) -> Callable[[TrainState, Array, Array, Keys], tuple[TrainState, StepRecord]]:
    """Return the loop over the steps of the seeds that lie on one device."""
    loop = _loop_over_steps(problem, max_steps)

    def of_device(
        state: TrainState, first: Array, num_steps: Array, keys: Keys
    ) -> tuple[TrainState, StepRecord]:
        def of_seed(state: TrainState, key: Key) -> tuple[TrainState, StepRecord]:
            return loop(state, first, num_steps, key)

        if problem.vectorised:
            return jax.vmap(of_seed)(state, keys)
        return jax.lax.map(lambda seed: of_seed(*seed), (state, keys))

    return of_device


def _loop_over_steps(
    problem: Problem, max_steps: int
) -> Callable[[TrainState, Array, Array, Key], tuple[TrainState, StepRecord]]:
    """Return the loop over the steps of one seed."""

    def loop(
        state: TrainState, first: Array, num_steps: Array, key: Key
    ) -> tuple[TrainState, StepRecord]:
        def body(carry: Carry) -> Carry:
            done, state, record = carry
            state, now = take_step(problem, state, first + done, key=key)
            record = jax.tree.map(lambda past, x: past.at[done].set(x), record, now)
            return done + 1, state, record

        empty = jnp.full(max_steps, jnp.nan, jnp.float32)
        start = (jnp.int32(0), state, StepRecord(empty, empty))
        return jax.lax.while_loop(lambda carry: carry[0] < num_steps, body, start)[1:]

    return loop


def take_step(
    problem: Problem, state: TrainState, number: Int[Array, ""], *, key: Key, spread: bool = True
) -> tuple[TrainState, StepRecord]:
    """Take one step with one seed.

    Args:
        problem: What is trained, and on what.
        state: State of one seed, without the axis ``seed``.
        number: Number of the step.
        key: Root key of the seed's data.
        spread: Whether this is one device's part, inside a map over the problem's mesh.

    Returns:
        The state and the record after the step.
    """
    gradients = sum_gradients(problem, state.params, number, key=key, spread=spread)
    return _update(problem, state, add_over_devices(gradients) if spread else gradients)


def _update(
    problem: Problem, state: TrainState, gradients: Gradients
) -> tuple[TrainState, StepRecord]:
    """Move one seed by a step, unless it no longer goes on or diverges here."""
    grads, sums = gradients
    grads, loss, excess = jax.tree.map(lambda x: x / sums.weight, (grads, sums.loss, sums.excess))
    updates, opt_state = _transformation(problem).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if problem.average is not None:
        average = include(average, params, state.num_steps, problem.average)
    goes_on = state.fate == GOES_ON
    finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((loss, params))]
    succeeds = goes_on & jnp.all(jnp.stack(finite))
    params, opt_state, average = jax.tree.map(
        lambda new, old: jnp.where(succeeds, new, old),
        (params, opt_state, average),
        (state.params, state.opt_state, state.average),
    )
    num_steps = state.num_steps + goes_on.astype(jnp.int32)
    fate = jnp.where(goes_on & ~succeeds, DIVERGED, state.fate)
    record = StepRecord(
        *(jnp.where(goes_on, x, jnp.nan).astype(jnp.float32) for x in (loss, excess))
    )
    return TrainState(params, opt_state, average, num_steps, fate), record


def _transformation(problem: Problem) -> optax.GradientTransformation:
    return problem.optimiser.build(problem.num_steps)
