"""Local calibration: in which contexts is a predictor off, and would labels alone tell?"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.plots.local_calibration import (
    plot_local_calibration,
    plot_local_calibration_streams,
)
from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.coverage import write_chance
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column
from bayescmp.report.words import join_words, plural, read_optional

ABSENT = (
    "The tree has no group /local_calibration: in which contexts the network is off was not asked "
    "for; the audit locate_miscalibration adds it."
)

MOST_PLACES = 20
"""Places that are listed by name."""

READING = (
    "How to read it: in every group of questions, what came is held against what was predicted. "
    "Sureness is the probability that the network gave to what came, minus what it expected of "
    "itself: negative is too sure, positive not sure enough. Shown before are outcomes that the "
    "sequence had shown already, shown last the one of the question before; then come single "
    "outcomes: positive came more often than predicted. P-values hold for all groups and aspects "
    "together, with sequences as the units. The exact gap uses the exact law on the same "
    "questions in the place of what came: the truth, which labels can only blur.",
    "What it cannot show: errors that cancel within every group, and outcomes too rare to be "
    "counted (fewer than some nine in a group are not tested). The test on features of the "
    "context sees more of the former, but not where. A gap of zero everywhere does not make "
    "the exact law: a network that knows less, and says so, has none unless the groups know more.",
)

Places = Sequence[tuple[int, int]]
"""Numbers of the context and of the aspect."""


def build_local_calibration_section(tree: xr.DataTree) -> Section:
    """Write the section on where a network is off.

    Args:
        tree: A comparison with or without the group ``/local_calibration``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "local_calibration", "Where the network is miscalibrated"
    if not has_variable(tree, "/local_calibration/gap"):
        return Section(ident, title, missing=(ABSENT,))
    places = _find_places(tree)
    summary = _summarise(tree, places)
    paragraphs = (summary, *_say_impossible(tree), _say_agreement(tree), *READING)
    tables = (_place_table(tree, places),) if places else ()
    figures, missing = [_draw_map(tree, summary)], ()
    if has_variable(tree, "/local_calibration/gap_by_stream"):
        figures.append(_draw_streams(tree))
    else:
        missing = ("The tree has no /local_calibration/gap_by_stream: no network was traced.",)
    return Section(ident, title, paragraphs, tuple(figures), tables=tables, missing=missing)


def _find_places(tree: xr.DataTree) -> Places:
    """Find the places that are off in the first seed, the clearest first."""
    p_value, gap, low, high = (
        read_values(tree, f"/local_calibration/{name}", "seed", "context", "aspect")[0]
        for name in ("p_value", "gap", "gap_low", "gap_high")
    )
    width = high - low
    size = np.abs(gap) / np.where(width > 0.0, width, np.inf)
    off = p_value <= _level(tree)  # NaN is not
    order = np.lexsort((-size[off], p_value[off]))
    return [(int(c), int(a)) for c, a in np.argwhere(off)[order]]


def _level(tree: xr.DataTree) -> float:
    level = read_optional(tree, "/local_calibration", "level")
    return float(level) if isinstance(level, int | float) else 0.05


def _summarise(tree: xr.DataTree, places: Places) -> str:
    """Say whether the network is off anywhere, and where it is off most clearly."""
    chances = [
        join_words([write_chance(one) for one in read_values(tree, path, "seed")])
        for path in ("/local_calibration/map_p_value", "/local_calibration/features_p_value")
    ]
    tested = f"over the map {chances[0]}; given features of the context {chances[1]}"
    if not places:
        return f"In no group of contexts is the first seed off by what came ({tested})."
    return (
        f"The first seed is off in {plural(len(places), 'place')}, most clearly "
        f"{_write_place(tree, places[0])} ({tested})."
    )


def _write_place(tree: xr.DataTree, place: tuple[int, int]) -> str:
    """Write one place with its gap and the exact one."""
    path = "/local_calibration/gap"
    context, aspect = (
        read_labels(tree, path, dim)[at]
        for dim, at in zip(("context", "aspect"), place, strict=True)
    )
    gap, exact = (
        read_values(tree, f"/local_calibration/{name}", "seed", "context", "aspect")[0][place]
        for name in ("gap", "exact_gap")
    )
    words = f"{aspect} at {context}" if context != "all questions" else f"{aspect} over all"
    return f"{words}: {format_number(float(gap))}, exactly {format_number(float(exact))}"


def _say_impossible(tree: xr.DataTree) -> tuple[str, ...]:
    """Say how often something came that was held impossible."""
    num = read_values(tree, "/local_calibration/num_impossible", "seed")
    if not num.any():
        return ()
    counts = join_words([format_count(float(one)) for one in num])
    return (
        f"Something came that the network held impossible, {counts} times seed by seed: that alone "
        "refutes it.",
    )


