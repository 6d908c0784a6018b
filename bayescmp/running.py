"""Run a study: work, judge its claims, and save results, report and claims."""

import dataclasses
import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from types import ModuleType

import jax
import xarray as xr

from bayescmp._types import Key
from bayescmp.files import write_atomically
from bayescmp.provenance import (
    describe_devices,
    find_git_revision,
    package_version,
    package_versions,
)
from bayescmp.report.write import write_report
from bayescmp.results.claims import claims_dataset, claims_json, judge_all
from bayescmp.results.tree import load_tree, save_tree, validate_tree
from bayescmp.run_record import RunRecord
from bayescmp.study import Study, StudyConfig, study_from_module
from bayescmp.workspace import Workspace


def study_key(config: StudyConfig) -> Key:
    """Return the root key of a configuration.

    Args:
        config: A study's configuration; a field ``key_seed`` is used where there is one.

    Returns:
        ``jax.random.key(key_seed)``, with 0 for configurations without the field.
    """
    return jax.random.key(getattr(config, "key_seed", 0))


def run_study(
    study: Study | ModuleType,
    *,
    config: StudyConfig,
    key: Key,
    workspace: Workspace | None = None,
) -> xr.DataTree:
    """Run a study and judge its claims; save everything where there is a folder.

    The folder then holds ``results.nc``, ``report.html`` and ``claims.json``, each
    written whole or not at all. A run that is already complete there is loaded, not
    repeated.

    Args:
        study: The study, or its module.
        config: What to run; the number of seeds is in it.
        key: Root key of all randomness.
        workspace: Where to write, and whether to resume; None keeps nothing on disk.

    Returns:
        The validated tree, with the group ``/claims`` and the root attributes.

    Raises:
        ValueError: If the folder holds something else, training diverged, or the
            study returned a tree that lacks a part.
        TypeError: If the study returned something else than a tree.
        OSError: If a file cannot be written.

    Example:
        >>> from bayescmp.studies import bijection
        >>> tree = run_study(bijection, config=bijection.PRESETS["quick"],
        ...                  key=jax.random.key(0))  # doctest: +SKIP
    """
    study = study_from_module(study) if isinstance(study, ModuleType) else study
    workspace = Workspace() if workspace is None else workspace
    with workspace.opened(make_record(study, config, key)) as state:
        if state == "complete" and workspace.results_path is not None:
            if workspace.progress:
                print("bayescmp: note: this run is complete; it was loaded", file=sys.stderr)
            tree = load_tree(workspace.results_path)
            _save(study, tree, workspace, overwrite=False)
            return tree
        started, clock = datetime.now(UTC), time.perf_counter()
        tree = study.run(config, key=key, workspace=workspace)
        if not isinstance(tree, xr.DataTree):
            raise TypeError(
                f"run of study {study.name}: expected an xarray.DataTree, got {type(tree).__name__}"
            )
        tree = _complete(tree, study, config, started, clock)
        validate_tree(tree)
        _save(study, tree, workspace, overwrite=True)
    return tree


def make_record(study: Study, config: StudyConfig, key: Key) -> RunRecord:
    """Gather what determines the results of a run.

    Args:
        study: The study.
        config: Its configuration.
        key: Root key of all randomness.

    Returns:
        The record that the run's folder keeps.

    Raises:
        ValueError: If a field of the configuration cannot be written as JSON.
    """
    words = jax.random.key_data(key).tolist()
    return RunRecord(
        study=study.name,
        preset=study.preset_of(config),
        seeds=config.seeds,
        config=_as_json(study, config),
        key=f"{jax.random.key_impl(key)}:{words}",
        version=package_version(),
        source=hashlib.sha256(study.source.read_bytes()).hexdigest(),
    )


def _as_json(study: Study, config: StudyConfig) -> dict[str, object]:
    """Turn a configuration into what JSON gives back."""
    fields = dataclasses.asdict(config)
    for name, value in fields.items():
        try:
            fields[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"config of study {study.name}: expected fields that JSON can hold, "
                f"got {name}={value!r} ({error})"
            ) from error
    return fields


def _complete(
    tree: xr.DataTree, study: Study, config: StudyConfig, started: datetime, clock: float
) -> xr.DataTree:
    """Return the tree with its claims judged and its root attributes filled in."""
    attributes = {
        "study": study.name,
        "preset": study.preset_of(config),
        "config": json.dumps(_as_json(study, config)),
        "versions": json.dumps(dict(package_versions())),
        "git_revision": find_git_revision(study.source),
        "device": describe_devices(),
        "started": started.isoformat(timespec="seconds"),
        "wall_time_s": time.perf_counter() - clock,
    }
    whole = tree.copy()
    seeds = {"seeds": json.dumps(list(range(config.seeds)))}
    whole.attrs = {**seeds, **tree.attrs, **attributes}
    if study.claims:
        whole["claims"] = xr.DataTree(claims_dataset(judge_all(study.claims, whole)))
    return whole


def _save(study: Study, tree: xr.DataTree, workspace: Workspace, *, overwrite: bool) -> None:
    """Write the run's three files, or those of them that are missing."""
    results, report, claims = workspace.results_path, workspace.report_path, workspace.claims_path
    if results is None or report is None or claims is None:
        return
    if overwrite:
        save_tree(tree, results)  # first, since the two others can be made from it
    if overwrite or not claims.exists():
        write_atomically(claims, claims_json(judge_all(study.claims, tree)).encode())
    if overwrite or not report.exists():
        write_report(tree, report)
