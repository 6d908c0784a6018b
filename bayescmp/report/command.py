"""What ``bayescmp report`` and ``bayescmp gate`` do with saved results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

_Developers = tyro.conf.arg(help="Show the full traceback of an error.")


@dataclass(frozen=True)
class Report:
    """Rebuild the report from saved results, without training; several stand side by side."""

    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RESULTS")]
    """A results.nc, or the folder of a run that holds one."""
    others: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="[RESULTS ...]", help_behavior_hint=""),
    ] = ()
    """Further ones, to be set side by side with the first."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Where to write the page: report.html beside the results unless given; for several,
    compared.html in the present folder."""
    notebook: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the report as a Jupyter notebook there, instead of the page."""
    traceback: Annotated[bool, _Developers] = False


@dataclass(frozen=True)
class Gate:
    """Judge claims on saved results, for pipelines.

    Exit status: 0 every claim is supported, 3 a claim is refuted, 4 none is refuted but some is
    inconclusive, 1 something could not be read, 2 wrong usage.
    """

    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RESULTS")]
    """A results.nc, or the folder of a run that holds one."""
    claims: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """TOML file with one table [[claim]] for each claim: statement, metric, threshold,
    direction, and if need be level, min_seeds and rung."""
    junit: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the verdicts there as JUnit XML."""
    markdown: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the verdicts there as a Markdown table."""
    allow_inconclusive: bool = False
    """Let claims pass that the seeds leave open."""
    traceback: Annotated[bool, _Developers] = False


def report(command: Report) -> int:
    """Write the page or the notebook of saved results, or several results side by side.

    Args:
        command: What was asked for.

    Returns:
        Exit status.

    Raises:
        ValueError: If results cannot be read, or a file to write is one of them.
    """
    results = [_find_results(path) for path in (command.results, *command.others)]
    if command.notebook is not None:
        return _write_notebook(command, results)
    beside = results[0].with_name("report.html")
    out = command.out or (beside if len(results) == 1 else Path("compared.html"))
    _keep_apart("out", out, results)
    if len(results) == 1:
        from bayescmp.report.write import write_report

        print(f"report: {write_report(results[0], out)}")
        return 0
    from bayescmp.report.side_by_side import write_side_by_side

    print(f"report: {write_side_by_side(results, out)}")
    return 0


def _write_notebook(command: Report, results: list[Path]) -> int:
    """Write the notebook of one file of results."""
    from bayescmp.report.notebook import write_notebook

    if len(results) != 1 or command.notebook is None:
        raise ValueError(f"notebook: expected one file of results, got {len(results)}")
    if command.out is not None:
        raise ValueError("out: expected none beside --notebook, which names the file to write")
    _keep_apart("notebook", command.notebook, results)
    print(f"notebook: {write_notebook(results[0], command.notebook)}")
    return 0


def gate(command: Gate) -> int:
    """Judge claims on saved results, print the verdicts and write them where asked.

    Args:
        command: What was asked for.

    Returns:
        Exit status: 0 passed, 3 refuted, 4 inconclusive.

    Raises:
        ValueError: If the claims or the results cannot be read, or a file to write is one of
            them.
    """
    from bayescmp.files import write_atomically
    from bayescmp.report.gate import judge_gate, write_junit, write_markdown, write_text
    from bayescmp.results.claims_file import load_claims
    from bayescmp.results.tree_file import load_tree

    claims, results = load_claims(command.claims), _find_results(command.results)
    pages = {"junit": command.junit, "markdown": command.markdown}
    for name, path in pages.items():
        if path is not None:
            _keep_apart(name, path, [results, command.claims])
    allowed = command.allow_inconclusive
    found = judge_gate(load_tree(results), claims, allow_inconclusive=allowed)
    for name, write in (("junit", write_junit), ("markdown", write_markdown)):
        path = pages[name]
        if path is not None:
            write_atomically(path, write(found).encode("utf-8"))
    print(write_text(found))
    return found.status


def _find_results(path: Path) -> Path:
    """Return the file of results that a path means."""
    return path / "results.nc" if path.is_dir() else path


def _keep_apart(name: str, out: Path, read: list[Path]) -> None:
    """Refuse to overwrite what is read."""
    if out.resolve() in [path.resolve() for path in read]:
        raise ValueError(f"{name}: expected another file than the results, got {str(out)!r}")
