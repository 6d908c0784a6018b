"""The figure of prompts in which one token of evidence is another one."""

import numpy as np
import xarray as xr

from bayescmp.plots.edits import plot_edits
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import FigureBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column


def has_edits(tree: xr.DataTree) -> bool:
    """Tell whether a token could be changed in any case.

    Args:
        tree: A comparison with the group ``/interventions``.
    """
    path = "/interventions/edit_mean"
    return has_variable(tree, path) and bool(
        np.isfinite(read_values(tree, path, "seed", "stream")).all()
    )


def draw_edits(tree: xr.DataTree) -> FigureBlock:
    """Draw margins towards prompts with one other token.

    Args:
        tree: A comparison with the group ``/interventions``.

    Returns:
        The figure with its table.
    """
    title = "Where a token of evidence is read: another one's stream put in where it stands"
    path = "/interventions/edit_mean"
    streams = read_labels(tree, path, "stream")
    mean = read_values(tree, path, "seed", "stream")
    before = read_values(tree, "/interventions/edit_mean_before", "seed").mean()
    columns = [
        label_column("place", streams),
        seed_column(tree, "mean margin", "bit", mean),
        number_column(tree, "own answer", "bit", np.full(len(streams), float(before))),
    ]
    return FigureBlock(
        ident="fig-edits",
        svg=draw_svg(plot_edits(tree), "fig-edits", title, "A row for each place."),
        title=title,
        variables=(
            "/interventions/edit_margin",
            path,
            "/interventions/edit_mean_before",
        ),
        reading="One token that was shown before the question becomes another one, and the exact "
        "predictive of that prompt is the counterfactual. At the embedding the prompt itself is "
        "changed. Where the margin falls to the dotted line, what later places make of the token "
        "no longer comes from where it stands: it has been read.",
        data=make_table("Mean margin by place, and of the network's own answer.", columns),
    )
