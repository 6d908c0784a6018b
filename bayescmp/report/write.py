"""One self-contained HTML file from a comparison."""

import base64
import hashlib
import importlib.resources
import os
from dataclasses import dataclass
from pathlib import Path

import jinja2
import xarray as xr
from markupsafe import Markup

from bayescmp.files import write_atomically
from bayescmp.plots.palette import DARK, LIGHT
from bayescmp.plots.series import oracle_error
from bayescmp.report.page import build_page
from bayescmp.results.tree import validate_tree
from bayescmp.results.tree_file import load_tree


@dataclass(frozen=True)
class Script:
    """The one script of a page.

    Attributes:
        text: Its source.
        digest: Its hash, as a content security policy names what may run.
    """

    text: Markup
    digest: str


def render_report(tree: xr.DataTree) -> str:
    """Render a comparison as one HTML page that needs nothing else.

    No font and no request: style, script and figures stand inside, and the page allows no other
    script than its own. It is whole without that script, which shows values on hover and
    switches lines off. The same tree always gives the same text.

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
    return render_page("template.html", build_page(tree), error=oracle_error(tree))


def render_page(template: str, page: object, *, error: float) -> str:
    """Lay a page out.

    Args:
        template: File in this package.
        page: What the template lays out.
        error: Error of the reference, in bits; values on hover keep no digit below it.

    Returns:
        The page as HTML.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_read),
    )
    text = _read("page.js")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    html = environment.get_template(template).render(
        page=page,
        light=LIGHT,
        dark=DARK,
        script=Script(Markup(text), f"sha256-{digest}"),
        error="Infinity" if error == float("inf") else f"{error:.6g}",
    )
    return html.strip() + "\n"


def _read(name: str) -> str:
    """Read a file of this package."""
    return importlib.resources.files("bayescmp.report").joinpath(name).read_text(encoding="utf-8")


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
