"""A walkthrough's tables as plain text, and as HTML for a notebook."""

from collections.abc import Sequence
from html import escape

from bayescmp.inspection.walkthrough_tables import Entry, Table

COLOUR = "47,120,196"
"""Red, green and blue of bars and shades, which read on light and on dark pages."""

BAR_HEIGHT, BAR_WIDTH, STRIP = 14, 3, 60
"""Size of bars in pixels; all bars of a law are no wider than the strip."""


def write_text(heading: str, tables: Sequence[Table]) -> str:
    """Write tables as text.

    Args:
        heading: What they are about.
        tables: The tables.

    Returns:
        Lines of text.
    """
    return "\n\n".join([heading, *("\n".join(_text_lines(table)) for table in tables)])


def write_html(heading: str, tables: Sequence[Table]) -> str:
    """Write tables as HTML that stands alone.

    Args:
        heading: What they are about.
        tables: The tables.

    Returns:
        Markup in which all text is escaped.
    """
    parts = [f"<p><b>{escape(heading)}</b></p>"]
    for table in tables:
        parts.append(f"<p>{escape(table.title)}.</p>")
        if table.rows:
            parts.append(_html_table(table))
    return f"<div>{''.join(parts)}</div>"


def _text_lines(table: Table) -> list[str]:
    """Set a table in columns."""
    if not table.rows:
        return [f"{table.title}."]
    texts = [table.headers, *(tuple(entry.text for entry in row) for row in table.rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(table.headers))]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in texts
    )
    return [f"{table.title}.", *(line.rstrip() for line in lines)]


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.headers)
    rows = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in table.rows)
    return (
        '<div style="overflow-x:auto"><table style="font-variant-numeric:tabular-nums">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _html_cell(entry: Entry) -> str:
    shade = f' style="background:rgba({COLOUR},{0.6 * entry.shade:.2f})"' if entry.shade else ""
    hint = f' title="{escape(entry.hint)}"' if entry.hint else ""
    return f"<td{hint}{shade}>{_bars(entry.bars)}{escape(entry.text)}</td>"


def _bars(law: Sequence[float]) -> str:
    """Draw a law as one path of upright bars."""
    if not law:
        return ""
    width = min(BAR_WIDTH, STRIP / len(law))
    path = "".join(
        f"M{index * width:.3g} {BAR_HEIGHT}v{-BAR_HEIGHT * share:.3g}h{0.8 * width:.3g}"
        f"v{BAR_HEIGHT * share:.3g}z"
        for index, share in enumerate(law)
        if share > 0.0
    )
    size = f'width="{len(law) * width:.0f}" height="{BAR_HEIGHT}"'
    return f'<svg {size} aria-hidden="true"><path d="{path}" fill="rgb({COLOUR})"/></svg> '
