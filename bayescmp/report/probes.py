"""The section on probes: every share explained stands beside its controls."""

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_number
from bayescmp.plots.probes import plot_probe_bits, plot_probes
from bayescmp.plots.series import has_variable, read_array, read_labels, read_values
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.probe_heads import draw_probe_heads
from bayescmp.report.tables import Column, label_column, make_table, number_column, seed_column
from bayescmp.report.words import plural, read_optional, read_text

LEVEL = 0.05
"""Chance that any place is named where training did nothing."""

IDENT, TITLE = "probes", "What can be read from the residual stream"
ABSENT = (
    "The tree has no group /probes: affine read-outs were not asked for; "
    "examine(..., instruments=['probes']) adds them."
)
HOW_TO_READ = (
    "A probe is an affine map, fitted by ridge regression, from the residual stream at one place "
    "to the exact answer. Its R² means nothing by itself: a network that nobody trained mixes its "
    "inputs at random, and much can be read from such a mixture too. What training added is the "
    "distance to random initialisation, and whatever the last three inputs or the law of the next "
    "outcome explain is not evidence of a belief. With shuffled labels a probe gets the answers of "
    "another sequence at the same position, so that the position alone is left to learn from; the "
    "random subspace has as many directions as the probe uses."
)
LIMITS = (
    "A probe shows that something could be read, not that the network reads it: only removing or "
    "swapping the direction and looking at the answer shows use. That nothing is read does not "
    "show absence either, since the map is affine and the code may not be."
)


def build_probes_section(tree: xr.DataTree) -> Section:
    """Write the section on probes.

    Args:
        tree: A comparison with or without the group ``/probes``.

    Returns:
        The section; where the tree has no probes it says so.
    """
    if not has_variable(tree, "/probes/r_squared"):
        return Section(IDENT, TITLE, missing=(ABSENT,))
    summary = _summarise(tree)
    figures = [_draw(tree, summary)]
    if has_variable(tree, "/probes/kl"):
        figures.append(_draw_bits(tree, summary))
    if has_variable(tree, "/probes/head_r_squared"):
        figures.append(draw_probe_heads(tree))
    return Section(
        IDENT,
        TITLE,
        paragraphs=(summary, HOW_TO_READ, LIMITS),
        figures=tuple(figures),
        tables=(_list_targets(tree),),
        points=_list_limits(tree),
    )


def _summarise(tree: xr.DataTree) -> str:
    """Say for the first target where most of it is read, beside the controls there."""
    own = read_values(tree, "/probes/r_squared", "probe_target", "seed", "probe_place")
    path = "/probes/control_r_squared"
    controls = read_values(tree, path, "probe_target", "probe_control", "seed", "probe_place")
    targets = read_labels(tree, path, "probe_target")
    places = read_labels(tree, path, "probe_place")
    mean, beside = own.mean(axis=1)[0], controls.mean(axis=2)[0]
    best = int(np.argmax(mean))
    known = dict(zip(read_labels(tree, path, "probe_control"), beside[:, best], strict=True))
    listed = ", ".join(
        f"{name} {format_number(float(value))}" for name, value in known.items() if value == value
    )
    return (
        f"Of the {targets[0]} the largest share is read from {places[best]}: R² "
        f"{format_number(float(mean[best]))}, beside {listed} "
        f"(means over {plural(own.shape[1], 'seed')})."
    )


