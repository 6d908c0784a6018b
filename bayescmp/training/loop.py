"""Train networks on fresh sequences from a generative model."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike
from bayescmp.oracle import AbstractOracle
from bayescmp.training.checkpoints.keeping import Keeper
from bayescmp.training.costs.energy import find_meter
from bayescmp.training.devices.hosts import agree, is_first
from bayescmp.training.divergence import TrainingDivergedError as TrainingDivergedError
from bayescmp.training.divergence import explain_divergence
from bayescmp.training.fit import Fit as Fit
from bayescmp.training.fit import collect_fits
from bayescmp.training.interrupt import listen_for_stop
from bayescmp.training.loggers import AbstractLogger
from bayescmp.training.problem import Keys, Problem, place, pose, stack_keys
from bayescmp.training.progress import (
    Progress,
    advance,
    begin,
    mean_recent,
    recent_loss,
    stop_early,
)
from bayescmp.training.settings import Training as Training
from bayescmp.training.steps import compile_chunk, start_state


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
    logger: AbstractLogger | None = None,
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
        logger: Is told the mean loss after each chunk of steps; it is not closed.

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
    (result,) = fit_seeds(
        [network],
        model,
        oracle,
        keys=[key],
        steps=steps,
        training=training,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        description=description,
        throw=throw,
        logger=logger,
    )
    return result


def fit_seeds(
    networks: Sequence[NetworkLike],
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None = None,
    *,
    keys: Sequence[Key],
    steps: int | None = None,
    training: Training | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    description: str = "training",
    throw: bool = True,
    logger: AbstractLogger | None = None,
) -> tuple[Fit, ...]:
    """Train several networks of one architecture in one compiled program.

    Up to rounding, each ends as if it were trained alone with its key. One that diverges,
    or stops early, stays as it is while the others go on.

    Args:
        networks: Networks to start from, which differ in their weights alone.
        model: Generative model to draw from.
        oracle: The model's oracle; see :func:`fit`.
        keys: Typed key of the data of each network.
        steps: Number of steps; overrides the one in ``training``.
        training: Settings of each.
        checkpoint: File to keep the state of all in.
        resume: Whether to go on from that file if it exists.
        progress: Whether to show a progress bar.
        description: Words in front of the progress bar.
        throw: Whether to raise as soon as one diverges, instead of training the others on.
        logger: Is told the mean loss of each after each chunk of steps; it is not closed.

    Returns:
        A result for each network, in their order.

    Raises:
        ValueError: If settings, networks or keys do not fit, or the checkpoint is damaged
            or belongs to another run.
        TrainingDivergedError: If a loss or a weight is no longer finite, naming the step.
        OSError: If a checkpoint cannot be written; the one before is left as it was.
        KeyboardInterrupt: After Ctrl-C, once the state is saved.

    Example:
        >>> model, keys = bc.models.Bijection(size=3), jax.random.split(jax.random.key(0), 2)
        >>> networks = [bc.Transformer.for_model(model, key=key) for key in keys]
        >>> fits = fit_seeds(networks, model, steps=2, progress=False, keys=list(keys))
        >>> [result.outcome for result in fits]
        ['completed', 'completed']
    """
    settings = training or Training()
    settings = settings if steps is None else replace(settings, num_steps=steps)
    if len(keys) != len(networks):
        raise ValueError(f"keys: expected {len(networks)}, one for each network, got {len(keys)}")
    problem, params = pose(networks, model, oracle, settings)
    stacked = stack_keys(keys)
    path = None if checkpoint is None else Path(checkpoint)
    keeper = Keeper.of(path, problem, settings, keys=stacked)
    start = begin(start_state(problem, params))
    start = keeper.restore(start, problem) if resume else start
    with _progress_bar(start, settings, description, progress) as bar:
        run = _train(
            start,
            problem,
            settings,
            keeper,
            keys=place(problem, stacked),
            bar=bar,
            throw=throw,
            logger=logger,
        )
    return collect_fits(run, problem, settings)


def _train(
    start: Progress,
    problem: Problem,
    training: Training,
    keeper: Keeper,
    *,
    keys: Keys,
    bar: tqdm,
    throw: bool,
    logger: AbstractLogger | None,
) -> Progress:
    """Train to the end, keeping the run as it goes."""
    run, saved, before = start, start.step, start.step
    if not start.step:
        keeper.save_snapshot(start)
    with listen_for_stop() as stop:
        for run in _advance_to_end(start, problem, training, keeper, keys=keys):
            if logger is not None and is_first():
                logger.log(run.step, mean_recent(run, run.step - before))
            bar.update(run.step - before)
            before = run.step
            bar.set_postfix_str(recent_loss(run, training.chunk_size), refresh=False)
            if run.diverged.all() or (throw and run.diverged.any()):
                break
            keeper.save_snapshot(run)
            stops = agree(bool(stop))
            ends = run.step == training.num_steps or not run.goes_on.any()
            if run.step - saved >= training.checkpoint_every or ends or stops:
                keeper.save(run)
                saved = run.step
            if stops:
                raise KeyboardInterrupt(_say_goodbye(run, keeper.path))
    if throw and run.diverged.any():
        kept = 0 if keeper.path is None else saved
        raise TrainingDivergedError(explain_divergence(run, training, kept))
    return run


def _advance_to_end(
    run: Progress, problem: Problem, training: Training, keeper: Keeper, *, keys: Keys
) -> Iterator[Progress]:
    """Compile a chunk of steps if any is left to do, and yield the progress after each."""
    if run.step == training.num_steps or not run.goes_on.any():
        return
    size = min(training.chunk_size, training.num_steps)
    chunk, meter = compile_chunk(problem, size, run.state, keys=keys), find_meter()
    while run.step < training.num_steps and run.goes_on.any():
        num_steps = keeper.next_stop(run.step, training) - run.step
        run = stop_early(advance(run, chunk, num_steps, keys=keys, meter=meter), problem, training)
        yield run


def _progress_bar(run: Progress, training: Training, description: str, shown: bool) -> tqdm:
    return tqdm(
        total=training.num_steps,
        initial=run.step,
        desc=description,
        unit="step",
        disable=not shown or not is_first(),
        dynamic_ncols=True,
    )


def _say_goodbye(run: Progress, path: Path | None) -> str:
    """Say where a run was stopped, and whether it can go on from there."""
    kept = (
        "nothing was saved, since no checkpoint was asked for"
        if path is None
        else f"the checkpoint {str(path)!r} can be resumed"
    )
    return f"stopped after step {run.step}; {kept}"
