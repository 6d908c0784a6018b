"""Divergence from exact Bayes by position, against the ladder, with the entropies below."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import (
    Room,
    count_axis,
    house_style,
    stacked_panels,
    title_panel,
    value_axis,
)
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import (
    Band,
    divergence_floor,
    read_labels,
    read_places,
    read_values,
    seed_band,
    supervised_positions,
)

Positions = Float[np.ndarray, " position"]
POSITION_LABEL = "position (first = 0)"
NETWORK = "network"

INFINITE = "infinite"
"""Label of marks that stand at an edge for infinite values."""


def plot_divergence(tree: xr.DataTree) -> Figure:
    """Draw KL(exact || network) at every position against the ladder, and both entropies below.

    Reads ``/divergence/kl``, ``/ladder/kl``, ``/oracle/entropy`` and ``/network/entropy``;
    positions that are not supervised are left out. Thin lines are the seeds, the shade is the
    95 % interval over them; arrows at the upper edge are infinite values.

    Args:
        tree: A comparison.

    Returns:
        A figure of two panels, both in bits.

    Example:
        >>> figure = plot_divergence(tree)
        >>> figure.savefig("divergence.svg")
    """
    positions = read_places(tree, "/divergence/kl", "position")
    shown = supervised_positions(tree)
    names = read_labels(tree, "/ladder/kl", "rung")
    rungs = np.where(shown, read_values(tree, "/ladder/kl", "rung", "position"), np.nan)
    kl = np.where(shown, read_values(tree, "/divergence/kl", "seed", "position"), np.nan)
    with house_style():
        space = label_space([*names, NETWORK])
        figure, (upper, lower) = stacked_panels([Room(2.35), Room(1.15)], right=space)
        title_panel(upper, "KL(exact ‖ predictor), bit, logarithmic")
        seeds = read_labels(tree, "/divergence/kl", "seed")
        _draw_kl(upper, positions, names, rungs, kl, seeds, divergence_floor(tree), space)
        title_panel(lower, "Mean entropy of the predictive, bit")
        _draw_entropy(lower, tree, positions, shown, space)
    return figure


def draw_band(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    band: Band,
    span: LogRange | None = None,
    name: str = NETWORK,
) -> None:
    """Draw the network's mean over seeds with its interval as a shade.

    Args:
        panel: The panel.
        places: Where each entry stands on the x axis.
        band: Mean and interval.
        span: Range of a logarithmic y axis, onto whose floor smaller values are put.
        name: Whose line it is.
    """
    mean, low, high = band.mean, band.low, band.high
    if span is not None:
        low, high = (np.clip(end, span.floor, span.high) for end in (low, high))
        mean = onto(mean, span)
    if band.known:
        panel.fill_between(
            places, low, high, color=LIGHT["network"], alpha=0.22, linewidth=0.0, label=name
        )
    marker = "o" if places.size <= 40 else ""
    panel.plot(
        places,
        mean,
        color=LIGHT["network"],
        linewidth=2.2,
        marker=marker,
        markersize=3.2,
        zorder=4,
        label=name,
    )
    if span is not None:
        mark_infinite(panel, places, band.mean, span, LIGHT["network"])


def draw_seeds(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    values: Float[np.ndarray, "seed place"],
    seeds: Sequence[str],
    span: LogRange | None = None,
) -> None:
    """Draw one thin line for each seed, where there are several.

    Args:
        panel: The panel.
        places: Where each entry stands on the x axis.
        values: One series for each seed.
        seeds: Labels of the seeds.
        span: Range of a logarithmic y axis, onto whose floor smaller values are put.
    """
    if len(seeds) < 2:
        return
    for seed, line in zip(seeds, values, strict=True):
        heights = line if span is None else onto(line, span)
        panel.plot(
            places,
            heights,
            color=LIGHT["network"],
            linewidth=0.6,
            alpha=0.5,
            label=f"seed {seed}",
        )


def onto(values: Float[np.ndarray, " place"], span: LogRange) -> Float[np.ndarray, " place"]:
    """Put values onto a logarithmic axis.

    Args:
        values: Heights of a line.
        span: Range of the axis.

    Returns:
        The values, those below the floor on it; NaN where they are not finite.
    """
    return np.where(np.isfinite(values), np.clip(values, span.floor, span.high), np.nan)


def mark_infinite(
    panel: Axes,
    places: Float[np.ndarray, " place"],
    values: Float[np.ndarray, " place"],
    span: LogRange,
    colour: str,
) -> None:
    """Mark infinite values by arrows at the upper edge of a logarithmic panel.

    Args:
        panel: The panel.
        places: Where each entry stands on the x axis.
        values: Heights of a line.
        span: Range of the y axis.
        colour: Colour of the line.
    """
    infinite = np.isposinf(values)
    if infinite.any():
        tops = np.full(int(infinite.sum()), span.high)
        panel.plot(
            places[infinite],
            tops,
            "^",
            color=colour,
            markersize=6.0,
            clip_on=False,
            label=INFINITE,
        )


def last_finite(
    places: Float[np.ndarray, " place"], values: Float[np.ndarray, " place"]
) -> tuple[float, float]:
    """Return the last point of a line that is finite, or NaN where none is.

    Args:
        places: Where each value stands on the x axis.
        values: Heights of the line.

    Returns:
        Place and height.
    """
    index = np.flatnonzero(np.isfinite(values))
    if index.size == 0:
        return float("nan"), float("nan")
    return float(places[index[-1]]), float(values[index[-1]])


def _draw_kl(
    panel: Axes,
    positions: Positions,
    names: Sequence[str],
    rungs: Float[np.ndarray, "rung position"],
    kl: Float[np.ndarray, "seed position"],
    seeds: Sequence[str],
    floor: float,
    space: float,
) -> None:
    """Draw the network and every rung on a logarithmic axis."""
    band = seed_band(kl)
    span = log_range([rungs, band.mean], floor)
    log_scale(panel.yaxis, span)
    count_axis(panel, positions, POSITION_LABEL)
    labels = []
    for index, (name, values) in enumerate(zip(names, rungs, strict=True)):
        colour = rung_colour(index)
        heights = onto(values, span)
        panel.plot(
            positions, heights, color=colour, linewidth=1.3, dashes=rung_dashes(index), label=name
        )
        mark_infinite(panel, positions, values, span, colour)
        labels.append(EndLabel(name, *last_finite(positions, heights), colour))
    draw_seeds(panel, positions, kl, seeds, span)
    draw_band(panel, positions, band, span)
    heights = onto(band.mean, span)
    end = last_finite(positions, heights)
    labels.append(EndLabel(NETWORK, *end, LIGHT["network"], strong=True))
    write_end_labels(panel, labels, space)


def _draw_entropy(
    panel: Axes,
    tree: xr.DataTree,
    positions: Positions,
    shown: np.ndarray,
    space: float,
) -> None:
    """Draw the entropy of the exact predictive and of the network's."""
    exact = np.where(shown, read_values(tree, "/oracle/entropy", "position"), np.nan)
    network = np.where(shown, read_values(tree, "/network/entropy", "seed", "position"), np.nan)
    band = seed_band(network)
    draw_seeds(panel, positions, network, read_labels(tree, "/network/entropy", "seed"))
    draw_band(panel, positions, band)
    panel.plot(
        positions,
        exact,
        color=LIGHT["exact"],
        linewidth=1.0,
        dashes=(2.0, 1.6),
        zorder=5,
        label="exact",
    )
    panel.set_ylim(bottom=0.0)
    value_axis(panel.yaxis, most=4)
    count_axis(panel, positions, POSITION_LABEL)
    labels = [
        EndLabel(NETWORK, *last_finite(positions, band.mean), LIGHT["network"], strong=True),
        EndLabel("exact", *last_finite(positions, exact), LIGHT["exact"]),
    ]
    write_end_labels(panel, labels, space)
