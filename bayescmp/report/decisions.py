"""Ask, retrieve or answer: what the network's decisions are worth under the exact law."""

import xarray as xr

from bayescmp.plots.decisions import NAMES, plot_decisions
from bayescmp.plots.numbers import format_given, format_number
from bayescmp.plots.series import has_variable, read_labels, read_places, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, seed_column
from bayescmp.report.words import over_seeds, read_optional, read_text

ABSENT = "The tree has no group /decisions: decisions were not asked for; an audit adds them."

READING = (
    "How to read it: at each question the network may answer, ask for the truth, or look at one "
    "more observation before it does either. It decides by its own probabilities; what its "
    "decision is worth is an expectation under the exact law. Regret is what the Bayes-optimal "
    "decision is worth beyond that, and never negative.",
    "What it cannot show: other prices make other decisions, and a network that is badly "
    "calibrated where no price lies loses nothing here. Decisions are made question by question: "
    "what an observation is worth for later questions is left out.",
)


def build_decisions_section(tree: xr.DataTree) -> Section:
    """Write the section on decisions.

    Args:
        tree: A comparison with or without the group ``/decisions``.

    Returns:
        The section; where the tree has no such group it says so.
    """
    ident, title = "decisions", "Decisions: ask, retrieve or answer"
    if not has_variable(tree, "/decisions/regret"):
        return Section(ident, title, missing=(ABSENT,))
    value, interval = over_seeds(tree, read_values(tree, "/decisions/mean_regret", "seed"), "")
    how = read_text(tree, "/decisions", "how")
    summary = (
        f"The network's decisions lose {value} of expected utility on average ({interval}), with "
        f"{_say_prices(tree)}; {how}."
    )
    return Section(
        ident, title, (summary, *READING), (_draw(tree, summary),), tables=(_shares(tree),)
    )


def _say_prices(tree: xr.DataTree) -> str:
    """Say what each end is worth."""
    prices = read_optional(tree, "/decisions", "utilities")
    if not isinstance(prices, dict):
        return "utilities that are not recorded"
    right, wrong, ask, retrieve = (
        format_given(float(prices[name]))
        for name in ("right", "wrong", "ask_cost", "retrieve_cost")
    )
    return (
        f"a right answer worth {right}, a wrong one {wrong}, asking at {ask} and retrieving at "
        f"{retrieve}"
    )


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the worth of decisions by position."""
    title = "Expected utility of decisions by position"
    places = read_places(tree, "/decisions/utility", "position")
    columns = [label_column("position", [f"{place:g}" for place in places])]
    columns += [
        seed_column(tree, name, "", read_values(tree, f"/decisions/{variable}", "seed", "position"))
        for variable, name in (*NAMES.items(), ("regret", "regret"))
    ]
    return FigureBlock(
        ident="fig-decisions",
        svg=draw_svg(plot_decisions(tree), "fig-decisions", title, summary),
        title=title,
        variables=(
            "/decisions/utility",
            "/decisions/best_utility",
            "/decisions/answer_utility",
            "/decisions/share",
        ),
        reading="Above: what decisions are worth; the distance between Bayes-optimal and network "
        "is the regret. Below: how often each decision was taken where each was best, marks on the "
        "diagonal being right; area is the share of questions.",
        data=make_table("Means over sequences.", columns),
    )


def _shares(tree: xr.DataTree) -> TableBlock:
    """List what was done where what was best."""
    share = read_values(tree, "/decisions/share", "best_action", "action", "seed").mean(axis=-1)
    best = read_labels(tree, "/decisions/share", "best_action")
    done = read_labels(tree, "/decisions/share", "action")
    columns = [label_column("best", best)]
    columns += [
        (Cell(name, "done"), [Cell(format_number(float(each))) for each in column])
        for name, column in zip(done, share.T, strict=True)
    ]
    return make_table("Share of questions by what was best and what was done.", columns)
