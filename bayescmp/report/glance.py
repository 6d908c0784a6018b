"""A comparison at a glance, in a notebook or at a prompt."""

import html
from dataclasses import dataclass, field

import xarray as xr

from bayescmp.report.headline import build_headline
from bayescmp.report.verdicts import build_claims, count_verdicts
from bayescmp.results.schema import SCHEMA
from bayescmp.results.tree import validate_tree

CELL = "padding:.2em .8em .2em 0;text-align:left;vertical-align:baseline"


@dataclass(frozen=True)
class Glance:
    """A comparison at a glance: Jupyter shows it as a table, a prompt as lines of text.

    Attributes:
        title: What was compared.
        lines: How far from exact it is, how it stands on the ladder, and what is doubtful.
        tables: Rows of text by heading: the claims, the measures and the groups.
    """

    title: str
    lines: tuple[str, ...]
    tables: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = [self.title, *self.lines]
        for heading, rows in self.tables.items():
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            parts += ["", heading]
            parts += [
                "  ".join(
                    text.ljust(width) for text, width in zip(row, widths, strict=True)
                ).rstrip()
                for row in rows
            ]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        """Write the glance as HTML that takes the notebook's own colours and fonts."""
        parts = [f"<div><strong>{html.escape(self.title)}</strong>"]
        parts += [f"<p style='margin:.3em 0'>{html.escape(line)}</p>" for line in self.lines]
        parts += [_write_table(heading, rows) for heading, rows in self.tables.items()]
        return "".join([*parts, "</div>"])


def show(tree: xr.DataTree) -> Glance:
    """Show a comparison at a glance: how far from exact, the verdicts, and what the tree holds.

    xarray's own display of a tree lists every array; this says what they come to.

    Args:
        tree: A comparison, as ``bayescmp.compare`` returns it.

    Returns:
        A record that Jupyter and the prompt display.

    Raises:
        ValueError: The tree is not valid; the message lists every problem.

    Example:
        >>> show(tree).title
        'Transformer against exact Bayes, on Bijection of 20 symbols ...'
    """
    validate_tree(tree)
    claims = build_claims(tree)
    headline = build_headline(tree, count_verdicts(claims))
    tables = {}
    if claims:
        tables["Claims"] = tuple(
            (row.verdict, row.statement, f"{row.value} {row.interval}", row.threshold)
            for row in claims
        )
    tables["Measures"] = tuple(
        (tile.name, f"{tile.value} {tile.unit}".strip(), tile.interval, tile.rival)
        for tile in headline.tiles
    )
    tables["Groups"] = tuple(_describe(tree, path) for path in tree.groups if path != "/")
    return Glance(
        f"{headline.title}, {headline.subtitle}",
        (f"{headline.answer}: {headline.detail}", headline.standing, *headline.warnings),
        tables,
    )


def _describe(tree: xr.DataTree, path: str) -> tuple[str, ...]:
    """Say what a group holds."""
    meaning = SCHEMA[path].meaning if path in SCHEMA else "added by the study"
    names = ", ".join(str(name) for name in tree[path].data_vars)
    return path, meaning, names if len(names) <= 90 else f"{names[:89].rstrip(', ')}…"


def _write_table(heading: str, rows: tuple[tuple[str, ...], ...]) -> str:
    """Write one table as HTML."""
    body = "".join(
        f"<tr>{''.join(f'<td style="{CELL}">{html.escape(text)}</td>' for text in row)}</tr>"
        for row in rows
    )
    return f"<details open><summary>{html.escape(heading)}</summary><table>{body}</table></details>"
