"""Train a network on fresh sequences from a generative model."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, check_answers, count_parameters
from bayescmp.oracle import AbstractOracle
from bayescmp.training.devices import batch_mesh
from bayescmp.training.interrupt import listen_for_stop
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.progress import Progress, advance, recent_loss
from bayescmp.training.resume import Identity, identify, restore_progress, save_progress
from bayescmp.training.settings import Training, choose_objective
from bayescmp.training.steps import Problem, compile_chunk, replicate, start_state

Outcome = Literal["completed", "diverged"]


class TrainingDivergedError(RuntimeError):
    """The loss or a weight became infinite or NaN."""


class Fit(eqx.Module):
    """A trained network and how it came about."""

    network: NetworkLike
    outcome: Outcome = eqx.field(static=True)
    """``diverged`` only where ``throw=False`` was asked for."""
    training: Training = eqx.field(static=True)
    objective: ObjectiveName = eqx.field(static=True)
    loss: Float[np.ndarray, " step"]
    """Training loss at each step, in nats."""
    excess: Float[np.ndarray, " step"]
    """Loss above the entropy floor at each step, in nats; NaN without an oracle."""
    seconds: float
    """Wall time spent in training steps, without compilation."""
    flops_per_step: float
    """Floating-point operations of one step, by XLA's count; NaN where it gives none."""
    tokens_per_step: int
    """Input positions in a batch."""
    num_devices: int
    num_parameters: int


def fit(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None = None,
    *,
    key: Key,
    steps: int | None = None,
    training: Training | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    description: str = "training",
    throw: bool = True,
) -> Fit:
    """Train a network on sequences that are drawn afresh at every step.

    The result is a function of the network, the model, the settings and the key. A run
    that was stopped and resumed ends with the same bits on the same machine.

    Args:
        network: Network to start from; it is not changed.
        model: Generative model to draw from.
        oracle: The model's oracle, for the Rao-Blackwell objective and to show the loss
            above the entropy floor.
        key: Typed key of the data.
        steps: Number of steps; overrides the one in ``training``.
        training: Settings.
        checkpoint: File to keep the state in.
        resume: Whether to go on from that file if it exists.
        progress: Whether to show a progress bar.
        description: Words in front of the progress bar.
        throw: Whether to raise when training diverges.

    Returns:
        The trained network with its history.

    Raises:
        ValueError: If settings or network do not fit, or the checkpoint is damaged or
            belongs to another run.
        TrainingDivergedError: If the loss or a weight is no longer finite, naming the step.
        OSError: If a checkpoint cannot be written; the one before is left as it was.
        KeyboardInterrupt: After Ctrl-C, once the state is saved.

    Example:
        >>> from bayescmp import Transformer, derive_oracle
        >>> from bayescmp.models import Bijection
        >>> model = Bijection(size=4)
        >>> network = Transformer.for_model(model, key=jax.random.key(0))
        >>> result = fit(network, model, derive_oracle(model), steps=2, progress=False,
        ...              key=jax.random.key(1))
        >>> result.loss.shape
        (2,)
    """
    settings = training or Training()
    settings = settings if steps is None else replace(settings, num_steps=steps)
    problem, params = _pose(network, model, oracle, settings)
    key = replicate(problem, key)
    path = None if checkpoint is None else Path(checkpoint)
    identity = identify(problem, settings, key=key)
    run = start = _start(problem, params, path if resume else None, identity)
    saved = start.step
    with listen_for_stop() as stop, _progress_bar(start, settings, description, progress) as bar:
        for run in _advance_to_end(start, problem, settings, key=key):
            bar.update(run.step - bar.n)
            bar.set_postfix_str(recent_loss(run, settings.chunk_size), refresh=False)
            if run.diverged:
                break
            due = run.step - saved >= settings.checkpoint_every or run.step == settings.num_steps
            if path is not None and (due or stop):
                save_progress(path, run, identity)
                saved = run.step
            if stop:
                raise KeyboardInterrupt(_say_goodbye(run, path))
    if run.diverged and throw:
        raise TrainingDivergedError(_explain_divergence(run, settings, saved))
    return _finish(run, problem, settings)


def _pose(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None,
    training: Training,
) -> tuple[Problem, PyTree[Array]]:
    """Gather what stays the same during a run, and the arrays that are trained."""
    check_answers(network, model)
    params, static = eqx.partition(network, eqx.is_inexact_array)
    if not jax.tree.leaves(params):
        raise ValueError(
            f"network: expected a module with trainable arrays, got {type(network).__name__} "
            "without any (arrays inside a plain function are out of reach)"
        )
    usable = oracle is not None and oracle.certificate.jittable
    problem = Problem(
        model=model,
        oracle=oracle if usable else None,
        objective=choose_objective(training, oracle),
        optimiser=training.optimiser,
        num_steps=training.num_steps,
        static=static,
        batch_size=training.batch_size,
        mesh=batch_mesh(training.batch_size),
    )
    return problem, params


def _start(
    problem: Problem, params: PyTree[Array], path: Path | None, identity: Identity
) -> Progress:
    """Begin a run, from its checkpoint if there is one."""
    start = Progress(start_state(problem, params))
    if path is None or not path.exists():
        return start
    return restore_progress(path, start, identity, problem)


def _progress_bar(run: Progress, training: Training, description: str, shown: bool) -> tqdm:
    return tqdm(
        total=training.num_steps,
        initial=run.step,
        desc=description,
        unit="step",
        disable=not shown,
        dynamic_ncols=True,
    )


def _advance_to_end(
    run: Progress, problem: Problem, training: Training, *, key: Key
) -> Iterator[Progress]:
    """Compile the chunks of steps that are left, and yield the progress after each."""
    starts = range(run.step, training.num_steps, training.chunk_size)
    sizes = [min(training.chunk_size, training.num_steps - start) for start in starts]
    chunks = {size: compile_chunk(problem, size, run.state, key=key) for size in set(sizes)}
    for size in sizes:
        run = advance(run, chunks[size], key=key)
        yield run


def _say_goodbye(run: Progress, path: Path | None) -> str:
    """Say where a run was stopped, and whether it can go on from there."""
    kept = (
        "nothing was saved, since no checkpoint was asked for"
        if path is None
        else f"the checkpoint {str(path)!r} can be resumed"
    )
    return f"stopped after step {run.step}; {kept}"


def _explain_divergence(run: Progress, training: Training, saved: int) -> str:
    """Say at which step a run went wrong, and what to try."""
    step = run.diverged_at or 0
    loss = run.loss[step]
    what = "a weight is not finite after" if np.isfinite(loss) else f"the loss is {loss} at"
    kept = f"; the checkpoint of step {saved} is kept" if saved else ""
    return (
        f"training diverged: {what} step {step}; try a lower learning_rate (it was "
        f"{training.optimiser.learning_rate:g}), a longer warmup, or a smaller clip{kept}"
    )


def _finish(run: Progress, problem: Problem, training: Training) -> Fit:
    """Return the result of a run."""
    # Away from the mesh: a single device's arrays work in everybody's computations.
    params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), run.state.params)
    return Fit(
        network=eqx.combine(params, problem.static),
        outcome="diverged" if run.diverged else "completed",
        training=training,
        objective=problem.objective,
        loss=run.loss,
        excess=run.excess,
        seconds=run.seconds,
        flops_per_step=run.flops,
        tokens_per_step=training.batch_size * problem.model.layout.input_length,
        num_devices=problem.mesh.size,
        num_parameters=count_parameters(params),
    )
