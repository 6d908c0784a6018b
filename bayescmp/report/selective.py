"""Selective prediction: does the network know which of its answers are wrong?"""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.selective import plot_selective
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, seed_column
from bayescmp.report.words import over_seeds, read_optional

ABSENT = (
    "The tree has no group /selective: selective prediction was not asked for; an audit adds it."
)

READING = (
    "How to read it: questions are answered from the surest on, and a curve is the mean chance of "
    "being wrong among those answered so far. Own is the network's order, best the best order of "
    "the same answers, random no order at all, and exact the exact predictive's answers in its "
    "own order. Chances are exact, so that no drawn outcome blurs them.",
    "What it cannot show: an order is all that counts here, so that a network whose confidence is "
    "far off but rises where it should loses nothing. Where questions of one position are all "
    "equally hard, the order only tells positions apart.",
)


def build_selective_section(tree: xr.DataTree) -> Section:
    """Write the section on selective prediction.

    Args:
        tree: A comparison with or without the group ``/selective``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "selective", "Selective prediction: the surest answers first"
    if not has_variable(tree, "/selective/risk"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    return Section(
        ident, title, (summary, *READING), (_draw(tree, summary),), tables=(_areas(tree),)
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say what the order and the answers lose."""
    gaps = dict(
        zip(
            read_labels(tree, "/selective/gap", "area_gap"),
            read_values(tree, "/selective/gap", "area_gap", "seed"),
            strict=True,
        )
    )
    order, answers = (over_seeds(tree, gaps[name], "1")[0] for name in ("order", "answers"))
    return (
        f"Of the area under the risk-coverage curve the network's order of its answers loses "
        f"{order}, and the answers themselves lose {answers} to the exact predictive's."
    )


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the curves."""
    title = "Chance of a wrong answer, by how many are answered"
    share = read_values(tree, "/selective/share", "answered")
    orders = read_labels(tree, "/selective/risk", "answering_order")
    risk = read_values(tree, "/selective/risk", "answering_order", "seed", "answered")
    columns = [label_column("answered", [f"{100 * each:.0f} %" for each in share])]
    columns += [seed_column(tree, name, "1", row) for name, row in zip(orders, risk, strict=True)]
    return FigureBlock(
        ident="fig-selective",
        svg=draw_svg(plot_selective(tree), "fig-selective", title, summary),
        title=title,
        variables=("/selective/risk", "/selective/share"),
        reading="Lower is better; a curve that rises from left to right knows its hard questions. "
        "At the right end every question is answered, and order counts for nothing.",
        data=make_table("Mean chance of being wrong among the surest answers.", columns),
    )


def _areas(tree: xr.DataTree) -> TableBlock:
    """List areas and what was lost."""
    orders = read_labels(tree, "/selective/area", "answering_order")
    area = read_values(tree, "/selective/area", "answering_order", "seed")
    gaps = read_labels(tree, "/selective/gap", "area_gap")
    gap, low, high = (
        read_values(tree, f"/selective/gap{end}", "area_gap", "seed")
        for end in ("", "_low", "_high")
    )
    cells = [Cell(*over_seeds(tree, row, "1")) for row in (*area, *gap)]
    inside = [Cell("") for _ in orders]
    inside += [
        Cell(f"[{format_number(float(a))}, {format_number(float(b))}]")
        for a, b in zip(np.asarray(low)[:, 0], np.asarray(high)[:, 0], strict=True)
    ]
    level = read_optional(tree, "/selective", "level")
    percent = f"{100 * level:g} %" if isinstance(level, int | float) else "interval"
    names = [f"area: {name}" for name in orders] + [f"lost by {name}" for name in gaps]
    return make_table(
        "Areas under risk-coverage curves, and what the network loses by its order, by its "
        "answers and in total.",
        [
            label_column("what", names),
            (Cell("over seeds"), cells),
            (Cell("first seed", f"{percent} over sequences"), inside),
        ],
    )
