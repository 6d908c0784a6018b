"""The section on the checkpoints of training: phases, and what settles before what."""

import numpy as np
import xarray as xr

from bayescmp.plots.dynamics import (
    plot_lens_dynamics,
    plot_phases,
    plot_settling,
    read_explanations,
    read_frame,
)
from bayescmp.plots.numbers import format_interval, format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import level_words, plural, read_optional, read_text

IDENT, TITLE = "dynamics", "Over training"
ABSENT = (
    "The tree has no group /dynamics: the checkpoints of training were not asked for; examine(...) "
    "with instruments=('dynamics',) and the snapshots of a run adds it."
)
LIMITS = (
    "Attention that stops moving before the answers do need not cause them: the same ratio comes "
    "out above or below one for weights that go straight from the first checkpoint to the last, "
    "which is why that control stands beside it. Nearest is a comparison among the rivals that "
    "are listed; a network can be nearest to one that it does not resemble, and to one that it "
    "imitates on these sequences alone. Steps are interpolated between checkpoints, so a ratio "
    "cannot be sharper than their spacing."
)


def build_dynamics_section(tree: xr.DataTree) -> Section:
    """Write the section on the checkpoints of training.

    Args:
        tree: A comparison with or without the group ``/dynamics``.

    Returns:
        The section; without the group it says so.
    """
    if not has_variable(tree, "/dynamics/kl"):
        return Section(IDENT, TITLE, missing=(ABSENT,))
    summary, phases = _summarise(tree), _name_phases(tree)
    figures = (
        _draw_settling(tree, summary),
        _draw_phases(tree, phases),
        _draw_lens(tree),
    )
    return Section(
        IDENT, TITLE, (summary, phases, LIMITS), figures, tables=(_tabulate_ratios(tree),)
    )


