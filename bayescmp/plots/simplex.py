"""The belief simplex: exact beliefs, and what a stream says of them, in one plane."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescmp.plots.axes import WIDTH, ShownFigure, house_style
from bayescmp.plots.palette import LIGHT
from bayescmp.plots.series import read_values

PANELS: dict[str, tuple[str, str]] = {
    "simplex_exact": ("exact", "exact"),
    "simplex_read": ("network", "network"),
    "simplex_initial": ("untrained", "rung-0"),
}
"""Variables that are drawn, with their titles and the roles of their colours."""

GAP, TOP, BOTTOM = 0.14, 0.3, 0.08


def plot_simplex(tree: xr.DataTree) -> Figure:
    """Draw exact beliefs beside those read from a trained and an untrained network.

    Reads ``/geometry/simplex_exact``, ``simplex_read``, ``simplex_initial`` and
    ``simplex_corner`` of the first seed. All three panels have one plane and one scale.

    Args:
        tree: A comparison with the group ``/geometry``.

    Returns:
        Three panels side by side; beliefs over three values lie in a triangle.

    Raises:
        ValueError: The tree has no ``/geometry/simplex_exact``.

    Example:
        >>> plot_simplex(tree.drop_nodes([path for path in ["/geometry"] if path in tree.groups]))
        Traceback (most recent call last):
        ValueError: tree: expected the variable /geometry/simplex_exact, got a tree without it
    """
    points = {
        name: read_values(tree, f"/geometry/{name}", "seed", "simplex_point", "plane")[0]
        for name in PANELS
    }
    corners = read_values(tree, "/geometry/simplex_corner", "seed", "simplex_value", "plane")[0]
    low, high = _limits(points["simplex_exact"], corners)
    side = (WIDTH - 2 * GAP - 0.04) / 3
    height = side * float((high[1] - low[1]) / (high[0] - low[0]))
    total = TOP + height + BOTTOM
    with house_style():
        figure = ShownFigure(figsize=(WIDTH, total))
        for column, (name, (title, role)) in enumerate(PANELS.items()):
            x = 0.02 + column * (side + GAP)
            panel = figure.add_axes((x / WIDTH, BOTTOM / total, side / WIDTH, height / total))
            _draw_points(panel, points[name], corners, LIGHT[role])
            panel.set_xlim(low[0], high[0])
            panel.set_ylim(low[1], high[1])
            panel.set_title(title, pad=5.0, color=LIGHT[role])
    return figure


def _limits(
    exact: Float[np.ndarray, "point plane"], corners: Float[np.ndarray, "value plane"]
) -> tuple[Float[np.ndarray, " plane"], Float[np.ndarray, " plane"]]:
    """Leave room for the triangle, or for the exact beliefs where there is none."""
    shown = corners if len(corners) == 3 else exact
    low, high = np.min(shown, axis=0), np.max(shown, axis=0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    # A flat cloud gets some height; a read-out may leave the simplex a little.
    half = 1.15 * np.maximum(half, 0.4 * max(float(half.max()), 1e-9))
    return middle - half, middle + half


def _draw_points(
    panel: Axes,
    points: Float[np.ndarray, "point plane"],
    corners: Float[np.ndarray, "value plane"],
    colour: str,
) -> None:
    """Draw one cloud."""
    if len(corners) == 3:
        outline = corners[[0, 1, 2, 0]]
        panel.plot(outline[:, 0], outline[:, 1], color=LIGHT["axis"], linewidth=0.8)
    panel.plot(
        points[:, 0],
        points[:, 1],
        "o",
        color=colour,
        markersize=2.2,
        markeredgewidth=0.0,
        alpha=0.45,
        rasterized=False,
    )
    panel.grid(visible=False)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)
