"""Inside the network: the logit lens of every residual stream, and attention."""

import numpy as np
import xarray as xr

from bayescmp.plots.attention import plot_attention, plot_attention_entropy
from bayescmp.plots.layers import mean_by_layer, plot_layer_rungs, plot_layers
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_labels, read_values, seed_band
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import resolution, with_unit

NO_TRACE = (
    "The tree has no group /layers: the network that was compared returns predictions only, and "
    "nothing inside it can be read."
)


def build_layers_section(tree: xr.DataTree) -> Section:
    """Write the section on the logit lens.

    Args:
        tree: A comparison with or without the group ``/layers``.

    Returns:
        The section; where the tree has no layers it says so.
    """
    ident, title = "layers", "Layer by layer"
    if not has_variable(tree, "/layers/kl"):
        return Section(ident, title, missing=(NO_TRACE,))
    summary = _summarise(tree)
    figures, missing = [_draw_layers(tree, summary)], []
    if has_variable(tree, "/layers/rung_kl"):
        figures.append(_draw_rungs(tree))
    else:
        missing.append("The tree has no /layers/rung_kl: layers were not compared with rivals.")
    return Section(
        ident, title, paragraphs=(summary,), figures=tuple(figures), missing=tuple(missing)
    )


def build_attention_section(tree: xr.DataTree) -> Section:
    """Write the section on attention.

    Args:
        tree: A comparison with or without attention variables.

    Returns:
        The section; it names what is not there.
    """
    ident, title = "attention", "Attention"
    if "/layers" not in tree.groups:
        return Section(ident, title, missing=(NO_TRACE,))
    figures, missing = [], []
    if has_variable(tree, "/layers/attention_pattern"):
        figures.append(_draw_attention(tree))
    else:
        missing.append(_no_attention("/layers/attention_pattern"))
    if has_variable(tree, "/layers/attention_entropy"):
        figures.append(_draw_entropy(tree))
    else:
        missing.append(_no_attention("/layers/attention_entropy"))
    paragraphs = ()
    if figures:
        paragraphs = (
            "Where a head looks is not what it does: these maps describe, and no claim about a "
            "head's role follows from them without an intervention.",
        )
    return Section(ident, title, paragraphs, tuple(figures), missing=tuple(missing))


def _no_attention(path: str) -> str:
    """Say that an attention variable is not there."""
    return f"The tree has no {path}: the network has no attention, or it was not recorded."


def _summarise(tree: xr.DataTree) -> str:
    """Say how the distance to exact changes through the layers."""
    mean = np.atleast_1d(seed_band(mean_by_layer(tree)).mean)
    error = resolution(tree, "bit")
    labels = read_labels(tree, "/layers/kl", "layer")
    first, last = (
        with_unit(format_number(float(mean[end]), resolution=error), "bit") for end in (0, -1)
    )
    return (
        f"Read through the network's own output layer, residual stream {labels[0]} is {first} "
        f"from exact Bayes and stream {labels[-1]} is {last} (means over positions and seeds)."
    )


