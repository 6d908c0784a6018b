"""A trained network from the file of a run alone."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from bayescmp.codec import class_table, decode
from bayescmp.networks.network import AbstractNetwork, NetworkLike
from bayescmp.networks.registry import CONFIGS
from bayescmp.networks.shape import TaskShape
from bayescmp.training.checkpoints.checkpoint import fit_arrays, read_arrays, read_header
from bayescmp.training.optimisers.schedule_free import ScheduleFree
from bayescmp.training.settings import Training


def load_network(
    path: str | os.PathLike[str],
    seed: int = 0,
    *,
    averaged: bool = False,
    like: NetworkLike | None = None,
) -> NetworkLike:
    """Build the network of a checkpoint or a snapshot, without the run that wrote it.

    Args:
        path: Checkpoint or snapshot.
        seed: Which of the networks that were trained together.
        averaged: Whether to take the moving average of the weights instead of the last ones.
        like: A network of the same structure; only a network from elsewhere needs it.

    Returns:
        The network.

    Raises:
        ValueError: If the file is damaged, holds another network than ``like``, one that
            is not the package's own without ``like``, no such seed or no average.

    Example:
        >>> model = bc.models.Bijection(size=3)
        >>> network = bc.networks.NGramConfig().build(TaskShape.of(model), key=jax.random.key(0))
        >>> result = bc.fit(network, model, steps=2, progress=False, checkpoint="run.ckpt",
        ...                 key=jax.random.key(1))
        >>> type(load_network("run.ckpt")).__name__
        'NGram'
    """
    path = Path(path)
    template = _build_template(path) if like is None else like
    params, static = eqx.partition(template, _is_trained)
    mine = _read_part(path, "average" if averaged else "params", seed, params)
    if not averaged:
        mine = _evaluation_params(path, seed, mine)
    network = eqx.combine(mine, static)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(network)):
        raise ValueError(
            f"checkpoint {str(path)!r} lacks arrays of its network that were not trained; "
            "use load_network(path, like=network)"
        )
    return network


def read_seed(path: Path, part: str, seed: int) -> dict[str, np.ndarray]:
    """Read the arrays of one of the networks that were trained together.

    Args:
        path: Checkpoint or snapshot.
        part: Which part of the state: ``params``, ``average`` or ``opt_state``.
        seed: Which of the networks.

    Returns:
        Arrays by their paths in the part.

    Raises:
        ValueError: If the file is damaged, or there is no such seed.
    """
    num_seeds = read_header(path)["num_seeds"]
    if not 0 <= seed < num_seeds:
        raise ValueError(f"seed: expected 0 to {num_seeds - 1} for {str(path)!r}, got {seed}")
    arrays = read_arrays(path, f"state.{part}.")
    return {name: np.asarray(array[seed]) for name, array in arrays.items()}


def load_training(path: str | os.PathLike[str]) -> Training:
    """Read the settings that a checkpoint or a snapshot was trained with.

    Args:
        path: Checkpoint or snapshot.

    Returns:
        The settings, with the optimiser.

    Raises:
        ValueError: If the file is damaged, or this version does not know a setting.
    """
    path = Path(path)
    return _decode(path, "training", read_header(path)["run"]["training"])


@cache
def known_classes() -> Mapping[str, type]:
    """Return every class that a file may name."""
    return class_table(TaskShape, Training, *CONFIGS.values())


def _decode(path: Path, name: str, plain: Any) -> Any:
    try:
        return decode(plain, known_classes())
    except ValueError as error:
        raise ValueError(f"checkpoint {str(path)!r}: {name}: {error}") from error


def _build_template(path: Path) -> AbstractNetwork:
    """Build the shapes of the network that a file describes."""
    run = read_header(path)["run"]
    kind = run["network"].get("type")
    if run["shape"] is None or kind not in CONFIGS:
        raise ValueError(
            f"checkpoint {str(path)!r} holds a network of type {kind!r}, which this version of "
            "bayescmp cannot build; use load_network(path, like=network)"
        )
    config = _decode(path, "network", run["network"])
    shape = _decode(path, "shape", run["shape"])
    return eqx.filter_eval_shape(config.build, shape, key=jax.random.key(0))


def _read_part(path: Path, part: str, seed: int, like: PyTree) -> PyTree[Array]:
    arrays = read_seed(path, part, seed)
    if part == "average" and not arrays:
        raise ValueError(f"averaged: expected False, since {str(path)!r} keeps no average")
    return fit_arrays(path, arrays, like)


def _evaluation_params(path: Path, seed: int, params: PyTree[Array]) -> PyTree[Array]:
    """Return the weights that a result has: those of an optimiser that averages differ."""
    plain = read_header(path)["run"]["training"]
    if plain["optimiser"]["type"] != ScheduleFree.__name__:
        return params
    training = _decode(path, "training", plain)
    init = training.optimiser.build(training.num_steps).init
    state = _read_part(path, "opt_state", seed, jax.eval_shape(init, params))
    return training.optimiser.evaluation_params(state, params)


def _is_trained(leaf: object) -> bool:
    """Tell trained arrays, or their shapes, from the rest of a network."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return np.issubdtype(leaf.dtype, np.inexact)
    return eqx.is_inexact_array(leaf)
