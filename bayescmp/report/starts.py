"""The section on what training makes of constructed, perturbed and random weights."""

import numpy as np
import xarray as xr

from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.plots.starts import plot_starts
from bayescmp.report.blocks import FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.totals import list_totals, tell_total

IDENT, TITLE = "starts", "Can training find the construction?"
ABSENT = "The tree has no group /starts: the study can_training_find_it adds it."
READING = (
    "How to read it: each row is a network whose weights began as they are written down "
    "(constructed), a little beside them (perturbed) or by chance (random). The distance to the "
    "construction is what is left after scales, the order of heads and units and turns of the "
    "stream are taken out, in units of random starts'. Dots on the left with a small distance "
    "found the construction; dots on the left whose distance stayed learnt its answers with other "
    "weights.",
    "What it cannot show: that weights far away compute something else. Where read-outs of blocks "
    "stand between rounds and exact Bayes is told in the table.",
)


def build_starts_section(tree: xr.DataTree) -> Section:
    """Write the section on starts.

    Args:
        tree: A comparison with or without the group ``/starts``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    if not has_variable(tree, "/starts/kl"):
        return Section(IDENT, TITLE, missing=(ABSENT,))
    summary = _summarise(tree)
    totals = list_totals(tree, "/starts", "Over all activations, trained on exact laws")
    return Section(IDENT, TITLE, (summary, *READING), (_draw(tree, summary),), facts=totals)


def _summarise(tree: xr.DataTree) -> str:
    """Say how near to exact, and to the construction, each start ends."""
    starts = ("constructed", "perturbed", "random")
    kls = (tell_total(tree, f"/starts/{start}_kl", "bit") for start in starts)
    left = (tell_total(tree, f"/starts/{start}_return", "1") for start in starts[1:])
    return (
        "On trees as in training, the worst activation ends at a KL from exact of {} from "
        "constructed weights, {} from perturbed ones and {} from random ones. Training multiplies "
        "the distance to the construction by {} from perturbed weights, and by {} from random "
        "ones, with the activation that comes nearest."
    ).format(*kls, *left)


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw what was before and after training, with the numbers."""
    title = "Answers and weights before and after training"
    return FigureBlock(
        ident="fig-starts",
        svg=draw_svg(plot_starts(tree), "fig-starts", title, summary),
        title=title,
        variables=("/starts/start_kl", "/starts/kl", "/starts/start_distance", "/starts/distance"),
        reading="A ring before training, a dot after it: means over seeds, those of dots with "
        "95 % intervals. Axes are logarithmic, and what lies below one stands on its lower edge. "
        "Networks are trained on exact laws; those called sampled, on drawn outcomes. The "
        "practical transformer has another shape, and neither a start to compare with nor a "
        "distance.",
        data=_tasks(tree),
    )


def _tasks(tree: xr.DataTree) -> TableBlock:
    """List every figure of each arm on each task."""
    arms, tasks = (read_labels(tree, "/starts/kl", dim) for dim in ("arm", "task"))
    columns: list[Column] = [
        label_column("arm", [arm for arm in arms for _ in tasks]),
        label_column("trees", tasks * len(arms)),
    ]
    for name, text, units in (
        ("start_kl", "KL before", "bit"),
        ("kl", "KL after", "bit"),
        ("round_kl", "KL from rounds", "bit"),
        ("progress", "rounds 0, exact 1", "1"),
        ("misfit", "beside that way", "1"),
    ):
        values = read_values(tree, f"/starts/{name}", "seed", "arm", "task")
        columns.append(seed_column(tree, text, units, values.reshape(len(values), -1)))
    for name, text in (("start_distance", "distance before"), ("distance", "distance after")):
        values = read_values(tree, f"/starts/{name}", "seed", "arm")
        columns.append(seed_column(tree, text, "1", np.repeat(values, len(tasks), axis=1)))
    return make_table(
        "Means by arm and trees; intervals are over seeds. Distances are to the construction, and "
        "the same for all trees.",
        columns,
    )