def _frame_words(tree: xr.DataTree) -> str:
    """Say what stands for the frame."""
    return {"attention": "attention", "mixer": "the mixers' output"}.get(
        read_text(tree, "/dynamics", "followed"), "the mixers"
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say what settles when, and how the ratio stands to its control."""
    names = ("frame_step", "output_step", "ratio", "straight_ratio")
    frame, output, ratio, straight = (
        read_values(tree, f"/dynamics/{name}", "seed") for name in names
    )
    what = _frame_words(tree)
    still = []
    if np.isnan(frame).all():
        still.append(what)
    if np.isnan(output).all():
        still.append("the divergence from exact")
    if still:
        return f"Over these checkpoints nothing changed in {' and in '.join(still)}: no ratio."
    first, last, times, control = (
        format_number(float(np.nanmedian(values))) if np.isfinite(values).any() else "NaN"
        for values in (frame, output, ratio, straight)
    )
    share = read_optional(tree, "/dynamics", "share")
    percent = f"{100 * float(share):g}" if isinstance(share, int | float) else "most"
    return (
        f"By step {first}, {what} has made {percent} % of its change for good, and by step {last} "
        f"the divergence from exact has: a ratio of {times}. On the straight line between the "
        f"first and the last weights the ratio is {control} (medians over "
        f"{plural(ratio.size, 'seed')})."
    )


def _name_phases(tree: xr.DataTree) -> str:
    """Say which explanation is the nearest in turn, for the mean over seeds."""
    names, values = read_explanations(tree)
    steps = read_labels(tree, "/dynamics/kl", "checkpoint")
    mean = np.where(np.isnan(values), np.inf, values).mean(axis=0)
    nearest = [names[index] for index in np.argmin(mean, axis=0)]
    turns = [
        f"{name} from step {step}"
        for place, (name, step) in enumerate(zip(nearest, steps, strict=True))
        if place == 0 or nearest[place - 1] != name
    ]
    return f"Nearest explanation in turn: {', '.join(turns)}."


def _draw_settling(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw what attention and output have still to change."""
    title = "What settles first"
    kl = read_values(tree, "/dynamics/kl", "seed", "checkpoint")
    attends = has_variable(tree, "/dynamics/attention_change")
    name = "attention" if attends else "mixer"
    unit = "bit" if attends else ""
    return FigureBlock(
        ident="fig-settling",
        svg=draw_svg(plot_settling(tree), "fig-settling", title, summary),
        title=title,
        variables=(f"/dynamics/{name}_change", "/dynamics/kl"),
        reading=f"From one, where training begins, to zero, where it ends: {_frame_words(tree)} by "
        "its distance to the last checkpoint's, the output by its divergence from exact. The "
        "dashed line is a tenth; verticals stand where each seed has gone below it for good.",
        data=make_table(
            "The two curves, before they are divided by their change.",
            [
                label_column("step", read_labels(tree, "/dynamics/kl", "checkpoint")),
                seed_column(tree, f"{name}, distance to the end", unit, read_frame(tree)),
                seed_column(tree, "KL(exact ‖ network)", "bit", kl),
            ],
        ),
    )


def _draw_phases(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw which explanation the network is nearest to."""
    title = "Which explanation is the network nearest to?"
    names, values = read_explanations(tree)
    columns = [label_column("step", read_labels(tree, "/dynamics/kl", "checkpoint"))]
    columns += [
        seed_column(tree, f"from {name}", "bit", values[:, index])
        for index, name in enumerate(names)
    ]
    return FigureBlock(
        ident="fig-phases",
        svg=draw_svg(plot_phases(tree), "fig-phases", title, summary),
        title=title,
        variables=("/dynamics/rung_kl", "/dynamics/kl"),
        reading="Fainter is nearer; the dot marks the nearest at each checkpoint. Where dots go "
        "from row to row, the network passes from one explanation to the next.",
        data=make_table("Mean KL from each explanation to the network.", columns),
    )


def _draw_lens(tree: xr.DataTree) -> FigureBlock:
    """Draw the logit lens over training."""
    title = "The logit lens over training"
    values = read_values(tree, "/dynamics/lens_kl", "seed", "stream", "checkpoint")
    columns = [label_column("step", read_labels(tree, "/dynamics/kl", "checkpoint"))]
    columns += [
        seed_column(tree, name, "bit", values[:, index])
        for index, name in enumerate(read_labels(tree, "/dynamics/lens_kl", "stream"))
    ]
    return FigureBlock(
        ident="fig-lens-dynamics",
        svg=draw_svg(plot_lens_dynamics(tree), "fig-lens-dynamics", title, title),
        title=title,
        variables=("/dynamics/lens_kl",),
        reading="Each row is a place in the residual stream, read out as if it were the last; "
        "fainter is nearer to exact. A dark row says that the read-out sees nothing there, not "
        "that nothing is there.",
        data=make_table("Mean KL from exact to the logit lens at each place.", columns),
    )


def _tabulate_ratios(tree: xr.DataTree) -> TableBlock:
    """List the steps and the ratio of every seed."""
    names = ("frame_step", "output_step", "ratio", "ratio_low", "ratio_high", "straight_ratio")
    frame, output, ratio, low, high, straight = (
        read_values(tree, f"/dynamics/{name}", "seed") for name in names
    )
    intervals = [
        format_interval(*map(float, ends))[1] or "none: every sequence is looked at"
        if np.isfinite(ends).all()
        else "–"
        for ends in zip(ratio, low, high, strict=True)
    ]
    return make_table(
        f"When each seed settles; the interval holds the ratio at {level_words()} over sequences.",
        [
            label_column("seed", read_labels(tree, "/dynamics/ratio", "seed")),
            number_column(tree, f"{_frame_words(tree)} settled", "step", frame),
            number_column(tree, "output settled", "step", output),
            number_column(tree, "ratio", "", ratio),
            label_column("interval", intervals),
            number_column(tree, "ratio, straight line", "", straight),
        ],
    )
