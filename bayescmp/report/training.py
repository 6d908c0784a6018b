"""How the network was trained, and what that cost."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_count, format_duration, format_number
from bayescmp.plots.series import divergence_floor, read_labels, read_values, seed_band
from bayescmp.plots.training import excess_is_positive, plot_training
from bayescmp.report.blocks import Fact, FactList, FigureBlock, Section
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import (
    flatten,
    plural,
    read_optional,
    read_text,
    resolution,
    with_unit,
)

OBJECTIVES = {
    "sampled": "cross-entropy on the drawn outcome",
    "rao_blackwell": "cross-entropy against the exact predictive, the conditional expectation of "
    "the cross-entropy on drawn outcomes",
}

COUNTS = (
    ("parameters", "num_parameters"),
    ("batch size, sequences", "batch_size"),
    ("steps of each seed", "num_steps"),
    ("sequences seen by each seed", "num_sequences_seen"),
    ("tokens seen by each seed", "num_tokens_seen"),
    ("floating-point operations of a step", "flops_per_step"),
    ("floating-point operations, all seeds", "flops_total"),
)
"""Name and attribute of every count."""


def build_training_section(tree: xr.DataTree) -> Section:
    """Write the section on training.

    Args:
        tree: A comparison with or without the group ``/training``.

    Returns:
        The section; where nothing was trained it says so.
    """
    ident, title = "training", "Training"
    if "/training" not in tree.groups:
        missing = (
            "The tree has no group /training: this network was not trained here, so its training "
            "data, cost and seeds are whatever its source says.",
        )
        return Section(ident, title, missing=missing)
    objective = read_text(tree, "/training", "objective")
    words = OBJECTIVES.get(objective)
    paragraphs = (f"Objective: {objective}{f' ({words})' if words else ''}.", _summarise(tree))
    return Section(
        ident,
        title,
        paragraphs=paragraphs,
        figures=(_draw_training(tree, paragraphs[1]),),
        facts=(FactList("What was spent", tuple(_list_costs(tree))), _list_optimiser(tree)),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say how far above the entropy floor training ended."""
    excess = read_values(tree, "/training/excess", "seed", "step")
    if excess.shape[1] == 0:
        return "No step was recorded."
    last = float(seed_band(excess[:, -max(1, excess.shape[1] // 50) :].mean(axis=1)).mean)
    number = with_unit(format_number(last, resolution=resolution(tree, "bit")), "bit")
    return (
        f"At the end the training loss stood {number} above the entropy floor (mean over "
        f"{plural(excess.shape[0], 'seed')} and the last 2 % of the recorded steps)."
    )


def _draw_training(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the training curve."""
    title = "Training loss above the entropy floor, against the ladder"
    excess = read_values(tree, "/training/excess", "seed", "step")
    finite = excess[np.isfinite(excess)]
    below = int(np.sum(finite <= 0.0))
    note = ""
    if below and excess_is_positive(excess):
        share = 100.0 * below / finite.size
        note = (
            f" {format_number(share, digits=2)} % of the values are zero or less, as the noise of "
            "drawn outcomes allows, and are not drawn."
        )
    elif below:
        note = " Values below zero come from the noise of drawn outcomes."
    if np.any((finite > 0.0) & (finite <= divergence_floor(tree))) and excess_is_positive(excess):
        note += " Values too small to tell from zero are drawn on the lowest line, marked ≤."
    return FigureBlock(
        ident="fig-training",
        svg=draw_svg(plot_training(tree), "fig-training", title, summary),
        title=title,
        variables=("/training/excess", "/training/learning_rate", "/ladder/mean_kl"),
        reading="One line for each seed. Zero would be exact Bayes on every training batch; fresh "
        "sequences are drawn at every step, so this is not a fit to a fixed set. Levels are the "
        "rivals' mean KL, the excess loss each would have; the table of the ladder lists them."
        f"{note}",
        data=make_table(
            "Training loss and its excess over the entropy floor.",
            [
                label_column("step", read_labels(tree, "/training/excess", "step")),
                seed_column(tree, "excess", "bit", excess),
                seed_column(
                    tree, "loss", "bit", read_values(tree, "/training/loss", "seed", "step")
                ),
                number_column(
                    tree, "learning rate", "", read_values(tree, "/training/learning_rate", "step")
                ),
            ],
        ),
    )


def _list_costs(tree: xr.DataTree) -> list[Fact]:
    """List what training took."""
    facts = []
    for name, attribute in COUNTS:
        value = read_optional(tree, "/training", attribute)
        known = isinstance(value, int | float)
        facts.append(Fact(name, format_count(float(value)) if known else "not recorded"))
    seconds = read_optional(tree, "/training", "seconds")
    if isinstance(seconds, list) and seconds:
        spans = ", ".join(format_duration(float(second)) for second in seconds)
        facts.append(Fact("time of each seed", spans))
    facts.append(Fact("devices", read_text(tree, "/training", "devices")))
    return facts


def _list_optimiser(tree: xr.DataTree) -> FactList:
    """List the optimiser's settings."""
    rows = flatten(read_optional(tree, "/training", "optimiser"), "")
    return FactList("Optimiser", tuple(Fact(name or "optimiser", text) for name, text in rows))