def _draw_layers(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the logit lens."""
    title = "Divergence from exact Bayes by layer, through the logit lens"
    kl = read_values(tree, "/layers/kl", "seed", "layer", "position")
    return FigureBlock(
        ident="fig-layers",
        svg=draw_svg(plot_layers(tree), "fig-layers", title, summary),
        title=title,
        variables=("/layers/kl", "/ladder/mean_kl"),
        reading="The logit lens applies the network's final normalisation and read-out to the "
        "residual stream after each block: what would it predict if it stopped there? Stronger "
        "is further from exact. Below, the mean over positions with its interval over seeds; "
        "lines are the rivals' levels. A high value means that the read-out cannot see the answer "
        "there, not that the answer is absent.",
        data=_layers_table(tree, kl),
    )


def _layers_table(tree: xr.DataTree, kl: np.ndarray) -> TableBlock:
    """List the lens by layer: its mean and its smallest and largest value over positions."""
    mean = kl.mean(axis=0)
    columns = [
        label_column("residual stream", read_labels(tree, "/layers/kl", "layer")),
        seed_column(tree, "mean over positions", "bit", mean_by_layer(tree)),
    ]
    if has_variable(tree, "/layers/kl_to_output"):
        output = read_values(tree, "/layers/kl_to_output", "seed", "layer", "position")
        rest = np.nanmean(output, axis=-1) if np.isfinite(output).any() else output[..., 0]
        columns.append(seed_column(tree, "KL(network’s output ‖ lens)", "bit", rest))
    labels = read_labels(tree, "/layers/kl", "position")
    columns += [
        number_column(tree, f"position {labels[index]}", "bit", mean[:, index])
        for index in range(mean.shape[1])
    ]
    return make_table("KL from exact to the logit lens, by residual stream.", columns)


def _draw_rungs(tree: xr.DataTree) -> FigureBlock:
    """Draw which rival each layer comes closest to."""
    title = "Which rival does each layer come closest to?"
    names = read_labels(tree, "/layers/rung_kl", "rung")
    layers = read_labels(tree, "/layers/rung_kl", "layer")
    values = read_values(tree, "/layers/rung_kl", "rung", "layer", "seed")
    summary = _name_closest(names, layers, values.mean(axis=-1))
    columns = [label_column("residual stream", layers)]
    columns += [
        seed_column(tree, f"from {name}", "bit", values[index].T)
        for index, name in enumerate(names)
    ]
    return FigureBlock(
        ident="fig-layer-rungs",
        svg=draw_svg(plot_layer_rungs(tree), "fig-layer-rungs", title, summary),
        title=title,
        variables=("/layers/rung_kl",),
        reading=f"Fainter is closer; the dot marks the closest rival of each layer. {summary} The "
        "closest rival need not be close: compare with the figure above.",
        data=make_table("Mean KL from each rival to the logit lens, by residual stream.", columns),
    )


def _name_closest(names: list[str], layers: list[str], mean: np.ndarray) -> str:
    """Say which rival each layer is closest to."""
    if not names or np.isnan(mean).all(axis=0).any():
        return ""
    closest = [names[index] for index in np.nanargmin(mean, axis=0)]
    pairs = [f"stream {layer} to {name}" for layer, name in zip(layers, closest, strict=True)]
    return f"Closest: {', '.join(pairs)}."


def _draw_attention(tree: xr.DataTree) -> FigureBlock:
    """Draw the attention maps of one example."""
    title = "Attention weights on one example sequence"
    path = "/layers/attention_pattern"
    weights = read_values(tree, path, "block", "head", "input_position", "source_position")
    blocks, heads = read_labels(tree, path, "block"), read_labels(tree, path, "head")
    reads = read_labels(tree, path, "input_position")
    sources = read_labels(tree, path, "source_position")
    columns = [label_column("input position", reads)]
    for block, by_head in zip(blocks, weights, strict=True):
        for head, matrix in zip(heads, by_head, strict=True):
            cells = [
                Cell(f"{sources[int(np.argmax(row))]} ({row.max():.2f})")
                if np.isfinite(row).all()
                else Cell("–")
                for row in matrix
            ]
            columns.append((Cell(f"block {block}", f"head {head}"), cells))
    return FigureBlock(
        ident="fig-attention",
        svg=draw_svg(
            plot_attention(tree),
            "fig-attention",
            title,
            f"{len(blocks)} blocks by {len(heads)} heads of attention weights.",
        ),
        title=title,
        variables=(path,),
        reading="One map for each head of each block, first seed, first example. A row of a map "
        "reads from left to right where that input position attends to; the first position is on "
        "top. Opacity grows with the square root of the weight, so that faint weights show.",
        data=make_table(
            "The position attended to most, with its weight; all weights are in the results file.",
            columns,
        ),
    )


def _draw_entropy(tree: xr.DataTree) -> FigureBlock:
    """Draw the attention entropy of every head."""
    title = "How spread each head's attention is"
    path = "/layers/attention_entropy"
    entropy = read_values(tree, path, "seed", "block", "head", "input_position")
    blocks = read_labels(tree, path, "block")
    columns = [label_column("input position", read_labels(tree, path, "input_position"))]
    columns += [
        seed_column(tree, f"block {block}, mean of heads", "bit", entropy[:, index].mean(axis=1))
        for index, block in enumerate(blocks)
    ]
    means = ", ".join(
        f"block {block}: {format_number(float(np.nanmean(entropy[:, index])), digits=2)} bit"
        for index, block in enumerate(blocks)
        if np.isfinite(entropy[:, index]).any()
    )
    return FigureBlock(
        ident="fig-attention-entropy",
        svg=draw_svg(
            plot_attention_entropy(tree), "fig-attention-entropy", title, f"Means: {means}."
        ),
        title=title,
        variables=(path,),
        reading="One line for each head, first seed; 0 bit is looking at one place, the dotted "
        "line is looking at all places evenly. Heads of different seeds do not correspond, so the "
        "table gives the mean over heads with its interval over seeds.",
        data=make_table("Entropy of the attention weights, mean over sequences.", columns),
    )
