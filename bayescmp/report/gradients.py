"""The section on gradients inside attention, and on updates beside them."""

import numpy as np
import xarray as xr

from bayescmp.plots.gradients import plot_alignment
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.words import read_optional, read_text

IDENT, TITLE = "gradients", "Gradients inside attention"
ABSENT = (
    "The tree has no group /gradients: gradients were not asked for, or the network does not "
    "attend by a softmax; examine(...) with instruments=('gradients',) adds it."
)
NO_HISTORY = (
    "The tree has no /gradients/routing_cosine: no checkpoints were given, so that updates could "
    "not be held beside the gradients."
)
LIMITS = (
    "The two identities are the chain rule of a softmax: they hold for any loss, any data and any "
    "weights, and say nothing about what a network computes. An update by gradients moves scores "
    "and values downhill, so a cosine above that of random updates is what any training that works "
    "looks like, and no sign of expectation maximisation; what it can show is where updates stop "
    "following. Over long stretches between checkpoints a gradient at the start is a poor guide to "
    "the whole way."
)
KINDS = ("routing", "value")


def build_gradients_section(tree: xr.DataTree) -> Section:
    """Write the section on gradients inside attention.

    Args:
        tree: A comparison with or without the group ``/gradients``.

    Returns:
        The section; it names what is not there.
    """
    if not has_variable(tree, "/gradients/score_error"):
        reason = read_text(tree, "/gradients", "missing", "")
        told = f"No score pays more than the mean here: {reason}." if reason else ABSENT
        return Section(IDENT, TITLE, missing=(told,))
    paragraphs = [_summarise(tree)]
    if not has_variable(tree, "/gradients/routing_cosine"):
        return Section(
            IDENT,
            TITLE,
            (*paragraphs, LIMITS),
            tables=(_tabulate(tree),),
            missing=(NO_HISTORY,),
        )
    found = _summarise_alignment(tree)
    return Section(
        IDENT,
        TITLE,
        (*paragraphs, found, LIMITS),
        (_draw_alignment(tree, found),),
        tables=(_tabulate(tree),),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say how well the identities hold."""
    worst = max(
        float(np.nanmax(read_values(tree, f"/gradients/{name}_error", "seed", "block")))
        for name in ("score", "value")
    )
    return (
        "A head's scores are pulled toward sources that pay more than the mean, and its values "
        "toward what those want who look at them. On this network's own loss "
        f"({read_text(tree, '/gradients', 'objective')}) both formulas agree with automatic "
        f"differentiation to {format_number(worst, digits=2)} of the largest gradient."
    )


def _summarise_alignment(tree: xr.DataTree) -> str:
    """Say how updates lie to the gradients, beside random ones."""
    axes = ("seed", "update", "block", "head")
    parts = []
    for kind, what in zip(KINDS, ("scores", "values"), strict=True):
        cosine, control, p = (
            read_values(tree, f"/gradients/{kind}_{name}", *axes)
            for name in ("cosine", "control", "p")
        )
        known = np.isfinite(cosine) & np.isfinite(p)
        if not known.any():
            parts.append(f"{what} did not move")
            continue
        mean, random = (format_number(float(table[known].mean())) for table in (cosine, control))
        share = format_number(100.0 * float((p[known] < 0.05 / known.sum()).mean()), digits=2)
        parts.append(
            f"for {what} the mean cosine is {mean}, beside {random} for random updates of the same "
            f"size, and {share} % of the updates stand out among all of them"
        )
    count = read_optional(tree, "/gradients", "num_controls")
    return f"Updates against {count} random ones each: {'; '.join(parts)}."


def _draw_alignment(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the cosines of all updates."""
    title = "Do updates follow the gradients inside attention?"
    axes = ("seed", "update", "block", "head")
    columns: list[Column] = [
        label_column("step", read_labels(tree, "/gradients/routing_cosine", "update"))
    ]
    for kind in KINDS:
        for name in ("cosine", "control"):
            values = read_values(tree, f"/gradients/{kind}_{name}", *axes)
            columns.append(seed_column(tree, f"{kind}, {name}", "", values.mean(axis=(2, 3))))
    return FigureBlock(
        ident="fig-alignment",
        svg=draw_svg(plot_alignment(tree), "fig-alignment", title, summary),
        title=title,
        variables=tuple(f"/gradients/{kind}_{name}" for kind in KINDS for name in ("cosine", "p")),
        reading="One line for each head, coloured by block, mean over seeds. One is an update "
        "straight downhill, zero one at right angles. Grey lines are the means of random updates "
        "that are as large in every array of weights; the shade, where it is wide enough to see, "
        "holds 95 % of directions that are random in every score or value by itself.",
        data=make_table("Mean over heads, by update.", columns),
    )


def _tabulate(tree: xr.DataTree) -> TableBlock:
    """List the size of the gradients and the errors of the identities by block."""
    columns: list[Column] = [
        label_column("block", read_labels(tree, "/gradients/score_error", "block"))
    ]
    for name, what in (("score", "scores"), ("value", "values")):
        size = read_values(tree, f"/gradients/{name}_gradient", "seed", "block", "head")
        error = read_values(tree, f"/gradients/{name}_error", "seed", "block")
        columns.append(seed_column(tree, f"gradient by {what}", "bit", size.mean(axis=2)))
        columns.append(seed_column(tree, f"error of the formula for {what}", "", error))
    return make_table(
        "Size of the gradients, mean over heads, and how far the formulas are off.", columns
    )
