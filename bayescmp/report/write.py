"""One self-contained HTML file from a comparison."""

import importlib.resources
import os
from pathlib import Path

import jinja2
import xarray as xr

from bayescmp.files import write_atomically
from bayescmp.plots.palette import DARK, LIGHT
from bayescmp.report.page import build_page
from bayescmp.results.tree import load_tree, validate_tree


def render_report(tree: xr.DataTree) -> str:
    """Render a comparison as one HTML page that needs nothing else.

    No script, no font, no request: style and figures stand inside. The same tree always gives the
    same text.

    Args:
        tree: A comparison, as ``bayescmp.compare`` returns it.

    Returns:
        The page.

    Raises:
        ValueError: The tree is not valid; the message lists every problem.

    Example:
        >>> html = render_report(tree)
        >>> html.startswith("<!doctype html>")
        True
    """
    validate_tree(tree)
    source = importlib.resources.files("bayescmp.report").joinpath("template.html")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(source.read_text(encoding="utf-8"))
    html = template.render(page=build_page(tree), light=LIGHT, dark=DARK)
    return html.strip() + "\n"


def write_report(tree: xr.DataTree | str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the report of a comparison: one HTML file, all of it or nothing.

    Args:
        tree: A comparison, or the path of a saved one (``results.nc``).
        path: File to write, ``report.html`` as a rule; an older one is replaced.

    Returns:
        The path written.

    Raises:
        ValueError: The tree is not valid, its file cannot be read, or the folder of ``path`` does
            not exist.
        OSError: The file cannot be written.

    Example:
        >>> write_report(tree, "report.html")
        PosixPath('report.html')
    """
    comparison = tree if isinstance(tree, xr.DataTree) else load_tree(tree)
    target = Path(path)
    write_atomically(target, render_report(comparison).encode("utf-8"))
    return target
