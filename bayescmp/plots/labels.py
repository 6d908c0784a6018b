"""Names of lines, written where the lines end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bayescmp.plots.axes import FONT_SIZE, POINTS, WIDTH


def spread_labels(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart until neighbours are ``gap`` away, staying within an interval if they fit.

    Args:
        targets: Where each label would like to be.
        gap: Least distance between two labels.
        low: Lower end of the room for labels.
        high: Upper end of the room for labels.

    Returns:
        Places in the order of ``targets``.

    Example:
        >>> spread_labels([0.0, 0.1], gap=1.0, low=0.0, high=5.0)
        [0.0, 1.0]
    """
    order = sorted(range(len(targets)), key=lambda index: (targets[index], index))
    places = [0.0] * len(targets)
    below = low - gap
    for index in order:
        places[index] = max(targets[index], below + gap)
        below = places[index]
    above = high + gap
    for index in reversed(order):
        places[index] = min(places[index], above - gap)
        above = places[index]
    return places


@dataclass(frozen=True)
class EndLabel:
    """The name of a line, to be written where the line ends.

    Attributes:
        text: The name.
        x: Last place of the line, in data units.
        y: Its height there, in data units.
        colour: Colour of the text.
        strong: Whether the name is set in bold.
    """

    text: str
    x: float
    y: float
    colour: str
    strong: bool = False


def label_space(names: Sequence[str], most: float = 1.2) -> float:
    """Return the space on the right that end labels need.

    Args:
        names: The labels.
        most: The most space to give, in inches.

    Returns:
        The space, in inches.
    """
    longest = max((len(name) for name in names), default=0)
    return min(most, 0.26 + longest * 0.53 * FONT_SIZE / POINTS)


def write_end_labels(panel: Axes, labels: Sequence[EndLabel], space: float) -> None:
    """Write each line's name beside its last point, with a thin leader where it had to move.

    Args:
        panel: The panel, with its limits already set.
        labels: The names; those with an end that is not finite are left out.
        space: Room on the right of the panel, in inches.
    """
    shown = [label for label in labels if math.isfinite(label.y)]
    figure = panel.get_figure(root=True)
    if figure is None or not shown:
        return
    height = panel.get_position().height * figure.get_size_inches()[1] * POINTS
    width = panel.get_position().width * WIDTH * POINTS
    inverse = panel.transAxes.inverted()
    ends = [inverse.transform(panel.transData.transform((label.x, label.y))) for label in shown]
    heights = [min(max(float(end[1]), 0.0), 1.0) * height for end in ends]
    places = spread_labels(heights, 1.2 * FONT_SIZE, 0.0, height)
    characters = max(3, int((space - 0.2) * POINTS / (0.5 * FONT_SIZE)))
    for label, end, y, place in zip(shown, ends, heights, places, strict=True):
        points = ((float(end[0]) * width + 3.0) / width, 1.0 + 11.0 / width)
        panel.plot(
            points,
            (y / height, place / height),
            color=label.colour,
            linewidth=0.6,
            transform=panel.transAxes,
            clip_on=False,
            label=label.text,
        )
        panel.text(
            1.0 + 13.5 / width,
            place / height,
            shorten(label.text, characters),
            color=label.colour,
            transform=panel.transAxes,
            va="center_baseline",
            fontweight="bold" if label.strong else "normal",
            label=label.text,
        )


def shorten(text: str, characters: int) -> str:
    """Cut the middle out of a long name: names of one kind differ at their ends.

    Args:
        text: The name.
        characters: The most characters to keep, the mark included.

    Returns:
        The name, or its beginning and its end with an ellipsis between.
    """
    if len(text) <= characters:
        return text
    tail = (characters - 1) * 2 // 3
    return f"{text[: characters - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"
