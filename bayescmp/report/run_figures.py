"""Figures of several runs on the same axes, with their numbers."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescmp.plots.layers import mean_by_layer
from bayescmp.plots.runs import (
    plot_runs,
    plot_runs_divergence,
    plot_runs_layers,
    plot_runs_training,
)
from bayescmp.plots.series import has_variable, read_labels, read_values, supervised_positions
from bayescmp.report.blocks import Cell, FigureBlock, Section, TableBlock
from bayescmp.report.figures import draw_svg
from bayescmp.report.gaps import describe_gaps
from bayescmp.report.tables import Column, label_column, make_table, seed_column
from bayescmp.report.words import join_words, level_words, seed_cell

Runs = Mapping[str, xr.DataTree]
LINES = f"One line for each run, mean over its seeds, with the {level_words()} interval as a shade."


def draw_runs(runs: Runs) -> tuple[Section, ...]:
    """Draw what runs have in common: the whole, and by position, layer and step.

    Args:
        runs: Comparisons by name.

    Returns:
        A section with a figure for each that some run can give; what others lack is named.
    """
    figures = [_draw_means(runs), _draw_positions(runs)]
    missing = []
    for path, draw in (("/layers/kl", _draw_layers), ("/training/excess", _draw_training)):
        lacking = [name for name, tree in runs.items() if not has_variable(tree, path)]
        if len(lacking) < len(runs):
            figures.append(draw(runs))
        if lacking:
            missing.append(f"{path} is not in {join_words(lacking)}.")
    return (Section("figures", "Figures", figures=tuple(figures), missing=tuple(missing)),)


def _draw_means(runs: Runs) -> FigureBlock:
    """Draw the mean KL of each run."""
    cells = [
        seed_cell(tree, read_values(tree, "/divergence/mean_kl", "seed"), "bit")
        for tree in runs.values()
    ]
    table = make_table("Mean KL.", [label_column("run", list(runs)), (Cell("KL", "bit"), cells)])
    reading = (
        "Further left is closer to exact Bayes. The bar on a diamond is the interval over seeds; "
        "circles are each run's best rival, on its own ladder."
    )
    paths = ("/divergence/mean_kl", "/ladder/mean_kl")
    title = "Mean KL from exact Bayes, run by run"
    return _make_block(runs, plot_runs, "fig-runs", title, reading, paths, table)


def _draw_positions(runs: Runs) -> FigureBlock:
    """Draw KL by position."""
    path = "/divergence/kl"

    def read(tree: xr.DataTree) -> np.ndarray:
        values = read_values(tree, path, "seed", "position")
        return np.where(supervised_positions(tree), values, np.nan)

    table = _tabulate(runs, path, "position", read)
    title = "Divergence from exact Bayes by position"
    ident = "fig-runs-divergence"
    return _make_block(runs, plot_runs_divergence, ident, title, LINES, (path,), table)


def _draw_layers(runs: Runs) -> FigureBlock:
    """Draw the logit lens by layer."""
    path = "/layers/kl"
    table = _tabulate(runs, path, "layer", mean_by_layer)
    title = "Divergence from exact Bayes by layer, through the logit lens"
    reading = f"{LINES} Means over positions; runs of other depths end elsewhere."
    return _make_block(runs, plot_runs_layers, "fig-runs-layers", title, reading, (path,), table)


def _draw_training(runs: Runs) -> FigureBlock:
    """Draw the training curves."""
    path = "/training/excess"
    table = _tabulate(runs, path, "step", lambda tree: read_values(tree, path, "seed", "step"))
    title = "Training loss above the entropy floor"
    reading = (
        "One line for each run, mean over its seeds. Steps of different batch sizes or networks "
        "do not cost the same. Values of zero or less are left out."
    )
    ident = "fig-runs-training"
    return _make_block(runs, plot_runs_training, ident, title, reading, (path,), table)


def _tabulate(
    runs: Runs, path: str, dim: str, read: Callable[[xr.DataTree], np.ndarray]
) -> TableBlock:
    """List a series of every run, one column for each; rows are all the places that any has."""
    shown = {name: tree for name, tree in runs.items() if has_variable(tree, path)}
    labels = {name: read_labels(tree, path, dim) for name, tree in shown.items()}
    places = sorted({label for run in labels.values() for label in run}, key=_by_number)
    columns: list[Column] = [label_column(dim, places)]
    for name, tree in shown.items():
        header, cells = seed_column(tree, name, "bit", read(tree))
        by_label: dict[str, Cell] = dict(zip(labels[name], cells, strict=True))
        columns.append((header, [by_label.get(place, Cell("–")) for place in places]))
    return make_table(f"{path} of every run, mean and interval over seeds.", columns)


def _by_number(label: str) -> tuple[float, str]:
    """Order labels as numbers where they are such."""
    return (float(label), "") if label.lstrip("-").isdigit() else (float("inf"), label)


def _make_block(
    runs: Runs,
    plot: Callable[[Runs], Figure],
    ident: str,
    title: str,
    reading: str,
    paths: Sequence[str],
    table: TableBlock,
) -> FigureBlock:
    """Put a figure together."""
    gaps = [
        f"{name}: {text}" for name, tree in runs.items() if (text := describe_gaps(tree, paths))
    ]
    return FigureBlock(
        ident=ident,
        svg=draw_svg(plot(runs), ident, title, reading),
        title=title,
        variables=tuple(paths),
        reading=reading,
        data=table,
        gaps=" ".join(gaps),
    )
