"""The ladder as a table: the network beside every rival, in every measure."""

import math

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import read_labels, read_values
from bayescmp.report.blocks import Cell, Row, Section, TableBlock
from bayescmp.report.headline import describe_standing
from bayescmp.report.words import (
    is_over_every_sequence,
    number_cell,
    read_optional,
    resolution,
    seed_cell,
    with_unit,
)

COLUMNS = (
    ("KL to exact", "mean_kl", "bit", 0.0),
    ("total variation", "mean_total_variation", "1", 0.0),
    ("impossible mass", "mean_impossible_mass", "1", 0.0),
    ("argmax agreement", "mean_argmax_agreement", "1", 1.0),
    ("entropy MAE (A)", "entropy_mae_a", "bit", 0.0),
    ("entropy MAE (B)", "entropy_mae_b", "bit", 0.0),
    ("excess log loss", "mean_excess_log_loss", "bit", 0.0),
)
"""Name, variable, unit, and the value of exact Bayes itself."""


def build_ladder_section(tree: xr.DataTree) -> Section:
    """Write the section on the ladder of rivals.

    Args:
        tree: A comparison.

    Returns:
        The section: one table, the closest to exact on top.
    """
    kl = read_values(tree, "/divergence/mean_kl", "seed")
    paragraphs = [
        "A network is only as Bayesian as the simplest rival that does as well. "
        + describe_standing(tree, kl)
    ]
    constant = read_optional(tree, "/ladder", "best_constant_entropy_mae")
    if isinstance(constant, int | float) and math.isfinite(constant):
        number = format_number(float(constant), resolution=resolution(tree, "bit"))
        paragraphs.append(
            "Entropy MAE is kept for comparison with published figures and never stands alone: a "
            "wrong distribution with the right entropy passes it, and a single number for all "
            f"positions already scores {with_unit(number, 'bit')} (A)."
        )
    if is_over_every_sequence(tree):
        paragraphs.append(
            "Every sequence that can happen was weighted by its exact probability: no figure has a "
            "sampling error, and the excess log loss is the KL divergence."
        )
    return Section(
        ident="ladder",
        title="The ladder of rivals",
        paragraphs=tuple(paragraphs),
        tables=(_make_table(tree),),
    )


def _make_table(tree: xr.DataTree) -> TableBlock:
    """Put the network among the rungs, ordered by KL."""
    names = read_labels(tree, "/ladder/mean_kl", "rung")
    rungs = read_values(tree, "/ladder/mean_kl", "rung")
    own = read_values(tree, "/divergence/mean_kl", "seed").mean()
    exact = Row(
        (Cell("exact Bayes", "by definition"), *(Cell(f"{ideal:g}") for *_, ideal in COLUMNS))
    )
    network = Row((Cell("network", "mean, interval"), *_network_cells(tree)), strong=True)
    keyed = [(own, network)]
    for index, name in enumerate(names):
        cells = [
            number_cell(tree, read_values(tree, f"/ladder/{variable}", "rung")[index], units)
            for _, variable, units, _ in COLUMNS
        ]
        keyed.append((rungs[index], Row((Cell(name), *cells))))
    keyed.sort(key=lambda pair: math.inf if np.isnan(pair[0]) else pair[0])
    headers = [Cell(name, "" if units == "1" else units) for name, _, units, _ in COLUMNS]
    return TableBlock(
        caption="Means over supervised positions, closest to exact first: variables of /ladder "
        "for the rivals and of /divergence for the network.",
        headers=(Cell("predictor"), *headers),
        rows=(exact, *(row for _, row in keyed)),
    )


def _network_cells(tree: xr.DataTree) -> list[Cell]:
    """Write the network's means with their intervals."""
    return [
        seed_cell(tree, read_values(tree, f"/divergence/{variable}", "seed"), units)
        for _, variable, units, _ in COLUMNS
    ]
