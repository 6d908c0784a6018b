"""The sections on constructed networks, on loops, and on what trained networks follow."""

import xarray as xr

from bayescmp.plots.belief_propagation import plot_construction, plot_following, plot_loops
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.words import read_text

ABSENT = "The tree has no group /{}: the study belief_propagation adds it."

CONSTRUCTION = (
    "How to read it: the construction as published runs as weights of a transformer, and is then "
    "mended, one repair after the other; each stage has those before it. The place is the first "
    "number in the residual stream that is not what is claimed of it. With log odds, the network "
    "does what is claimed; what is left is that the claim is not inference, since factor tables "
    "are never read. With tables, whole beliefs are passed on, and come back as if they were news. "
    "The last stage is exact on trees.",
)
LOOPS = (
    "How to read it: on graphs with loops, belief propagation is an approximation. Claimed is that "
    "it is as good as exact, from tables with entries U[0.1, 1]. Couplings ±J favour or disfavour "
    "agreement of two neighbours by 2 J nats, with random signs; where they are strong, messages "
    "do not come to rest, or come to rest elsewhere. Always one half is what knowing nothing "
    "costs.",
)
FOLLOWING = (
    "How to read it: where propagation and Bayes differ, a network may do the one or the other. "
    "The slope is the share of propagation's errors that the network repeats: one for propagation "
    "itself, zero for errors of its own. What is nearer is decided by the mean difference of the "
    "two divergences, which must be more than two standard errors.",
    "What it cannot show: that a network which is near the exact answer does not pass messages "
    "inside, in some other form, or on other graphs than it was trained on.",
)


def build_construction_section(tree: xr.DataTree) -> Section:
    """Write the section on constructed networks.

    Args:
        tree: A comparison with or without the group ``/construction``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    title = "Networks whose weights are written down"
    if not has_variable(tree, "/construction/stage_error"):
        return Section("construction", title, missing=(ABSENT.format("construction"),))
    claim = f"Claimed: {read_text(tree, '/construction', 'published')}"
    stages = read_labels(tree, "/construction/place", "repair")
    cases = read_labels(tree, "/construction/place", "graph_case")
    places = read_array(tree, "/construction/place").transpose("graph_case", "repair").values
    columns: list[Column] = [label_column("stage", stages)]
    columns += [
        (Cell(case), [Cell(str(place)) for place in row])
        for case, row in zip(cases, places, strict=True)
    ]
    where = make_table("First number that is not what is claimed, by kind of graph.", columns)
    figure = FigureBlock(
        ident="fig-construction",
        svg=draw_svg(plot_construction(tree), "fig-construction", title, claim),
        title="Error of the published construction, repair by repair",
        variables=("/construction/stage_error",),
        reading="Means over graphs and seeds after the last layer, from the construction as "
        "published to all repairs, in the order of the table; errors of rounding alone stand near "
        "the lower edge.",
        data=make_table("Mean absolute errors; intervals are over seeds.", _stages(tree, cases)),
    )
    sizes = read_labels(tree, "/construction/tree_error", "tree_size")
    tree_error = read_values(tree, "/construction/tree_error", "seed", "tree_size")
    trees = make_table(
        "Largest error of the construction with all repairs, on random trees.",
        [
            label_column("most variables", sizes),
            seed_column(tree, "largest error", "1", tree_error),
        ],
    )
    return Section("construction", title, (claim, *CONSTRUCTION), (figure,), (where, trees))


def _stages(tree: xr.DataTree, cases: list[str]) -> list[Column]:
    path = "/construction/stage_error"
    values = read_values(tree, path, "seed", "repair", "graph_case")
    columns: list[Column] = [label_column("stage", read_labels(tree, path, "repair"))]
    columns += [seed_column(tree, case, "1", values[..., i]) for i, case in enumerate(cases)]
    return columns


def build_loops_section(tree: xr.DataTree) -> Section:
    """Write the section on graphs with loops.

    Args:
        tree: A comparison with or without the group ``/loops``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    title = "Belief propagation on loops"
    if not has_variable(tree, "/loops/error"):
        return Section("loops", title, missing=(ABSENT.format("loops"),))
    laws = read_labels(tree, "/loops/error", "table_law")
    graphs = read_labels(tree, "/loops/error", "loop_graph")
    columns: list[Column] = [
        label_column("graph, tables", [f"{g}, {w}" for g in graphs for w in laws])
    ]
    for name, text, units in (
        ("error", "mean error", "1"),
        ("worst_error", "worst tables", "1"),
        ("half_error", "always one half", "1"),
        ("kl", "KL", "bit"),
        ("converged", "came to rest", "1"),
    ):
        values = read_values(tree, f"/loops/{name}", "seed", "loop_graph", "table_law")
        columns.append(seed_column(tree, text, units, values.reshape(len(values), -1)))
    figure = FigureBlock(
        ident="fig-loops",
        svg=draw_svg(plot_loops(tree), "fig-loops", title, LOOPS[0]),
        title="Error of loopy belief propagation, from weak couplings to strong ones",
        variables=("/loops/error", "/loops/half_error"),
        reading="Means over tables and seeds. Right of the published tables, couplings grow.",
        data=make_table("Figures of each graph; intervals are over seeds.", columns),
    )
    return Section("loops", title, LOOPS, (figure,))


def build_following_section(tree: xr.DataTree) -> Section:
    """Write the section on what trained networks follow.

    Args:
        tree: A comparison with or without the group ``/following``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    title = "Propagation or Bayes, after training on loops"
    if not has_variable(tree, "/following/error"):
        return Section("following", title, missing=(ABSENT.format("following"),))
    couplings = read_labels(tree, "/following/error", "coupling")
    columns: list[Column] = [label_column("couplings", couplings)]
    columns += [
        seed_column(tree, text, units, read_values(tree, f"/following/{name}", "seed", "coupling"))
        for name, text, units in (
            ("error", "error", "1"),
            ("propagation_error", "error of propagation", "1"),
            ("slope", "slope", "1"),
            ("to_exact", "KL from exact", "bit"),
        )
    ]
    rounds = read_labels(tree, "/following/to_propagation", "propagation_rounds")
    axes = ("seed", "coupling", "propagation_rounds")
    distances = read_values(tree, "/following/to_propagation", *axes)
    columns += [
        seed_column(tree, f"KL from {number} rounds", "bit", distances[..., i])
        for i, number in enumerate(rounds)
    ]
    follows = read_array(tree, "/following/follows").transpose("coupling", "seed").values
    columns.append(
        (Cell("nearer"), [Cell("; ".join(sorted(set(row)))) for row in follows.tolist()])
    )
    figure = FigureBlock(
        ident="fig-following",
        svg=draw_svg(plot_following(tree), "fig-following", title, FOLLOWING[0]),
        title="Errors of trained networks beside those of belief propagation",
        variables=("/following/error", "/following/propagation_error"),
        reading="Means over graphs; shades are intervals over training runs.",
        data=make_table("Figures by size of the couplings; intervals are over seeds.", columns),
    )
    return Section("following", title, FOLLOWING, (figure,))
