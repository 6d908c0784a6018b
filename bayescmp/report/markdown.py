"""Text, tables and lists of a page as Markdown."""

import re
from collections.abc import Sequence

from bayescmp.plots.series import clean_text
from bayescmp.report.blocks import Cell, Section, TableBlock

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$])")

MOST_ROWS = 40
"""Rows of one table that are written out."""


def escape(text: str) -> str:
    r"""Write text so that Markdown and the HTML within it show it as it is.

    Args:
        text: Any text.

    Returns:
        One line of Markdown.

    Example:
        >>> escape("a|b <i>")
        'a\\|b &lt;i&gt;'
    """
    plain = clean_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return SPECIAL.sub(r"\\\1", plain)


def write_rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table.

    Args:
        headers: Text of each column's head.
        rows: Text of each cell.

    Returns:
        Lines of Markdown.
    """
    lines = [headers, *rows]
    written = [f"| {' | '.join(escape(text) for text in line)} |" for line in lines]
    return "\n".join([written[0], f"|{' --- |' * len(headers)}", *written[1:]])


def write_section(section: Section) -> str:
    """Write a section without its figures.

    Args:
        section: A section of the page.

    Returns:
        Its heading, paragraphs, commands, tables, facts and points.
    """
    parts = [f"## {escape(section.title)}"]
    parts += [escape(text) for text in (*section.paragraphs, *section.missing)]
    parts += [f"    {clean_text(command)}" for command in section.commands]
    parts += [_write_table(table) for table in section.tables]
    for facts in section.facts:
        listed = [f"- {escape(fact.name)}: {escape(fact.value)}" for fact in facts.facts]
        parts += [f"**{escape(facts.title)}**", "\n".join(listed)]
    if section.points:
        parts.append("\n".join(f"- {escape(point)}" for point in section.points))
    return "\n\n".join(parts)


def _write_table(table: TableBlock) -> str:
    """Write a table with its caption."""
    rows = [[_join(cell) for cell in row.cells] for row in table.rows[:MOST_ROWS]]
    left = len(table.rows) - len(rows)
    more = f" {left} further rows are in the results file." if left else ""
    headers = [_join(header) for header in table.headers]
    return f"{write_rows(headers, rows)}\n\n{escape(table.caption + more)}"


def _join(cell: Cell) -> str:
    """Write a cell with its note."""
    return f"{cell.text} {cell.note}".strip()
