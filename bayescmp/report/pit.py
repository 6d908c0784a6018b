"""The probability integral transform: do outcomes fall where the laws said they would?"""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.pit import plot_pit, plot_pit_streams
from bayescmp.plots.series import has_variable, read_labels, read_places, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.entropy_levels import level_columns
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import join_words, over_seeds, read_optional

ABSENT = (
    "The tree has no group /pit: where outcomes fall in the laws that foretold them was not asked."
)

READING = (
    "How to read it: an outcome's transform is the probability that the network gave to smaller "
    "outcomes, plus a random share of that of the outcome itself. For a calibrated network "
    "transforms are uniform. Each curve stands on independent questions, one of each sequence, "
    "and its band holds at all levels together: one excursion anywhere has the stated chance. "
    "The exact line needs no outcome: it is what the curve is on average.",
    "What it cannot show: a network that knows less than there is to know, and says so, has "
    "uniform transforms. Outcomes without an order of their own take that of their indices, "
    "in which some defects cancel. The dependence of successive transforms sees more, but only "
    "where each outcome is shown before the next question.",
)


def build_pit_section(tree: xr.DataTree) -> Section:
    """Write the section on the probability integral transform.

    Args:
        tree: A comparison with or without the group ``/pit``.

    Returns:
        The section; where the tree has no transforms it says so.
    """
    ident, title = "pit", "Where outcomes fall in the predicted laws"
    if not has_variable(tree, "/pit/difference"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    figures = [_draw_pit(tree, summary)]
    missing = ()
    if has_variable(tree, "/pit/distance_by_stream"):
        figures.append(_draw_streams(tree))
    else:
        missing = ("The tree has no /pit/distance_by_stream: no network was traced.",)
    paragraphs = (summary, *_say_where(tree), *_say_dependence(tree), *READING)
    tables = (_entropy_table(tree),)
    return Section(ident, title, paragraphs, tuple(figures), tables=tables, missing=missing)


def write_p_value(value: float) -> str:
    """Write a p-value.

    Args:
        value: The p-value.

    Returns:
        Text such as ``p = 0.04`` or ``p < 0.001``.
    """
    if np.isnan(value):
        return "no p-value"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def _summarise(tree: xr.DataTree) -> str:
    """Say how far from uniform transforms are, over all."""
    drawn, exact = (
        over_seeds(tree, read_values(tree, f"/pit/{name}", "seed"), "1")
        for name in ("distance", "exact_distance")
    )
    p_values = read_values(tree, "/pit/p_value", "seed")
    num = format_count(float(read_values(tree, "/pit/num", "seed")[0]))
    return (
        f"On one random question of each of {num} sequences, the distribution of transforms is "
        f"{drawn[0]} from uniform at most ({drawn[1]}); without any outcome drawn, {exact[0]} "
        f"({exact[1]}). A calibrated network would be as far with "
        f"{join_words([write_p_value(value) for value in p_values])}"
        f"{', seed by seed' if p_values.size > 1 else ''}."
    )


def _say_where(tree: xr.DataTree) -> tuple[str, ...]:
    """List the positions that are off in the first seed."""
    off = read_values(tree, "/pit/off_by_position", "seed", "position")[0] > 0.0
    places = read_places(tree, "/pit/off_by_position", "position")[off]
    named = join_words([f"{place:.0f}" for place in places]) or "none"
    return (
        f"Positions where transforms are not uniform in the first seed: {named}. The list names "
        "any position wrongly with a chance of at most 5\N{NO-BREAK SPACE}%.",
    )


def _say_dependence(tree: xr.DataTree) -> tuple[str, ...]:
    """Say how successive transforms hang together."""
    if not has_variable(tree, "/pit/dependence"):
        return (
            "Outcomes are not shown after their question, so that successive transforms may depend "
            "on each other and were not tested for it.",
        )
    value, note = over_seeds(tree, read_values(tree, "/pit/dependence", "seed"), "1")
    p_values = read_values(tree, "/pit/dependence_p_value", "seed")
    return (
        f"Successive transforms have the correlation {value} ({note}), where exact ones have none: "
        f"{join_words([write_p_value(one) for one in p_values])}, sequences as units.",
    )


def _draw_pit(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the curve over all, and distances by position."""
    title = "Are transforms of outcomes uniform?"
    coverage = read_optional(tree, "/pit", "coverage")
    percent = f"{100 * float(coverage):g} % " if isinstance(coverage, int | float) else ""
    places = read_labels(tree, "/pit/distance_by_position", "position")
    columns = [label_column("position", places)]
    for name, header in (("distance", "drawn"), ("exact_distance", "exact")):
        values = read_values(tree, f"/pit/{name}_by_position", "seed", "position")
        columns.append(seed_column(tree, header, "", values))
    p_values = read_values(tree, "/pit/p_value_by_position", "seed", "position")[0]
    columns.append(number_column(tree, "p-value, first seed", "", p_values))
    return FigureBlock(
        ident="fig-pit",
        svg=draw_svg(plot_pit(tree), "fig-pit", title, summary),
        title=title,
        variables=("/pit/difference", "/pit/exact_difference", "/pit/distance_by_position"),
        reading=f"Above: the first seed's curve in its {percent}band, which holds at all levels "
        "together; dashed: the same without any outcome drawn. Below: the greatest distance at "
        "each position, where drawn outcomes alone make one of some hundredths; rings mark "
        "positions that are off, looked at together.",
        data=make_table("Greatest distance from uniform by position.", columns),
    )


def _draw_streams(tree: xr.DataTree) -> FigureBlock:
    """Draw distances through the logit lens."""
    title = "Transforms through the logit lens"
    streams = read_labels(tree, "/pit/distance_by_stream", "stream")
    columns = [label_column("place", streams)]
    for name, header in (("distance", "drawn"), ("exact_distance", "exact")):
        values = read_values(tree, f"/pit/{name}_by_stream", "seed", "stream")
        columns.append(seed_column(tree, header, "", values))
    return FigureBlock(
        ident="fig-pit-streams",
        svg=draw_svg(
            plot_pit_streams(tree), "fig-pit-streams", title, "Distance from uniform by place."
        ),
        title=title,
        variables=("/pit/distance_by_stream", "/pit/exact_distance_by_stream"),
        reading="Each place read out as if it were the last. A place that computes in another "
        "basis than the read-out's looks miscalibrated without being so; the last place is the "
        "network's own answer.",
        data=make_table("Greatest distance from uniform by place.", columns),
    )


def _entropy_table(tree: xr.DataTree) -> TableBlock:
    """List the levels of exact entropy."""
    dims = ("seed", "entropy_level")
    num, p_value = (
        read_values(tree, f"/pit/{name}_by_entropy", *dims)[0] for name in ("num", "p_value")
    )
    columns = level_columns(tree, "/pit", num)
    for name, header in (("distance", "drawn"), ("exact_distance", "exact")):
        values = read_values(tree, f"/pit/{name}_by_entropy", *dims)
        columns.append(seed_column(tree, header, "", values))
    cells = [Cell("–" if np.isnan(p) else format_number(float(p))) for p in p_value]
    columns.append((Cell("p-value", "first seed"), cells))
    return make_table(
        "Greatest distance from uniform by level of exact entropy, on one random question of each "
        "sequence that has any there. Levels are those of the first seed.",
        columns,
    )
