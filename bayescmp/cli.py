"""The command line: ``bayescmp run``, ``sweep``, ``report``, ``gate``, ``models`` and more.

Nothing heavy is imported before a command needs it, so that ``--help`` is quick.
"""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bayescmp.catalogue import find_study, list_studies, unknown_name
from bayescmp.report.command import Gate, Report, gate, report
from bayescmp.sweep.command import Sweep, sweep
from bayescmp.workspace import Workspace

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_EXPLAINED = (ValueError, OSError, FloatingPointError)  # their messages say what to do
_Developers = tyro.conf.arg(help="Show the full traceback of an error.")


@dataclass(frozen=True)
class Run:
    """Train a study's networks, compare them with exact Bayes and write the report."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY|PATH")]
    """Name of a study (`bayescmp studies` lists them), or path of your own study file."""
    preset: Literal["quick", "default", "paper"] = "default"
    """Scale of the run."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Number of networks to train, each from its own seed; the preset's unless given."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder for the results; runs/STUDY unless given."""
    inside: bool = False
    """Look inside the networks with every instrument: lenses, probes, interventions and more."""
    audit: bool = False
    """Audit the networks from outside: calibration, uncertainty, decisions, exchangeability."""
    resume: bool = False
    """Go on from the checkpoints in the folder."""
    traceback: Annotated[bool, _Developers] = False


@dataclass(frozen=True)
class Models:
    """List the generative models, one line each."""

    traceback: Annotated[bool, _Developers] = False


@dataclass(frozen=True)
class Studies:
    """List the studies, one line each."""

    traceback: Annotated[bool, _Developers] = False


@dataclass(frozen=True)
class Certify:
    """Hold a model's oracle against enumeration of its program at a small size."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name of a model; `bayescmp models` lists them."""
    traceback: Annotated[bool, _Developers] = False


_Words = Run | Sweep | Report | Gate | Models | Studies | Certify
_Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Gate, tyro.conf.subcommand("gate")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[Studies, tyro.conf.subcommand("studies")]
    | Annotated[Certify, tyro.conf.subcommand("certify")]
)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        args: The words after ``bayescmp``; those of this process unless given.

    Returns:
        Exit status: 0 when done, 1 for an error, 2 for wrong usage, 130 after Ctrl-C; a gate
        gives 3 for a refuted claim and 4 for one left open.
    """
    command = _parse(args)
    if isinstance(command, int):
        return command
    try:
        status = _execute(command)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has gone; nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if command.traceback:
            traceback.print_exc()
        _complain(_explain(error, command))
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return status


def _explain(error: BaseException, command: _Words) -> str:
    """Put an error into words."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    message = str(error) or type(error).__name__
    if isinstance(error, ImportError):  # notes name the extra to install
        message = " ".join([message, *getattr(error, "__notes__", ())])
    ours = type(error).__module__.startswith("bayescmp.")
    if ours or isinstance(error, _EXPLAINED) or command.traceback:
        return message
    return f"{type(error).__name__}: {message} (--traceback shows where)"


def _parse(args: Sequence[str] | None) -> _Words | int:
    """Read the command, or say in one line what is wrong with it and give the exit status."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                _Command,  # pyright: ignore[reportArgumentType]
                prog="bayescmp",
                description="Compare trained networks with exact Bayesian inference.",
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 2
    if status:
        _complain(_first_paragraph(said.getvalue()) + "; see bayescmp --help")
    return status


def _first_paragraph(box: str) -> str:
    """Take the message out of the box that tyro draws around it.

    Below the title, the message ends at the first rule; without Unicode there are no
    borders, and a rule under the title.
    """
    words: list[str] = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()[1:]:
        text = line.strip(" │|")
        if text.strip("─-╰╯+'`"):
            words += text.split()
        elif words:
            break
    return " ".join(words).rstrip(".") or "wrong usage"


def _complain(message: str) -> None:
    """Write one line on standard error."""
    print(f"bayescmp: error: {' '.join(message.split())}", file=sys.stderr)


def _execute(command: _Words) -> int:
    """Do what a command asks for and return the exit status."""
    match command:
        case Run():
            return _run(command)
        case Sweep():
            return sweep(command)
        case Report():
            return report(command)
        case Gate():
            return gate(command)
        case Certify():
            return _certify(command)
        case Studies():
            _print_table(list_studies())
        case Models():
            from bayescmp.models import REGISTRY

            _print_table({name: entry.summary for name, entry in REGISTRY.items()})
    return 0


def _run(command: Run) -> int:
    """Run a study and print its verdicts."""
    source = find_study(command.study)  # before anything heavy, so that a typo is told at once
    folder = command.out or Path("runs") / source.stem
    print(f"{source.stem}: preset {command.preset}, results go to {folder}", flush=True)

    from bayescmp.training.devices.cores import use_all_cores

    use_all_cores()  # before JAX starts
    from bayescmp.auditing.audit import AUDITS
    from bayescmp.inspection.examine import DYNAMICS, INSTRUMENTS
    from bayescmp.running import run_study, study_key
    from bayescmp.study import load_study
    from bayescmp.summary import summarise

    study = load_study(command.study)
    instruments = (*INSTRUMENTS, DYNAMICS) if command.inside else None
    audits = tuple(AUDITS) if command.audit else None
    config = study.configure(
        command.preset, seeds=command.seeds, instruments=instruments, audits=audits
    )
    workspace = Workspace(folder, resume=command.resume, progress=True)
    try:
        tree = run_study(study, config=config, key=study_key(config), workspace=workspace)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_advise(workspace, str(stop))) from stop
    print(f"\n{summarise(tree)}\n\nreport: {workspace.report_path}")
    return 0


def _advise(workspace: Workspace, said: str) -> str:
    """Say how an interrupted run can go on."""
    said = said or "interrupted"
    if not workspace.has_checkpoints():
        return f"{said}; there is no checkpoint yet: run the command again to start over"
    return (
        f"{said}; run the same command with --resume to go on from the checkpoints "
        f"in {workspace.checkpoint_folder}"
    )


def _certify(command: Certify) -> int:
    """Compare a model's oracle with enumeration and print the largest deviation."""
    from bayescmp.certification import certify
    from bayescmp.models import REGISTRY

    if command.model not in REGISTRY:
        raise unknown_name("model", command.model, REGISTRY)
    result = certify(REGISTRY[command.model].small())
    print(result)
    if not result.passed:
        _complain(f"the oracle of {command.model} disagrees with enumeration of its program")
    return 0 if result.passed else 1


def _print_table(rows: Mapping[str, str]) -> None:
    """Print one line for each entry, its description aligned."""
    width = max(map(len, rows), default=0)
    for name, description in rows.items():
        print(f"{name:<{width}}  {description}".rstrip())


def study_main(study: str) -> int:
    """Run a study as a program, with the options of ``bayescmp run``.

    Args:
        study: Name of a study, or the path of its file.

    Returns:
        Exit status, as :func:`main` has it.

    Example:
        >>> if __name__ == "__main__":  # the last lines of a study's file
        ...     raise SystemExit(bc.study_main(__file__))
    """
    return main(["run", study, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
