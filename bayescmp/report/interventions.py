"""Interventions: what is lost without a part, and where the stream carries the answer."""

import numpy as np
import xarray as xr

from bayescmp.plots.interventions import (
    plot_ablations,
    plot_steering,
    plot_swaps,
    read_ablations,
)
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import FigureBlock, Section
from bayescmp.report.edits import draw_edits, has_edits
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import plural, read_optional, resolution, with_unit

ABSENT = (
    "The tree has no group /interventions: nothing was changed inside the network, since that was "
    "not asked for; examine(...) adds it."
)

READING = (
    "How to read it: damage is the rise of the divergence from exact Bayes when a part is replaced "
    "by zeros, by its mean over sequences, or by what it computes on another sequence. That "
    "something breaks is no news; it counts where it exceeds the bar, a random change of the same "
    "size made in the same way. Zeros also change what is the same for every sequence, and random "
    "directions set to zero carry that from one head into another, so that their bar may be high. "
    "A swap puts the stream of a donor, at the input position where a question is asked, into "
    "another run. The donor has the same query and other evidence, so that its exact predictive "
    "is the counterfactual: a margin above zero says that the answer has become the donor's. At "
    "the last place it must; how early it does says where the answer stands.",
    "What it cannot show: a part that another one can stand in for costs nothing when it is taken "
    "away alone. Activations that a replacement puts together may be such as never occur, and "
    "what then breaks need not matter in any real run. The mean over sequences and random "
    "directions of the same rank change as little of that as can be, not nothing.",
)


def build_interventions_section(tree: xr.DataTree) -> Section:
    """Write the section on interventions.

    Args:
        tree: A comparison with or without the group ``/interventions``.

    Returns:
        The section; where the tree has no interventions it says so.
    """
    ident, title = "interventions", "Interventions"
    if not has_variable(tree, "/interventions/part_damage"):
        return Section(ident, title, missing=(ABSENT,))
    missing = ()
    if not has_variable(tree, "/interventions/head_damage"):
        missing = (
            "The tree has no /interventions/head_damage: the network has no attention heads; its "
            "mixers are taken away whole.",
        )
    summary = _summarise(tree)
    figures = [_draw_ablations(tree), _draw_swaps(tree), _draw_steering(tree)]
    if has_edits(tree):
        figures.append(draw_edits(tree))
    paragraphs = (summary, *READING, _say_how(tree))
    return Section(ident, title, paragraphs, tuple(figures), missing=missing)


def _bits(tree: xr.DataTree, value: float) -> str:
    return with_unit(format_number(value, resolution=resolution(tree, "bit")), "bit")


def _summarise(tree: xr.DataTree) -> str:
    """Say what costs most, and how far swaps take the answer."""
    names, damage, control = read_ablations(tree)
    heads = [row for row, name in enumerate(names) if ", head " in name] or range(len(names))
    worst = max(heads, key=lambda row: damage[1, row])
    swapped = read_values(tree, "/interventions/swap_mean", "seed", "stream").mean(axis=0)
    before = float(read_values(tree, "/interventions/swap_mean_before", "seed").mean())
    streams = read_labels(tree, "/interventions/swap_mean", "stream")
    crossed = np.flatnonzero(swapped > 0.0)
    where = f"from {streams[crossed[0]]} on" if crossed.size else "at no place"
    return (
        f"Most is lost without {names[worst]}: {_bits(tree, float(damage[1, worst]))} with its "
        f"mean in its place, beside {_bits(tree, float(control[1, worst]))} for random changes of "
        "the same size. Swapping the stream turns the answer into the "
        f"donor's {where}: the margin is {_bits(tree, before)} without a swap, "
        f"{_bits(tree, float(swapped[0]))} at {streams[0]} and "
        f"{_bits(tree, float(swapped[-1]))} at {streams[-1]}."
    )


def _say_how(tree: xr.DataTree) -> str:
    """Say what was intervened on, and beside what."""
    values = [
        read_optional(tree, "/interventions", name)
        for name in ("num_sequences", "num_controls", "rank", "matched_share")
    ]
    num, controls, rank, matched = (
        value if isinstance(value, int | float) else 0 for value in values
    )
    return (
        f"Interventions were made on {plural(int(num), 'sequence')}, heads beside "
        f"{plural(int(controls), 'random ablation')} of each block. "
        f"{plural(int(rank), 'direction')} of the stream tell the exact probabilities. "
        f"{100 * matched:.0f}\N{NO-BREAK SPACE}% of the donors read the same where the question "
        "is asked."
    )


