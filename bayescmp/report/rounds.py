"""The section on blocks and rounds of belief propagation."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.rounds import EXACT, plot_rounds
from bayescmp.plots.series import has_variable, read_labels, read_values, seed_band
from bayescmp.report.blocks import FigureBlock, Section
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.words import over_seeds, read_optional

IDENT, TITLE = "rounds", "Blocks and rounds of belief propagation"
ABSENT = (
    "The tree has no group /rounds: it was not asked for, or the model is not one of factor "
    "graphs; examine(...) with instruments=('rounds',) adds it."
)
NEVER_APART = (
    "After as many rounds as any block is deep, beliefs are exact already: no block can tell "
    "rounds from Bayes here."
)
LIMITS = (
    "Nearest is not near, and beliefs after few rounds are soft, as is the read-out of a layer "
    "that knows nothing: a block does a round only where the divergence is about zero, or the "
    "misfit small. A fitted lens shows what an affine map can tell of a layer, which the network "
    "need not use."
)


def build_rounds_section(tree: xr.DataTree) -> Section:
    """Write the section on blocks and rounds.

    Args:
        tree: A comparison with or without the group ``/rounds``.

    Returns:
        The section; it says so where there is nothing to tell.
    """
    if not has_variable(tree, "/rounds/kl"):
        return Section(IDENT, TITLE, missing=(ABSENT,))
    summary = _summarise(tree)
    return Section(IDENT, TITLE, (summary, LIMITS), (_draw(tree, summary),))


def _summarise(tree: xr.DataTree) -> str:
    """Say where the read-outs stand between rounds and exact Bayes."""
    if not read_optional(tree, "/rounds", "num_told_apart"):
        return NEVER_APART
    values = {
        name: read_values(tree, f"/rounds/{name}", "seed")
        for name in ("own_round_kl", "own_exact_kl", "progress", "misfit")
    }
    round_kl, exact_kl = (
        "{} {}".format(*over_seeds(tree, values[name], "bit"))
        for name in ("own_round_kl", "own_exact_kl")
    )
    progress, misfit = (
        format_number(float(seed_band(values[name]).mean)) for name in ("progress", "misfit")
    )
    return (
        "Over the blocks whose round is not exact yet, the read-out after block t is, in bits, "
        f"{round_kl} from the beliefs after t rounds and {exact_kl} from exact Bayes. On the way "
        f"from the one to the other it stands at {progress} (0: the round, 1: exact), and {misfit} "
        "of that way beside it."
    )


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw both heat maps, with their numbers."""
    title = "Does block t do round t?"
    kl = read_values(tree, "/rounds/kl", "round_lens", "seed", "layer", "round")
    exact = read_values(tree, "/rounds/exact_kl", "round_lens", "seed", "layer")
    lenses, layers, rounds = (
        read_labels(tree, "/rounds/kl", dim) for dim in ("round_lens", "layer", "round")
    )
    names = [f"{lens}, {layer}" for lens in lenses for layer in layers]
    columns: list[Column] = [label_column("lens, residual stream", names)]
    for index, name in enumerate((*rounds, EXACT)):
        table = exact if name == EXACT else kl[..., index]
        values = np.concatenate(list(table), axis=1)
        columns.append(seed_column(tree, name if name == EXACT else f"round {name}", "bit", values))
    return FigureBlock(
        ident="fig-rounds",
        svg=draw_svg(plot_rounds(tree), "fig-rounds", title, summary),
        title=title,
        variables=("/rounds/kl", "/rounds/exact_kl"),
        reading="Rows are residual streams, the embedding at the bottom; columns are the beliefs "
        "of cavity belief propagation after so many rounds, none first, and the exact law. Fainter "
        "is closer; the dot marks the closest. A network whose blocks are rounds has its dots on "
        "the diagonal, and next to nothing there.",
        data=make_table("Mean KL from each law to each lens.", columns),
    )
