"""Divergence by position, and one example sequence in full."""

import numpy as np
import xarray as xr

from bayescmp.plots.divergence import plot_divergence
from bayescmp.plots.numbers import format_number
from bayescmp.plots.predictives import plot_predictives
from bayescmp.plots.scales import log_range
from bayescmp.plots.series import (
    clean_text,
    divergence_floor,
    read_array,
    read_labels,
    read_values,
    seed_band,
    supervised_positions,
)
from bayescmp.report.blocks import FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table, number_column, seed_column
from bayescmp.report.words import join_words, level_words, plural, resolution, with_unit


def build_position_section(tree: xr.DataTree) -> Section:
    """Write the section on divergence by position.

    Args:
        tree: A comparison.

    Returns:
        The section: KL and entropy by position, and one example sequence.
    """
    summary = _summarise(tree)
    return Section(
        ident="position",
        title="Position by position",
        paragraphs=(summary, *_where_rivals_win(tree)),
        figures=(_draw_divergence(tree, summary), _draw_example(tree)),
    )


def _masked(tree: xr.DataTree, path: str, *dims: str) -> np.ndarray:
    """Read a variable whose last axis is the position, NaN where that is not supervised."""
    return np.where(supervised_positions(tree), read_values(tree, path, *dims), np.nan)


def _summarise(tree: xr.DataTree) -> str:
    """Say where the network is furthest from exact and how much there is to know there."""
    shown = supervised_positions(tree)
    if not shown.any():
        return "No position is supervised, so there is nothing to compare."
    labels = read_labels(tree, "/divergence/kl", "position")
    mean = seed_band(_masked(tree, "/divergence/kl", "seed", "position")).mean
    entropy = read_values(tree, "/oracle/entropy", "position")[shown]
    finite = np.where(np.isfinite(mean), mean, -np.inf)
    if not np.isfinite(mean).any():
        return "The KL divergence is not finite at any position."
    worst = int(np.argmax(finite))
    error = resolution(tree, "bit")
    largest = with_unit(format_number(float(mean[worst]), resolution=error), "bit")
    first, last = (
        with_unit(format_number(float(entropy[end]), resolution=error), "bit") for end in (0, -1)
    )
    return (
        f"The network is furthest from exact at position {labels[worst]}, by {largest}. "
        f"The entropy of the exact predictive is {first} at the first and {last} at the last "
        f"of {plural(int(shown.sum()), 'supervised position')}."
    )


def _where_rivals_win(tree: xr.DataTree) -> tuple[str, ...]:
    """Say at which positions some rival is closer to exact than the network."""
    shown = supervised_positions(tree)
    rungs = _masked(tree, "/ladder/kl", "rung", "position")
    mean = seed_band(_masked(tree, "/divergence/kl", "seed", "position")).mean
    if not shown.any() or rungs.shape[0] == 0:
        return ()
    error = resolution(tree, "bit")
    wins = shown & np.any(rungs + (error if np.isfinite(error) else 0.0) < mean, axis=0)
    if not wins.any():
        margin = " by more than the reference's own error" if error > 0.0 else ""
        return (f"At no position is a rival closer to exact than the network{margin}.",)
    labels = read_labels(tree, "/divergence/kl", "position")
    where = [labels[index] for index in np.flatnonzero(wins)]
    if len(where) == int(shown.sum()):
        return ("At every position some rival is closer to exact than the network.",)
    listed = join_words(where) if len(where) <= 8 else f"{', '.join(where[:8])} and others"
    noun = "position" if len(where) == 1 else "positions"
    return (
        f"Some rival is closer to exact than the network at {len(where)} of "
        f"{plural(int(shown.sum()), 'position')}: {noun} {listed}.",
    )


def _draw_divergence(tree: xr.DataTree, summary: str) -> FigureBlock:
    """Draw KL and entropies by position."""
    title = "Divergence from exact Bayes by position, against the ladder"
    rungs = _masked(tree, "/ladder/kl", "rung", "position")
    kl = _masked(tree, "/divergence/kl", "seed", "position")
    span = log_range([rungs, seed_band(kl).mean], divergence_floor(tree))
    floor = ""
    if span.floored:
        limit = with_unit(format_number(divergence_floor(tree), digits=1), "bit")
        floor = (
            f" Values of at most {limit}, zero included, cannot be told from zero and are drawn on "
            "the lowest line, marked ≤."
        )
    return FigureBlock(
        ident="fig-divergence",
        svg=draw_svg(plot_divergence(tree), "fig-divergence", title, summary),
        title=title,
        variables=("/divergence/kl", "/ladder/kl", "/oracle/entropy", "/network/entropy"),
        reading="Above: the thick line is the network, mean over seeds, its shade the "
        f"{level_words()} interval, thin lines the seeds; the other lines are the rivals. A "
        "network that does what a rival does lies on that rival's line. Below: how much the exact "
        f"predictive leaves open; a matching entropy is necessary, not sufficient.{floor}",
        data=_divergence_table(tree, kl, rungs),
    )


def _divergence_table(tree: xr.DataTree, kl: np.ndarray, rungs: np.ndarray) -> TableBlock:
    """List what the figure draws."""
    names = read_labels(tree, "/ladder/kl", "rung")
    return make_table(
        "KL from exact and entropy by position; a dash marks positions that do not count.",
        [
            label_column("position", read_labels(tree, "/divergence/kl", "position")),
            seed_column(tree, "KL of the network", "bit", kl),
            *(
                number_column(tree, f"KL of {name}", "bit", values)
                for name, values in zip(names, rungs, strict=True)
            ),
            number_column(
                tree, "entropy, exact", "bit", _masked(tree, "/oracle/entropy", "position")
            ),
            seed_column(
                tree,
                "entropy, network",
                "bit",
                _masked(tree, "/network/entropy", "seed", "position"),
            ),
        ],
    )


def _draw_example(tree: xr.DataTree) -> FigureBlock:
    """Draw one example sequence."""
    title = "One example sequence: the exact predictive and the network's"
    exact = np.exp(
        read_values(tree, "/oracle/log_predictive", "sequence", "position", "outcome")[0]
    )
    network = np.exp(
        read_values(tree, "/network/log_predictive", "seed", "sequence", "position", "outcome")[
            0, 0
        ]
    )
    text = read_array(tree, "/observed_data/shown_text").values[0]
    shown = " ".join(clean_text(str(token)) for token in text)
    gap = float(np.nanmax(np.abs(exact - network), initial=0.0))
    drawn = read_array(tree, "/observed_data/outcome_value").values[0]
    places = np.arange(len(drawn))
    largest = format_number(gap, digits=2, resolution=resolution(tree, "1"))
    summary = f"The largest difference in one probability is {largest}."
    return FigureBlock(
        ident="fig-predictives",
        svg=draw_svg(plot_predictives(tree), "fig-predictives", title, summary),
        title=title,
        variables=("/oracle/log_predictive", "/network/log_predictive"),
        reading="Each column is one prediction, stronger for more probable; dots are the outcomes "
        "that were drawn. The two maps should look the same. First seed, first example. "
        f"{summary} The network read: {shown}",
        data=make_table(
            "Probability of the outcome that was drawn, first seed and first example.",
            [
                label_column("position", read_labels(tree, "/oracle/log_predictive", "position")),
                label_column("drawn outcome", [str(int(value)) for value in drawn]),
                number_column(tree, "exact", "1", exact[places, drawn]),
                number_column(tree, "network", "", network[places, drawn]),
                number_column(
                    tree, "largest difference", "1", np.abs(exact - network).max(axis=-1)
                ),
            ],
        ),
    )