def _say_agreement(tree: xr.DataTree) -> str:
    """Say how well gaps by labels follow exact ones."""
    values = read_values(tree, "/local_calibration/agreement", "seed")
    if np.isnan(values).all():
        return "The exact gaps are the same everywhere, so that labels had nothing to locate."
    texts = ["–" if np.isnan(one) else format_number(float(one)) for one in values]
    return (
        f"Over all places, gaps by what came and exact gaps have the correlation "
        f"{join_words(texts)}: how well labels alone find where the network is off."
    )


def _draw_map(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw gaps by context."""
    title = "What came against what was predicted, by context"
    path = "/local_calibration/gap"
    contexts, aspects = (read_labels(tree, path, dim) for dim in ("context", "aspect"))
    counts = read_values(tree, "/local_calibration/num_questions", "seed", "context")[0]
    columns = [label_column("context", contexts)]
    columns.append((Cell("questions"), [Cell(format_count(float(one))) for one in counts]))
    for name, header in (("gap", "drawn"), ("exact_gap", "exact"), ("p_value", "p-value")):
        values = read_values(tree, f"/local_calibration/{name}", "seed", "aspect", "context")[0]
        columns += [
            number_column(tree, f"{aspect}, {header}", "", row)
            for aspect, row in list(zip(aspects, values, strict=True))[:3]
        ]
    return FigureBlock(
        ident="fig-local-calibration",
        svg=draw_svg(plot_local_calibration(tree), "fig-local-calibration", title, summary),
        title=title,
        variables=(path, "/local_calibration/exact_gap", "/local_calibration/p_value"),
        reading="One row for each group of questions of the first seed. Dots: drawn outcomes with "
        "their 95\N{NO-BREAK SPACE}% interval, which holds row by row; diamonds: the exact law on "
        "the same questions. Rings mark what is off when all rows and aspects are looked at "
        "together.",
        data=make_table("Gaps by context, first seed; dashes mark what was not tested.", columns),
    )


def _draw_streams(tree: xr.DataTree) -> FigureBlock:
    """Draw gaps in sureness by place in the stream."""
    title, ident = (
        "Where each place is off, through the logit lens",
        "fig-local-calibration-streams",
    )
    path, dims = "/local_calibration/gap_by_stream", ("aspect", "seed", "stream", "context")
    streams = read_labels(tree, path, "stream")
    columns = [label_column("place", streams)]
    for name, header in (
        ("map_p_value", "p-value, map"),
        ("features_p_value", "p-value, features"),
    ):
        values = read_values(tree, f"/local_calibration/{name}_by_stream", "seed", "stream")[0]
        columns.append((Cell(header), [Cell(write_chance(one)) for one in values]))
    for name, header in (("gap", "drawn"), ("exact_gap", "exact")):
        values = read_values(tree, f"/local_calibration/{name}_by_stream", *dims)[0, 0, :, 0]
        columns.append(number_column(tree, f"sureness over all, {header}", "", values))
    words = "Size of the gap in sureness by context and place in the stream."
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot_local_calibration_streams(tree), ident, title, words),
        title=title,
        variables=(path, "/local_calibration/p_value_by_stream"),
        reading="Each place of the first seed read out as if it were the last, in the groups of "
        "questions that the network's own answers make. The darker, the larger the gap in "
        "sureness; rings mark cells that are off, all contexts and aspects of one place looked at "
        "together. A place that computes in another basis than the read-out's looks off without "
        "being so; the last place is the network's own answer.",
        data=make_table("By place in the stream, first seed.", columns),
    )


def _place_table(tree: xr.DataTree, places: Places) -> TableBlock:
    """List the places that are off."""
    path = "/local_calibration/gap"
    contexts, aspects = (read_labels(tree, path, dim) for dim in ("context", "aspect"))
    shown = places[:MOST_PLACES]
    at = tuple(np.array(shown).T)
    columns = [
        label_column("context", [contexts[c] for c, _ in shown]),
        label_column("aspect", [aspects[a] for _, a in shown]),
    ]
    for name, header in (
        ("gap", "came minus predicted"),
        ("exact_gap", "exactly"),
        ("p_value", "p-value"),
    ):
        values = read_values(tree, f"/local_calibration/{name}", "seed", "context", "aspect")[0]
        columns.append(number_column(tree, header, "", values[at]))
    more = f" {len(places) - len(shown)} more are in the results file." if places[20:] else ""
    return make_table(f"Places where the first seed is off, the clearest first.{more}", columns)
