"""Reliability by isotonic regression: what probabilities mean, and what scores are made of."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.plots.numbers import format_count, format_number
from bayescmp.plots.reliability import (
    plot_calibration_errors,
    plot_reliability,
    plot_reliability_streams,
)
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.entropy_levels import level_columns
from bayescmp.report.figures import draw_svg
from bayescmp.report.pit import write_p_value
from bayescmp.report.tables import Column, label_column, make_table, number_column, seed_column
from bayescmp.report.words import join_words, over_seeds, read_optional

ABSENT = (
    "The tree has no group /reliability: recalibration by isotonic regression was not asked for."
)

READING = (
    "How to read it: the curve is the rising function of the forecast that fits outcomes best. A "
    "calibrated network's whole curve stays in its band with the stated chance. Miscalibration is "
    "what recalibrating would gain in the mean score, discrimination how much better than the base "
    "rate forecasts can tell cases apart, uncertainty the score of the base rate: score = "
    "miscalibration - discrimination + uncertainty. The plain calibration error is positive for a "
    "perfect network too, so it stands beside what it would be with exact probabilities for "
    "frequencies.",
    "What it cannot show: calibration says that probabilities mean what they say, not that they "
    "say as much as could be known. A network that ignores all evidence can be calibrated; its "
    "discrimination is nothing. A rising function cannot undo errors that come and go at the same "
    "forecast, and errors in opposite directions at one forecast cancel.",
)


def build_reliability_section(tree: xr.DataTree) -> Section:
    """Write the section on reliability.

    Args:
        tree: A comparison with or without the group ``/reliability``.

    Returns:
        The section; where the tree has no reliability it says so.
    """
    ident, title = "reliability", "What predicted probabilities turn out to mean"
    if not has_variable(tree, "/reliability/curve"):
        return Section(ident, title, missing=(ABSENT,))
    summary = _summarise(tree)
    figures = [_draw_curves(tree, summary), _draw_errors(tree)]
    missing = ()
    if has_variable(tree, "/reliability/log_by_stream"):
        figures.append(_draw_streams(tree))
    else:
        missing = ("The tree has no /reliability/log_by_stream: no network was traced.",)
    tables = (_parts_table(tree), _errors_table(tree), _entropy_table(tree))
    paragraphs = (summary, _say_errors(tree), *READING)
    return Section(ident, title, paragraphs, tuple(figures), tables=tables, missing=missing)


def _summarise(tree: xr.DataTree) -> str:
    """Say how much recalibrating would gain."""
    sentences = []
    for name, unit in (("brier", ""), ("log", " bit")):
        parts = read_values(tree, f"/reliability/{name}", "against", "score_part", "seed")
        gain, exact = (over_seeds(tree, row[1], unit.strip() or "1") for row in parts)
        null = read_values(tree, f"/reliability/{name}_null", "seed").mean()
        p_values = read_values(tree, f"/reliability/{name}_p_value", "seed")
        sentences.append(
            f"Recalibrating would gain {gain[0]}{unit} of the {_score_name(name)} ({gain[1]}); "
            f"outcomes drawn from the network's own laws seem to gain "
            f"{format_number(float(null))}{unit} ("
            f"{join_words([write_p_value(value) for value in p_values])}); by exact laws the gain "
            f"is {exact[0]}{unit}."
        )
    num = format_count(float(read_values(tree, "/reliability/num", "seed")[0]))
    return f"On one random question of each of {num} sequences: {' '.join(sentences)}"


def _score_name(name: str) -> str:
    """Name a score."""
    return "Brier score" if name == "brier" else "log score of each outcome against the rest"


def _say_errors(tree: xr.DataTree) -> str:
    """Say how far estimates of the calibration error are from what they estimate."""
    dims = ("calibration_kind", "calibration_estimator", "seed")
    drawn, exact = (
        read_values(tree, f"/reliability/{name}", *dims)[0] for name in ("error", "exact_error")
    )
    names = read_labels(tree, "/reliability/error", "calibration_estimator")
    rows = zip(names, drawn, exact, strict=True)
    parts = [
        f"{name}: {over_seeds(tree, value, '1')[0]} against {over_seeds(tree, truth, '1')[0]} "
        "exactly"
        for name, value, truth in rows
    ]
    return f"Class-wise calibration error against outcomes: {join_words(parts)}."


def _draw_curves(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the reliability curves."""
    title = "What came, minus what was forecast"
    coverage = read_optional(tree, "/reliability", "coverage")
    percent = f"{100 * float(coverage):g} % " if isinstance(coverage, int | float) else ""
    return FigureBlock(
        ident="fig-reliability",
        svg=draw_svg(plot_reliability(tree), "fig-reliability", title, summary),
        title=title,
        variables=("/reliability/curve", "/reliability/exact_curve", "/reliability/curve_low"),
        reading=f"The first seed's isotonic regression of outcomes in its {percent}consistency "
        "band, which holds at all forecasts together; dashed: that of exact probabilities. Below "
        "and above the forecasts that were made nothing is drawn.",
        data=_curve_table(tree),
    )


