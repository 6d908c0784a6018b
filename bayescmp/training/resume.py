"""Keep a run in a checkpoint, and go on from there."""

import re
from dataclasses import fields
from pathlib import Path

import jax
import numpy as np

from bayescmp._types import Key
from bayescmp.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from bayescmp.training.progress import Progress
from bayescmp.training.settings import Training
from bayescmp.training.steps import Problem, replicate

Identity = dict[str, object]
"""What must agree for a checkpoint to belong to a run."""


def identify(problem: Problem, training: Training, *, key: Key) -> Identity:
    """Return what tells a run from other runs.

    Args:
        problem: What is trained, and on what.
        training: Settings.
        key: Typed key of the data.

    Returns:
        Names and values that JSON can hold.
    """
    static = problem.static
    return {
        "model": _describe(problem.model),
        "network": _describe(getattr(static, "config", static)),
        **{field.name: _describe(getattr(training, field.name)) for field in fields(training)},
        "objective": problem.objective,
        "key": [str(jax.random.key_impl(key)), *jax.random.key_data(key).ravel().tolist()],
    }


def save_progress(path: Path, progress: Progress, identity: Identity) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: File to write or replace; its folder is made where it is missing.
        progress: Where the run stands.
        identity: Which run it is.

    Raises:
        OSError: If the file cannot be written; an earlier checkpoint is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = identity | {
        "step": progress.step,
        "seconds": progress.seconds,
        "flops": progress.flops,
    }
    save_checkpoint(path, (progress.state, progress.loss, progress.excess), header)


def restore_progress(path: Path, start: Progress, identity: Identity, problem: Problem) -> Progress:
    """Read a checkpoint.

    Args:
        path: Checkpoint.
        start: The run before its first step, for the shapes of its arrays.
        identity: Which run it is.
        problem: What is trained, and on what.

    Returns:
        Where the run stood when the checkpoint was written.

    Raises:
        ValueError: If the file is damaged or belongs to another run.
    """
    header = read_header(path)
    differences = [
        f"{name} is {header.get(name)} there and {value} here"
        for name, value in identity.items()
        if header.get(name) != value
    ]
    if differences:
        told = "; ".join(differences)
        raise ValueError(f"checkpoint {str(path)!r} belongs to another run: {told}")
    history = jax.ShapeDtypeStruct((header["step"],), np.float32)
    (state, loss, excess), _ = load_checkpoint(path, (start.state, history, history))
    return Progress(
        state=replicate(problem, state),
        loss=np.asarray(loss),
        excess=np.asarray(excess),
        seconds=header["seconds"],
        flops=header["flops"],
    )


def _describe(value: object) -> str:
    """Return one line that is the same in every process: without addresses in memory."""
    return " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(value)).split())
