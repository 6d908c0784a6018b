"""Run a sweep: perform the cells that are missing, merge the seeds, and write the tables."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import xarray as xr

from bayescmp.plots.numbers import format_duration
from bayescmp.results.merging import merge_trees
from bayescmp.results.tree_file import load_tree
from bayescmp.running import config_fields, judge_claims, save_outputs
from bayescmp.study import Study, StudyConfig, study_from_module
from bayescmp.sweep.cell import Cell, digest, find_folder, name_configurations, slug, take_share
from bayescmp.sweep.folder import claim_folder
from bayescmp.sweep.pages import write_pages
from bayescmp.sweep.perform import CellOutcome, inspect_cell, perform_cell, results_of
from bayescmp.sweep.processes import perform_in_processes
from bayescmp.sweep.resources import SlurmResources
from bayescmp.sweep.table import Row, make_row
from bayescmp.workspace import Workspace, hold_lock

Executor = Literal["processes", "slurm"]
"""Where cells are performed: on this machine, or as jobs of Slurm."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has brought so far.

    Example:
        >>> SweepResult(Path("runs/sweep"), (), {}, ()).complete
        True
    """

    folder: Path
    """Where everything is."""
    cells: tuple[CellOutcome, ...]
    """How every cell of the sweep stands, those of other shards included."""
    trees: Mapping[str, xr.DataTree]
    """By configuration the comparison of its complete seeds, with its claims judged."""
    rows: tuple[Row, ...]
    """The table: one row for each configuration."""

    @property
    def failed(self) -> tuple[CellOutcome, ...]:
        """The cells that failed, each with its error."""
        return tuple(cell for cell in self.cells if cell.state == "failed")

    @property
    def complete(self) -> bool:
        """Whether every cell is complete."""
        return all(cell.state == "complete" for cell in self.cells)


def run_sweep(
    study: Study | ModuleType,
    configs: Mapping[str, StudyConfig] | Sequence[StudyConfig],
    *,
    seeds: int,
    out: Path,
    workers: int = 1,
    shard: tuple[int, int] | None = None,
    executor: Executor = "processes",
    resources: SlurmResources | None = None,
    progress: bool = True,
) -> SweepResult:
    """Run configurations of a study, each from several seeds, and compare them in a table.

    Each cell, one seed of one configuration, has a folder of its own, named after all that
    determines its result. A complete cell is never repeated, an interrupted one goes on
    from its checkpoint, and a failed one is recorded, does not stop the others, and is
    tried again by the next sweep. The merged results of a configuration equal a run of all
    its seeds up to rounding; its claims are judged once all its seeds are complete.

    Args:
        study: The study, or its module. Other processes load its file again.
        configs: Configurations by name, or without names: then called after the fields in
            which they differ. Their own numbers of seeds do not count.
        seeds: Number of seeds of each configuration.
        out: Folder of the sweep; several shards may share it.
        workers: Cells at a time. One is performed in this process, several in processes
            that share the cores; with Slurm, how many jobs may run at a time.
        shard: ``(i, n)`` performs every n-th cell from the i-th on, with i from 1 to n.
        executor: "processes" or "slurm".
        resources: What each cell asks Slurm for.
        progress: Whether to write a line on standard error for each cell.

    Returns:
        How every cell stands, the merged comparisons and the table.

    Raises:
        ValueError: If an argument does not fit, or the folder holds something else.
        ImportError: If Slurm is asked for and submitit is not installed.
        KeyboardInterrupt: After Ctrl-C, once running cells have saved their state.

    Example:
        >>> from bayescmp.studies import bijection
        >>> quick = bijection.PRESETS["quick"]
        >>> result = run_sweep(bijection, [quick], seeds=3, out=Path("runs/sweep"),
        ...                    workers=2)  # doctest: +SKIP
    """
    study = study_from_module(study) if isinstance(study, ModuleType) else study
    named = name_configurations(study, configs, seeds)
    cells = [Cell(study, name, named[name], seed) for name in named for seed in range(seeds)]
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    if executor not in ("processes", "slurm"):
        raise ValueError(f"executor: expected 'processes' or 'slurm', got {executor!r}")
    out = Path(out)
    claim_folder(out, study, named, seeds)
    places = out.resolve() / "cells"
    pairs = [(cell, cell.find_folder(places)) for cell in cells]
    mine = take_share(pairs, shard)
    jobs = [pair for pair in mine if not results_of(pair[1]).exists()]
    teller = _Teller(len(mine), len(mine) - len(jobs), progress)
    if jobs:
        _perform(jobs, out, workers, executor, resources or SlurmResources(), teller)
    return _gather(study, named, pairs, out, teller.told)


def _perform(
    jobs: Sequence[tuple[Cell, Path]],
    out: Path,
    workers: int,
    executor: Executor,
    resources: SlurmResources,
    teller: "_Teller",
) -> None:
    """Perform cells here, in other processes, or on a cluster."""
    if executor == "slurm":
        from bayescmp.sweep.slurm import perform_on_slurm

        folder = out.resolve() / "slurm"
        perform_on_slurm(
            jobs, folder=folder, resources=resources, workers=workers, report=teller.tell
        )
    elif workers == 1:
        for cell, folder in jobs:
            teller.tell(perform_cell(cell, folder, progress=teller.shown))
    else:
        perform_in_processes(jobs, workers=workers, report=teller.tell)


class _Teller:
    """Keeps the outcomes of this sweep's attempts and tells of each in one line."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        """Begin with the cells that need not be performed."""
        self.told: dict[str, CellOutcome] = {}
        self.shown = shown
        self._total = total
        self._done = done
        self._clock = time.perf_counter()
        if shown and done:
            print(f"[{done}/{total}] complete before", file=sys.stderr, flush=True)

    def tell(self, outcome: CellOutcome) -> None:
        """Keep one outcome and write its line."""
        self.told[outcome.folder] = outcome
        if not self.shown:
            return
        count = self._done + len(self.told)
        rate = (time.perf_counter() - self._clock) / len(self.told)
        left = self._total - count
        text = f"{outcome.configuration} seed {outcome.seed}: {outcome.state}"
        text += f" ({outcome.error})" if outcome.error else ""
        text += f" after {format_duration(outcome.seconds)}" if outcome.seconds else ""
        text += f"; about {format_duration(rate * left)} left" if left else ""
        print(f"[{count}/{self._total}] {text}", file=sys.stderr, flush=True)