def _curve_table(tree: xr.DataTree) -> TableBlock:
    """List the first seed's curves."""
    dims = ("reliability_curve", "seed", "forecast")
    kinds = read_labels(tree, "/reliability/curve", "reliability_curve")
    percent = read_labels(tree, "/reliability/curve", "forecast")
    columns = [label_column("forecast, %", percent)]
    for index, kind in enumerate(kinds):
        for name, header in (("curve", "drawn"), ("exact_curve", "exact")):
            values = read_values(tree, f"/reliability/{name}", *dims)[index, 0]
            columns.append(number_column(tree, f"{kind}, {header}", "", values))
        low, high = (
            read_values(tree, f"/reliability/curve_{end}", *dims)[index, 0]
            for end in ("low", "high")
        )
        columns.append((Cell(f"{kind}, band"), _interval_cells(low, high)))
    return make_table("Recalibrated probability of the first seed, by forecast.", columns)


def _interval_cells(low: Float[np.ndarray, " row"], high: Float[np.ndarray, " row"]) -> list[Cell]:
    """Write intervals as cells."""
    return [
        Cell(f"[{format_number(float(a))}, {format_number(float(b))}]" if np.isfinite(a) else "–")
        for a, b in zip(low, high, strict=True)
    ]


def _draw_errors(tree: xr.DataTree) -> FigureBlock:
    """Draw calibration errors by position."""
    title = "Calibration error by position: estimates and truth"
    dims = ("calibration_kind", "calibration_estimator", "seed", "position")
    path = "/reliability/error_by_position"
    names, places = (read_labels(tree, path, d) for d in ("calibration_estimator", "position"))
    kinds = read_labels(tree, path, "calibration_kind")
    columns = [label_column("position", places)]
    for kind, drawn, exact in zip(
        kinds,
        read_values(tree, path, *dims),
        read_values(tree, "/reliability/exact_error_by_position", *dims),
        strict=True,
    ):
        for name, values, truth in zip(names, drawn, exact, strict=True):
            columns.append(seed_column(tree, f"{kind}, {name}", "", values))
            if name != "debiased":
                columns.append(seed_column(tree, f"{kind}, {name}, exact", "", truth))
    return FigureBlock(
        ident="fig-calibration-errors",
        svg=draw_svg(
            plot_calibration_errors(tree),
            "fig-calibration-errors",
            title,
            "Three estimates of the calibration error, and the exact one.",
        ),
        title=title,
        variables=(path, "/reliability/exact_error_by_position"),
        reading="Mean over classes at each position. The distance of an estimate's line from the "
        "exact one is its error; only the exact line needs no outcomes.",
        data=make_table("Calibration errors by position, against outcomes and exactly.", columns),
    )


