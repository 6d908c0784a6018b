"""The figure of probes of single heads."""

import xarray as xr

from bayescmp.plots.probe_heads import plot_probe_heads, read_probe_heads
from bayescmp.plots.series import read_labels, read_values
from bayescmp.report.blocks import FigureBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column


def draw_probe_heads(tree: xr.DataTree) -> FigureBlock:
    """Draw what is read from each head's write, beside every control.

    Args:
        tree: A comparison with heads in the group ``/probes``.

    Returns:
        The figure with its table.
    """
    title = "What affine read-outs explain from what one head writes"
    names, own, _ = read_probe_heads(tree)
    path = "/probes/head_control_r_squared"
    axes = ("probe_control", "seed", "probe_target", "block", "head")
    controls = read_values(tree, path, *axes).mean(axis=1)
    targets = read_labels(tree, path, "probe_target")
    rows = [f"{target}, {name}" for target in targets for name in names]
    network = own.swapaxes(0, 1).reshape(own.shape[1], -1)
    columns = [
        label_column("read from", rows),
        seed_column(tree, "network", "1", network),
    ]
    columns += [
        number_column(tree, label, "1", values.reshape(-1))
        for label, values in zip(read_labels(tree, path, "probe_control"), controls, strict=True)
    ]
    return FigureBlock(
        ident="fig-probe-heads",
        svg=draw_svg(plot_probe_heads(tree), "fig-probe-heads", title, "A row for each head."),
        title=title,
        variables=(
            "/probes/head_r_squared",
            "/probes/head_control_r_squared",
            "/probes/head_initial_r_squared",
        ),
        reading="A dot for each seed, beside the mean of networks of the same shape that nobody "
        "trained. Heads of different seeds do not correspond. What is read from one head is what "
        "it hands on, whether or not anything reads it.",
        data=make_table("R² of every target from every head, with every control.", columns),
    )
