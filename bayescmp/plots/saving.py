"""Figures as files: SVG, PNG or PDF, the same bytes for the same figure."""

import io
import os
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bayescmp.files import write_atomically
from bayescmp.plots.axes import house_style

METADATA = {
    ".svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""What is left out of each kind of file, since it would differ from run to run."""


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 200) -> Path:
    """Save a figure, all of it or nothing; the same figure always gives the same bytes.

    In SVG files text stays text. The background is white: the light set of colours is made
    for it.

    Args:
        figure: What a ``plot_*`` function returned.
        path: File to write; its ending says what it becomes, ``.svg``, ``.png`` or ``.pdf``.
        dpi: Dots per inch of a PNG file, at least 10.

    Returns:
        The path written.

    Raises:
        ValueError: If the ending is another one, the folder does not exist, or `dpi` is too
            small.

    Example:
        >>> from bayescmp.plots import plot_ladder, save
        >>> save(plot_ladder(tree), "ladder.svg").name
        'ladder.svg'
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in METADATA:
        raise ValueError(f"path: expected one that ends in .svg, .png or .pdf, got {str(path)!r}")
    if dpi < 10:
        raise ValueError(f"dpi: expected at least 10, got {dpi}")
    buffer = io.BytesIO()
    with (
        house_style(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bayescmp"}),
    ):
        figure.savefig(
            buffer,
            format=ending[1:],
            dpi=dpi,
            facecolor="white",
            bbox_inches="tight",  # names at the ends of lines may reach over the edge
            pad_inches=0.05,
            metadata=METADATA[ending],
        )
    write_atomically(target, buffer.getvalue())
    return target