def _draw_streams(tree: xr.DataTree) -> FigureBlock:
    """Draw scores through the logit lens."""
    title = "Calibration through the logit lens"
    path = "/reliability/log_by_stream"
    streams, names = (read_labels(tree, path, dim) for dim in ("stream", "score_part"))
    columns = [label_column("place", streams)]
    columns += _part_columns(tree, path, names, "stream", against=1)
    dims = ("calibration_kind", "calibration_estimator", "seed", "stream")
    for kind, values in enumerate(read_values(tree, "/reliability/exact_error_by_stream", *dims)):
        label = read_labels(tree, "/reliability/exact_error_by_stream", "calibration_kind")[kind]
        columns.append(seed_column(tree, f"exact error, {label}", "", values[2]))
    return FigureBlock(
        ident="fig-reliability-streams",
        svg=draw_svg(
            plot_reliability_streams(tree),
            "fig-reliability-streams",
            title,
            "Parts of the log score and the exact calibration error by place.",
        ),
        title=title,
        variables=(path, "/reliability/exact_error_by_stream"),
        reading="Each place read out as if it were the last, held against exact laws: no outcome "
        "blurs it. Discrimination rises where the answer takes shape. A place that computes in "
        "another basis than the read-out's looks miscalibrated without being so.",
        data=make_table("Parts of the log score and exact calibration error by place.", columns),
    )


def _part_columns(
    tree: xr.DataTree, path: str, names: list[str], axis: str, against: int
) -> list[Column]:
    """List the parts of a score along an axis."""
    unit = "bit" if "/log" in path else ""
    parts = read_values(tree, path, "against", "score_part", "seed", axis)[against]
    return [
        seed_column(tree, name, unit, values) for name, values in zip(names, parts, strict=True)
    ]


def _parts_table(tree: xr.DataTree) -> TableBlock:
    """List the parts of both scores over all, against outcomes and exactly."""
    names = read_labels(tree, "/reliability/brier", "score_part")
    columns = [label_column("part", names)]
    for name, unit in (("brier", ""), ("log", "bit")):
        values = read_values(tree, f"/reliability/{name}", "against", "seed", "score_part")
        header = "Brier score" if name == "brier" else "log score"
        for against, rows in zip(("drawn", "exact"), values, strict=True):
            columns.append(seed_column(tree, f"{header}, {against}", unit, rows))
    return make_table(
        "What the scores are made of, on one random question of each sequence. Scores are of each "
        "outcome against the rest, summed over outcomes.",
        columns,
    )


def _errors_table(tree: xr.DataTree) -> TableBlock:
    """List the estimators of the calibration error over all."""
    dims = ("calibration_kind", "seed", "calibration_estimator")
    kinds = read_labels(tree, "/reliability/error", "calibration_kind")
    names = read_labels(tree, "/reliability/error", "calibration_estimator")
    columns = [label_column("estimator", names)]
    for index, kind in enumerate(kinds):
        for name, header in (("error", "drawn"), ("exact_error", "exact"), ("error_gap", "gap")):
            values = read_values(tree, f"/reliability/{name}", *dims)[index]
            columns.append(seed_column(tree, f"{kind}, {header}", "", values))
    return make_table(
        "Calibration errors against outcomes, with exact probabilities in place of frequencies, "
        "and the difference: the estimator's own error.",
        columns,
    )


def _entropy_table(tree: xr.DataTree) -> TableBlock:
    """List the levels of exact entropy."""
    dims = ("seed", "entropy_level")
    num, p_value = (
        read_values(tree, f"/reliability/{name}_by_entropy", *dims)[0]
        for name in ("num", "log_p_value")
    )
    columns = level_columns(tree, "/reliability", num)
    path = "/reliability/log_by_entropy"
    names = [f"{name}, exact" for name in read_labels(tree, path, "score_part")]
    columns += _part_columns(tree, path, names, "entropy_level", against=1)
    columns.append(number_column(tree, "p-value of miscalibration, first seed", "", p_value))
    return make_table(
        "Parts of the log score by level of exact entropy, on one random question of each sequence "
        "that has any there. Levels are those of the first seed.",
        columns,
    )
