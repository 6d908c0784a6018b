"""The report as a Jupyter notebook, whose cells load the results and draw the figures."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from bayescmp import plots
from bayescmp.files import write_atomically
from bayescmp.report.blocks import FigureBlock, Headline, Page
from bayescmp.report.markdown import escape, write_section
from bayescmp.report.page import build_page
from bayescmp.results.tree_file import load_tree

CLAIMS = '["statement", "verdict", "mean", "low", "high", "direction", "threshold", "metric"]'


def write_notebook(results: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the report of saved results as a notebook, without outputs.

    Its cells need bayescmp with the extra ``notebook``, and the results at the place where
    they are now, as seen from the notebook. The same results always give the same bytes.

    Args:
        results: A saved comparison, ``results.nc`` as a rule.
        path: File to write, ``report.ipynb`` as a rule; an older one is replaced.

    Returns:
        The path written.

    Raises:
        ValueError: If the results cannot be read or are not valid, or the folder of `path`
            does not exist.
        OSError: If the file cannot be written.

    Example:
        >>> from bayescmp.results.tree_file import save_tree
        >>> save_tree(tree, "results.nc")
        >>> write_notebook("results.nc", "report.ipynb").name
        'report.ipynb'
    """
    target = Path(path)
    tree = load_tree(results)
    place = os.path.relpath(Path(results).resolve(), target.resolve().parent)
    text = render_notebook(tree, Path(place).as_posix())
    write_atomically(target, text.encode("utf-8"))
    return target


def render_notebook(tree: xr.DataTree, place: str) -> str:
    """Write the report of a comparison as the JSON of a notebook.

    Args:
        tree: A comparison.
        place: Where the notebook finds its file.

    Returns:
        JSON of format 4.5.
    """
    cells = [
        {"id": f"cell-{number}", "cell_type": kind, "metadata": {}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for number, (kind, source) in enumerate(_list_cells(build_page(tree), place))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _list_cells(page: Page, place: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the source of every cell."""
    yield "markdown", _write_headline(page.headline)
    yield "code", _write_loading(place)
    yield from _draw(page.headline.ladder)
    yield "markdown", f"## Claims and verdicts\n\n{escape(page.claims_missing)}".rstrip()
    if page.claims:
        yield "code", f'tree["/claims"].to_dataset()[{CLAIMS}].to_dataframe()'
    for section in page.sections:
        yield "markdown", write_section(section)
        for figure in section.figures:
            yield from _draw(figure)
    yield "markdown", escape(page.footer)


def _write_headline(headline: Headline) -> str:
    """Write the top of the page."""
    parts = [
        f"# {escape(headline.title)}",
        f"{escape(headline.kicker)} · {escape(headline.subtitle)}",
        f"**{escape(headline.answer)}**",
        escape(f"{headline.detail} {headline.standing}"),
        *(f"> {escape(warning)}" for warning in headline.warnings),
    ]
    return "\n\n".join(parts)


def _write_loading(place: str) -> str:
    """Write the cell that loads the results and shows them."""
    return "\n".join(
        [
            "import bayescmp as bc",
            "from bayescmp import plots",
            "from bayescmp.report import show",
            "",
            f"tree = bc.load_tree({json.dumps(place)})",
            "show(tree)",
        ]
    )


def _draw(figure: FigureBlock) -> Iterator[tuple[str, str]]:
    """Yield the cells of one figure: what it shows, the drawing, and its first variable."""
    paths = ", ".join(f"`{path}`" for path in figure.variables)
    parts = [f"### {escape(figure.title)}", escape(figure.reading), f"Data: {paths}."]
    yield "markdown", "\n\n".join([*parts, *([escape(figure.gaps)] if figure.gaps else [])])
    name = f"plot_{figure.ident.removeprefix('fig-').replace('-', '_')}"
    if name in plots.__all__:
        yield "code", f"plots.{name}(tree)"
    for path in figure.variables[:1]:
        yield "code", f"tree[{json.dumps(path)}]"
