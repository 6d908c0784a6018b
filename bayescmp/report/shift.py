"""Shift: what a predictor says off its training prior, and which exact answer that is near."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.plots.shift import plot_pools, plot_shift
from bayescmp.report.blocks import Cell, FigureBlock, Section
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.words import join_words, plural, read_optional

TITLE = "Off the training prior"

ABSENT = "The tree has no group /shift: no sequences off the training prior were asked about."

READING = (
    "How to read it: under a shift there are two exact answers, that of Bayes who keeps the prior "
    "of training and that of Bayes who knows the new one. Exact inference under the training "
    "prior is far from the second, and is meant to be. A predictor that is near the first does "
    "inference; one that is near neither has learnt what holds on its training sequences alone. "
    "Which is nearer is decided by the mean difference of the two distances, with an interval "
    "over sequences.",
    "What it cannot show: where the two answers are close to each other, they cannot be told "
    "apart, and a mixture of priors lies between them. Questions that follow what is impossible "
    "in training have no answer there and are left out.",
)

POOL_READING = (
    "Networks on finite pools: a network may remember the tasks of its pool, and be near Bayes "
    "over these, or learn the prior that they came from. Both distances are on tasks that no "
    "pool holds. In a very large pool the two answers are the same, and the crossing means "
    "nothing. All networks of a size share one pool: their spread says nothing about others."
)


def build_shift_section(tree: xr.DataTree) -> Section:
    """Write the section on shift.

    Args:
        tree: A comparison with or without the group ``/shift``.

    Returns:
        The section; where the tree has no shifts it says so.
    """
    if not has_variable(tree, "/shift/to_training"):
        return Section("shift", TITLE, missing=(ABSENT,))
    summary = _summarise(tree)
    figures = [_draw_shift(tree, summary)]
    paragraphs = [summary, *_say_gaps(tree), *READING]
    missing = ()
    if has_variable(tree, "/shift/pool_to_pool"):
        threshold = _say_threshold(tree)
        figures.append(_draw_pools(tree, threshold))
        paragraphs += [threshold, POOL_READING]
    else:
        missing = ("The tree has no /shift/pool_to_pool: no networks were trained on pools.",)
    return Section("shift", TITLE, tuple(paragraphs), tuple(figures), missing=missing)


def _summarise(tree: xr.DataTree) -> str:
    """Say which answer every shift is nearer to."""
    names = read_labels(tree, "/shift/follows", "shift")
    follows = read_array(tree, "/shift/follows").transpose("shift", "seed").values
    parts = [f"{name}: {_count(row.tolist())}" for name, row in zip(names, follows, strict=True)]
    return f"Which prior’s exact answer is nearer, by shift. {'; '.join(parts)}."


def _count(answers: list[str]) -> str:
    """Say how many seeds gave each answer."""
    if len(set(answers)) == 1:
        return str(answers[0])
    return join_words(
        [f"{one} ({answers.count(one)} of {len(answers)} seeds)" for one in sorted(set(answers))]
    )


def _say_gaps(tree: xr.DataTree) -> tuple[str, ...]:
    """Name shifts with questions that have no answer under the training prior."""
    names = read_labels(tree, "/shift/undefined", "shift")
    shares = read_values(tree, "/shift/undefined", "seed", "shift").max(axis=0)
    named = [
        f"{100 * share:.2g}\N{NO-BREAK SPACE}% under {name}"
        for name, share in zip(names, shares, strict=True)
        if share > 0.0
    ]
    if not named:
        return ()
    return (f"Questions without an answer under the training prior: {join_words(named)}.",)


def _draw_shift(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw both distances of every shift."""
    title = "Distance from two exact answers, off the training prior"
    names = read_labels(tree, "/shift/to_training", "shift")
    columns: list[Column] = [label_column("shift", names)]
    texts = {
        "to_training": "from training prior",
        "to_shifted": "from shifted prior",
        "between": "between the two",
        "difference": "difference",
        "beyond": "from shifted, beyond training’s length",
    }
    columns += [
        seed_column(tree, text, "bit", read_values(tree, f"/shift/{name}", "seed", "shift"))
        for name, text in texts.items()
    ]
    follows = read_array(tree, "/shift/follows").transpose("shift", "seed").values
    columns.append((Cell("nearer"), [Cell(_count(row.tolist())) for row in follows]))
    return FigureBlock(
        ident="fig-shift",
        svg=draw_svg(plot_shift(tree), "fig-shift", title, summary),
        title=title,
        variables=tuple(f"/shift/{name}" for name in ("to_training", "to_shifted", "between")),
        reading="Means over questions and seeds. The bar is how far the two exact answers are "
        "from each other, what keeping its prior costs exact Bayes; a diamond far to the left of "
        "it, with the circle upon it, is a network that keeps its prior. Infinite distances stand "
        "at the right edge.",
        data=make_table("KL divergences; intervals are over seeds.", columns),
    )


def _say_threshold(tree: xr.DataTree) -> str:
    """Say from which pool size on networks are nearer to the true prior."""
    sizes = read_labels(tree, "/shift/pool_to_pool", "pool")
    seeds = read_array(tree, "/shift/pool_to_pool").sizes["pool_seed"]
    tested = f"pools of {join_words(sizes)} tasks, {plural(seeds, 'network')} each"
    ends = [read_optional(tree, "/shift", f"log2_threshold{end}") for end in ("", "_low", "_high")]
    mean, low, high = (float(e) if isinstance(e, int | float) else np.nan for e in ends)
    if not np.isfinite(mean):
        return f"Not every network crosses from its pool to the prior within {tested}."
    text = f"Networks cross from their pool to the prior at about {_tasks(mean)} tasks"
    if np.isfinite(low) and np.isfinite(high):
        text += f" (95\N{NO-BREAK SPACE}% interval over networks {_tasks(low)} to {_tasks(high)})"
    return f"{text}: {tested}."


def _tasks(log2: float) -> str:
    return format_number(2.0**log2, digits=2)


def _draw_pools(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw distances by pool size."""
    title = "Remembering the pool, or learning the prior"
    columns = [label_column("tasks", read_labels(tree, "/shift/pool_to_pool", "pool"))]
    columns += [
        seed_column(tree, text, "bit", read_values(tree, f"/shift/{name}", "pool_seed", "pool"))
        for name, text in (
            ("pool_to_pool", "from Bayes over the pool"),
            ("pool_to_true", "from Bayes under the prior"),
        )
    ]
    between = read_values(tree, "/shift/pool_between", "pool")
    columns.append(seed_column(tree, "between the two", "bit", between[None]))
    return FigureBlock(
        ident="fig-pools",
        svg=draw_svg(plot_pools(tree), "fig-pools", title, summary),
        title=title,
        variables=tuple(f"/shift/pool_{name}" for name in ("to_pool", "to_true", "between")),
        reading="Means over networks with their interval. Left of the crossing networks are "
        "nearer to Bayes over the tasks they have seen, right of it to Bayes under the prior; "
        "the line is the mean crossing.",
        data=make_table("KL divergences on fresh tasks.", columns),
    )
