"""Run a study: work, judge its claims, and save results, report and claims."""

import dataclasses
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
from bayescmp.results.tree import validate_tree
from bayescmp.results.tree_file import load_tree, save_tree
from bayescmp.results.verdict_tables import claims_dataset, claims_json
from bayescmp.results.verdicts import judge_all
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
    pages: bool = True,
) -> xr.DataTree:
    """Run a study and judge its claims; save everything where there is a folder.

    The folder then holds ``results.nc``, ``report.html`` and ``claims.json``, each
    written whole or not at all. A run that is already complete there is loaded, not
    repeated.

    Args:
        study: The study, or its module.
        config: What to run; the number of seeds is in it.
        key: Root key of all randomness.
        workspace: Where to write, whether to resume, and which of the seeds to train;
            None keeps nothing on disk.
        pages: Whether to write ``report.html`` and ``claims.json`` beside the results.

    Returns:
        The validated tree, with the group ``/claims`` and the root attributes.

    Raises:
        ValueError: If the folder holds something else, training diverged, or the
            study returned a tree that lacks a part or has other seeds.
        TypeError: If the study returned something else than a tree.
        OSError: If a file cannot be written.

    Example:
        >>> from bayescmp.studies import bijection
        >>> tree = run_study(bijection, config=bijection.PRESETS["quick"],
        ...                  key=jax.random.key(0))  # doctest: +SKIP
    """
    study = study_from_module(study) if isinstance(study, ModuleType) else study
    workspace = Workspace() if workspace is None else workspace
    with workspace.opened(make_record(study, config, key, workspace.seeds)) as state:
        results = workspace.results_path if state == "complete" else None
        if results is None:
            tree = _perform(study, config, key, workspace)
        else:
            tree = load_tree(results)
            if workspace.progress:
                print("bayescmp: note: this run is complete; it was loaded", file=sys.stderr)
        if workspace.folder is not None:
            save_outputs(study, tree, workspace, overwrite=results is None, pages=pages)
    return tree


def _perform(study: Study, config: StudyConfig, key: Key, workspace: Workspace) -> xr.DataTree:
    """Do a study's work and make its tree whole."""
    started, clock = datetime.now(UTC), time.perf_counter()
    tree = study.run(config, key=key, workspace=workspace)
    if not isinstance(tree, xr.DataTree):
        raise TypeError(
            f"run of study {study.name}: expected an xarray.DataTree, got {type(tree).__name__}"
        )
    tree = _label_seeds(tree, study, workspace.seed_indices(config.seeds))
    attributes = {
        "study": study.name,
        "preset": study.preset_of(config),
        "config": json.dumps(config_fields(study, config)),
        "versions": json.dumps(dict(package_versions())),
        "git_revision": find_git_revision(study.source),
        "device": describe_devices(),
        "started": started.isoformat(timespec="seconds"),
        "wall_time_s": time.perf_counter() - clock,
    }
    tree.attrs = {**tree.attrs, **attributes}
    tree = judge_claims(study, tree)
    validate_tree(tree)
    return tree


def _label_seeds(tree: xr.DataTree, study: Study, indices: tuple[int, ...]) -> xr.DataTree:
    """Give the seeds of a tree their indices, which a run of some of them counts from 0."""
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    for path, dataset in groups.items():
        found = dataset.sizes.get("seed", len(indices))
        if found != len(indices):
            raise ValueError(
                f"run of study {study.name}: expected {len(indices)} seed(s), those of "
                f"workspace.seed_indices(config.seeds), got {found} in {path}"
            )
        if "seed" in dataset.sizes:
            labels = xr.Variable("seed", list(indices), dataset["seed"].attrs)
            groups[path] = dataset.assign_coords(seed=labels)
    whole = xr.DataTree.from_dict(groups)
    whole.attrs = {**tree.attrs, "seeds": json.dumps(indices)}
    return whole


def judge_claims(study: Study, tree: xr.DataTree) -> xr.DataTree:
    """Return a tree with the verdicts on a study's claims.

    Args:
        study: The study, which fixed the claims.
        tree: A comparison; verdicts that it has are replaced.

    Returns:
        The tree with the group ``/claims``, or without where the study claims nothing.

    Raises:
        ValueError: If a claim's metric is not in the tree.
    """
    judged = tree.drop_nodes("claims", errors="ignore")
    if study.claims:
        judged["claims"] = xr.DataTree(claims_dataset(judge_all(study.claims, judged)))
    return judged


def make_record(
    study: Study, config: StudyConfig, key: Key, seeds: tuple[int, ...] | None = None
) -> RunRecord:
    """Gather what determines the results of a run.

    Args:
        study: The study.
        config: Its configuration.
        key: Root key of all randomness.
        seeds: Indices of the seeds that are trained; None for all. How many others the
            configuration asks for determines nothing then, and is left out.

    Returns:
        The record that the run's folder keeps.

    Raises:
        ValueError: If a field of the configuration cannot be written as JSON.
    """
    words = jax.random.key_data(key).tolist()
    fields = config_fields(study, config)
    if seeds is not None:
        fields.pop("seeds")
    return RunRecord(
        study=study.name,
        preset=study.preset_of(config),
        seeds=config.seeds if seeds is None else len(seeds),
        config=fields,
        key=f"{jax.random.key_impl(key)}:{words}",
        version=package_version(),
        source=study.fingerprint(),
        seed_indices=seeds,
    )


def config_fields(study: Study, config: StudyConfig) -> dict[str, object]:
    """Return a configuration's fields as JSON gives them back.

    Args:
        study: The study, for the error message.
        config: Its configuration.

    Returns:
        Values by name of the field, tuples turned into lists.

    Raises:
        ValueError: If a field cannot be written as JSON.
    """
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


def save_outputs(
    study: Study, tree: xr.DataTree, workspace: Workspace, *, overwrite: bool, pages: bool = True
) -> None:
    """Write a run's files, or those of them that are missing.

    Args:
        study: The study, whose claims are judged.
        tree: A valid comparison.
        workspace: Where to write.
        overwrite: Whether to replace files that are there.
        pages: Whether to write ``report.html`` and ``claims.json`` beside ``results.nc``.

    Raises:
        ValueError: If the workspace has no folder, or the tree is not valid.
        OSError: If a file cannot be written.
    """
    results, report, claims = workspace.results_path, workspace.report_path, workspace.claims_path
    if results is None or report is None or claims is None:
        raise ValueError("workspace: expected one with a folder, got none")
    if overwrite or not results.exists():
        save_tree(tree, results)  # first, since the two others can be made from it
    if pages and (overwrite or not claims.exists()):
        write_atomically(claims, claims_json(judge_all(study.claims, tree)).encode())
    if pages and (overwrite or not report.exists()):
        write_report(tree, report)
