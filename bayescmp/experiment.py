"""The common work of a study: train some seeds, and compare them with the oracle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import xarray as xr

from bayescmp._types import Key
from bayescmp.auditing.audit import audit
from bayescmp.comparison.compare import compare
from bayescmp.comparison.held_out import EvaluationName
from bayescmp.derivation import derive_oracle
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.inspection.examine import examine
from bayescmp.inspection.history import History
from bayescmp.networks.config import AbstractNetworkConfig
from bayescmp.networks.network import AbstractTracedNetwork, NetworkLike
from bayescmp.networks.registry import build_network
from bayescmp.oracle import AbstractOracle
from bayescmp.training.checkpoints.snapshots import load_snapshots
from bayescmp.training.loop import Fit, Training, fit_seeds
from bayescmp.workspace import Workspace

NetworkMaker = Callable[[AbstractGenerativeModel, Key], NetworkLike]
"""Build an untrained network for a model from a key."""


def train_and_compare(
    model: AbstractGenerativeModel,
    network: AbstractNetworkConfig | NetworkMaker,
    training: Training,
    *,
    seeds: int,
    key: Key,
    workspace: Workspace | None = None,
    num_sequences: int | None = None,
    evaluation: EvaluationName = "auto",
    instruments: Sequence[str] = (),
    audits: Sequence[str] = (),
) -> xr.DataTree:
    """Train a network from several seeds and compare all of them with exact inference.

    Seed ``i`` starts from ``fold_in(key, i)``, which draws both its initial weights and
    its data, so more seeds never change the ones before, up to rounding: seeds are trained
    in one compiled program, or in groups of ``training.seeds_at_once``.

    Args:
        model: Generative model.
        network: Shape of a network, or a function that builds one.
        training: Settings of each run.
        seeds: Number of runs, at least one.
        key: Typed key of everything.
        workspace: Where checkpoints go, whether to resume, and which of the seeds to run
            where it is not all of them; none by default.
        num_sequences: Held-out sequences that the comparison draws; 4,096 by default.
        evaluation: Whether it draws, or takes every sequence; see ``compare``.
        instruments: Names of the instruments that look inside each network; see ``examine``.
            ``dynamics`` needs a workspace with a folder, and snapshots.
        audits: Names of the audits of each network from outside; see ``audit``.

    Returns:
        The tree, without claims.

    Raises:
        ValueError: If ``seeds`` is less than one.
        TrainingDivergedError: If a run diverges.

    Example:
        >>> network = bc.TransformerConfig(num_layers=2, num_heads=2, model_size=32, mlp_size=128)
        >>> training = bc.Training(num_steps=1_000)
        >>> tree = train_and_compare(bc.models.beta_bernoulli(), network, training, seeds=5,
        ...                          key=jax.random.key(0))  # doctest: +SKIP
    """
    if seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {seeds}")
    workspace = workspace or Workspace()
    oracle = derive_oracle(model)
    make = _maker(network) if isinstance(network, AbstractNetworkConfig) else network
    runs = _train(make, oracle, training, seeds, key, workspace)
    networks = [result.network for result in runs.fits]
    # Keys of seeds are folded in from 0 upwards; these lie far from them.
    key_compare, key_inside, key_audit = (jax.random.fold_in(key, 2**31 - far) for far in (1, 2, 3))
    tree = compare(
        networks,
        oracle,
        key=key_compare,
        num_sequences=num_sequences,
        evaluation=evaluation,
        fits=runs.fits,
    )
    if audits:
        tree = audit(
            networks, oracle, key=key_audit, audits=audits, tree=tree, progress=workspace.progress
        )
    if instruments:
        tree = examine(
            networks,
            oracle,
            key=key_inside,
            instruments=instruments,
            histories=runs.histories or None,
            tree=tree,
            progress=workspace.progress,
        )
    return tree


@dataclass(frozen=True)
class _Runs:
    """What training leaves, seed by seed."""

    fits: list[Fit]
    histories: list[History]
    """Empty without snapshots."""


def _train(
    make: NetworkMaker,
    oracle: AbstractOracle,
    training: Training,
    seeds: int,
    key: Key,
    workspace: Workspace,
) -> _Runs:
    """Train all seeds, in groups that are trained together."""
    indices = workspace.seed_indices(seeds)
    size = training.seeds_at_once or len(indices)
    runs = _Runs([], [])
    for first in range(0, len(indices), size):
        group = indices[first : first + size]
        pairs = [jax.random.split(jax.random.fold_in(key, seed)) for seed in group]
        path = _checkpoint_path(workspace, group)
        runs.fits.extend(
            fit_seeds(
                [make(oracle.model, key_network) for key_network, _ in pairs],
                oracle.model,
                oracle,
                keys=[key_data for _, key_data in pairs],
                training=training,
                checkpoint=path,
                resume=workspace.resume,
                progress=workspace.progress,
                description=_describe(group, seeds),
            )
        )
        if path is not None and training.num_snapshots:
            runs.histories.extend(_history(path, index) for index in range(len(group)))
    return runs


def _history(path: Path, index: int) -> dict[int, AbstractTracedNetwork]:
    """Return the networks of one seed by the number of steps done."""
    networks = {snapshot.step: snapshot.network(index) for snapshot in load_snapshots(path)}
    return {k: one for k, one in networks.items() if isinstance(one, AbstractTracedNetwork)}


def _maker(config: AbstractNetworkConfig) -> NetworkMaker:
    return lambda model, key: build_network(config, model, key=key)


def _checkpoint_path(workspace: Workspace, group: tuple[int, ...]) -> Path | None:
    """Return where a group of seeds is kept; None without a folder."""
    path = workspace.checkpoint_path(group[0])
    if path is None or len(group) == 1:
        return path
    return path.with_stem(f"{path.stem}_to_{group[-1]}")


def _describe(group: tuple[int, ...], seeds: int) -> str:
    """Say which seeds a group holds, counted from one."""
    if len(group) == 1:
        return f"seed {group[0] + 1} of {seeds}"
    return f"seeds {group[0] + 1} to {group[-1] + 1} of {seeds}"
