"""Exchangeability: do a predictor's laws fit together as those of one posterior?"""

import numpy as np
import xarray as xr

from bayescmp.plots.exchangeability import plot_drift, plot_order_gaps, read_drifts
from bayescmp.plots.numbers import format_count
from bayescmp.plots.series import has_variable, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.pit import write_p_value
from bayescmp.report.tables import Column, label_column, make_table, number_column, seed_column
from bayescmp.report.words import over_seeds, read_optional, read_text, seed_cell, with_unit

TITLE = "Do its laws fit together as one posterior’s?"

ABSENT = "The tree has no group /exchangeability: whether the laws fit together was not asked."

READING = (
    "How to read it: where steps are exchangeable, exact Bayes gives one law after some steps, in "
    "whatever order they came, and its law now is its mean law one step later. Both hold under "
    "any prior, the wrong one included. Gaps are computed over all outcomes, so that zero is the "
    "null, up to rounding, and they have no p-value. The bound beside each gap is the most that "
    "the distance from exact Bayes allows: a gap near it says that the errors are incoherence, "
    "one far below it that they are those of another posterior. Drift is tested: along true "
    "sequences and along a network’s own paths, the law of a later answer must not move in a way "
    "that could be foreseen; each sequence, or context, is one trial.",
    "What it cannot show: that the posterior is the right one. A network with the wrong prior "
    "passes every test on its own paths, and swapped outcomes pass that along true sequences. A "
    "law that is a function of counts has no order gap, whatever the function; the spread of a "
    "sequence’s probability over its orders then tells. Where a step shows a query, the law of "
    "one later answer is asked early, at one random step of each sequence. Drift along own paths "
    "is asked of few contexts: silence there is weak evidence.",
)


def build_exchangeability_section(tree: xr.DataTree) -> Section:
    """Write the section on exchangeability.

    Args:
        tree: A comparison with or without the group ``/exchangeability``.

    Returns:
        The section; where the audit did not apply it says why.
    """
    ident = "exchangeability"
    if "/exchangeability" not in tree.groups:
        return Section(ident, TITLE, missing=(ABSENT,))
    if not has_variable(tree, "/exchangeability/order_gap"):
        reason = read_text(tree, "/exchangeability", "reason")
        return Section(ident, TITLE, missing=(f"This was not measured: {reason}.",))
    summary = _summarise(tree)
    paragraphs = (summary, _say_drift(tree), *READING)
    figures = (_draw_gaps(tree, summary), _draw_drift(tree))
    tables = [_gap_table(tree)]
    missing = []
    if has_variable(tree, "/exchangeability/path_spread"):
        tables.append(_path_table(tree))
    else:
        missing.append(
            "The tree has no /exchangeability/path_spread: outcomes are bins of a number, or "
            "sequences too short, so that no network could go on by itself."
        )
    return Section(ident, TITLE, paragraphs, figures, tuple(tables), missing=tuple(missing))


def _summarise(tree: xr.DataTree) -> str:
    """Say how large the gaps are."""
    value, interval = _over_seeds(tree, "order_gap", "1")
    num = read_optional(tree, "/exchangeability", "num_sequences")
    count = f"{format_count(num)} sequences" if isinstance(num, int | float) else "some sequences"
    text = (
        f"With earlier steps in another order the network’s law changes by {value} in total "
        f"variation on average ({interval}; {count})."
    )
    if has_variable(tree, "/exchangeability/order_spread"):
        spread, _ = _over_seeds(tree, "order_spread", "bit")
        text += (
            " The log probability of a sequence varies over orders by "
            f"{with_unit(spread, 'bit')}, one standard deviation."
        )
    if has_variable(tree, "/exchangeability/step_gap"):
        step, step_interval = _over_seeds(tree, "step_gap", "1")
        text += f" Its law is {step} from its own mean law one step later ({step_interval})."
    return text


def _say_drift(tree: xr.DataTree) -> str:
    """Say what the tests of drift say, of the first seed."""
    true = write_p_value(float(read_values(tree, "/exchangeability/drift_p_value", "seed")[0]))
    text = f"Of the first seed, drift along true sequences would be as far out with {true}"
    if not has_variable(tree, "/exchangeability/path_p_value"):
        return f"{text}, if the network were calibrated."
    starts = read_labels(tree, "/exchangeability/path_p_value", "path_start")
    values = read_values(tree, "/exchangeability/path_p_value", "seed", "path_start")[0]
    own = "; ".join(
        f"{write_p_value(float(p))} after {start} true answers"
        for start, p in zip(starts, values, strict=True)
    )
    return (
        f"{text}, if the network were calibrated; along its own paths with {own}, if it were "
        "the posterior of any prior."
    )


def _over_seeds(tree: xr.DataTree, name: str, units: str) -> tuple[str, str]:
    return over_seeds(tree, read_values(tree, f"/exchangeability/{name}", "seed"), units)


