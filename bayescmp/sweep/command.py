"""The command ``bayescmp sweep``: its options, and how it is carried out."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bayescmp.catalogue import find_study
from bayescmp.sweep.resources import SlurmResources

_Given = tyro.conf.arg(help_behavior_hint="")


@dataclass(frozen=True)
class Sweep:
    """Run a study at every combination of some settings, each from several seeds."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY|PATH")]
    """Name of a study (`bayescmp studies` lists them), or path of your own study file."""
    preset: Literal["quick", "default", "paper"] = "default"
    """Scale of the runs, where nothing else is said."""
    vary: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="FIELD=VALUE,VALUE", help_behavior_hint=""),
    ] = ()
    """A field of the study's configuration and its values; may be given several times."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Networks to train of each configuration; the preset's number unless given."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Cells at a time, in processes that share the cores; with --slurm, jobs at a time."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder for the results; runs/STUDY-sweep unless given."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N", help_behavior_hint="")] = None
    """Perform every N-th cell from the I-th on, and leave the others to other commands."""
    slurm: bool = False
    """Perform the cells as Slurm jobs (needs the extra slurm)."""
    each: Annotated[SlurmResources, tyro.conf.arg(help="What each Slurm job asks for.")] = field(
        default_factory=SlurmResources
    )
    traceback: Annotated[bool, tyro.conf.arg(help="Show the full traceback of an error.")] = False


def sweep(command: Sweep) -> int:
    """Run a sweep and print its table.

    Args:
        command: What was asked for.

    Returns:
        Exit status: 0 where all cells of the shard are complete, 1 where some are not.

    Raises:
        ValueError: If a setting does not fit.
        KeyboardInterrupt: After Ctrl-C, with advice.
    """
    source = find_study(command.study)  # before anything heavy, so that a typo is told at once
    shard = read_shard(command.shard)
    folder = command.out or Path("runs") / f"{source.stem}-sweep"
    if not command.slurm and command.workers == 1:
        from bayescmp.training.devices.cores import use_all_cores

        use_all_cores()  # before JAX starts
    from bayescmp.study import load_study
    from bayescmp.sweep.fields import vary
    from bayescmp.sweep.sweeping import run_sweep

    study = load_study(command.study)
    base = study.configure(command.preset, seeds=command.seeds)
    configs = vary(base, command.vary)
    print(f"{study.name}: {len(configs) * base.seeds} cells, results go to {folder}", flush=True)
    try:
        result = run_sweep(
            study,
            configs,
            seeds=base.seeds,
            out=folder,
            workers=command.workers,
            shard=shard,
            executor="slurm" if command.slurm else "processes",
            resources=command.each,
        )
    except KeyboardInterrupt as stop:
        advice = "run the same command again to go on with what is missing"
        raise KeyboardInterrupt(f"interrupted; {advice}") from stop
    print(
        f"\n{(folder / 'summary.md').read_text(encoding='utf-8')}\nindex: {folder / 'index.html'}"
    )
    bad = [cell for cell in result.cells if cell.state in ("failed", "in use")]
    if bad:
        total = len(result.cells)
        print(
            f"bayescmp: error: {len(bad)} of {total} cells are failed or in use; "
            f"see {folder / 'summary.md'}, and run the same command to try them again",
            file=sys.stderr,
        )
    return 1 if bad else 0


def read_shard(text: str | None) -> tuple[int, int] | None:
    """Read ``I/N``.

    Args:
        text: What was given; None stands for all cells.

    Returns:
        The two numbers.

    Raises:
        ValueError: If the text is something else, or I does not lie between 1 and N.

    Example:
        >>> read_shard("1/4")
        (1, 4)
    """
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"shard: expected I/N, such as 1/4, got {text!r}")
    if not 1 <= int(index) <= int(count):
        raise ValueError(f"shard: expected I/N with I from 1 to N, got {text}")
    return int(index), int(count)
