"""Keep a run in a checkpoint, and go on from there."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bayescmp.codec import Plain, decode, encode
from bayescmp.networks.config import AbstractNetworkConfig
from bayescmp.networks.network import NetworkLike
from bayescmp.networks.shape import TaskShape
from bayescmp.training.checkpoints.checkpoint import (
    fit_arrays,
    read_arrays,
    read_header,
    save_checkpoint,
)
from bayescmp.training.checkpoints.differences import describe_differences
from bayescmp.training.checkpoints.stored_network import known_classes
from bayescmp.training.problem import Keys, Problem, place
from bayescmp.training.progress import Progress
from bayescmp.training.settings import Training

Identity = dict[str, Plain]
"""What must agree for a checkpoint to belong to a run, as JSON can hold it."""


def identify(problem: Problem, training: Training, *, key: Keys) -> Identity:
    """Return what tells a run from other runs.

    Args:
        problem: What is trained, and on what.
        training: Settings.
        key: Typed keys of the data, one for each seed.

    Returns:
        Names and values that JSON can hold, the same in every process.
    """
    words = np.asarray(jax.random.key_data(key))
    return {
        **_identify_network(problem.static),
        "model": encode(problem.model),
        "training": encode(training),
        "objective": encode(problem.objective),
        "key": {
            "implementation": str(jax.random.key_impl(key)),
            "words": words.reshape(-1, words.shape[-1]).tolist(),
        },
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
    arrays, values = _split(progress)
    header = {
        "step": progress.step,
        "num_seeds": progress.loss.shape[0],
        "progress": {name: encode(value) for name, value in values.items()},
        "run": identity,
    }
    save_checkpoint(path, arrays, header)


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
    header = check_same_run(path, identity)
    arrays = read_arrays(path)
    kept = {name: arrays[name] for name in _split(start)[0] if name in arrays}
    fitted = fit_arrays(path, arrays, kept | {"state": start.state})
    values = {name: decode(value, {}) for name, value in header["progress"].items()}
    run = replace(start, **kept | values | {"state": place(problem, fitted["state"])})
    if "clock" in kept or not run.step:
        return run
    # A file from before there was a clock says what all steps have cost.
    return replace(run, clock=np.array([[run.step, run.seconds, run.joules]]))


def check_same_run(path: Path, identity: Identity) -> dict[str, Any]:
    """Check that a checkpoint belongs to a run.

    Options that did not exist when it was written count as their defaults.

    Args:
        path: Checkpoint.
        identity: Which run it should be.

    Returns:
        The checkpoint's header.

    Raises:
        ValueError: If the file is damaged or belongs to another run; lists what differs.
    """
    header = read_header(path)
    there, here = (
        {name: _complete(part) for name, part in run.items()} for run in (header["run"], identity)
    )
    if told := describe_differences(there, here):
        raise ValueError(f"checkpoint {str(path)!r} belongs to another run: {told}")
    return header


def _complete(part: Plain) -> Plain:
    """Give a record of ours the fields that its file lacks; leave anything else as it is."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in known_classes():
        return part
    try:
        return encode(decode(part, known_classes()))
    except ValueError:  # an option that this version does not know, which is a difference
        return part


def _split(progress: Progress) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that hold arrays, and those that JSON can hold."""
    every = {field.name: getattr(progress, field.name) for field in fields(progress)}
    arrays = {
        name: value
        for name, value in every.items()
        if name == "state" or isinstance(value, np.ndarray)
    }
    return arrays, {name: value for name, value in every.items() if name not in arrays}


def _identify_network(static: NetworkLike) -> Identity:
    """Return the configuration and shape of one of our networks, or what another one is."""
    config, shape = getattr(static, "config", None), getattr(static, "shape", None)
    if isinstance(config, AbstractNetworkConfig) and isinstance(shape, TaskShape):
        return {"network": encode(config), "shape": encode(shape)}
    return {"network": encode(static), "shape": None}
