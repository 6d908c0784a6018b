"""Probes: what affine read-outs explain at each place of the stream, beside their controls."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel
from bayescmp.plots.divergence import NETWORK, draw_band, last_finite
from bayescmp.plots.labels import EndLabel, label_space, write_end_labels
from bayescmp.plots.palette import LIGHT, rung_colour, rung_dashes
from bayescmp.plots.scales import LogRange, log_range, log_scale
from bayescmp.plots.series import read_labels, read_values, seed_band

LEAST_SHARE = 1e-6
"""Unexplained shares below this are rounding of 32-bit streams."""

LEAST_BITS = 1e-4
"""Divergences of decoded laws below this are far below what their floor costs."""

DRAWN: Mapping[str, str] = MappingProxyType(
    {
        "random initialisation": "untrained",
        "random subspace": "subspace",
        "shuffled labels": "shuffled",
        "last 3 inputs": "last 3 inputs",
        "wrong prior": "wrong prior",
    }
)
"""Controls that are drawn, with their names in the figure; tables have all controls."""


def plot_probes(tree: xr.DataTree) -> Figure:
    """Draw the share of each target's variance that affine read-outs leave unexplained.

    Reads ``/probes/r_squared``, ``/probes/control_r_squared`` and ``/probes/initial_r_squared``.

    Args:
        tree: A comparison with the group ``/probes``.

    Returns:
        One panel for each target: the network's mean over seeds with its 95 % interval, the
        mean of every control, and the range of networks that nobody trained as a shade.

    Raises:
        ValueError: The tree has no ``/probes/r_squared``.
    """
    scores = _read(tree, "r_squared")
    left = {name: 1.0 - values for name, values in scores.items()}
    return _draw(tree, left, "Unexplained share, 1 − R²", LEAST_SHARE)


def plot_probe_bits(tree: xr.DataTree) -> Figure:
    """Draw the divergence of the laws that affine read-outs decode.

    Reads ``/probes/kl``, ``/probes/control_kl`` and ``/probes/initial_kl``.

    Args:
        tree: A comparison with the group ``/probes``.

    Returns:
        One panel for each target that is a law, as :func:`plot_probes` draws them.

    Raises:
        ValueError: The tree has no ``/probes/kl``.
    """
    return _draw(tree, _read(tree, "kl"), "KL(exact ‖ decoded), bit", LEAST_BITS)


Scores = dict[str, np.ndarray]
"""Score of the network and of every control, and of each network that nobody trained."""


def _read(tree: xr.DataTree, name: str) -> Scores:
    """Read one kind of score with its controls, targets first."""
    by_place = ("probe_target", "seed", "probe_place")
    path = f"/probes/control_{name}"
    controls = read_values(tree, path, "probe_control", *by_place)
    labels = read_labels(tree, path, "probe_control")
    draws = read_values(
        tree, f"/probes/initial_{name}", "probe_target", "seed", "probe_draw", "probe_place"
    )
    return {
        NETWORK: read_values(tree, f"/probes/{name}", *by_place),
        "draws": draws.reshape(draws.shape[0], -1, draws.shape[-1]),
        **dict(zip(labels, controls, strict=True)),
    }


def _draw(tree: xr.DataTree, scores: Scores, quantity: str, floor: float) -> Figure:
    """Draw one panel for each target that has a score."""
    names = read_labels(tree, "/probes/r_squared", "probe_target")
    places = read_labels(tree, "/probes/r_squared", "probe_place")
    shown = [i for i in range(len(names)) if np.isfinite(scores[NETWORK][i]).any()]
    with house_style():
        space = label_space([*DRAWN.values(), NETWORK])
        rooms = [Room(1.35, below=0.1) for _ in shown[:-1]] + [Room(1.35, below=0.95)]
        figure, panels = stacked_panels(rooms, left=0.68, right=space)
        for panel, index in zip(panels, shown, strict=True):
            title_panel(panel, f"{names[index]}: {quantity}")
            own = {name: values[index] for name, values in scores.items()}
            _name_places(panel, places, last=panel is panels[-1])
            _draw_panel(panel, own, floor, space)
    return figure


def _draw_panel(panel: Axes, scores: Scores, floor: float, space: float) -> None:
    """Draw one target: the network over its controls."""
    band, draws = seed_band(scores[NETWORK]), scores["draws"]
    controls = {short: scores[name].mean(axis=0) for name, short in DRAWN.items()}
    span = log_range([band.mean, draws, *controls.values()], floor)
    log_scale(panel.yaxis, span)
    x = np.arange(band.mean.size, dtype=float)
    low, high = (_clip(end(draws, axis=0), span) for end in (np.min, np.max))
    panel.fill_between(x, low, high, color=rung_colour(0), alpha=0.25, linewidth=0.0)
    labels = []
    for index, (name, values) in enumerate(controls.items()):
        heights, colour = _clip(values, span), rung_colour(index)
        panel.plot(x, heights, color=colour, linewidth=1.2, dashes=rung_dashes(index), label=name)
        labels.append(EndLabel(name, *last_finite(x, heights), colour))
    draw_band(panel, x, band, span)
    end = last_finite(x, _clip(band.mean, span))
    labels.append(EndLabel(NETWORK, *end, LIGHT["network"], strong=True))
    write_end_labels(panel, labels, space)


def _clip(values: Float[np.ndarray, " place"], span: LogRange) -> Float[np.ndarray, " place"]:
    """Put what lies below the floor on it; NaN stays NaN."""
    return np.clip(values, span.floor, span.high)


def _name_places(panel: Axes, places: list[str], *, last: bool) -> None:
    """Label the x axis with the places of the stream, below the last panel only."""
    panel.set_xlim(-0.4, len(places) - 0.6)
    panel.set_xticks(range(len(places)), places if last else [""] * len(places))
    if last:
        panel.tick_params(axis="x", labelrotation=90)
