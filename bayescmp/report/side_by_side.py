"""Several runs on one page: verdicts, measures, figures on the same axes, and what differs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from bayescmp.files import write_atomically
from bayescmp.plots.series import clean_text, oracle_error, read_values
from bayescmp.report.blocks import Cell, Row, Section, TableBlock
from bayescmp.report.differences import build_differences_section, find_warnings
from bayescmp.report.headline import MEASURES, best_rung, network_name
from bayescmp.report.run_figures import draw_runs
from bayescmp.report.verdicts import build_claims
from bayescmp.report.words import number_cell, plural, read_text, seed_cell, seeds_words
from bayescmp.report.write import render_page
from bayescmp.results.tree import validate_tree
from bayescmp.results.tree_file import load_tree

Runs = Mapping[str, xr.DataTree]
MARKS = {"supported": "✓", "refuted": "✕", "inconclusive": "?"}

POINTS = (
    "Whether one run is better than another: intervals are over each run's own seeds, and no test "
    "of their difference was made. Intervals that overlap do not show that two runs are equal.",
    "What made a difference: runs may differ in more than one setting, and in seeds, data and "
    "versions.",
    "Everything that each run's own report lists as not checked.",
)
"""What no page of several runs shows."""


@dataclass(frozen=True)
class RunsPage:
    """A page of several runs.

    Attributes:
        title: Heading.
        subtitle: How many runs, and of what.
        warnings: What forbids to read figures against each other.
        sections: Everything below, verdicts first.
        footer: Where it comes from.
    """

    title: str
    subtitle: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str


def write_side_by_side(
    results: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]
) -> Path:
    """Write one page that compares saved runs: one HTML file, all of it or nothing.

    No runs are refused: where their models differ the page says so.

    Args:
        results: Paths of saved comparisons, ``results.nc`` as a rule, at least one.
        path: File to write; an older one is replaced.

    Returns:
        The path written.

    Raises:
        ValueError: If there is none, one cannot be read, or the folder of `path` does not
            exist.
        OSError: If the file cannot be written.

    Example:
        >>> from bayescmp.results.tree_file import save_tree
        >>> save_tree(tree, "a.nc")
        >>> save_tree(tree, "b.nc")
        >>> write_side_by_side(["a.nc", "b.nc"], "compared.html").name
        'compared.html'
    """
    names = name_runs([Path(result) for result in results])
    trees = dict(zip(names, map(load_tree, results), strict=True))
    target = Path(path)
    write_atomically(target, render_side_by_side(trees).encode("utf-8"))
    return target


def render_side_by_side(runs: Runs) -> str:
    """Render several comparisons as one HTML page that needs nothing else.

    Args:
        runs: Comparisons by name, at least one.

    Returns:
        The page.

    Raises:
        ValueError: If there is none, or one is not valid.

    Example:
        >>> html = render_side_by_side({"first": tree, "second": tree})
        >>> html.startswith("<!doctype html>")
        True
    """
    if not runs:
        raise ValueError("runs: expected at least one comparison, got none")
    for tree in runs.values():
        validate_tree(tree)
    runs = dict(zip(_clean_names(list(runs)), runs.values(), strict=True))
    models = dict.fromkeys(read_text(tree, "/", "model") for tree in runs.values())
    page = RunsPage(
        title=f"{plural(len(runs), 'run')} side by side",
        subtitle=f"on {', '.join(models)}",
        warnings=find_warnings(runs),
        sections=(
            _build_claims_section(runs),
            _build_measures_section(runs),
            *draw_runs(runs),
            build_differences_section(runs),
            Section("unchecked", "What was not checked", points=POINTS),
        ),
        footer=f"Made by bayescmp from {plural(len(runs), 'results file')}.",
    )
    error = max(oracle_error(tree) for tree in runs.values())
    return render_page("runs.html", page, error=error)


def name_runs(paths: Sequence[Path]) -> list[str]:
    """Give each file of results a short name that tells it from the others.

    Args:
        paths: Paths of the files.

    Returns:
        The folder's name where files are called ``results.nc``, the file's own otherwise, with
        as many folders before it as it takes; numbered where a file was given twice.

    Example:
        >>> name_runs([Path("a/results.nc"), Path("b/results.nc")])
        ['a', 'b']
    """
    parts = []
    for path in paths:
        whole = path.absolute()
        stem = (
            whole.parent.parts if whole.name == "results.nc" else (*whole.parent.parts, whole.stem)
        )
        parts.append(stem)
    names = ["/".join(part[-1:]) for part in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        if len(set(names)) == len(names):
            break
        twice = {name for name in names if names.count(name) > 1}
        names = [
            "/".join(part[-depth:]).lstrip("/") if name in twice else name
            for name, part in zip(names, parts, strict=True)
        ]
    return _number(names)


def _clean_names(names: list[str]) -> list[str]:
    """Make names fit for a page, still different from each other."""
    return _number([clean_text(name) for name in names])


def _number(names: list[str]) -> list[str]:
    """Number names where some are the same."""
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _build_claims_section(runs: Runs) -> Section:
    """Set the verdicts of all runs into one table, one row for each claim."""
    title = "Claims and verdicts"
    verdicts: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, tree in runs.items():
        for claim in build_claims(tree):
            cell = Cell(
                f"{MARKS[claim.verdict]} {claim.verdict}",
                f"{claim.value} {claim.interval}; {claim.threshold}",
            )
            verdicts.setdefault((claim.statement, claim.metric), {})[name] = cell
    if not verdicts:
        return Section("claims", title, missing=("No run has a judged claim.",))
    table = TableBlock(
        "One row for each claim; below each verdict the mean over seeds, its interval and the "
        "threshold. A dash stands where a run's study did not make the claim.",
        (Cell("claim"), *(Cell(name) for name in runs)),
        tuple(
            Row((Cell(statement, metric), *(cells.get(name, Cell("–")) for name in runs)))
            for (statement, metric), cells in verdicts.items()
        ),
    )
    return Section("claims", title, tables=(table,))


def _build_measures_section(runs: Runs) -> Section:
    """Set the headline measures of all runs into one table."""
    rows = [
        Row((Cell("network"), *(Cell(network_name(tree)) for tree in runs.values()))),
        Row((Cell("seeds"), *(Cell(seeds_words(tree)) for tree in runs.values()))),
    ]
    for name, variable, units in MEASURES:
        cells = [
            seed_cell(tree, read_values(tree, f"/divergence/{variable}", "seed"), units)
            for tree in runs.values()
        ]
        rows.append(Row((Cell(name, "" if units == "1" else units), *cells), strong=True))
        rivals = [_write_rival(tree, variable, units) for tree in runs.values()]
        rows.append(Row((Cell("best rival", name), *rivals)))
    caption = (
        "Means over seeds with 95 % intervals: variables of /divergence. Below each, the rung of "
        "the run's own ladder that does best in it: variables of /ladder."
    )
    headers = (Cell("measure"), *(Cell(name) for name in runs))
    return Section("measures", "Measures", tables=(TableBlock(caption, headers, tuple(rows)),))


def _write_rival(tree: xr.DataTree, variable: str, units: str) -> Cell:
    """Write the best rung in one measure."""
    best = best_rung(tree, variable)
    if best is None:
        return Cell("–")
    return Cell(number_cell(tree, best[1], units).text, best[0])
