"""One sequence, token by token, beside the exact belief."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.plots.walkthrough import (
    plot_walkthrough,
    plot_walkthrough_attention,
    read_texts,
    shown_places,
)
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table
from bayescmp.report.words import read_text, resolution, with_unit

NO_WALKTHROUGH = (
    "The tree has no group /walkthrough: going through one sequence was not asked for; "
    "examine(...) adds it."
)
NO_ATTENTION = (
    "The tree has no /walkthrough/attention: the network does not attend, and its streams are "
    "all that can be seen."
)
CAUTION = (
    "How to read it: one sequence shows how things look, not how often they look so. The logit "
    "lens reads every place with the network's own read-out, so that a place which computes in "
    "another basis looks worse than it is; and where a head looks does not say what it does "
    "there. Neither shows what the network uses: for that, see the interventions."
)


def build_walkthrough_section(tree: xr.DataTree) -> Section:
    """Write the section on one sequence.

    Args:
        tree: A comparison with or without the group ``/walkthrough``.

    Returns:
        The section; where the tree has no walkthrough it says so.
    """
    ident, title = "walkthrough", "One sequence, token by token"
    if "/walkthrough" not in tree.groups:
        return Section(ident, title, missing=(NO_WALKTHROUGH,))
    summary = _summarise(tree)
    figures, missing = [_draw_stream(tree, summary)], ()
    if has_variable(tree, "/walkthrough/attention"):
        figures.append(_draw_attention(tree))
    else:
        missing = (NO_ATTENTION,)
    return Section(ident, title, (summary, CAUTION), tuple(figures), missing=missing)


def _summarise(tree: xr.DataTree) -> str:
    """Say which sequence it is, and how near the network comes to exact on it."""
    kl = read_values(tree, "/walkthrough/lens_kl", "seed", "stream", "position")[0, -1]
    which = read_text(tree, "/walkthrough", "which")
    if not np.isfinite(kl).any():
        return f"This is {which}. None of its questions has a finite divergence."
    worst = int(np.nanargmax(kl))
    error = resolution(tree, "bit")
    mean, most = (
        with_unit(format_number(float(value), resolution=error), "bit")
        for value in (np.nanmean(kl), kl[worst])
    )
    position = read_labels(tree, "/walkthrough/lens_kl", "position")[worst]
    return (
        f"This is {which}. On it the first seed's answers are {mean} from exact Bayes in the mean "
        f"over positions, and {most} at position {position}, where they are furthest."
    )


def _draw_stream(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw what every place in the stream would answer."""
    title = "What each place in the residual stream would answer, beside the exact law"
    names = ("exact_belief", "exact_predictive", "lens_predictive")
    paths = [f"/walkthrough/{name}" for name in names]
    return FigureBlock(
        ident="fig-walkthrough",
        svg=draw_svg(plot_walkthrough(tree), "fig-walkthrough", title, summary),
        title=title,
        variables=tuple(path for path in paths if has_variable(tree, path)),
        reading="A column is a question and a strip is a law: the exact ones on top, then the "
        "stream from the network's answer down to the embedding, first seed. Opacity grows with "
        "the square root of the probability; dots are the outcomes. Read a column upwards to see "
        "where the exact law appears.",
        data=_stream_table(tree),
    )


def _stream_table(tree: xr.DataTree) -> TableBlock:
    """List, question by question, the likeliest outcome at every place and its divergence."""
    reads = read_texts(tree, "/walkthrough/reads")
    asked = read_values(tree, "/walkthrough/asked_at", "position").astype(int)
    exact = read_values(tree, "/walkthrough/exact_predictive", "position", "outcome")
    lens = read_values(
        tree, "/walkthrough/lens_predictive", "seed", "stream", "position", "outcome"
    )[0]
    kl = read_values(tree, "/walkthrough/lens_kl", "seed", "stream", "position")[0]
    names = read_labels(tree, "/walkthrough/lens_kl", "stream")
    error = resolution(tree, "bit")
    columns: list[Column] = [
        label_column("position", read_labels(tree, "/walkthrough/lens_kl", "position")),
        (Cell("asked after"), [Cell(reads[place]) for place in asked]),
        (Cell("exact"), [_likeliest(law) for law in exact]),
    ]
    for place in shown_places(names):
        cells = [
            _likeliest(law, with_unit(format_number(float(bits), resolution=error), "bit"))
            for law, bits in zip(lens[place], kl[place], strict=True)
        ]
        columns.append((Cell(names[place], "KL below"), cells))
    return make_table("Likeliest outcome with its probability, and KL from exact below.", columns)


def _likeliest(law: np.ndarray, note: str = "") -> Cell:
    """Write the likeliest outcome of a law."""
    if np.isnan(law).any():
        return Cell("–")
    return Cell(f"{int(law.argmax())} ({law.max():.3f})", note)


def _draw_attention(tree: xr.DataTree) -> FigureBlock:
    """Draw the attention maps of the sequence."""
    title = "Where each head looks on this sequence"
    path = "/walkthrough/attention"
    dims = ("seed", "block", "head", "input_position", "source_position")
    weights = read_values(tree, path, *dims)[0]
    blocks, heads = read_labels(tree, path, "block"), read_labels(tree, path, "head")
    reads = read_texts(tree, "/walkthrough/reads")
    columns = [label_column("reads", [f"{place}: {text}" for place, text in enumerate(reads)])]
    for block, by_head in zip(blocks, weights, strict=True):
        for head, matrix in zip(heads, by_head, strict=True):
            looks = np.abs(matrix).argmax(axis=1)
            cells = [
                Cell(f"{source}: {reads[source]}", f"{row[source]:.2f}")
                for source, row in zip(looks, matrix, strict=True)
            ]
            columns.append((Cell(f"block {block}", f"head {head}"), cells))
    description = f"{len(blocks)} blocks by {len(heads)} heads of attention weights."
    return FigureBlock(
        ident="fig-walkthrough-attention",
        svg=draw_svg(
            plot_walkthrough_attention(tree), "fig-walkthrough-attention", title, description
        ),
        title=title,
        variables=(path, "/walkthrough/reads"),
        reading="One map for each head of each block, first seed. A row reads, from left to "
        "right, where that input position attends to; the first position is on top.",
        data=make_table("The position attended to most, with its weight below.", columns),
    )
