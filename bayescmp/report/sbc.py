"""Simulation-based calibration: does the truth stand anywhere in its posterior equally often?"""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.sbc import plot_sbc
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column
from bayescmp.report.words import plural, read_optional, read_text

ABSENT = (
    "The tree has no group /sbc: no posterior was checked on replicates; "
    "bayescmp.auditing.simulate_calibration(...) makes it."
)

READING = (
    "How to read it: latents and data were drawn from the model, and the posterior was asked for "
    "given the data. Where it is right, the truth stands anywhere in it equally often, and each "
    "curve stays inside the band with a chance of 95\N{NO-BREAK SPACE}% at all levels together. "
    "A curve above the band on the left and below it on the right belongs to a posterior that is "
    "too narrow, the reverse to one that is too wide; a curve on one side only to one that is "
    "shifted.",
    "What it cannot show: each quantity sees some errors only. The prior itself is calibrated for "
    "every latent, which is why functions of latents and data stand beside them; and a right "
    "average over replicates can hide errors that cancel. Nothing is said of data that the model "
    "does not produce.",
)

LEVEL = 0.05
"""Level at which a p-value counts as a finding."""


def build_sbc_section(tree: xr.DataTree) -> Section:
    """Write the section on simulation-based calibration.

    Args:
        tree: A comparison with or without the group ``/sbc``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "sbc", "Simulation-based calibration"
    if not has_variable(tree, "/sbc/difference"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    return Section(
        ident,
        title,
        paragraphs=(summary, _say_how(tree), *READING),
        figures=(_draw(tree, summary),),
        tables=(_list_quantities(tree),),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say whether places are uniform, and by how much they are not."""
    p_values = read_values(tree, "/sbc/p_value", "seed", "quantity")
    errors = read_values(tree, "/sbc/coverage_error", "seed", "quantity")
    overall = read_values(tree, "/sbc/p_value_of_all", "seed")
    names = read_labels(tree, "/sbc/p_value", "quantity")
    oddest = names[int(np.argmin(p_values[0]))]
    num_off, num_seeds = int(np.sum(overall <= LEVEL)), len(overall)
    verdict = "no departure from calibration was found"
    if num_off:
        where = "" if num_seeds == 1 else f" in {num_off} of {num_seeds} seeds"
        verdict = f"the posterior is not calibrated{where}"
    noise = _number(tree, "noise")
    return (
        f"Over {format_count(_number(tree, 'num_replicates'))} replicates and "
        f"{plural(len(names), 'quantity', 'quantities')}, {verdict}: p = "
        f"{format_number(float(overall[0]), digits=2)} for the oddest, {oddest}, corrected for "
        f"their number. The largest gap in coverage is {errors.max():.1f} points; by chance alone "
        f"one quantity's exceeds {noise:.1f} points one time in twenty."
    )


def _say_how(tree: xr.DataTree) -> str:
    """Say where posterior and replicates come from."""
    draws, observed = int(_number(tree, "num_draws")), int(_number(tree, "num_observed"))
    ranked = "Exact laws were used, so that nothing was ranked."
    if draws:
        ranked = f"Truths were ranked among {format_count(draws)} draws, ties by lot."
    if int(_number(tree, "thinning")) > 1:
        ess = read_values(tree, "/sbc/least_ess", "seed").min()
        ranked += (
            f" One of {int(_number(tree, 'thinning'))} draws of each chain was kept, since "
            f"95\N{NO-BREAK SPACE}% of replicates had {ess:.0f} effective draws or more."
        )
    begin = "Replicates were drawn from the prior."
    if observed:
        begin = f"All replicates begin with the same {plural(observed, 'observed outcome')}."
        if read_optional(tree, "/sbc", "replicates") == "posterior":
            begin += (
                " Their latents were drawn from the posterior under test given these, and the rest "
                "of each sequence given its latents: a posterior of another prior agrees with "
                "itself and passes."
            )
    question = int(_number(tree, "position")) + 1
    how = read_text(tree, "/sbc", "how")
    return f"The posterior ({how}) was asked for at question {question}. {begin} {ranked}"


def _number(tree: xr.DataTree, name: str) -> float:
    """Read a number among the attributes."""
    value = read_optional(tree, "/sbc", name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw curves and histogram."""
    title = "Where the truth stands in its posterior, against uniform"
    levels = read_values(tree, "/sbc/level", "sbc_level")
    curves = read_values(tree, "/sbc/difference", "seed", "quantity", "sbc_level")[0]
    names = read_labels(tree, "/sbc/difference", "quantity")
    columns = [label_column("level", [f"{level:.2f}" for level in levels])]
    columns += [
        number_column(tree, f"band, {end}", "", read_values(tree, path, "sbc_level"))
        for end, path in (("low", "/sbc/difference_low"), ("high", "/sbc/difference_high"))
    ]
    columns += [number_column(tree, name, "", row) for name, row in zip(names, curves, strict=True)]
    return FigureBlock(
        ident="fig-sbc",
        svg=draw_svg(plot_sbc(tree), "fig-sbc", title, summary),
        title=title,
        variables=("/sbc/difference", "/sbc/height"),
        reading="One curve for each quantity, of the first seed; the three oddest are named. Grey: "
        "what all levels of a right posterior's curve stay inside together. Below: how many "
        "replicates fell into each cell, for the oddest quantity, with the band of all cells.",
        data=make_table("Share of replicates up to each level, minus the level.", columns),
    )


def _list_quantities(tree: xr.DataTree) -> TableBlock:
    """List what was found for every quantity."""
    names = read_labels(tree, "/sbc/p_value", "quantity")
    columns = [label_column("quantity", names)]
    for name, header, form in (
        ("p_value", "p-value", None),
        ("coverage_error", "coverage error, points", ".1f"),
        ("interval_error", "90\N{NO-BREAK SPACE}% intervals, points", "+.1f"),
    ):
        values = read_values(tree, f"/sbc/{name}", "seed", "quantity")
        cells = [_cell(values[:, row], form) for row in range(len(names))]
        columns.append((Cell(header), cells))
    return make_table(
        "By quantity, the first seed's with the range of all seeds below. Coverage error: the "
        "largest gap between the share of truths below a posterior quantile and the quantile. "
        "Intervals: share of truths inside central ones minus 90, negative where too narrow.",
        columns,
    )


def _cell(values: np.ndarray, form: str | None) -> Cell:
    """Write the first seed's value and the range over seeds."""

    def write(value: float) -> str:
        return format(value, form) if form else format_number(value, digits=2)

    note = f"{write(float(values.min()))} to {write(float(values.max()))}"
    return Cell(write(float(values[0])), note if len(values) > 1 else "")
