"""The section on geometry: frames, sharpening, manifolds, the belief simplex and similarity."""

import numpy as np
import xarray as xr

from bayescmp.plots.geometry import (
    HEAD_MEASURES,
    plot_heads,
    plot_manifolds,
    plot_similarity,
    read_level,
)
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.plots.simplex import plot_simplex
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import Column, label_column, make_table, number_column, seed_column
from bayescmp.report.words import read_text
from bayescmp.results.tree import read_attribute

GROUP = "/geometry"
IDENT, TITLE = "geometry", "Geometry inside"
NO_GEOMETRY = (
    "The tree has no group /geometry: the geometry inside the network was not asked for; "
    "examine(...) adds it."
)
MOST_NAMED = 4
"""Effects that the summary names."""

LIMITS = (
    "Geometry describes; it does not show use. Keys nearer to orthogonal than chance need not be "
    "looked up by any query, a manifold that follows the entropy may follow the position alone, "
    "and a simplex that can be read off need not be read by later layers: hold each against its "
    "untrained control, and against the interventions. A measure that does not stand out is no "
    "proof that nothing is there."
)


def build_geometry_section(tree: xr.DataTree) -> Section:
    """Write the section on geometry.

    Args:
        tree: A comparison with or without the group ``/geometry``.

    Returns:
        The section; where the tree has no geometry it says so.
    """
    if not has_variable(tree, f"{GROUP}/alignment"):
        return Section(IDENT, TITLE, missing=(NO_GEOMETRY,))
    draw = (_draw_heads, _draw_manifolds, _draw_simplex, _draw_similarity)
    tables = (_family_table(tree),) if has_variable(tree, f"{GROUP}/family_pc1") else ()
    absent = read_attribute(tree, GROUP, "absent")
    return Section(
        IDENT,
        TITLE,
        paragraphs=(_summarise(tree), LIMITS),
        figures=tuple(one(tree) for one in draw),
        tables=tables,
        missing=tuple(f"Not measured: {reason}." for reason in absent),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say which heads stand out, and what the read-out of beliefs is worth."""
    named = [str(text) for text in read_array(tree, f"{GROUP}/effects").values]
    num = int(read_attribute(tree, GROUP, "num_initial"))
    if num < 3:
        heads = "No untrained network of the same shape could be drawn, so that no head is named."
    elif not any(named):
        heads = (
            f"No head stands out from {num} untrained networks of the same shape (5 % for all "
            "heads and measures together)."
        )
    else:
        first = _shorten(next(text for text in named if text).split("; "))
        heads = (
            f"In {sum(map(bool, named))} of {len(named)} seeds some heads stand out from {num} "
            f"untrained networks of the same shape (5 % for all heads and measures together): "
            f"{first}."
        )
    own, control = (
        read_values(tree, f"{GROUP}/{name}", "seed", "stream").mean(axis=0)[-1]
        for name in ("simplex_r2", "simplex_r2_initial")
    )
    target = read_text(tree, GROUP, "simplex_target")
    return (
        f"{heads} An affine map of the last stream reads {_percent(own)} of the variance of the "
        f"exact belief about {target}, and {_percent(control)} in untrained networks."
    )


def _shorten(effects: list[str]) -> str:
    """Name the clearest effects, and count the others."""
    more = len(effects) - MOST_NAMED
    return "; ".join(effects[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _percent(share: float) -> str:
    if not np.isfinite(share):
        return "an unknown part"
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _draw_heads(tree: xr.DataTree) -> FigureBlock:
    """Draw every head."""
    title, ident = "Every head, beside untrained networks", "fig-heads"
    names = [name for name in HEAD_MEASURES if has_variable(tree, f"{GROUP}/{name}")]
    summary = f"{len(names)} measures of each head, with the range of untrained networks."
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot_heads(tree), ident, title, summary),
        title=title,
        variables=tuple(f"{GROUP}/{name}" for name in names),
        reading="Blue marks are the network’s heads, first seed; bars are two standard deviations "
        "around the mean of untrained networks of the same shape. Cosines are absolute; “chance” "
        "is their exact mean for random directions, “even” is attention that looks at its whole "
        "past. Spent evidence are positions that show outcomes which the exact predictive rules "
        "out since. CKA with exact is of what a head writes, less the mean at its position, so "
        "that position alone gives nothing.",
        data=_heads_table(tree, names),
    )


def _heads_table(tree: xr.DataTree, names: list[str]) -> TableBlock:
    """List every head of the first seed."""
    path = f"{GROUP}/alignment"
    blocks, heads = (read_labels(tree, path, dim) for dim in ("block", "head"))
    columns: list[Column] = [
        label_column("head", [f"block {block} head {head}" for block in blocks for head in heads])
    ]
    for name in names:
        units = str(read_array(tree, f"{GROUP}/{name}").attrs["units"])
        for end, words in (("", ""), ("_initial", ", untrained")):
            values = read_values(tree, f"{GROUP}/{name}{end}", "seed", "block", "head")[0]
            title = HEAD_MEASURES[name].removesuffix(", bit")
            columns.append(number_column(tree, f"{title}{words}", units, values.ravel()))
    levels = [
        f"{HEAD_MEASURES[name].removesuffix(', bit')}: {level[0]} {format_number(level[1])}"
        for name in names
        if (level := read_level(tree, name)) is not None
    ]
    return make_table(f"Heads of the first seed. {'; '.join(levels)}.", columns)


def _draw_manifolds(tree: xr.DataTree) -> FigureBlock:
    """Draw the manifolds."""
    title, ident = "How few directions values and streams lie along", "fig-manifolds"
    names = ("pc1", "pc12", "participation", "entropy_rho", "position_rho")
    columns = [label_column("place", read_labels(tree, f"{GROUP}/pc1", "manifold_place"))]
    for name in names:
        columns.append(_place_column(tree, name, MANIFOLD_WORDS[name]))
        columns.append(_place_column(tree, f"{name}_initial", "untrained"))
        if has_variable(tree, f"{GROUP}/{name}_gaussian"):
            columns.append(_place_column(tree, f"{name}_gaussian", "Gaussian"))
            columns.append(_place_column(tree, f"{name}_permuted", "shuffled"))
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot_manifolds(tree), ident, title, "Shares and correlations by place."),
        title=title,
        variables=tuple(f"{GROUP}/{name}" for name in names),
        reading="Features are z-scored. “Gaussian” are independent features and as many rows, "
        "“shuffled” keeps each feature’s law and breaks their ties; both are far too easy to "
        "beat, and “untrained” is the null that counts. Below, the first component’s rank "
        "correlation with the exact entropy beside that with the position: where both are alike, "
        "the component may tell no more than how far the sequence is.",
        data=make_table("Values of each block and places in the stream.", columns),
    )


MANIFOLD_WORDS = {
    "pc1": "first component",
    "pc12": "first two",
    "participation": "participation ratio",
    "entropy_rho": "rank correlation with entropy",
    "position_rho": "rank correlation with position",
}


def _place_column(tree: xr.DataTree, name: str, words: str) -> Column:
    values = read_values(tree, f"{GROUP}/{name}", "seed", "manifold_place")
    return seed_column(tree, words, "1", values)


def _draw_simplex(tree: xr.DataTree) -> FigureBlock:
    """Draw the belief simplex, with the shares that every stream explains."""
    title, ident = "Beliefs as points: exact, read from the network, and untrained", "fig-simplex"
    target = read_text(tree, GROUP, "simplex_target")
    columns = [label_column("stream", read_labels(tree, f"{GROUP}/simplex_r2", "stream"))]
    for name, words in (("simplex_r2", "R²"), ("simplex_r2_initial", "R², untrained")):
        values = read_values(tree, f"{GROUP}/{name}", "seed", "stream")
        columns.append(seed_column(tree, words, "1", values))
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot_simplex(tree), ident, title, f"Three clouds of beliefs about {target}."),
        title=title,
        variables=(f"{GROUP}/simplex_exact", f"{GROUP}/simplex_read", f"{GROUP}/simplex_r2"),
        reading=f"The exact belief about {target} beside what an affine map reads from the last "
        "stream of the network and of one untrained network, on sequences that the maps were not "
        "fitted to, or on all with their exact weights. Beliefs over three values fill a triangle; "
        "more values are seen along their first two principal components. How like the third "
        "cloud is to the first is what needs no training.",
        data=make_table("Share of the exact belief’s variance that is read, by stream.", columns),
    )


def _draw_similarity(tree: xr.DataTree) -> FigureBlock:
    """Draw the similarity of places, with that between seeds in the table."""
    title, ident = "How alike the places in the stream are", "fig-similarity"
    path = f"{GROUP}/cka_debiased"
    names = read_labels(tree, path, "stream")
    cka = read_values(tree, path, "seed", "stream", "other_stream")
    columns = [label_column("stream", names)]
    columns += [
        seed_column(tree, f"to {name}", "1", cka[:, :, index]) for index, name in enumerate(names)
    ]
    for name, words in (("seed_cka", "to other seeds"), ("seed_overlap", "overlap, other seeds")):
        values = read_values(tree, f"{GROUP}/{name}", "seed", "stream")
        columns.append(seed_column(tree, words, "1", values))
    rank = int(read_attribute(tree, GROUP, "overlap_rank"))
    chance = format_number(float(read_attribute(tree, GROUP, "overlap_chance")))
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot_similarity(tree), ident, title, "Two maps of CKA between places."),
        title=title,
        variables=(path, f"{GROUP}/cka_initial", f"{GROUP}/overlap", f"{GROUP}/seed_cka"),
        reading="Debiased linear CKA: 1 where one place is a rotation and scaling of the other, "
        "about 0 where they are unrelated. Blocks add to the stream, so that neighbours are alike "
        "in untrained networks too. The tree also holds the overlap of subspaces of dimension "
        f"{rank}, of which random ones have {chance}, and plain CKA.",
        data=make_table("Debiased linear CKA between places, and with other seeds.", columns),
    )


def _family_table(tree: xr.DataTree) -> TableBlock:
    """List the families."""
    site = read_text(tree, GROUP, "family_site")
    labels = read_labels(tree, f"{GROUP}/family_pc1", "family")
    columns: list[Column] = [(Cell(site), [Cell(label) for label in labels])]
    for name, words in (
        ("family_pc1", "first component"),
        ("family_pc1_random", "random subset"),
        ("family_pc1_chance", "chance of as much"),
        ("family_participation", "participation ratio"),
        ("family_participation_random", "random subset"),
    ):
        values = read_values(tree, f"{GROUP}/{name}", "seed", "family")
        columns.append(seed_column(tree, words, "1", values))
    return make_table(
        f"Vectors of one family of sequences, told apart by {site}, beside random subsets of all "
        "of the same size.",
        columns,
    )
