"""Expected coverage: do a predictor's sets hold what comes as often as it says?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.coverage import (
    plot_coverage,
    plot_coverage_by_position,
    plot_coverage_streams,
)
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.entropy_levels import level_columns
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import join_words, over_seeds

ABSENT = (
    "The tree has no group /coverage: the coverage of the network's sets was not asked for; the "
    "audit check_coverage adds it."
)

LEVEL = 0.05
"""P-value up to which coverage counts as off."""

READING = (
    "How to read it: for every level a set takes outcomes in, one after the other, until it holds "
    "that much of the network's probability; at its boundary an outcome belongs to it with the "
    "chance that makes it exact. Highest-density sets begin with the likeliest outcome: covering "
    "too little means too sure, too much not sure enough. Sets around a reference (TARP) begin "
    "with what the reference names. The learnt reference has seen, on half of the sequences, which "
    "outcomes the network misses in which context, and is judged on the other half: covering too "
    "much says that the network leaves something unused that the context tells. The shaded "
    "band holds at all levels together, with sequences as the units.",
    "What it cannot show: a network that ignores its context but knows how sure it may be has "
    "nominal highest-density sets. The blind reference is an order drawn at random, as TARP is "
    "often run; it cannot tell one context from another, and is drawn to show what it hides. The "
    "learnt reference sees only what a linear rule over features of the context can tell. An "
    "area averages over levels, so that errors of both signs cancel; the p-value does not.",
)


def build_coverage_section(tree: xr.DataTree) -> Section:
    """Write the section on expected coverage.

    Args:
        tree: A comparison with or without the group ``/coverage``.

    Returns:
        The section; where the tree has no coverage it says so.
    """
    ident, title = "coverage", "Coverage of the network's sets"
    if not has_variable(tree, "/coverage/coverage"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    figures = [_draw_curves(tree, summary), _draw_places(tree, *POSITIONS)]
    missing = []
    if has_variable(tree, "/coverage/error_by_stream"):
        figures.append(_draw_places(tree, *STREAMS))
    else:
        missing.append("The tree has no /coverage/error_by_stream: no network was traced.")
    tables = [_error_table(tree)]
    if has_variable(tree, "/coverage/error_by_entropy"):
        tables.append(_entropy_table(tree))
    else:
        missing.append("The tree has no /coverage/error_by_entropy: it was made before there was.")
    paragraphs = (summary, _say_learnt(tree), *READING)
    return Section(
        ident, title, paragraphs, tuple(figures), tables=tuple(tables), missing=tuple(missing)
    )


def write_chance(value: float) -> str:
    """Write a p-value that is a multiple of one in a thousand.

    Args:
        value: The p-value.

    Returns:
        Text such as ``p = 0.04``; a dash where there is none.
    """
    if np.isnan(value):
        return "–"
    return "p ≤ 0.001" if value <= 0.001 else f"p = {format_number(float(value), digits=2)}"


def _summarise(tree: xr.DataTree) -> str:
    """Say how far highest-density sets are off, and in which direction."""
    value, note = _write_error(tree, "error", 0)
    exact, _ = _write_error(tree, "exact_error", 0)
    p_values = read_values(tree, "/coverage/p_value", "region", "seed")[0]
    errors = read_values(tree, "/coverage/error", "region", "seed")[0]
    off = p_values <= LEVEL
    verdict = "Coverage is as stated in every seed"
    if off.any():
        ways = [_direction(errors[off & (np.sign(errors) == sign)]) for sign in (-1.0, 1.0, 0.0)]
        seeds = f" in {int(off.sum())} of {off.size} seeds" if off.size > 1 else ""
        verdict = f"The network is {join_words([way for way in ways if way])}{seeds}"
    chances = join_words([write_chance(value) for value in p_values])
    return (
        f"{verdict}: the coverage of highest-density sets, minus their level, is {value} points "
        f"({note}) on average, and {exact} points under the exact law, without labels ({chances})."
    )


def _direction(errors: np.ndarray) -> str:
    """Name the direction of errors of one sign."""
    if not errors.size:
        return ""
    if errors[0] == 0.0:
        return "off at some levels"
    return "too sure" if errors[0] < 0.0 else "not sure enough"


def _say_learnt(tree: xr.DataTree) -> str:
    """Say what references see."""
    value, note = _write_error(tree, "error", 1)
    chances = [
        join_words([write_chance(one) for one in row])
        for row in read_values(tree, "/coverage/p_value", "region", "seed")[1:]
    ]
    return (
        f"What comes is nearer to a reference learnt from the context than the network says by "
        f"{value} points ({note}; {chances[0]}); a blind reference sees {chances[1]}."
    )


def _write_error(tree: xr.DataTree, name: str, region: int) -> tuple[str, str]:
    """Write an error over seeds, with its interval or why there is none."""
    values = read_values(tree, f"/coverage/{name}", "region", "seed")[region]
    return over_seeds(tree, values, "points")


def _draw_curves(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw coverage by level."""
    title = "How often do the network's sets hold what comes?"
    regions, levels = (
        read_labels(tree, "/coverage/coverage", dim) for dim in ("region", "nominal")
    )
    columns = [label_column("level, %", levels)]
    for name, header in (("coverage", "drawn"), ("exact_coverage", "exact")):
        values = read_values(tree, f"/coverage/{name}", "region", "seed", "nominal")
        columns += [
            seed_column(tree, f"{region}, {header}", "", row)
            for region, row in zip(regions, values, strict=True)
        ]
    return FigureBlock(
        ident="fig-coverage",
        svg=draw_svg(plot_coverage(tree), "fig-coverage", title, summary),
        title=title,
        variables=("/coverage/coverage", "/coverage/exact_coverage", "/coverage/band"),
        reading="One panel for each order in which sets take outcomes in. Dots: drawn outcomes of "
        "the first seed; dashes: the chance under the exact law on the same questions. A curve "
        "inside the shade is what a calibrated network shows 95 times of 100.",
        data=make_table("Coverage by level, mean over seeds.", columns),
    )


