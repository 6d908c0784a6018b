"""Uncertainty: what more data could take away, what the network expects, and baselines."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import (
    has_variable,
    read_array,
    read_labels,
    read_places,
    read_values,
)
from bayescmp.plots.uncertainty import plot_prediction_sets, plot_uncertainty
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, seed_column
from bayescmp.report.words import over_seeds, read_text, with_unit

ABSENT = (
    "The tree has no group /uncertainty: the split of uncertainty was not asked for; an audit adds "
    "it."
)

READING = (
    "How to read it: the expected log loss is the sum of three parts. The aleatoric part would "
    "stay if everything hidden were known; the epistemic part is what more data could still take "
    "away; the error is the network's own, and the only one that it can be blamed for. The first "
    "two are the exact law's and the same for every predictor.",
    "What it cannot show: which latent the network is unsure about, if it has any. What it expects "
    "its own future to teach reaches only as far as the sequence, and lies below the epistemic "
    "part for that reason; where it differs from the exact law's, the network's laws do not hang "
    "together as those of one posterior. A temperature of one does not prove calibration, and "
    "conformal sets cover on average over questions, not at each position.",
)


def build_uncertainty_section(tree: xr.DataTree) -> Section:
    """Write the section on uncertainty.

    Args:
        tree: A comparison with or without the group ``/uncertainty``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "uncertainty", "Uncertainty: what more data could take away"
    if not has_variable(tree, "/uncertainty/excess"):
        return Section(ident, title, missing=(ABSENT,))
    missing = [
        f"{read_text(tree, '/uncertainty', name)}."
        for name, variable in (("how", "epistemic"), ("futures", "own_epistemic"))
        if not has_variable(tree, f"/uncertainty/{variable}")
    ]
    summary = _summarise(tree)
    return Section(
        ident,
        title,
        (summary, *_say_shrinkage(tree), *READING),
        (_draw_parts(tree, summary), _draw_sets(tree)),
        tables=(_baselines(tree),),
        missing=tuple(missing),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say what the parts come to on average, and how they were derived."""

    def mean(name: str) -> str:
        values = read_values(tree, f"/uncertainty/{name}", "seed", "position")
        return with_unit(over_seeds(tree, np.nanmean(values, axis=1), "bit")[0], "bit")

    error = f"The network loses {mean('excess')} above exact Bayes on average."
    if not has_variable(tree, "/uncertainty/epistemic"):
        return error
    how = read_text(tree, "/uncertainty", "how")
    return (
        f"On average {mean('aleatoric')} are aleatoric and {mean('epistemic')} epistemic ({how}). "
        f"{error}"
    )


def _say_shrinkage(tree: xr.DataTree) -> tuple[str, ...]:
    """Say how fast epistemic uncertainty falls."""
    if not has_variable(tree, "/uncertainty/shrinkage"):
        return ()
    values, low, high = (
        read_values(tree, f"/uncertainty/shrinkage{end}", "split_of", "seed").mean(axis=1)
        for end in ("", "_low", "_high")
    )
    exact, own = (
        f"{format_number(float(v))} [{format_number(float(a))}, {format_number(float(b))}]"
        if np.isfinite(v)
        else ""
        for v, a, b in zip(values, low, high, strict=True)
    )
    if not exact:
        return ("How fast epistemic uncertainty falls has no fit: too few positions.",)
    rest = (
        f"what the network's entropy holds above the aleatoric part as minus {own}"
        if own
        else "the network's entropy is not above the aleatoric part everywhere, so that there is "
        "nothing to fit"
    )
    return (
        f"With n observations epistemic uncertainty falls as n to the power of minus {exact}, and "
        f"{rest}. One is the law for many observations of finitely many smooth parameters; the "
        "exact exponent over the same positions is what the network's has to be held against.",
    )


def _draw_parts(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the parts by position."""
    title = "Parts of the expected log loss by position"
    names = [
        name
        for name in ("aleatoric", "epistemic", "excess", "entropy")
        if has_variable(tree, f"/uncertainty/{name}")
    ]
    places = read_places(tree, "/uncertainty/excess", "position")
    columns = [label_column("position", [f"{place:g}" for place in places])]
    columns += [
        seed_column(
            tree, name, "bit", read_values(tree, f"/uncertainty/{name}", "seed", "position")
        )
        for name in names
    ]
    shown = [name for name in (*names, "own_epistemic", "own_exact") if name != "entropy"]
    return FigureBlock(
        ident="fig-uncertainty",
        svg=draw_svg(plot_uncertainty(tree), "fig-uncertainty", title, summary),
        title=title,
        variables=tuple(
            f"/uncertainty/{name}" for name in shown if has_variable(tree, f"/uncertainty/{name}")
        ),
        reading="Above: aleatoric and epistemic part of the exact entropy, and the network's "
        "error, KL(exact ‖ network). Below, where it could be asked: by how much network and exact "
        "law expect their entropy at a question to fall, once they have drawn the rest of the "
        "sequence from their own laws; bars are 95 % intervals over sequences.",
        data=make_table("Means over sequences; entropy is the network's.", columns),
    )


def _draw_sets(tree: xr.DataTree) -> FigureBlock:
    """Draw coverage of prediction sets by position."""
    title = "How often prediction sets hold what comes"
    path = "/uncertainty/set_coverage_by_position"
    kinds = read_labels(tree, path, "prediction_set")
    values = read_values(tree, path, "prediction_set", "seed", "position")
    places = read_places(tree, path, "position")
    columns = [label_column("position", [f"{place:g}" for place in places])]
    columns += [seed_column(tree, kind, "1", row) for kind, row in zip(kinds, values, strict=True)]
    summary = "A level line is the coverage that was asked for."
    return FigureBlock(
        ident="fig-prediction-sets",
        svg=draw_svg(plot_prediction_sets(tree), "fig-prediction-sets", title, summary),
        title=title,
        variables=(path,),
        reading="Own: the network's likeliest outcomes up to the level, by its own probabilities. "
        "Conformal: the same up to a threshold that held-out outcomes chose. Exact: by the exact "
        "law. Coverage is an exact probability, so that no drawn outcome blurs it.",
        data=make_table("Coverage by position.", columns),
    )


def _baselines(tree: xr.DataTree) -> TableBlock:
    """List what a temperature and conformal sets come to."""
    rows: list[tuple[str, str, tuple[str, str]]] = []
    for name, label, units in (
        ("temperature", "temperature that held-out outcomes ask for", "1"),
        ("excess_log_loss", "log loss above exact, as it is", "bit"),
        ("tempered_excess_log_loss", "log loss above exact, tempered", "bit"),
    ):
        values = read_values(tree, f"/uncertainty/{name}", "seed")
        rows.append((label, units, over_seeds(tree, values, units)))
    kinds = read_labels(tree, "/uncertainty/set_size", "prediction_set")
    for name, label in (("set_coverage", "coverage of sets"), ("set_size", "mean size of sets")):
        table = read_values(tree, f"/uncertainty/{name}", "prediction_set", "seed")
        rows += [
            (f"{label}: {kind}", "1", over_seeds(tree, row, "1"))
            for kind, row in zip(kinds, table, strict=True)
        ]
    for name, label in (
        ("temperature_p_value", "p-value of a temperature of one, smallest of the seeds"),
        ("coverage_p_value", "p-value of its own sets' coverage, smallest of the seeds"),
    ):
        smallest = float(np.min(read_array(tree, f"/uncertainty/{name}").values))
        rows.append((label, "1", (format_number(smallest), "")))
    values = [Cell(with_unit(value, units), interval) for _, units, (value, interval) in rows]
    return make_table(
        "Baselines: one temperature and conformal sets, fitted on one half of the sequences and "
        "measured on the other. P-values count a sequence as one trial. The temperature's interval "
        "over sequences trusts the sample, in which rare surprises may be missing; its p-value "
        "reckons with them.",
        [label_column("what", [label for label, _, _ in rows]), (Cell("value"), values)],
    )