# --------------------------------------------------------------------- the tables


def _gather(
    study: Study,
    named: Mapping[str, StudyConfig],
    pairs: Sequence[tuple[Cell, Path]],
    out: Path,
    told: Mapping[str, CellOutcome],
) -> SweepResult:
    """Merge the complete seeds of each configuration and write reports and tables."""
    with hold_lock(out, wait=True):  # shards that end together write one after the other
        outcomes, parts = _load(pairs, told)
        trees, rows = {}, []
        fields = _differing_fields(study, named)
        for name, config in named.items():
            folder = find_folder(out, slug(name), digest(study, config))
            # Seeds that failed are no accident: no verdict rests on those that are left.
            judged = len(parts.get(name, [])) == config.seeds
            asking = study if judged else dataclasses.replace(study, claims=())
            tree = _merge(asking, parts[name], folder) if name in parts else None
            trees |= {} if tree is None else {name: tree}
            rows.append(make_row(name, fields[name], config.seeds, tree, folder.name))
        write_pages(out, f"{study.name}: {study.question}", rows, outcomes)
    return SweepResult(out, tuple(outcomes), trees, tuple(rows))


def _load(
    pairs: Sequence[tuple[Cell, Path]], told: Mapping[str, CellOutcome]
) -> tuple[list[CellOutcome], dict[str, list[xr.DataTree]]]:
    """Load what is complete, by configuration; a damaged file counts as failed."""
    outcomes: list[CellOutcome] = []
    parts: dict[str, list[xr.DataTree]] = {}
    for cell, folder in pairs:
        outcome = inspect_cell(cell, folder)
        if outcome.state == "complete":
            try:
                tree = load_tree(results_of(folder))
            except ValueError as error:
                outcome = dataclasses.replace(outcome, state="failed", error=str(error))
            else:
                parts.setdefault(cell.configuration, []).append(tree)
        elif str(folder) in told:
            outcome = told[str(folder)]
        outcomes.append(outcome)
    return outcomes, parts


def _merge(study: Study, parts: Sequence[xr.DataTree], folder: Path) -> xr.DataTree:
    """Merge the seeds of a configuration and write its results, report and claims."""
    tree = judge_claims(study, merge_trees(parts))
    path = results_of(folder)
    same = path.exists() and load_tree(path).identical(tree)
    folder.mkdir(exist_ok=True)
    save_outputs(study, tree, Workspace(folder), overwrite=not same)
    return tree


def _differing_fields(
    study: Study, named: Mapping[str, StudyConfig]
) -> dict[str, dict[str, object]]:
    """Return for each configuration the fields in which the configurations differ."""
    tables = {name: config_fields(study, config) for name, config in named.items()}
    first = next(iter(tables.values()))
    differing = [
        field for field in first if any(table[field] != first[field] for table in tables.values())
    ]
    return {name: {field: table[field] for field in differing} for name, table in tables.items()}