@dataclass(frozen=True)
class Places:
    """Errors along one axis, as a figure."""

    axis: str
    """Name of the dimension."""
    p_name: str
    """Variable of its p-values."""
    header: str
    """What the rows of the table are."""
    title: str
    reading: str


POSITIONS = (
    Places(
        "position",
        "p_by_position",
        "position",
        "Where does coverage err?",
        "Mean over levels of coverage minus level. Rings mark positions of the first seed "
        "that are off, all positions and levels looked at together.",
    ),
    plot_coverage_by_position,
)
"""Errors by position, and what draws them."""

STREAMS = (
    Places(
        "stream",
        "p_value_by_stream",
        "place",
        "Coverage through the logit lens",
        "Each place read out as if it were the last. Rings mark places of the first seed that are "
        "off, all levels looked at together and each place by itself. A place that computes in "
        "another basis than the read-out's looks off without being so; the last place is the "
        "network's own answer.",
    ),
    plot_coverage_streams,
)
"""Errors by place in the residual stream, and what draws them."""


def _draw_places(
    tree: xr.DataTree, places: Places, plot: Callable[[xr.DataTree], Figure]
) -> FigureBlock:
    """Draw errors along one axis."""
    by = places.axis
    path, ident = f"/coverage/error_by_{by}", f"fig-coverage-by-{by}"
    regions, rows = (read_labels(tree, path, dim) for dim in ("region", by))
    columns = [label_column(places.header, rows)]
    for name, header in ((f"error_by_{by}", "drawn"), (f"exact_error_by_{by}", "exact")):
        values = read_values(tree, f"/coverage/{name}", "region", "seed", by)
        columns += [
            seed_column(tree, f"{region}, {header}", "points", row)
            for region, row in zip(regions, values, strict=True)
        ]
    p_values = read_values(tree, f"/coverage/{places.p_name}", "region", "seed", by)[:, 0]
    columns += [
        number_column(tree, f"{region}, p-value, first seed", "", row)
        for region, row in zip(regions, p_values, strict=True)
    ]
    words = f"Coverage error at each {places.header}, by drawn outcomes and by the exact law."
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot(tree), ident, places.title, words),
        title=places.title,
        variables=(path, f"/coverage/exact_error_by_{by}", f"/coverage/{places.p_name}"),
        reading=places.reading,
        data=make_table(f"Coverage error by {places.header}, mean over seeds.", columns),
    )


def _entropy_table(tree: xr.DataTree) -> TableBlock:
    """List errors of highest-density sets by level of exact entropy."""
    dims = ("region", "seed", "entropy_level")
    num, p_value = (
        read_values(tree, f"/coverage/{name}_by_entropy", *dims)[0, 0] for name in ("num", "p")
    )
    columns = level_columns(tree, "/coverage", num)
    for name, header in (("error", "drawn"), ("exact_error", "exact")):
        values = read_values(tree, f"/coverage/{name}_by_entropy", *dims)[0]
        columns.append(seed_column(tree, header, "points", values))
    columns.append((Cell("p-value", "first seed"), [Cell(write_chance(one)) for one in p_value]))
    return make_table(
        "Coverage error of highest-density sets by level of exact entropy. P-values hold for all "
        "levels together. Levels are those of the first seed.",
        columns,
    )


def _error_table(tree: xr.DataTree) -> TableBlock:
    """List errors and p-values of every kind of set."""
    regions = read_labels(tree, "/coverage/error", "region")
    columns = [label_column("sets", regions)]
    for name, header in (("error", "drawn"), ("exact_error", "exact")):
        values = read_values(tree, f"/coverage/{name}", "seed", "region")
        columns.append(seed_column(tree, header, "points", values))
    ends = [
        read_values(tree, f"/coverage/{name}", "region", "seed")[:, 0]
        for name in ("error_low", "error_high")
    ]
    cells = [
        Cell(f"[{format_number(float(low))}, {format_number(float(high))}]")
        if high - low > 1e-9  # points; less is rounding
        else Cell("no spread", "every question says the same")
        for low, high in zip(*ends, strict=True)
    ]
    columns.append((Cell("interval, first seed", "over sequences"), cells))
    chances = read_values(tree, "/coverage/p_value", "region", "seed")
    texts = [Cell(", ".join(write_chance(one) for one in row)) for row in chances]
    columns.append((Cell("p-values", "seed by seed"), texts))
    return make_table("Mean over levels of coverage minus level.", columns)
