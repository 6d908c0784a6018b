"""Lenses: what every place of the residual stream would answer, and what it comes closest to."""

import numpy as np
import xarray as xr

from bayescmp.plots.lenses import CONTROL, plot_lens_means, plot_lens_rungs, plot_lenses
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.lens_heads import draw_lens_heads, draw_lens_positions
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import join_words, read_optional, read_text, resolution, with_unit

ABSENT = (
    "The tree has no group /lenses: lenses at every place of the residual stream were not asked "
    "for; examine(...) adds them."
)

READING = (
    "How to read it: the logit lens is the network's own read-out, applied early. The tuned lens "
    "puts an affine map before it that is fitted to the network's own answers, so that it forgives "
    "another basis but knows nothing of exact Bayes. The Bayes lens is a softmax regression that "
    "is fitted to the exact predictive: how much of it an affine map can tell.",
    "What it cannot show: a small distance through the Bayes lens says that the answer can be "
    "computed from a place, not that the network does so; random networks of this shape are drawn "
    "beside it for that reason. A large distance says that no affine map finds the answer, not "
    "that it is absent. No lens shows a cause; interventions do.",
)


def build_lenses_section(tree: xr.DataTree) -> Section:
    """Write the section on the lenses.

    Args:
        tree: A comparison with or without the group ``/lenses``.

    Returns:
        The section; where the tree has no lenses it says so.
    """
    ident, title = "lenses", "Lenses at every place of the residual stream"
    if not has_variable(tree, "/lenses/kl"):
        return Section(ident, title, missing=(ABSENT,))
    missing = []
    if not has_variable(tree, "/lenses/control_kl"):
        missing.append(
            "The tree has no /lenses/control_kl: the network does not know its configuration, or "
            "no networks with initial weights were asked for."
        )
    summary = _summarise(tree)
    figures = [_draw_maps(tree, summary), _draw_means(tree, summary), _draw_rungs(tree)]
    figures.append(draw_lens_positions(tree))
    if has_variable(tree, "/lenses/head_kl"):
        figures.append(draw_lens_heads(tree))
    paragraphs = (summary, *_say_where(tree), *READING, _say_how(tree))
    return Section(
        ident,
        title,
        paragraphs,
        tuple(figures),
        tables=(_nearest_table(tree),),
        missing=tuple(missing),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say how far the first and the last place are through each lens."""
    values = read_values(tree, "/lenses/mean_kl", "lens", "stream", "seed").mean(axis=-1)
    lenses, streams = (read_labels(tree, "/lenses/mean_kl", dim) for dim in ("lens", "stream"))
    error = resolution(tree, "bit")

    def write(value: float) -> str:
        return with_unit(format_number(float(value), resolution=error), "bit")

    parts = [
        f"through the {name} from {write(row[0])} to {write(row[-1])}"
        for name, row in zip(lenses, values, strict=True)
    ]
    return (
        f"From {streams[0]} to {streams[-1]} the mean distance from exact Bayes changes "
        f"{join_words(parts)}."
    )


def _say_where(tree: xr.DataTree) -> tuple[str, ...]:
    """Say at which places the Bayes lens sees more than in networks with initial weights."""
    if not has_variable(tree, "/lenses/rises"):
        return ()
    adds, tells = (_count_places(tree, path) for path in ("/lenses/rises", "/lenses/decodable"))
    level = read_optional(tree, "/lenses", "level")
    chance = f"{100 * float(level):g}\N{NO-BREAK SPACE}%" if isinstance(level, int | float) else "–"
    return (
        "Beside networks of the same shape with initial weights, the Bayes lens reads more "
        f"at: {tells}. Places that add more than the same place of such networks does: {adds}. "
        f"{_say_heads(tree)}Either statement, the second with the heads, names anything wrongly "
        f"with a chance of at most {chance}.",
    )


def _say_heads(tree: xr.DataTree) -> str:
    """Say from which heads' writes more is read than from those of untrained networks."""
    if not has_variable(tree, "/lenses/head_adds"):
        return ""
    marks = read_array(tree, "/lenses/head_adds").transpose("seed", "block", "head").values
    blocks, heads = (read_labels(tree, "/lenses/head_adds", dim) for dim in ("block", "head"))
    named = [
        f"block {blocks[block]} head {heads[head]}" + (f" (seed {seed})" if len(marks) > 1 else "")
        for seed, block, head in np.argwhere(marks).tolist()
    ]
    return f"Heads whose write alone tells more: {join_words(named) or 'none'}. "


def _count_places(tree: xr.DataTree, path: str) -> str:
    """List the places that a variable marks, with the number of seeds where there are several."""
    marks = read_array(tree, path).transpose("seed", "stream").values.astype(bool)
    streams, num = read_labels(tree, path, "stream"), len(marks)
    named = [
        name if num == 1 else f"{name} ({count} of {num} seeds)"
        for name, count in zip(streams, marks.sum(axis=0), strict=True)
        if count
    ]
    return join_words(named) or "none"


def _say_how(tree: xr.DataTree) -> str:
    """Say what lenses were fitted to."""
    return f"Lenses were {read_text(tree, '/lenses', 'fitting')}."


def _draw_maps(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw place by position for every lens."""
    title = "Divergence from exact Bayes by place and position, through three lenses"
    kl = read_values(tree, "/lenses/kl", "lens", "stream", "position", "seed").mean(axis=-1)
    lenses, streams, positions = (
        read_labels(tree, "/lenses/kl", dim) for dim in ("lens", "stream", "position")
    )
    rows = [f"{lens}, {stream}" for lens in lenses for stream in streams]
    flat = kl.reshape(len(rows), -1)
    columns = [label_column("lens and place", rows)]
    columns += [
        number_column(tree, f"position {label}", "bit", flat[:, index])
        for index, label in enumerate(positions)
    ]
    return FigureBlock(
        ident="fig-lenses",
        svg=draw_svg(plot_lenses(tree), "fig-lenses", title, summary),
        title=title,
        variables=("/lenses/kl",),
        reading="One row for each place in the residual stream, the embedding at the bottom; one "
        "column for each question. Stronger is further from exact; all maps share one logarithmic "
        "key. Clear cells are questions that do not count.",
        data=make_table("KL from exact to each lens, mean over sequences and seeds.", columns),
    )


def _draw_means(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the mean of each place, beside the control."""
    title = "How far each place is from exact Bayes"
    values = read_values(tree, "/lenses/mean_kl", "lens", "seed", "stream")
    lenses, streams = (read_labels(tree, "/lenses/mean_kl", dim) for dim in ("lens", "stream"))
    columns = [label_column("place", streams)]
    columns += [
        seed_column(tree, name, "bit", row) for name, row in zip(lenses, values, strict=True)
    ]
    if has_variable(tree, "/lenses/control_kl"):
        control = read_values(tree, "/lenses/control_kl", "seed", "lens_draw", "stream")[0]
        columns.append(seed_column(tree, f"Bayes lens, {CONTROL}", "bit", control))
    output = read_values(tree, "/lenses/mean_kl_to_output", "lens", "seed", "stream")
    columns += [
        seed_column(tree, f"KL(network’s output ‖ {name})", "bit", row)
        for name, row in zip(lenses, output, strict=True)
    ]
    return FigureBlock(
        ident="fig-lens-means",
        svg=draw_svg(plot_lens_means(tree), "fig-lens-means", title, summary),
        title=title,
        variables=("/lenses/mean_kl", "/lenses/control_kl", "/lenses/mean_kl_to_output"),
        reading="Means over questions, with the interval over seeds. Thin lines are the Bayes lens "
        "of networks with initial weights, on the sequences of the first seed: only what lies "
        "below them has been learnt.",
        data=make_table(
            "Mean over questions by place; the control's interval is over its draws.", columns
        ),
    )


def _draw_rungs(tree: xr.DataTree) -> FigureBlock:
    """Draw which rival each place comes closest to."""
    title = "Which rival does each place come closest to?"
    streams = read_labels(tree, "/lenses/mean_rung_kl", "stream")
    lenses, rungs = (read_labels(tree, "/lenses/mean_rung_kl", dim) for dim in ("lens", "rung"))
    index = lenses.index("tuned lens")
    values = read_values(tree, "/lenses/mean_rung_kl", "lens", "rung", "seed", "stream")[index]
    columns = [label_column("place", streams)]
    columns += [
        seed_column(tree, f"from {name}", "bit", row)
        for name, row in zip(rungs, values, strict=True)
    ]
    return FigureBlock(
        ident="fig-lens-rungs",
        svg=draw_svg(plot_lens_rungs(tree), "fig-lens-rungs", title, "A dot marks the closest."),
        title=title,
        variables=("/lenses/mean_rung_kl", "/lenses/mean_kl"),
        reading="Through the tuned lens, which was fitted to the network's own answers and not to "
        "any rival. Fainter is closer; the dot marks the closest. The closest rival need not be "
        "close, and the table below says which others are as close within sampling error.",
        data=make_table("Mean KL from each rival to the tuned lens.", columns),
    )


def _nearest_table(tree: xr.DataTree) -> TableBlock:
    """Name the rival that every place is nearest to through every lens, with ties."""
    nearest, tied = (
        read_array(tree, f"/lenses/{name}").transpose("lens", "stream", "seed").values
        for name in ("nearest", "tied")
    )
    lenses, streams = (read_labels(tree, "/lenses/nearest", dim) for dim in ("lens", "stream"))
    columns = [label_column("place", streams)]
    for lens, names, others in zip(lenses, nearest, tied, strict=True):
        cells = [_nearest_cell(*pair) for pair in zip(names, others, strict=True)]
        columns.append((Cell(lens), cells))
    return make_table(
        "The rival, or exact Bayes, with the least mean KL to the lens. Below it: others whose "
        "difference from it has a 95\N{NO-BREAK SPACE}% interval over sequences that holds zero, "
        "of the first seed; and in how many seeds it is the nearest.",
        columns,
    )


def _nearest_cell(names: np.ndarray, tied: np.ndarray) -> Cell:
    """Write the rival that is nearest in the first seed."""
    notes = [f"tied with {tied[0]}"] if tied[0] else []
    if len(names) > 1:
        notes.append(f"in {int((names == names[0]).sum())} of {len(names)} seeds")
    return Cell(str(names[0]), "; ".join(notes))
