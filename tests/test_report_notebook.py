"""The report as a notebook, and a comparison at a glance."""

import functools
import json
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.figure
import nbformat
import pytest
import xarray as xr
from report_pages import EVIL
from synthetic_tree import synthetic_tree

import bayescmp.plots
from bayescmp.report import show, write_notebook
from bayescmp.report.blocks import Page
from bayescmp.report.page import build_page
from bayescmp.results.tree_file import save_tree

SMALL = {"num_seeds": 2, "length": 3, "num_outcomes": 4, "num_layers": 1, "num_heads": 1}


def cells(path: Path, kind: str) -> list[str]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return [cell["source"] for cell in document["cells"] if cell["cell_type"] == kind]


@functools.cache
def small_page() -> Page:
    return build_page(synthetic_tree(**SMALL))


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "run").mkdir()
    save_tree(synthetic_tree(**SMALL), folder / "run" / "results.nc")
    return write_notebook(folder / "run" / "results.nc", folder / "report.ipynb")


def test_every_cell_runs_and_every_figure_is_drawn(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat.validate(nbformat.read(notebook, as_version=4))
    monkeypatch.chdir(notebook.parent)
    names: dict[str, object] = {}
    shown = []
    for source in cells(notebook, "code"):
        *lines, last = source.splitlines()
        exec("\n".join(lines), names)
        shown.append(eval(last, names))
    figures = [value for value in shown if isinstance(value, matplotlib.figure.Figure)]
    page = small_page()
    assert len(figures) == 1 + sum(len(section.figures) for section in page.sections)
    assert sum(isinstance(value, xr.DataArray) for value in shown) == len(figures)


def test_notebook_says_what_the_page_says(notebook: Path) -> None:
    text = "\n".join(cells(notebook, "markdown"))
    page = small_page()
    for section in page.sections:
        assert f"## {section.title}" in text
    assert "bit from exact Bayes" in text
    assert "    bayescmp run bijection --preset default --seeds 2" in text


def test_notebook_is_the_same_each_time(notebook: Path) -> None:
    before = notebook.read_bytes()
    write_notebook(notebook.parent / "run" / "results.nc", notebook)
    assert notebook.read_bytes() == before
    assert b'"run/results.nc' in before.replace(b'\\"', b'"')


def test_every_figure_of_the_page_is_drawn_by_the_function_of_its_name() -> None:
    page = small_page()
    figures = [figure for section in page.sections for figure in section.figures]
    for figure in (page.headline.ladder, *figures):
        name = f"plot_{figure.ident.removeprefix('fig-').replace('-', '_')}"
        assert name in bayescmp.plots.__all__


def test_hostile_text_is_neither_code_nor_markup(tmp_path: Path) -> None:
    tree = synthetic_tree(**SMALL, rungs=(EVIL, "a|b`c`", "$x$"))
    tree.attrs.update(study=EVIL, model=EVIL, preset=EVIL, config=json.dumps({EVIL: EVIL}))
    folder = tmp_path / 'a"); hacked = ("'
    folder.mkdir()
    save_tree(tree, folder / "results.nc")
    path = write_notebook(folder / "results.nc", tmp_path / "report.ipynb")
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    for source in cells(path, "markdown"):
        quoted = [line for line in source.splitlines() if not line.startswith("    ")]
        parser.feed("\n".join(quoted))
    assert tags == []
    for source in cells(path, "code"):
        compile(source, "cell", "exec")
        assert "hacked = (" not in source.replace('\\"); hacked = (\\"', "")


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        write_notebook(tmp_path / "none.nc", tmp_path / "report.ipynb")
    save_tree(synthetic_tree(**SMALL), tmp_path / "results.nc")
    with pytest.raises(ValueError, match="existing folder"):
        write_notebook(tmp_path / "results.nc", tmp_path / "none" / "report.ipynb")


# ---------------------------------------------------------------------- glance


def test_a_glance_says_distance_verdicts_and_groups() -> None:
    tree = synthetic_tree()
    glance = show(tree)
    text = repr(glance)
    assert "bit from exact Bayes" in text
    assert "refuted       Mean KL is below 0.0001 bits" in text
    for path in tree.groups[1:]:
        assert f"\n{path} " in text
    html = glance._repr_html_()
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    assert set(tags) == {"div", "strong", "p", "details", "summary", "table", "tr", "td"}
    assert "Claims" not in repr(show(tree.drop_nodes("claims")))


def test_a_glance_escapes_what_it_shows() -> None:
    tree = synthetic_tree(rungs=(EVIL,))
    tree.attrs["model"] = EVIL
    html = show(tree)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    with pytest.raises(ValueError, match="/ladder: missing group"):
        show(tree.drop_nodes("ladder"))


def test_a_glance_writes_rounding_as_zero_and_keeps_what_is_small() -> None:
    tree = synthetic_tree(num_seeds=1)
    group = tree["/divergence"].to_dataset()
    group["mean_excess_log_loss"][:] = -2e-16  # a hundred logarithms, each rounded to 2e-16
    group["mean_kl"][:] = 3e-16
    group["mean_impossible_mass"][:] = 1e-20  # a probability is as small as it is
    group["entropy_mae_a"][:] = 4e-9
    tree["/divergence"] = xr.DataTree(group)
    glance = show(tree)
    values = {row[0]: row[1] for row in glance.tables["Measures"]}
    assert values["Excess log loss"] == values["Mean KL to exact"] == "0 bit"
    assert values["Impossible mass"].endswith("10⁻²⁰")
    assert values["Entropy MAE (A)"].endswith("10⁻⁹ bit")
    assert "times as far" not in " ".join(glance.lines)