def _draw_gaps(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw gaps by position."""
    title = "How far laws are from fitting together, by position"
    names = [
        (name, text)
        for name, text in (
            ("order_gap_by_position", "other order"),
            ("step_gap_by_position", "one step ahead"),
        )
        if has_variable(tree, f"/exchangeability/{name}")
    ]
    places = read_labels(tree, "/exchangeability/order_gap_by_position", "position")
    columns = [label_column("position", places)]
    columns += [
        seed_column(tree, text, "1", read_values(tree, f"/exchangeability/{n}", "seed", "position"))
        for n, text in names
    ]
    return FigureBlock(
        ident="fig-order-gaps",
        svg=draw_svg(plot_order_gaps(tree), "fig-order-gaps", title, summary),
        title=title,
        variables=tuple(f"/exchangeability/{name}" for name, _ in names),
        reading="Other order: mean distance between the laws at a question after two orders of "
        "what came before it. One step ahead: distance between the law of the answer after next "
        "and its mean over the next answer. Exact Bayes is at zero in both. Shades are intervals "
        "over seeds.",
        data=make_table("Total variation; a dash marks questions that were not asked.", columns),
    )


def _draw_drift(tree: xr.DataTree) -> FigureBlock:
    """Draw the drift of the first seed."""
    title = "Moves that could be foreseen, of the first seed"
    rows = read_drifts(tree)
    columns = [
        label_column("score", [name for name, _ in rows]),
        number_column(tree, "standard errors from zero", "", np.array([v for _, v in rows])),
    ]
    variables = [f"/exchangeability/{name}" for name in ("drift", "drift_error")]
    if has_variable(tree, "/exchangeability/path_drift"):
        variables += [f"/exchangeability/{name}" for name in ("path_drift", "path_drift_error")]
    return FigureBlock(
        ident="fig-drift",
        svg=draw_svg(plot_drift(tree), "fig-drift", title, "Marks beyond the shade drift."),
        title=title,
        variables=tuple(variables),
        reading="Sharpening: the law moves towards what it already thinks likely, the sign of "
        "answers that are counted more than once, or away from it. Lag: it still moves towards "
        "the answer shown before. Drift to an outcome: a prior that leans elsewhere. Each mark is "
        "within the shade with a chance of 95 % where there is no drift; the p-values above take "
        "all marks of one kind together. Of many outcomes only the farthest is drawn.",
        data=make_table("Mean scores divided by their standard errors.", columns),
    )


def _gap_table(tree: xr.DataTree) -> TableBlock:
    """Hold every gap against its bound and against a network that nobody trained."""
    rows = [
        ("other order, total variation", "order_gap", "order_gap_allowed", "1"),
        ("other order, KL (bit)", "order_kl", "", "bit"),
        ("other order, spread of a sequence’s log probability (bit)", "order_spread", "", "bit"),
        ("one step ahead, total variation", "step_gap", "step_gap_allowed", "1"),
    ]
    shown = [row for row in rows if has_variable(tree, f"/exchangeability/{row[1]}")]
    columns: list[Column] = [
        label_column("gap", [row[0] for row in shown]),
        (Cell("network"), [_gap_cell(tree, row[1], row[3]) for row in shown]),
        (Cell("could be"), [_gap_cell(tree, row[2], row[3]) for row in shown]),
        (Cell("untrained"), [_gap_cell(tree, f"untrained_{row[1]}", row[3]) for row in shown]),
    ]
    oracle = float(np.nanmax(read_values(tree, "/exchangeability/oracle_gap", "seed")))
    return make_table(
        "Gaps of the network, the most that its distance from exact Bayes allows, and those of a "
        f"network of its shape that nobody trained. The oracle’s own largest is {oracle:.1g}.",
        columns,
    )


def _gap_cell(tree: xr.DataTree, name: str, units: str) -> Cell:
    """Write one gap; a dash where it was not measured."""
    path = f"/exchangeability/{name}"
    if not name or not has_variable(tree, path):
        return Cell("–")
    return seed_cell(tree, read_values(tree, path, "seed"), units)


def _path_table(tree: xr.DataTree) -> TableBlock:
    """Hold the spread over own paths against the oracle's."""
    dims = ("seed", "path_start")
    columns = [
        label_column(
            "true answers before",
            read_labels(tree, "/exchangeability/path_spread", "path_start"),
        )
    ]
    columns += [
        seed_column(tree, text, "1", read_values(tree, f"/exchangeability/{name}", *dims))
        for name, text in (
            ("path_spread", "spread"),
            ("exact_path_spread", "oracle’s"),
            ("spread_ratio", "ratio"),
        )
    ]
    return make_table(
        "Variance of the law of the last answer over paths that the network draws from itself, "
        "beside paths of the oracle: how much is still to be learnt. Below one a network believes "
        "that it knows more than it does.",
        columns,
    )
