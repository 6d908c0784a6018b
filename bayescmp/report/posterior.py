"""An amortised posterior, from draws and truths: is it calibrated, and where is it off?"""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.posterior import plot_posterior
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.coverage import write_chance
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table
from bayescmp.report.words import plural, read_optional

ABSENT = (
    "The tree has no group /posterior: no draws of an amortised posterior were given; "
    "bayescmp.auditing.audit_posterior(draws, truths) makes it."
)

LEVEL = 0.05
"""Level at which a p-value counts as a finding."""

READING = (
    "How to read it: each simulation has parameters drawn from the prior, and draws from the "
    "posterior given its data. Where the posterior is right, the truth stands anywhere among the "
    "draws equally often, and each curve stays inside its band with a chance of "
    "95\N{NO-BREAK SPACE}% at all levels together. Highest-density sets that hold too little "
    "belong to a posterior that is too sure; sets around the learnt reference that hold too much, "
    "to one that leaves something in the data unused. The local test asks a classifier which of "
    "two parameters is the truth: the shift is how far it moves the posterior\u2019s mean, in its "
    "standard deviations, and the width by what factor it widens it.",
    "What it cannot show: without features of the data nothing here can tell the prior from the "
    "posterior, nor with a blind reference alone. The classifier sees errors of mean and "
    "covariance that depend on the features linearly; what it misses may still be wrong. Nothing "
    "is said of data that the simulations do not hold.",
)


def build_posterior_section(tree: xr.DataTree) -> Section:
    """Write the section on an amortised posterior.

    Args:
        tree: A tree with or without the group ``/posterior``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "posterior", "Draws of an amortised posterior"
    if not has_variable(tree, "/posterior/difference"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    tables, missing = [_list_parameters(tree), _list_sets(tree)], ()
    if has_variable(tree, "/posterior/local_shift"):
        tables.append(_list_places(tree))
    else:
        missing = ("The tree has no /posterior/local_shift: no features of the data were given.",)
    figures = (_draw(tree, summary),)
    return Section(
        ident, title, (summary, *READING), figures, tables=tuple(tables), missing=missing
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say whether anything is off, and by how much."""
    overall = read_values(tree, "/posterior/p_value_of_all", "seed")
    errors = read_values(tree, "/posterior/coverage_error", "seed", "parameter")
    num_off = int(np.sum(overall <= LEVEL))
    verdict = "no departure from calibration was found"
    if num_off:
        where = "" if overall.size == 1 else f" in {num_off} of {overall.size} seeds"
        verdict = f"the posterior is not calibrated{where}"
    noise, num = (_number(tree, name) for name in ("noise", "num_simulations"))
    return (
        f"Over {format_count(num)} simulations with {format_count(_number(tree, 'num_draws'))} "
        f"draws each and {plural(errors.shape[1], 'parameter')}, {verdict}: p = "
        f"{format_number(float(overall[0]), digits=2)} for the oddest test, corrected for their "
        f"number. The largest gap in coverage is {errors.max():.1f} points; by chance alone one "
        f"parameter\u2019s exceeds {noise:.1f} points one time in twenty."
    )


def _number(tree: xr.DataTree, name: str) -> float:
    """Read a number among the attributes."""
    value = read_optional(tree, "/posterior", name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw curves, histogram and coverage of sets."""
    title = "Truths among draws, and coverage of the posterior\u2019s sets"
    levels = read_values(tree, "/posterior/level", "posterior_level")
    dims = ("seed", "parameter", "posterior_level")
    curves = read_values(tree, "/posterior/difference", *dims)[0]
    names = read_labels(tree, "/posterior/difference", "parameter")
    columns = [label_column("level", [f"{level:.2f}" for level in levels])]
    for end in ("low", "high"):
        band = read_values(tree, f"/posterior/difference_{end}", "posterior_level")
        columns.append((Cell(f"band, {end}"), _cells(band)))
    columns += [(Cell(name), _cells(row)) for name, row in zip(names, curves, strict=True)]
    return FigureBlock(
        ident="fig-posterior",
        svg=draw_svg(plot_posterior(tree), "fig-posterior", title, summary),
        title=title,
        variables=("/posterior/difference", "/posterior/height", "/posterior/set_coverage"),
        reading="Above, one curve for each parameter of the first seed, the three oddest named, "
        "in the band of all levels; then how many simulations fell into each cell, for the oddest "
        "parameter; below, the coverage of each kind of set, in the band of the last one named in "
        "the table.",
        data=make_table("Share of simulations up to each level, minus the level.", columns),
    )


def _cells(values: np.ndarray) -> list[Cell]:
    """Write numbers; a dash where there is none."""
    return [Cell("\u2013" if np.isnan(x) else format_number(float(x))) for x in values]


def _list_parameters(tree: xr.DataTree) -> TableBlock:
    """List what was found for every parameter."""
    columns = [label_column("parameter", read_labels(tree, "/posterior/p_value", "parameter"))]
    for name, header in (
        ("p_value", "p-value"),
        ("coverage_error", "coverage error, points"),
        ("interval_error", "90\N{NO-BREAK SPACE}% intervals, points"),
    ):
        values = read_values(tree, f"/posterior/{name}", "seed", "parameter")[0]
        columns.append((Cell(header), _cells(values)))
    return make_table("By parameter, first seed; negative intervals are too narrow.", columns)


def _list_sets(tree: xr.DataTree) -> TableBlock:
    """List the coverage error of every kind of set."""
    kinds = read_labels(tree, "/posterior/set_error", "posterior_set")
    error, p_value = (
        read_values(tree, f"/posterior/set_{name}", "seed", "posterior_set")[0]
        for name in ("error", "p_value")
    )
    columns = [
        label_column("sets", kinds),
        (Cell("coverage error, points"), _cells(error)),
        (Cell("p-value"), _cells(p_value)),
    ]
    return make_table("Mean over levels of coverage minus level, first seed.", columns)


def _list_places(tree: xr.DataTree) -> TableBlock:
    """List where the posterior is off, and in which direction."""
    path, dims = "/posterior/local_shift", ("seed", "parameter", "posterior_place")
    places = read_labels(tree, path, "posterior_place")
    p_value = read_values(tree, "/posterior/local_p_value_by_place", "seed", "posterior_place")[0]
    columns = [
        label_column("place", places),
        (Cell("p-value"), [Cell(write_chance(float(one))) for one in p_value]),
    ]
    names = read_labels(tree, path, "parameter")
    for word in ("shift", "width"):
        values = read_values(tree, f"/posterior/local_{word}", *dims)[0]
        columns += [
            (Cell(f"{word}, {name}"), _cells(row)) for name, row in zip(names, values, strict=True)
        ]
    overall = read_values(tree, "/posterior/local_p_value", "seed")[0]
    return make_table(
        "The local test at some simulations of the first seed, looked at together "
        f"({write_chance(float(overall))} over all): shift in standard deviations of the draws, "
        "and width as a factor.",
        columns,
    )