def _draw_ablations(tree: xr.DataTree) -> FigureBlock:
    """Draw what each part costs."""
    title = "What is lost without each head, mixer, feed-forward part and block"
    names, damage, control = read_ablations(tree)
    ways = read_labels(tree, "/interventions/part_damage", "way")
    columns = [label_column("part", names)]
    for way, row, limit in zip(ways, damage, control, strict=True):
        columns.append(number_column(tree, f"{way} in its place", "bit", row))
        columns.append(number_column(tree, f"random change, {way}", "bit", limit))
    return FigureBlock(
        ident="fig-ablations",
        svg=draw_svg(plot_ablations(tree), "fig-ablations", title, _summarise(tree)),
        title=title,
        variables=(
            "/interventions/head_damage",
            "/interventions/head_control_highest",
            "/interventions/part_damage",
            "/interventions/part_control",
        ),
        reading="One row for each part, and in it a lane for each way: zeros, the mean, another "
        "sequence. The bar of a head is the most that any of the random ablations costs that "
        "replace, in the same way, as many directions of what all heads of its block gather; that "
        "of other parts is the mean over changes of the same size in random directions. Heads of "
        "different seeds do not correspond; the figure is their mean all the same.",
        data=make_table("Rise of KL(exact ‖ answer), mean over questions and seeds.", columns),
    )


def _draw_swaps(tree: xr.DataTree) -> FigureBlock:
    """Draw margins after swaps."""
    title = "Where the answer stands: the donor's stream put in, place by place"
    streams = read_labels(tree, "/interventions/swap_mean", "stream")
    names = ("swap_mean", "swap_subspace", "swap_control")
    heads = ("whole stream", "telling directions", "random directions")
    columns = [label_column("place", streams)]
    columns += [
        seed_column(
            tree, head, "bit", read_values(tree, f"/interventions/{name}", "seed", "stream")
        )
        for head, name in zip(heads, names, strict=True)
    ]
    if has_variable(tree, "/interventions/swap_stranger"):
        strangers = read_values(tree, "/interventions/swap_stranger", "seed", "stream")
        columns.append(seed_column(tree, "a stranger's stream", "bit", strangers))
    columns.append(number_column(tree, "p, first seed", "1", _p_values(tree, "swap")[0]))
    reached = float(read_values(tree, "/interventions/swap_mean_donor", "seed").mean())
    return FigureBlock(
        ident="fig-swaps",
        svg=draw_svg(plot_swaps(tree), "fig-swaps", title, _summarise(tree)),
        title=title,
        variables=tuple(
            f"/interventions/{name}"
            for name in ("swap_margin", *names, "swap_mean_before", "swap_mean_donor")
        ),
        reading="The margin is KL(own ‖ answer) − KL(counterfactual ‖ answer). Above, stronger is "
        "nearer to the counterfactual, and a column is one question. Below, its mean over "
        f"cases; the network's answer to the donor itself reaches {_bits(tree, reached)}.",
        data=make_table("Mean margin after a swap at each place.", columns),
    )


def _p_values(tree: xr.DataTree, name: str) -> np.ndarray:
    """Return p-values of the first seed beside random changes, place by place; NaN for none."""
    path = f"/interventions/{name}_p_value"
    streams = len(read_labels(tree, "/interventions/swap_mean", "stream"))
    if not has_variable(tree, path):
        return np.full(
            (len(read_labels(tree, "/interventions/removal_damage", "direction")), streams), np.nan
        )
    axes = ("seed", "direction", "stream") if name == "removal" else ("seed", "stream")
    return read_values(tree, path, *axes)[0].reshape(-1, streams)


def _draw_steering(tree: xr.DataTree) -> FigureBlock:
    """Draw removals and steering."""
    title = "Directions that tell the exact answer: removed, and followed"
    path = "/interventions/removal_damage"
    streams, told = read_labels(tree, path, "stream"), read_labels(tree, path, "direction")
    columns = [label_column("place", streams)]
    for name, words in (("damage", "without"), ("control", "random, as many as for")):
        values = read_values(tree, f"/interventions/removal_{name}", "seed", "direction", "stream")
        columns += [
            seed_column(tree, f"{words} {direction}", "bit", values[:, index])
            for index, direction in enumerate(told)
        ]
    columns += [
        number_column(tree, f"p, {direction}", "1", row)
        for direction, row in zip(told, _p_values(tree, "removal"), strict=True)
    ]
    columns.append(number_column(tree, "p, steering", "1", _p_values(tree, "steering")[0]))
    shares = read_labels(tree, "/interventions/steering_kl", "steered")
    steered = read_values(tree, "/interventions/steering_kl", "seed", "stream", "steered")
    columns += [
        seed_column(tree, f"steered {share} %", "bit", steered[..., index])
        for index, share in enumerate(shares)
    ]
    return FigureBlock(
        ident="fig-steering",
        svg=draw_svg(plot_steering(tree), "fig-steering", title, _summarise(tree)),
        title=title,
        variables=(
            path,
            "/interventions/removal_control",
            "/interventions/steering_kl",
            "/interventions/steering_control",
            "/interventions/steering_kl_before",
        ),
        reading="Directions are fitted by ridge regression to other sequences; the key frame is "
        "what tells the keys of the block apart that reads the place next. What can be read need "
        "not be used: a direction that costs no more than a random one is read by nobody after "
        "that place. Steering adds to the stream what moves with the exact probabilities from this "
        "belief to the donor's, and the answer is held against the donor's belief.",
        data=make_table("Damage of removals, and KL(steered belief ‖ answer), by place.", columns),
    )
