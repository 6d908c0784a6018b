"""The tables of a sweep as files: for a program, for a terminal and for a browser."""

import csv
import html
import io
from collections.abc import Sequence
from pathlib import Path

from bayescmp.files import write_atomically
from bayescmp.sweep.perform import CellOutcome
from bayescmp.sweep.table import HEADINGS, LEVEL, Row, flatten_row, format_row

_NOTE = (
    f"Measures are means over seeds with {LEVEL:.0%} intervals; steps, tokens, operations and "
    f"time are of one seed."
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:right;"
    "border-bottom:1px solid #8884}td:first-child,th:first-child{text-align:left}"
)


def write_pages(
    folder: Path, title: str, rows: Sequence[Row], outcomes: Sequence[CellOutcome]
) -> None:
    """Write ``sweep.csv``, ``summary.md`` and ``index.html``, each whole or not at all.

    Args:
        folder: Folder of the sweep.
        title: Name and question of the study.
        rows: One for each configuration.
        outcomes: How every cell of the sweep stands.

    Raises:
        OSError: If a file cannot be written.
    """
    write_atomically(folder / "sweep.csv", render_csv(rows).encode())
    write_atomically(folder / "summary.md", render_markdown(title, rows, outcomes).encode())
    write_atomically(folder / "index.html", render_index(title, rows, outcomes).encode())


def render_csv(rows: Sequence[Row]) -> str:
    """Write the table with all digits.

    Args:
        rows: One for each configuration, at least one.

    Returns:
        Comma-separated values with a heading.
    """
    text = io.StringIO()
    table = [flatten_row(row) for row in rows]
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def render_markdown(title: str, rows: Sequence[Row], outcomes: Sequence[CellOutcome]) -> str:
    """Write the table and what is not complete, as Markdown.

    Args:
        title: Name and question of the study.
        rows: One for each configuration.
        outcomes: How every cell of the sweep stands.

    Returns:
        Text that ends in a line break.
    """
    lines = [f"# {title}", "", f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    for row in rows:
        first, *others = (text.replace("|", "\\|") for text in format_row(row))
        linked = f"[{first}]({row.folder}/report.html)" if row.seeds_done else first
        lines.append(f"| {' | '.join([linked, *others])} |")
    lines += ["", _NOTE, ""]
    lines += [f"- {text}" for text in list_unfinished(outcomes)]
    return "\n".join(lines).rstrip() + "\n"


def render_index(title: str, rows: Sequence[Row], outcomes: Sequence[CellOutcome]) -> str:
    """Write the table with links to the reports, as one page that needs nothing else.

    Args:
        title: Name and question of the study.
        rows: One for each configuration.
        outcomes: How every cell of the sweep stands.

    Returns:
        The page.
    """
    heading = "".join(f"<th>{html.escape(text)}</th>" for text in HEADINGS)
    body = "\n".join(_table_row(row) for row in rows)
    rest = "\n".join(f"<li>{html.escape(text)}</li>" for text in list_unfinished(outcomes))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n<table><tr>{heading}</tr>\n{body}\n</table>\n"
        f"<p>{html.escape(_NOTE)}</p>\n<ul>{rest}</ul></body></html>\n"
    )


def _table_row(row: Row) -> str:
    """Write one row of the page, its first entry a link where there is a report."""
    first, *others = map(html.escape, format_row(row))
    if row.seeds_done:
        first = f'<a href="{html.escape(row.folder)}/report.html">{first}</a>'
    return "<tr>" + "".join(f"<td>{text}</td>" for text in [first, *others]) + "</tr>"


def list_unfinished(outcomes: Sequence[CellOutcome]) -> list[str]:
    """Say of each cell that is not complete how it stands.

    Args:
        outcomes: How every cell of the sweep stands.

    Returns:
        One line for each failed cell or cell in use, and one that counts the missing ones.

    Example:
        >>> list_unfinished([CellOutcome("two layers", 0, "cells/a", "failed", "no memory")])
        ['two layers, seed 0, failed: no memory']
    """
    lines = [
        f"{outcome.configuration}, seed {outcome.seed}, {outcome.state}: {outcome.error}"
        for outcome in outcomes
        if outcome.state in ("failed", "in use")
    ]
    missing = sum(outcome.state == "missing" for outcome in outcomes)
    return [*lines, f"not done yet: {missing} cell(s)"] if missing else lines
