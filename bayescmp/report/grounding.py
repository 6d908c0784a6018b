"""The section on questions to a grounded knowledge base, some of them without a posterior."""

import xarray as xr

from bayescmp.plots.grounding import MEASURES, SHOWN, plot_grounding
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.totals import list_totals, tell_total
from bayescmp.report.words import plural

IDENT, TITLE = "grounding", "Answers where there is no posterior"
ABSENT = "The tree has no group /grounding: the study grounded_knowledge adds it."
READING = (
    "How to read it: where the told facts contradict each other, or the word asked has no "
    "grounding, exact inference gives no and yes no probability at all. Impossible mass is what a "
    "predictor puts there nevertheless, and confidence, the larger of its probabilities of no and "
    "yes, is how sure it sounds. Unseen are combinations and contradictions that trained networks "
    "never met.",
    "What it cannot show: that a predictor knows a word. Words without grounding are looked up for "
    "the constructed network and for belief propagation, and never reach them.",
)


def build_grounding_section(tree: xr.DataTree) -> Section:
    """Write the section on a grounded knowledge base.

    Args:
        tree: A comparison with or without the group ``/grounding``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    if not has_variable(tree, "/grounding/impossible_mass"):
        return Section(IDENT, TITLE, missing=(ABSENT,))
    summary = _summarise(tree)
    lists = (
        ("Constructed network and belief propagation", ("constructed_", "propagation_")),
        ("Trained on exact laws", ("trained_",)),
        ("Trained on drawn answers", ("sampled_",)),
    )
    return Section(
        IDENT,
        TITLE,
        (summary, *READING),
        (_draw(tree, summary),),
        facts=tuple(
            facts
            for title, prefixes in lists
            for facts in list_totals(tree, "/grounding", title, prefixes)
        ),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say what the constructed and the trained networks do with contradictions."""
    mass, confidence, seen, unseen = (
        tell_total(tree, f"/grounding/{name}", "1")
        for name in (
            "constructed_contradictory_mass",
            "constructed_contradictory_confidence",
            "trained_seen_mass",
            "trained_unseen_mass",
        )
    )
    return (
        f"Told facts that contradict each other, the constructed network puts {mass} of its mass "
        f"on answers that are impossible, with a confidence of {confidence}. Networks trained on "
        f"exact laws put {seen} there on kinds of question that they saw, and {unseen} on "
        "contradictions that they did not."
    )


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw all predictors on all kinds of question, with their numbers."""
    title = "Mass, confidence and error, by kind of question"
    reading = (
        "A band of lanes for each kind of question, a lane for each predictor, means over seeds "
        "with 95 % intervals. Left is better for mass and total variation; confidence should stand "
        "on the upright line, exact Bayes. Total variation is logarithmic, and exact Bayes beyond "
        "its lower edge."
    )
    return FigureBlock(
        ident="fig-grounding",
        svg=draw_svg(plot_grounding(tree), "fig-grounding", title, summary),
        title=title,
        variables=tuple(f"/grounding/{name}" for name in MEASURES),
        reading=reading,
        data=_measures(tree),
    )


def _measures(tree: xr.DataTree) -> TableBlock:
    """List every measure by predictor and kind of question."""
    path = "/grounding/impossible_mass"
    names, kinds = read_labels(tree, path, "predictor"), read_labels(tree, path, "kind")
    columns: list[Column] = [
        label_column("predictor", [SHOWN.get(name, name) for name in names for _ in kinds]),
        label_column("kind of question", kinds * len(names)),
    ]
    for name, text in (*MEASURES.items(), ("sure", "surer than 0.9")):
        values = read_values(tree, f"/grounding/{name}", "seed", "predictor", "kind")
        columns.append(
            seed_column(tree, " ".join(text.split()), "1", values.reshape(len(values), -1))
        )
    counts = read_array(tree, "/grounding/count").transpose("kind", "seed").values.sum(axis=1)
    columns.append((Cell("questions"), [Cell(f"{count:,}") for count in counts] * len(names)))
    seeds = plural(read_array(tree, path).sizes["seed"], "seed")
    return make_table(
        f"Means by predictor and kind of question; intervals are over seeds, and questions are "
        f"those of {seeds} together.",
        columns,
    )
