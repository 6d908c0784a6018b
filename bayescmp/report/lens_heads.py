"""Figures of lenses up close: what single heads write, and rivals position by position."""

import xarray as xr

from bayescmp.plots.lens_heads import (
    MAPPED,
    plot_lens_heads,
    plot_lens_positions,
    read_lens_heads,
)
from bayescmp.plots.series import read_labels, read_values
from bayescmp.report.blocks import FigureBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column


def draw_lens_heads(tree: xr.DataTree) -> FigureBlock:
    """Draw what is read from each head's write.

    Args:
        tree: A comparison with heads in the group ``/lenses``.

    Returns:
        The figure with its table.
    """
    title = "How far what one head writes is from exact Bayes"
    names, own, control = read_lens_heads(tree)
    columns = [
        label_column("head", names),
        seed_column(tree, "Bayes lens of its write", "bit", own),
        number_column(tree, "untrained, mean", "bit", control),
    ]
    return FigureBlock(
        ident="fig-lens-heads",
        svg=draw_svg(plot_lens_heads(tree), "fig-lens-heads", title, "A row for each head."),
        title=title,
        variables=("/lenses/head_kl", "/lenses/head_control_kl", "/lenses/constant_kl"),
        reading="A Bayes lens is fitted to what one head adds to the stream, by itself. A dot far "
        "left of its bar is a head that gathers what the exact predictive needs. Heads that share "
        "the work each tell a part, and none may stand out.",
        data=make_table("Mean KL from exact to the Bayes lens of one head's write.", columns),
    )


def draw_lens_positions(tree: xr.DataTree) -> FigureBlock:
    """Draw every rival by place and position.

    Args:
        tree: A comparison with the group ``/lenses``.

    Returns:
        The figure with its table.
    """
    title = "How far every rival is from each place, position by position"
    path = "/lenses/rung_kl"
    axes = ("lens", "rung", "stream", "position", "seed")
    index = read_labels(tree, path, "lens").index(MAPPED)
    values = read_values(tree, path, *axes)[index].mean(axis=-1)
    rungs, streams, positions = (
        read_labels(tree, path, dim) for dim in ("rung", "stream", "position")
    )
    rows = [f"{rung}, {stream}" for rung in rungs for stream in streams]
    flat = values.reshape(len(rows), -1)
    columns = [label_column("rival and place", rows)]
    columns += [
        number_column(tree, f"position {label}", "bit", flat[:, place])
        for place, label in enumerate(positions)
    ]
    return FigureBlock(
        ident="fig-lens-positions",
        svg=draw_svg(plot_lens_positions(tree), "fig-lens-positions", title, "Fainter is closer."),
        title=title,
        variables=(path,),
        reading="One map for each rival, through the tuned lens: fainter is closer. A place may be "
        "near to one rival at early positions and to another at late ones, which the mean over "
        "positions hides.",
        data=make_table("KL from each rival to the tuned lens, mean over seeds.", columns),
    )