def _draw(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the shares that are not explained."""
    title = "What affine read-outs leave unexplained, by place"
    return FigureBlock(
        ident="fig-probes",
        svg=draw_svg(plot_probes(tree), "fig-probes", title, summary),
        title=title,
        variables=(
            "/probes/r_squared",
            "/probes/control_r_squared",
            "/probes/initial_r_squared",
        ),
        reading="Lower is better; one is no better than a constant. The shade spans the networks "
        "of the same shape that nobody trained. A line that does not leave the shade has learnt "
        "nothing that can be read there.",
        data=make_table(
            "R² of every target at every place, with every control.",
            _columns(tree, "r_squared", "1"),
        ),
    )


def _draw_bits(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw the divergences of decoded laws."""
    title = "How far decoded laws are from the exact ones, by place"
    return FigureBlock(
        ident="fig-probe-bits",
        svg=draw_svg(plot_probe_bits(tree), "fig-probe-bits", title, summary),
        title=title,
        variables=("/probes/kl", "/probes/control_kl", "/probes/initial_kl"),
        reading="What is read is projected onto the simplex and mixed with a share of "
        f"{read_optional(tree, '/probes', 'floor')} of the uniform law, so that no value is "
        "infinitely far; a law that is read perfectly is then off by at most 0.0015 bit. Mean over "
        "a target's laws.",
        data=make_table(
            "KL of every decoded law at every place, with every control.",
            _columns(tree, "kl", "bit"),
        ),
    )


def _columns(tree: xr.DataTree, name: str, unit: str) -> list[Column]:
    """List a score by target and place: the network, then every control."""
    path, control_path = f"/probes/{name}", f"/probes/control_{name}"
    targets = read_labels(tree, path, "probe_target")
    places = read_labels(tree, path, "probe_place")
    by_row = ("seed", "probe_target", "probe_place")
    own = read_values(tree, path, *by_row)
    controls = read_values(tree, control_path, "probe_control", *by_row).mean(axis=1)
    known = np.isfinite(own[0]).reshape(-1)
    rows = [f"{target}, {place}" for target in targets for place in places]
    network = own.reshape(len(own), -1)[:, known]
    columns = [
        label_column("read from", [row for row, there in zip(rows, known, strict=True) if there]),
        seed_column(tree, "network", unit, network),
        _interval_column(tree, name, known),
    ]
    labels = read_labels(tree, control_path, "probe_control")
    columns += [
        number_column(tree, label, unit, values.reshape(-1)[known])
        for label, values in zip(labels, controls, strict=True)
    ]
    return columns


def _interval_column(tree: xr.DataTree, name: str, known: np.ndarray) -> Column:
    """List the intervals over sequences of the first seed."""
    by_row = ("seed", "probe_target", "probe_place")
    low, high = (
        read_values(tree, f"/probes/{name}_{end}", *by_row)[0].reshape(-1)[known]
        for end in ("low", "high")
    )
    listed = read_text(tree, "/probes", "judged").startswith("Every sequence")
    cells = [
        Cell("exact" if listed else f"[{format_number(a)}, {format_number(b)}]")
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]
    return Cell("over sequences", "first seed"), cells


def _list_targets(tree: xr.DataTree) -> TableBlock:
    """List what is read, from where the most of it is, and where it first stands out."""
    path = "/probes/r_squared"
    targets = read_labels(tree, path, "probe_target")
    meanings, counts = (
        [Cell(str(value)) for value in read_array(tree, f"/probes/{name}").to_numpy()]
        for name in ("meaning", "num_columns")
    )
    p_values = read_values(tree, "/probes/p_value", "probe_target", "seed", "probe_place")
    places = read_labels(tree, path, "probe_place")
    return make_table(
        "What is read. A place stands out where, in every seed, more is read than one more "
        "network that nobody trained would allow: p below 5 % after dividing by all targets and "
        "places (Bonferroni).",
        [
            label_column("target", targets),
            (Cell("meaning"), meanings),
            (Cell("numbers"), counts),
            (
                Cell("first stands out at"),
                [Cell(_first_place(rows, places, p_values.shape[0])) for rows in p_values],
            ),
        ],
    )


def _first_place(p_values: np.ndarray, places: list[str], num_targets: int) -> str:
    """Name the first place whose p-value passes in every seed."""
    tested = np.isfinite(p_values).all(axis=0)
    bound = LEVEL / (num_targets * max(1, np.count_nonzero(tested)))
    found = np.flatnonzero(tested & (p_values < bound).all(axis=0))
    return places[int(found[0])] if found.size else "nowhere"


def _list_limits(tree: xr.DataTree) -> tuple[str, ...]:
    """Say how read-outs were judged and what limits them."""
    notes = read_optional(tree, "/probes", "notes")
    rival = read_text(tree, "/probes", "wrong_prior", "none")
    listed = [str(note) for note in notes] if isinstance(notes, list) else []
    return (
        read_text(tree, "/probes", "judged"),
        f"The rival with a wrong prior: {rival}.",
        *listed,
    )
